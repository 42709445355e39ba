"""``m2msec gateway`` as a person runs it: by options and by a file, with a MAF that comes and goes."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request

import pytest

from gateway_support import PlayedCse, Seen, answer_on, answered, request
from maf_support import key_of
from onem2m_security.clients.maf import MafClient
from onem2m_security.credentials import Secret
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.coap import CoapClient
from onem2m_security.net.link import Link
from onem2m_security.onem2m.carried import CarriedRequest
from onem2m_security.onem2m.primitives import Operation
from programs import Programs, Server, key_file, m2msec

CSE, AE, MAF = EntityId.parse("/in-cse"), EntityId.parse("/in-cse/Cae"), Fqdn("maf.example.com")


@pytest.fixture
def programs(tmp_path):
    started = Programs(tmp_path)
    yield started
    started.end_all()


@pytest.fixture
async def cse():
    played = PlayedCse()
    played.to = await played.start()
    yield played
    await played.stop()


def kpsa(who: str, peer: EntityId = CSE):
    key = saef_psk.credential(KeyIdentifier.parse(f"{who}@m.example"), key_of(who), peer=peer)
    return saef_psk.initiate(AE, CSE, key)


async def ask(gateway: Server, octets: bytes, who: str = "ae") -> tuple[int, dict[str, str], bytes]:
    async with await open_channel(Link(Address("127.0.0.1", gateway.port)), kpsa(who)) as channel:
        await channel.write(octets)
        return await answer_on(channel)


def by_options(programs: Programs, cse: PlayedCse, *more: object, peer: str | None = "/in-cse/Cae") -> Server:
    key = programs.directory / "ae.key"
    key = key if key.exists() else key_file(programs.directory, "ae.key", key_of("ae").reveal())
    whom = ["--kpsa-peer", peer] if peer else []
    return programs.start(
        "gateway", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--to", cse.to, *whom,
        "--kpsa-id", "ae@m.example", "--kpsa-file", key, "--data", programs.directory / "data", *more,
    )  # fmt: skip


async def test_a_gateway_by_options_says_one_line_and_serves_http_and_coap_on_one_port(programs, cse):
    gateway = by_options(programs, cse, "--verbose")
    [line] = gateway.output.splitlines()
    assert line == f"gateway of /in-cse listening on 127.0.0.1:{gateway.port} (TLS and DTLS), to {cse.to}"
    assert (await ask(gateway, request()))[0] == 200
    assert (await ask(gateway, request(originator="CAdmin")))[1]["x-m2m-rsc"] == "4106"
    client = CoapClient(Link(Address("127.0.0.1", gateway.port), Transport.DTLS), kpsa("ae"))
    asked = CarriedRequest(Operation.RETRIEVE, "cse/x", "r", originator="Cae")
    assert (await client.carry(asked)).content == b"{}"
    await client.close()
    gateway.wait_for(r"rsc=4106")
    logged = [one for one in gateway.errors.splitlines() if "event='request'" in one]
    assert len(logged) == 3
    assert "peer='/in-cse/Cae' originator='Cae' operation='RETRIEVE' to='cse/x'" in logged[0]
    assert "rsc=2000 octets_in=0 octets_out=2" in logged[0]
    assert len(cse.seen) == 2
    assert gateway.stop() == 0


async def test_a_gateway_by_a_file_is_one_for_each_cse_and_keeps_to_what_peers_must_prove(programs, cse):
    for who in ("ae", "cert"):
        key_file(programs.directory, f"{who}.key", key_of(who).reveal())
    file = programs.directory / "cse.toml"
    file.write_text(
        f"""metrics = "127.0.0.1:{free_port()}"
        [store]
        data = "data"
        [[gateway]]
        cse-id = "/in-cse"
        listen = "127.0.0.1:0"
        to = "{cse.to}"
        tell = true
        [peers."/in-cse/Cae"]
        trust = {{ kpsa-id = "ae@m.example", kpsa-file = "ae.key" }}
        [limits]
        body-octets = 2048
        """,
        encoding="utf-8",
    )
    assert f"gateway to {cse.to}, on 127.0.0.1:0" in m2msec("config", "check", file).stdout
    gateway = programs.start("gateway", "--config", file)
    assert (await ask(gateway, request()))[0] == 200
    assert cse.seen[0].all_of("x-association-peer") == ["/in-cse/Cae"]
    assert (await ask(gateway, request("PUT", "/cse/x", body=b"x" * 2049)))[1]["x-m2m-rsc"] == "4102"
    metrics = file.read_text().split('"')[1]
    told = await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://{metrics}/metrics").read().decode()
    )
    assert 'onem2m_gateway_requests_total{local="/in-cse",rsc="2000"} 1.0' in told


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_an_assigned_ae_id_is_remembered_across_a_power_failure(programs, cse):
    async def register(seen: Seen) -> bytes:
        body = json.dumps({"m2m:ae": {"aei": "Cnew", "ri": "Cnew"}}).encode()
        return answered(body, rsc=2001, status=201, more=["Content-Type: application/json"])

    cse.answer = register
    gateway = by_options(programs, cse, peer=None)
    registration = request("POST", "/cse", "Content-Type: application/json;ty=2", originator="C", body=b"{}")
    assert (await ask(gateway, registration))[0] == 201
    gateway.kill()
    again = by_options(programs, cse, peer=None)
    assert (await ask(again, request(originator="Cnew")))[1]["x-m2m-rsc"] == "2001"
    assert (await ask(again, request(originator="Cother")))[1]["x-m2m-rsc"] == "4106"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen", "127.0.0.1:0", "--cse-id", "/b"], "give --to URL"),
        (["--to", "http://127.0.0.1:1"], "give --listen"),
        (
            ["--to", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--cse-id", "/b"],
            "nobody could associate",
        ),
        (["--to", "https://x"], "not where a CSE listens"),
    ],
)
def test_what_is_missing_is_said_in_one_line(arguments, told):
    done = m2msec("gateway", *arguments, check=False)
    assert done.returncode != 0
    assert told in done.stderr


class WithMaf:
    """A MAF, and an AE and a gateway that are its clients."""

    def __init__(self, programs: Programs) -> None:
        self.programs, self.data = programs, programs.directory / "maf"
        for who, more in (
            ("ae", ["--entity", "/in-cse/Cae", "--target", "/in-cse"]),
            ("b", ["--entity", "/in-cse"]),
        ):
            key_file(programs.directory, f"{who}.km", key_of(who).reveal())
            m2msec(
                "maf", "add-client", "--data", self.data, "--km-id", f"{who}@{MAF}", "--km-file",
                programs.directory / f"{who}.km", *more,
            )  # fmt: skip
        self.maf = programs.start_maf(self.data)

    def gateway(self, to: str, *more: object) -> Server:
        return self.programs.start(
            "gateway", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--to", to,
            "--maf", f"127.0.0.1:{self.maf.port}", "--km-id", f"b@{MAF}",
            "--km-file", self.programs.directory / "b.km", "--data", self.programs.directory / "data", *more,
        )  # fmt: skip

    def client(self) -> MafClient:
        km = maf_handshake.credential(KeyIdentifier("ae", MAF), Secret(key_of("ae").reveal()))
        return MafClient(MAF, Link(Address("127.0.0.1", self.maf.port)), maf_handshake.initiate(AE, MAF, km))


async def test_associations_live_on_while_the_maf_is_down_and_nobody_new_gets_in(programs, cse):
    with_maf = WithMaf(programs)
    gateway = with_maf.gateway(cse.to, "--remember", "1s")
    client = with_maf.client()
    how = await client.initiator(CSE)()
    link = Link(Address("127.0.0.1", gateway.port))
    async with await open_channel(link, how) as channel:
        await channel.write(request(ri="1"))
        assert (await answer_on(channel))[0] == 200
        with_maf.maf.kill()
        gateway_asked_in_vain = "a key cannot be asked about"

        async def asked_again() -> bool:
            await channel.write(request())
            assert (await answer_on(channel))[0] == 200
            return gateway_asked_in_vain in gateway.errors

        while not await asked_again():
            pass
        await channel.write(request(originator="CAdmin"))
        assert (await answer_on(channel))[1]["x-m2m-rsc"] == "4106"
    await client.close()

"""``--mtu`` of the commands that speak DTLS: what they send, seen by somebody in between."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import ID_A, ID_B, MAF, A, B, Client, key_of, provision
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.maf import MafClient
from onem2m_security.configuration.settings import load
from onem2m_security.credentials import Secret
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.link import Link
from programs import Programs, key_file, m2msec
from test_cli_mef import m2msec as in_this_process

MTU = 300
DEFAULT = 1232
KEY = key_of("k").reveal()
KPSA_ID = f"{'k' * 150}@b.example.com"
KPM_ID = f"{'d' * 150}@mef.example.com"


class Between:
    """Passes datagrams to a port and back, and notes how long they are.

    Attributes:
        port: Where to send what is meant for the other.
        lengths: Of what the client sent, and of what the server sent.
    """

    def __init__(self, port: int) -> None:
        self.lengths: dict[str, list[int]] = {"client": [], "server": []}
        self._front, self._back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._front.bind(("127.0.0.1", 0))
        self._back.connect(("127.0.0.1", port))
        self.port = self._front.getsockname()[1]
        self._client: tuple[str, int] | None = None
        for run in (self._forth, self._back_again):
            threading.Thread(target=run, daemon=True).start()

    def _forth(self) -> None:
        while True:
            data, self._client = self._front.recvfrom(65535)
            self.lengths["client"].append(len(data))
            self._back.send(data)

    def _back_again(self) -> None:
        while True:
            data = self._back.recv(65535)
            self.lengths["server"].append(len(data))
            self._front.sendto(data, self._client)


def carried(programs: Programs, port: int, *options: object) -> tuple[Between, str]:
    """What ``m2msec connect`` sends of 4000 octets of standard input."""
    between = Between(port)
    done = m2msec(
        "connect", f"127.0.0.1:{between.port}", "--peer", "/in-cse", "--entity", "Csensor",
        "--kpsa-id", KPSA_ID, "--kpsa-file", programs.directory / "kpsa", "--transport", "dtls", *options,
        given="c" * 4000,
    )  # fmt: skip
    return between, done.stdout


@pytest.fixture
def listener(programs) -> Iterator[int]:
    key_file(programs.directory, "kpsa", KEY)
    b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--kpsa-id", KPSA_ID,
        "--kpsa-file", programs.directory / "kpsa", "--kpsa-peer", "Csensor", "--transport", "dtls",
    )  # fmt: skip
    return b.port


@pytest.mark.parametrize(("options", "most"), [(("--mtu", MTU), MTU), ((), DEFAULT)])
def test_connect_sends_no_datagram_that_is_longer_than_its_mtu(programs, listener, options, most):
    between, _ = carried(programs, listener, *options)
    assert most - 80 < max(between.lengths["client"]) <= most


@pytest.mark.parametrize(("options", "most"), [(("--mtu", MTU), MTU), ((), DEFAULT)])
async def test_listen_sends_no_datagram_that_is_longer_than_its_mtu(programs, options, most):
    key_file(programs.directory, "kpsa", KEY)
    b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--kpsa-id", KPSA_ID,
        "--kpsa-file", programs.directory / "kpsa", "--kpsa-peer", "Csensor", "--transport", "dtls", "-v",
        *options,
    )  # fmt: skip
    between = Between(b.port)
    kpsa = saef_psk.credential(KeyIdentifier.parse(KPSA_ID), Secret(KEY))
    async with await associate(
        Link(Address("127.0.0.1", between.port), Transport.DTLS), saef_psk.initiate(ID_A, ID_B, kpsa)
    ) as channel:
        b.wait_for("associated")
        b.process.stdin.write(b"d" * 4000)
        b.process.stdin.flush()
        received = b""
        while len(received) < 4000:
            received += await channel.read()
    assert received == b"d" * 4000  # in pieces, and nothing of it lost
    assert most - 80 < max(between.lengths["server"]) <= most


@pytest.mark.parametrize("options", [("--mtu", MTU), ()])
def test_enrol_sends_no_datagram_that_is_longer_than_its_mtu(programs, options):
    """An identity of 166 octets makes the Enrolee's second flight too long for one short datagram."""
    directory = programs.directory
    made = m2msec(
        "mef", "add-enrolee", "--data", directory / "mef", "--kpm-id", KPM_ID, "--enrolee-id", "/in-cse/Cae",
        "--target", "/in-cse",
    )  # fmt: skip
    key_file(directory, "kpm", bytes.fromhex(made.stdout))
    mef = programs.start(
        "mef", "serve", "--data", directory / "mef", "--fqdn", "mef.example.com", "--listen", "127.0.0.1:0",
        "--transport", "dtls",
    )  # fmt: skip
    between = Between(mef.port)
    enrolled = m2msec(
        "enrol", f"127.0.0.1:{between.port}", "--data", directory / "device", "--kpm-id", KPM_ID,
        "--kpm-file", directory / "kpm", "--enrolee-id", "/in-cse/Cae", "--target", "/in-cse",
        "--transport", "dtls", "--json", *options,
    )  # fmt: skip
    assert json.loads(enrolled.stdout)["ke_id"]
    assert (max(between.lengths["client"]) <= MTU) == bool(options)


@pytest.mark.parametrize("options", [("--mtu", 260), ()])
async def test_a_server_sends_no_datagram_that_is_longer_than_its_mtu(programs, tmp_path, options):
    """The answer with a key is longer than 260 octets: it comes in blocks, or in one datagram."""
    await provision(tmp_path / "maf", [A, B])
    maf = programs.start_maf(tmp_path / "maf", "--transport", "dtls", *options)
    between = Between(maf.port)

    def client(who: Client) -> MafClient:
        credential = maf_handshake.credential(who.km_id, who.km)
        address = Address("127.0.0.1", between.port)
        return MafClient(
            MAF, Link(address, Transport.DTLS), maf_handshake.initiate(who.entity, MAF, credential)
        )

    a, b = client(A), client(B)
    made = await a.register_key(expires=datetime.now(UTC) + timedelta(hours=1), target=ID_B, admin=MAF)
    found = await b.retrieve(made.kc_id)
    assert found.key == made.kc
    await a.close()
    await b.close()
    assert (max(between.lengths["server"]) <= 260) == bool(options)


@pytest.mark.parametrize("command", ["connect", "listen", "enrol", "maf serve", "mef serve", "bsf serve"])
@pytest.mark.parametrize("octets", ["259", "16385", "many"])
def test_an_mtu_that_cannot_be_is_refused(command, octets):
    refused = in_this_process(*command.split(), "--mtu", octets, check=False)
    assert refused.returncode == 2
    assert "--mtu" in refused.stderr


def test_a_configuration_file_has_it_among_its_limits(tmp_path):
    file = tmp_path / "m2msec.toml"
    mef = f'[mef]\nfqdn = "mef.example.com"\nlisten = "127.0.0.1:0"\ndata = "{tmp_path}/mef"\n'
    for octets, is_taken in ((600, True), (259, False)):
        file.write_text(f"{mef}[limits]\ndatagram-octets = {octets}\n", encoding="ascii")
        done = in_this_process("serve", "--config", file, "--check", check=is_taken)
        assert is_taken or "line 6: limits.datagram-octets" in done.stderr
    file.write_text(f"{mef}[limits]\ndatagram-octets = 600\n", encoding="ascii")
    assert load(file).limits.limits().datagram_octets == 600

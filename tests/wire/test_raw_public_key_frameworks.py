"""Every framework with certificates takes raw public keys (RFC 7250): by library and by command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys

import pytest

from certificate_support import CA, ROOT, flavoured
from certs import Flavour
from maf_support import LOOPBACK
from mef_support import PATIENT
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.configuration.description import Description
from onem2m_security.credentials import Framework
from onem2m_security.errors import ConfigurationError, HandshakeError
from onem2m_security.frameworks import bootstrap_certificate, maf_handshake, saef_certificate
from onem2m_security.frameworks.instructions import BootstrapInstruction
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Transport
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, Store
from programs import M2MSEC, PATIENCE, key_file, m2msec
from quiet_ports import a_quiet_port
from raw_keys import STRANGER, A, B, KeyHolder
from requirements import needs

OVER = pytest.mark.parametrize("transport", Transport)
MAF, MEF = Fqdn("maf.sp.example"), Fqdn("mef.sp.example")
THE_MAF, THE_MEF = KeyHolder.named(str(MAF)), KeyHolder.named(str(MEF))
SENSOR = KeyHolder.named("//sp.example/cse1/Csensor")
IN_CSE = KeyHolder.named("//sp.example/in-cse")


@pytest.fixture(autouse=True)
def _library():
    needs("libgnutls.so.30")


@contextlib.asynccontextmanager
async def accepting(transport, *, holder=B, knows=(A,), **more):
    """An Entity B that says everything again; its address, and the channels that came to be."""
    accepted = []

    async def handler(channel):
        accepted.append(channel)
        while data := await channel.read():
            await channel.write(data)

    endpoint = None
    if knows:
        trust = Trust(tuple(other.configuration for other in knows))
        endpoint = saef_certificate.accept(holder.certificate, trust)
    async with EntityB(holder.entity, endpoint=endpoint, **more) as entity_b:
        yield await entity_b.listen(LOOPBACK, handler, transport=transport), accepted


def initiator(holder=A, peer=B):
    return saef_certificate.initiate(holder.entity, holder.certificate, peer.trust)


async def talk(channel):
    await channel.write(b"over the association")
    assert await channel.read() == b"over the association"


# --- by library ---


@OVER
async def test_each_side_associates_the_session_with_the_identity_of_the_others_key(transport):
    async with accepting(transport) as (address, accepted):
        a = await associate(Link(address, transport), initiator())
        await talk(a)
        [b] = accepted
        assert (a.association.peer, b.association.peer) == (B.entity, A.entity)
        for end in (a, b):
            assert end.association.framework is Framework.SAEF_CERTIFICATE
            assert end.association.expires is None
            assert str(end.association.credential_id).startswith("30-")
        for label in ExportLabel:
            assert a.established.export(label).key == b.established.export(label).key
        await a.close()


@OVER
async def test_a_stranger_is_refused_and_the_next_is_served(transport):
    async with accepting(transport) as (address, accepted):
        with pytest.raises(HandshakeError) as refused:
            await associate(Link(address, transport), initiator(STRANGER))
        assert refused.value.alert.name == "bad_certificate"
        with pytest.raises(HandshakeError, match="no association names the raw public key"):
            await associate(Link(address, transport), initiator(A, STRANGER))
        async with await associate(Link(address, transport), initiator()) as a:
            await talk(a)
    assert len(accepted) == 1


@OVER
async def test_sixty_clients_at_once_are_each_known_by_their_key(transport):
    holders = [KeyHolder.named(f"/device-{number}") for number in range(60)]
    async with accepting(transport, knows=holders) as (address, accepted):

        async def one(holder):
            async with await associate(Link(address, transport, PATIENT), initiator(holder)) as channel:
                await channel.write(holder.peer_id.encode())
                assert await channel.read() == holder.peer_id.encode()

        await asyncio.gather(*map(one, holders))
        assert {channel.association.peer for channel in accepted} == {holder.entity for holder in holders}


@OVER
@pytest.mark.parametrize("release", Release)
async def test_a_and_b_associate_through_a_maf_that_knows_both_by_their_keys(tmp_path, transport, release):
    def maf_client(holder, address):
        how = maf_handshake.initiate_by_certificate(holder.entity, MAF, holder.certificate, THE_MAF.trust)
        return MafClient(MAF, Link(address, transport), how)

    clients = Trust((SENSOR.configured(targets=(IN_CSE.entity,)), IN_CSE.configuration), Release.R3)
    endpoint = saef_certificate.accept(THE_MAF.certificate, clients)
    store = await Store.open(tmp_path)
    async with Server(store, [Maf(store, MAF, endpoint=endpoint)]) as server:
        address = await server.start(LOOPBACK)
        through = maf_client(IN_CSE, address)
        async with accepting(transport, holder=IN_CSE, knows=(), mafs=[through]) as (b, accepted):
            client = maf_client(SENSOR, address)
            how = client.initiator(IN_CSE.entity, release=release)
            async with await associate(Link(b, transport), how) as a:
                await talk(a)
            await client.close()
            assert accepted[0].association.peer == SENSOR.entity
        [record] = [r for r in await store.records(KeyKind.KC) if r.source == SENSOR.entity]
        assert record.targets == (IN_CSE.entity,)


@OVER
async def test_an_enrolee_is_enrolled_by_its_key_and_both_ends_hold_ke(tmp_path, transport):
    enrolee, targets = EntityId.parse("//sp.example/cse1/Cdevice"), (EntityId(str(MAF)),)
    device = KeyHolder.named(enrolee)
    clients = Trust((device.configured(targets=targets),), Release.R3)
    endpoint = bootstrap_certificate.accept(THE_MEF.certificate, clients)
    store = await Store.open(tmp_path / "mef")
    async with Server(store, [Mef(store, MEF, endpoint=endpoint, release=Release.R3)]) as server:
        address = await server.start(LOOPBACK)
        async with await Store.open(tmp_path / "device") as own:
            how = bootstrap_certificate.initiate(enrolee, MEF, device.certificate, THE_MEF.trust)
            made = await Enrolee.with_certificate(
                own,
                initiator=how,
                instruction=BootstrapInstruction(enrolee, targets, release=Release.R3),
                ends=device.certificate.expires,
                link=Link(address, transport, PATIENT),
            )
            kept = await made.enrol()
        [record] = await store.records(KeyKind.KE)
    assert (record.key_id, record.key) == (kept.ke_id, kept.ke)
    assert (record.source, record.targets) == (enrolee, targets)


async def test_an_entity_b_that_a_file_describes_shows_its_key_and_knows_others_by_theirs(tmp_path):
    B.files(tmp_path, "b")
    file = tmp_path / "b.toml"
    file.write_text(
        f"""\
        [identity]
        id = "{B.entity}"
        [entity-b]
        listen = "127.0.0.1:0"
        private-key = "b.key"
        [peers."{A.entity}"]
        trust = {{ flavour = "raw-public-key", peer-id = "{A.peer_id}" }}
        """
    )
    accepted = []

    async def look(channel):
        accepted.append(channel.association)

    description = Description.read(file)
    description.check()
    async with description.entity_b() as entity_b:
        address = await entity_b.listen(LOOPBACK, look)
        async with await associate(Link(address), initiator()) as channel:
            assert channel.association.peer == B.entity
            assert not await channel.read()
    assert [one.peer for one in accepted] == [A.entity]


# --- by command ---


@pytest.fixture
def files(tmp_path):
    for name in "abc":
        made = m2msec("pki", "raw-public-key", "--out", tmp_path / name)
        (tmp_path / f"{name}.id").write_text(made.stdout.rpartition("identifier: ")[2].strip(), "utf-8")
    (tmp_path / "root.pem").write_bytes(ROOT.trust_anchor_pem)
    return tmp_path


def identifier(directory, name):
    return (directory / f"{name}.id").read_text("utf-8")


def of_peer(directory, name):
    return "--flavour", "raw-public-key", "--peer-id", identifier(directory, name)


@OVER
def test_two_commands_associate_by_keys_that_a_command_made(files, programs, transport):
    listening = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--transport", transport.value, "--json",
        "--key", files / "b.key", "--peer", "/gateway", *of_peer(files, "a"),
    )  # fmt: skip
    asked = (
        "connect", f"127.0.0.1:{listening.port}", "--entity", "/gateway", "--peer", "/in-cse", "--json",
        "--transport", transport.value, "--wait", "0.2", *of_peer(files, "b"),
    )  # fmt: skip
    done = m2msec(*asked, "--key", files / "a.key", given="hello\n")
    assert json.loads(done.stdout.splitlines()[0])["peer"] == "/in-cse"
    listening.wait_for_data(b"hello")
    assert '"peer": "/gateway"' in listening.output
    refused = m2msec(*asked, "--key", files / "c.key", check=False)
    assert refused.returncode == 1
    assert "bad_certificate" in refused.stderr


def test_a_file_of_associations_knows_some_by_keys_and_others_by_certificates(files, programs):
    issued = CA.issue(Flavour.AE_ID, "//sp.example/Sdevice")
    (files / "x.crt").write_bytes(issued.chain_pem)
    (files / "x.key").touch(mode=0o600)
    (files / "x.key").write_bytes(issued.key_pem)
    (files / "peers.toml").write_text(
        f"""
        [[association]]
        name = "by its key"
        flavour = "raw-public-key"
        peer_id = "{identifier(files, "a")}"
        peer = "/gateway"

        [[association]]
        name = "by its certificate"
        flavour = "ae-id"
        peer_id = "//sp.example/Sdevice"
        trust_anchors = "root.pem"
        """,
        "utf-8",
    )
    listening = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--json",
        "--key", files / "b.key", "--associations", files / "peers.toml",
    )  # fmt: skip
    for entity, shown, name in (
        ("/gateway", ("--key", files / "a.key"), "by its key"),
        ("//sp.example/Sdevice", ("--cert", files / "x.crt", "--key", files / "x.key"), "by its certificate"),
    ):
        m2msec(
            "connect", f"127.0.0.1:{listening.port}", "--entity", entity, "--peer", "/in-cse", *shown,
            *of_peer(files, "b"), "--wait", "0.2", given="hello\n",
        )  # fmt: skip
        listening.wait_for(name)


def house(files, *, mef="") -> int:
    """A MAF with a raw public key, and at the same address what else is asked for; its port."""
    port = a_quiet_port()
    (files / "maf-clients.toml").write_text(
        f'[[association]]\nflavour = "raw-public-key"\npeer_id = "{identifier(files, "a")}"\n'
        f'peer = "{SENSOR.entity}"\ntargets = ["{IN_CSE.entity}"]\n',
        "utf-8",
    )
    (files / "house.toml").write_text(
        f'[[maf]]\nfqdn = "{MAF}"\nlisten = "127.0.0.1:{port}"\ndata = "maf"\nprivate-key = "b.key"\n'
        f'associations = "maf-clients.toml"\n{mef.format(port=port)}',
        "utf-8",
    )
    return port


@OVER
def test_a_maf_is_served_and_met_by_keys_that_configuration_files_name(files, programs, transport):
    """Entity B meets the same port with a pre-shared key."""
    port, km = house(files), key_file(files, "km", b"m" * 32)
    by_km = "--km-id", f"b@{MAF}", "--km-file", km
    m2msec("maf", "add-client", "--data", files / "maf", *by_km, "--entity", IN_CSE.entity)
    programs.start("serve", "--config", files / "house.toml")
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", IN_CSE.entity, "--json", "--transport",
        transport.value, "--maf", f"127.0.0.1:{port}", *by_km,
    )  # fmt: skip
    (files / "device.toml").write_text(
        f"""
        [identity]
        id = "{SENSOR.entity}"
        [store]
        data = "device"
        [peers."{IN_CSE.entity}"]
        address = "127.0.0.1:{entity_b.port}"
        transport = "{transport.value}"
        prove = {{ maf = "{MAF}" }}
        [peers."{MAF}"]
        address = "127.0.0.1:{port}"
        transport = "{transport.value}"
        prove = {{ private-key = "a.key" }}
        trust = {{ flavour = "raw-public-key", peer-id = "{identifier(files, "b")}" }}
        """,
        "utf-8",
    )
    m2msec("config", "check", files / "device.toml")
    done = m2msec(
        "connect",
        IN_CSE.entity,
        "--config",
        files / "device.toml",
        "--json",
        "--wait",
        "0.3",
        given="hello\n",
    )
    association = json.loads(done.stdout.splitlines()[0])
    assert (association["framework"], association["peer"]) == ("saef-maf", str(IN_CSE.entity))
    entity_b.wait_for_data(b"hello")
    assert f'"peer": "{SENSOR.entity}"' in entity_b.output


def test_one_address_is_not_served_by_two_libraries(files):
    house(files, mef=f'[[mef]]\nfqdn = "{MEF}"\nlisten = "127.0.0.1:{{port}}"\ndata = "mef"\n')
    done = m2msec("serve", "--config", files / "house.toml", check=False)
    assert done.returncode == 1
    assert "give them different ports" in done.stderr


def test_two_end_points_establish_a_key_by_their_keys_over_files(files, tmp_path):
    def arguments(command, own, peer):
        entities = {"a": "/cse1/Ca", "b": "/cse2/Cb"}
        return [
            "escertke", command, str(tmp_path / "shared"), "--entity", entities[own], "--json",
            "--key", str(files / f"{own}.key"), "--peer", entities[peer], *of_peer(files, peer),
            "--out", str(files / f"{own}.e2e"),
        ]  # fmt: skip

    responding = subprocess.Popen(
        [M2MSEC, *arguments("respond", "b", "a")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    one = json.loads(m2msec(*arguments("initiate", "a", "b")).stdout)
    out, errors = responding.communicate(timeout=PATIENCE)
    assert responding.returncode == 0, errors
    assert one["pairwise_e2e_key_id"] == json.loads(out)["pairwise_e2e_key_id"]
    assert (files / "a.e2e").read_text() == (files / "b.e2e").read_text()


WITHOUT = """
from onem2m_security.tls import gnutls_library
gnutls_library.LIBRARY = "libgnutls-is-not-here.so.30"
from onem2m_security.cli import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--peer", "/a"),
        ("connect", "127.0.0.1:9", "--entity", "/a", "--peer", "/in-cse"),
    ],
    ids=["listen", "connect"],
)
def test_where_the_library_is_missing_a_command_says_so_in_one_line(files, arguments):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments, "--key", files / "a.key", *of_peer(files, "b")],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "libgnutls30" in line


async def test_a_peer_that_is_to_be_met_by_its_key_must_have_one_named():
    with pytest.raises(ConfigurationError, match="needs peer_id"):
        flavoured(Flavour.RAW_PUBLIC_KEY)

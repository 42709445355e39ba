"""Bootstrap with certificates (8.3.2.2): Ke as with a pre-provisioned key, for the configured targets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certificate_support import OTHER_ROOT, ROOT, Credential, flavoured, named, s_client
from certs import Flavour
from maf_support import LOOPBACK, MAF, eventually
from mef_support import CSE, DEVICE, MAF_ID, OTHER_CSE, PATIENT, THE_CSE, asking_maf, provision_mef
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.mef import MefClient, resolver
from onem2m_security.credentials import Framework
from onem2m_security.errors import ConfigurationError, HandshakeError
from onem2m_security.frameworks import bootstrap_certificate, mef_handshake, saef_psk
from onem2m_security.frameworks.instructions import BootstrapInstruction
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.keys import ExportLabel, kpsa_for
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, Store
from programs import keying_material, m2msec

MEF = Fqdn("mef.example.com")
AUTHORITY = ROOT.intermediate("mef authority")
MEF_NAME, ENROLEE_NAME = "mef.example.com", "device-7.example.com"
ENROLEE = EntityId.parse("//sp.example/in-cse/Cdevice7")
FOR_MEF = named(MEF_NAME, EntityId(str(MEF)))
FOR_ENROLEE = named(ENROLEE_NAME, ENROLEE, targets=(MAF_ID, CSE), name="device 7")
THE_MEF = AUTHORITY.issue(None, MEF_NAME)
THE_ENROLEE = AUTHORITY.issue(None, ENROLEE_NAME)


def initiator(issued=THE_ENROLEE, configuration=FOR_MEF, **more):
    return bootstrap_certificate.initiate(ENROLEE, MEF, issued.local(), Trust((configuration,), **more))


@contextlib.asynccontextmanager
async def certificate_mef(data, *clients, release=Release.R1, **more):
    """An MEF with pre-provisioned Enrolees and Enrolment Targets, and these clients with certificates."""
    await provision_mef(data)
    store = await Store.open(data)
    endpoint = bootstrap_certificate.accept(
        THE_MEF.local(), Trust(clients or (FOR_ENROLEE,), release, **more)
    )
    async with Server(store, [Mef(store, MEF, endpoint=endpoint, release=release)]) as server:
        yield await server.start(LOOPBACK), store


async def kes(store):
    return {record.key_id: record for record in await store.records(KeyKind.KE)}


async def bootstrap(address, **more):
    """One handshake; what both ends would export."""
    async with await open_channel(Link(address, limits=PATIENT), initiator(**more)) as channel:
        assert channel.association.framework is Framework.BOOTSTRAP_CERTIFICATE
        assert channel.association.peer == EntityId(str(MEF))
        return channel.established.export(ExportLabel.BOOTSTRAP)


async def test_enrolee_and_mef_hold_the_same_ke_under_the_same_ke_id(tmp_path):
    async with certificate_mef(tmp_path) as (address, store):
        exported = await bootstrap(address)
        [(ke_id, record)] = (await kes(store)).items()
    assert ke_id == exported.key_id(MEF)
    assert record.key == exported.key
    assert (record.source, record.targets) == (ENROLEE, (MAF_ID, CSE))
    assert record.parent is None
    assert record.expires <= THE_ENROLEE.certificate.not_valid_after_utc


async def test_ke_does_not_outlive_the_certificate_of_the_enrolee(tmp_path):
    short = AUTHORITY.issue(None, ENROLEE_NAME, days=2)
    async with certificate_mef(tmp_path) as (address, store):
        await bootstrap(address, issued=short)
        [record] = (await kes(store)).values()
    assert record.expires == short.certificate.not_valid_after_utc


async def test_a_second_bootstrap_replaces_ke_however_the_first_was_authenticated(tmp_path):
    same = named(ENROLEE_NAME, DEVICE.entity, targets=(MAF_ID, CSE))
    async with certificate_mef(tmp_path, same) as (address, store):
        by_key = await DEVICE.enrol(address)
        assert set(await kes(store)) == {by_key.ke_id}
        exported = await bootstrap(address)
        target = THE_CSE.client(address)
        assert await target.fetch_kpsa(exported.key_id(MEF)) is not None
        await target.close()
        assert set(await kes(store)) == {exported.key_id(MEF)}


@pytest.mark.parametrize(
    ("issued", "alert"),
    [
        (AUTHORITY.issue(None, "device-8.example.com"), "bad_certificate"),
        (OTHER_ROOT.issue(None, ENROLEE_NAME), "unknown_ca"),
    ],
    ids=["another device", "another root"],
)
async def test_who_is_refused_leaves_no_ke_behind(tmp_path, issued, alert):
    async with certificate_mef(tmp_path) as (address, store):
        with pytest.raises(HandshakeError) as refused:
            await bootstrap(address, issued=issued)
        assert refused.value.alert.name == alert
        assert await kes(store) == {}


async def test_a_revoked_mef_is_refused_by_an_enrolee_that_has_the_list(tmp_path):
    path = tmp_path / "crl.pem"
    path.write_bytes(AUTHORITY.crl([THE_MEF.certificate]).public_bytes(Encoding.PEM))
    async with certificate_mef(tmp_path / "mef") as (address, store):
        with pytest.raises(HandshakeError) as refused:
            await bootstrap(address, crls=CrlSource(path))
        assert refused.value.alert.name == "certificate_revoked"
        assert await kes(store) == {}


async def test_where_a_list_is_required_an_mef_without_one_is_refused(tmp_path):
    path = tmp_path / "crl.pem"
    path.write_bytes(ROOT.crl().public_bytes(Encoding.PEM))
    async with certificate_mef(tmp_path / "mef") as (address, _):
        with pytest.raises(HandshakeError) as refused:
            await bootstrap(address, crls=CrlSource(path), require_crl=True)
        assert refused.value.alert.name == "certificate_unknown"
        path.with_suffix(".2.pem").write_bytes(AUTHORITY.crl().public_bytes(Encoding.PEM))
        assert await bootstrap(address, crls=CrlSource(tmp_path), require_crl=True)


async def test_a_client_without_targets_is_an_enrolment_target_and_gets_no_ke(tmp_path):
    async with certificate_mef(tmp_path, named(ENROLEE_NAME, ENROLEE)) as (address, store):
        await bootstrap(address)
        assert await kes(store) == {}


def test_an_mef_has_to_know_who_its_clients_are():
    anybody = flavoured(Flavour.DEVICE, name="the lab")
    with pytest.raises(ConfigurationError, match=r"'the lab' has no identity"):
        bootstrap_certificate.accept(THE_MEF.local(), Trust((anybody,)))


def test_an_enrolee_is_configured_for_its_mef():
    with pytest.raises(ConfigurationError, match=r"not for mef\.example\.com"):
        initiator(configuration=named(MEF_NAME, EntityId("mef.example.net")))


async def test_openssl_as_enrolee_exports_the_ke_of_the_mef(tmp_path):
    async with certificate_mef(tmp_path / "mef") as (address, store):
        options = Credential.of(THE_ENROLEE).files(tmp_path, "enrolee")
        label = ExportLabel.BOOTSTRAP.value.decode()
        printed = await asyncio.to_thread(
            s_client, address.port, *options, "-keymatexport", label, "-keymatexportlen", "48",
            "-servername", MEF, suite="ECDHE-ECDSA-AES128-SHA256",
        )  # fmt: skip
        exported = keying_material(printed)
        ke_id = KeyIdentifier.from_octets(exported[:16], MEF)
        assert (await kes(store))[ke_id].key.reveal() == exported[16:]


async def test_an_enrolment_target_may_meet_the_mef_by_certificate_and_fetches_what_is_its_own(tmp_path):
    clients = [
        FOR_ENROLEE,
        named("cse.example.com", CSE, name="our CSE"),
        named("other.example.com", OTHER_CSE, name="another CSE"),
    ]

    def target(name, local):
        met = mef_handshake.initiate_by_certificate(
            local, MEF, AUTHORITY.issue(None, name).local(), Trust((FOR_MEF,))
        )
        return MefClient(MEF, Link(address), met)

    async with certificate_mef(tmp_path, *clients) as (address, store):
        exported = await bootstrap(address)
        own, other = target("cse.example.com", CSE), target("other.example.com", OTHER_CSE)
        fetched = await own.fetch_kpsa(exported.key_id(MEF))
        assert fetched.peer == ENROLEE
        assert fetched.key == kpsa_for(Release.R1, exported.key, CSE)
        assert await other.fetch_kpsa(exported.key_id(MEF)) is None
        assert len(await kes(store)) == 1
        await own.close()
        await other.close()


def test_an_enrolment_target_needs_some_credential_and_one_for_its_mef():
    with pytest.raises(TypeError, match="how"):
        MefClient(MEF, Link(LOOPBACK))  # type: ignore[call-arg]
    elsewhere = mef_handshake.initiate(CSE, Fqdn("mef.example.org"), THE_CSE.key)
    with pytest.raises(ConfigurationError, match=f"for mef.example.org, not for {MEF}"):
        MefClient(MEF, Link(LOOPBACK), elsewhere)


# --- the Enrolee as a device runs it ---


async def enrolee_at(address, store, release=Release.R1, **more):
    return await Enrolee.with_certificate(
        store,
        initiator=initiator(release=release),
        instruction=BootstrapInstruction(ENROLEE, (MAF_ID, CSE), release=release),
        ends=THE_ENROLEE.local().expires,
        link=Link(address, limits=PATIENT),
        **more,
    )


@pytest.mark.parametrize("release", Release)
async def test_from_a_certificate_to_keys_for_a_maf_and_a_cse(tmp_path, release):
    async with (
        certificate_mef(tmp_path / "mef", release=release) as (mef, _),
        asking_maf(tmp_path / "maf", {MEF: mef}) as maf,
        await Store.open(tmp_path / "device") as store,
    ):
        enrolee = await enrolee_at(mef, store, release)
        key = await enrolee.enrol()
        client = enrolee.maf_client(MAF, Link(maf.address, limits=PATIENT))
        await client.handshake()
        await client.close()
        assert any(r.source == ENROLEE for r in await maf.store.records(KeyKind.KM))

        accepted = []

        async def handler(channel):
            accepted.append(channel.association)

        at_mef = THE_CSE.client(mef)
        async with EntityB(CSE, resolvers=[resolver([at_mef])]) as b:
            bound = await b.listen(LOOPBACK, handler)
            kpsa = await enrolee.provisioned_key(CSE)
            async with await associate(Link(bound), saef_psk.initiate(ENROLEE, CSE, kpsa)) as channel:
                assert channel.association.peer == CSE
                await eventually(lambda: accepted)
        await at_mef.close()
        assert accepted[0].peer == ENROLEE
        assert kpsa.key_id == key.ke_id


async def test_an_enrolee_that_is_loaded_without_its_certificate_uses_the_ke_that_is_kept(tmp_path):
    async with certificate_mef(tmp_path / "mef") as (mef, _):
        async with await Store.open(tmp_path / "device") as store:
            key = await (await enrolee_at(mef, store)).enrol()
        async with await Store.open(tmp_path / "device") as store:
            loaded = await Enrolee.load(store)
            assert (loaded.local, loaded.mef, loaded.targets) == (ENROLEE, MEF, (MAF_ID, CSE))
            assert (await loaded.enrolment_key()).ke == key.ke
            with pytest.raises(ConfigurationError, match="m2msec enrol"):
                await loaded.enrol()


async def test_the_enrolee_does_not_believe_ke_to_outlive_its_certificate(tmp_path):
    async with certificate_mef(tmp_path / "mef") as (mef, _), await Store.open(tmp_path / "device") as store:
        ends = datetime.now(UTC) + timedelta(hours=1)
        enrolee = await Enrolee.with_certificate(
            store,
            initiator=initiator(),
            instruction=BootstrapInstruction(ENROLEE, (MAF_ID,)),
            ends=ends,
            link=Link(mef),
        )
        assert (await enrolee.enrol()).expires == ends


# --- the command line ---


@pytest.fixture
def files(tmp_path):
    """Certificates, keys and associations in files."""
    for name, issued in (("mef", THE_MEF), ("device", THE_ENROLEE)):
        (tmp_path / f"{name}.crt").write_bytes(issued.full_chain_pem)
        key = tmp_path / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(issued.key_pem)
    (tmp_path / "enrolees.toml").write_text(
        "[[association]]\n"
        'name = "device 7"\n'
        f'certificate_name = "{ENROLEE_NAME}"\n'
        f'root_of_trust = "{ROOT.root_of_trust.hex()}"\n'
        f'peer = "{ENROLEE}"\n'
        f'targets = ["{MAF_ID}", "{CSE}"]\n',
        encoding="utf-8",
    )
    return tmp_path


def test_a_person_enrols_a_device_with_its_certificate(files, programs):
    mef = programs.start(
        "mef", "serve", "--data", files / "mef", "--fqdn", MEF, "--listen", "127.0.0.1:0",
        "--cert", files / "mef.crt", "--key", files / "mef.key", "--associations", files / "enrolees.toml",
    )  # fmt: skip
    done = m2msec(
        "enrol", f"127.0.0.1:{mef.port}", "--data", files / "device", "--mef-id", MEF,
        "--cert", files / "device.crt", "--key", files / "device.key",
        "--peer-name", MEF_NAME, "--root-of-trust", ROOT.root_of_trust.hex(),
        "--enrolee-id", ENROLEE, "--target", MAF_ID, "--target", CSE, "--json", "--reveal",
    )  # fmt: skip
    enrolled = json.loads(done.stdout)
    [row] = json.loads(m2msec("mef", "keys", "--data", files / "mef", "--json", "--reveal").stdout)
    assert enrolled["ke"] == row["ke"]
    assert enrolled["ke_id"] == row["ke_id"]
    assert row["enrolee"] == str(ENROLEE)


def test_an_incomplete_command_says_what_is_missing(files):
    done = m2msec(
        "enrol", "127.0.0.1:1", "--data", files / "device", "--cert", files / "device.crt",
        "--key", files / "device.key", "--enrolee-id", ENROLEE, "--target", MAF_ID, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--mef-id" in done.stderr

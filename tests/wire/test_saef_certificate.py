"""The certificate-based association (8.2.2.2): who is at the other end, and that nobody else can be."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certificate_support import (
    CA,
    FOR_A,
    FOR_B,
    ID_A,
    ID_B,
    NAME_A,
    NAME_B,
    OTHER_ROOT,
    A,
    B,
    Credential,
    endpoint_b,
    flavoured,
    initiator_a,
    named,
)
from certs import Flavour, self_signed
from maf_support import LOOPBACK, eventually
from onem2m_security.association import Role
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.credentials import Framework, Secret
from onem2m_security.errors import ConfigurationError, HandshakeError, PeerRefusedError
from onem2m_security.frameworks import maf_handshake, saef_certificate, saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.identifiers import EntityId, EntityKind, Fqdn, KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, Store
from onem2m_security.tls.events import DataReceived, SessionEnded
from onem2m_security.tls.states import State
from tls_support import Pair


@contextlib.asynccontextmanager
async def accepting(endpoint, *, local=ID_B, transport=Transport.TLS, **more):
    """An Entity B; gives its address and the channels that came to be."""
    accepted = []

    async def handler(channel):
        accepted.append(channel)
        while data := await channel.read():
            await channel.write(data)

    async with EntityB(local, endpoint=endpoint, **more) as entity_b:
        yield await entity_b.listen(LOOPBACK, handler, transport=transport), accepted


async def associated(
    address, certificate, configuration=FOR_B, *, local=ID_A, transport=Transport.TLS, **more
):
    how = saef_certificate.initiate(local, certificate, Trust((configuration,), **more))
    return await associate(Link(address, transport), how)


async def talk(channel):
    await channel.write(b"over the association")
    assert await channel.read() == b"over the association"


# --- what an association says ---


@pytest.mark.parametrize("transport", Transport)
async def test_each_side_associates_the_session_with_the_other_identity(transport):
    async with accepting(endpoint_b(), transport=transport) as (address, accepted):
        a = await associated(address, A.local(), transport=transport)
        async with a:
            await talk(a)
            b = accepted[0]
            assert (a.association.role, b.association.role) == (Role.ENTITY_A, Role.ENTITY_B)
            assert (a.association.local, a.association.peer) == (ID_A, ID_B)
            assert (b.association.local, b.association.peer) == (ID_B, ID_A)
            for end in (a, b):
                assert end.association.framework is Framework.SAEF_CERTIFICATE
                assert end.association.credential_id is None
            assert a.association.expires == B.certificate.not_valid_after_utc
            assert b.association.expires == A.certificate.not_valid_after_utc
            for label in ExportLabel:
                exported = a.established.export(label), b.established.export(label)
                assert exported[0].key.reveal() == exported[1].key.reveal()
                assert exported[0].relative == exported[1].relative


DEVICE_ID = "0.2.481.1.100.3030.10011"
CSE = "//sp.example/cse1"
AE = "//sp.example/cse1/Cae"
ALLOWED = (EntityId.parse("//sp.example/cse1/Cone"), EntityId.parse("//sp.example/cse1/Ctwo"))
FLAVOURS = {
    Flavour.CSE_ID: (CSE, {}, CSE, "32-cse1.sp.example", ()),
    Flavour.AE_ID: (AE, {}, AE, "33-_2F_2Fsp.example_2Fcse1_2FCae", (EntityId.parse(AE),)),
    Flavour.DEVICE: (DEVICE_ID, {"allowed_ae_ids": ALLOWED}, None, f"31-{DEVICE_ID}", ALLOWED),
    Flavour.NODE_ID: (DEVICE_ID, {"allowed_ae_ids": ALLOWED}, None, f"34-{DEVICE_ID}", ALLOWED),
}


@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda flavour: flavour.value)
async def test_each_flavour_makes_the_association_that_the_clause_asks_for(flavour):
    identifier, more, peer, credential_id, allowed = FLAVOURS[flavour]
    endpoint = endpoint_b(flavoured(flavour, identifier, **more))
    certificate = CA.issue(flavour, identifier).local(with_root=False)
    async with accepting(endpoint, local=EntityId.parse(CSE)) as (address, accepted):
        async with await associated(address, certificate) as a:
            await talk(a)
        association = accepted[0].association
    assert association.peer == (None if peer is None else EntityId.parse(peer))
    assert str(association.credential_id) == credential_id
    assert association.allowed_ae_ids == allowed
    assert association.as_dict()["allowed_ae_ids"] == list(map(str, allowed))
    assert association.authenticates("Cstranger") is (flavour is Flavour.CSE_ID)
    for ae_id in allowed:
        assert association.authenticates(ae_id.text)
        assert association.authenticates(ae_id.text.rpartition("/")[2])


async def test_an_ae_whose_identifier_reads_like_a_cse_id_speaks_for_itself_only():
    identifier = "//sp.example/S98821"
    endpoint = endpoint_b(flavoured(Flavour.AE_ID))
    async with accepting(endpoint, local=EntityId.parse(CSE)) as (address, accepted):
        certificate = CA.issue(Flavour.AE_ID, identifier).local(with_root=False)
        async with await associated(address, certificate) as a:
            await talk(a)
        association = accepted[0].association
    assert association.peer == EntityId(identifier)
    assert association.authenticates("S98821")
    assert association.authenticates(identifier)
    assert not association.authenticates("Cvictim")


@pytest.mark.parametrize(
    ("kind", "forwards"), [(None, False), (EntityKind.AE, False), (EntityKind.CSE, True)]
)
async def test_where_a_configured_identity_may_be_an_ae_or_a_cse_only_a_declaration_lets_it_forward(
    kind, forwards
):
    peer = EntityId.parse("/Sgateway")
    configuration = named(NAME_A, peer if kind is None else peer.known_as(kind))
    async with accepting(endpoint_b(configuration)) as (address, accepted):
        async with await associated(address, A.local()) as a:
            await talk(a)
        assert accepted[0].association.authenticates("/Sgateway")
        assert accepted[0].association.authenticates("Csomebody-behind-it") is forwards


async def test_of_many_configurations_b_tells_which_one_matched():
    configurations = [
        named("c.sp.example", "/c", name="the third"),
        named(NAME_A, ID_A, name="the gateway"),
        flavoured(Flavour.CSE_ID, name="any CSE of ours"),
        flavoured(Flavour.DEVICE, DEVICE_ID, name="the device"),
    ]
    shown = {
        "the gateway": A.local(),
        "the third": CA.issue(None, "c.sp.example").local(),
        "any CSE of ours": CA.issue(Flavour.CSE_ID, "//sp.example/cse7").local(with_root=False),
        "the device": CA.issue(Flavour.DEVICE, DEVICE_ID).local(with_root=False),
    }
    async with accepting(endpoint_b(*configurations)) as (address, accepted):
        for name, certificate in shown.items():
            async with await associated(address, certificate) as a:
                await talk(a)
            assert accepted[-1].established.credential.configuration.name == name


async def test_self_signed_certificates_at_both_ends_need_no_authority():
    a, b = self_signed(), self_signed()

    def of(issued, peer):
        digest = key_hash(issued.certificate)
        return AssociationConfiguration.release1(
            certificate_name=digest.hex(), root_of_trust=digest, peer=peer
        )

    async with accepting(endpoint_b(of(a, ID_A), certificate=b.local())) as (address, accepted):
        async with await associated(address, a.local(), of(b, ID_B)) as channel:
            await talk(channel)
            assert channel.association.peer == ID_B
        assert accepted[0].association.peer == ID_A


async def test_one_port_serves_pre_shared_keys_and_certificates():
    kpsa = saef_psk.credential(KeyIdentifier.parse("kpsa@sp.example"), Secret(bytes(range(32))), peer=ID_A)
    async with accepting(endpoint_b(), keys=[kpsa]) as (address, accepted):
        async with (
            await associated(address, A.local()) as by_certificate,
            await associate(Link(address), saef_psk.initiate(ID_A, ID_B, kpsa)) as by_key,
        ):
            await talk(by_certificate)
            await talk(by_key)
            assert by_certificate.association.framework is Framework.SAEF_CERTIFICATE
            assert by_key.association.framework is Framework.SAEF_PSK
        found = {channel.association.framework: channel.association for channel in accepted}
    assert found[Framework.SAEF_CERTIFICATE].credential_id is None
    assert str(found[Framework.SAEF_PSK].credential_id) == "12-kpsa@sp.example"
    assert {association.peer for association in found.values()} == {ID_A}


# --- what is refused ---


async def test_a_refuses_a_certificate_of_another_entity_of_the_same_authority():
    impostor = CA.issue(None, "c.sp.example").local()
    async with accepting(endpoint_b(certificate=impostor)) as (address, accepted):
        with pytest.raises(HandshakeError, match="refused") as refused:
            await associated(address, A.local())
        assert refused.value.alert.name == "bad_certificate"
        assert accepted == []


async def test_a_refuses_the_right_name_under_another_root():
    impostor = OTHER_ROOT.issue(None, NAME_B).local()
    async with accepting(endpoint_b(certificate=impostor)) as (address, accepted):
        with pytest.raises(HandshakeError) as refused:
            await associated(address, A.local())
        assert refused.value.alert.name == "unknown_ca"
        assert accepted == []


async def test_b_refuses_and_tells_why_by_the_alert():
    async with accepting(endpoint_b()) as (address, accepted):
        for issuer, name, alert in (
            (CA, NAME_B, "bad_certificate"),
            (OTHER_ROOT, NAME_A, "unknown_ca"),
        ):
            with pytest.raises(HandshakeError) as refused:
                await associated(address, issuer.issue(None, name).local())
            assert refused.value.alert.name == alert
        async with await associated(address, A.local()) as a:
            await talk(a)
        assert len(accepted) == 1


async def test_a_certificate_revoked_while_b_runs_is_refused_from_then_on(tmp_path):
    path = tmp_path / "ca.crl"

    def publish(*revoked):
        path.with_suffix(".new").write_bytes(CA.crl(revoked).public_bytes(Encoding.PEM))
        path.with_suffix(".new").replace(path)

    publish()
    async with accepting(endpoint_b(crls=CrlSource(path))) as (address, _):
        async with await associated(address, A.local()) as a:
            await talk(a)
        publish(A.certificate)
        with pytest.raises(HandshakeError) as refused:
            await associated(address, A.local())
        assert refused.value.alert.name == "certificate_revoked"


def certificate_sessions(a_shows=None, b_accepts=FOR_A):
    """A and B as sans-IO sessions; A shows what it is told to."""
    initiator = initiator_a(Credential.of(a_shows or A))
    acceptor = Acceptor(ID_B, endpoint_b(b_accepts), ProvisionedKeys([]))
    return initiator.session(), Authorities({}, default=acceptor).session()


@pytest.mark.parametrize("chunk", [0, 1, 700])
def test_the_verdict_falls_inside_the_handshake_and_no_application_data_ever_passes(chunk):
    a, b = certificate_sessions(CA.issue(None, "eve.sp.example"))
    pair = Pair(a, b, chunk=chunk).run()
    assert (a.state, b.state) == (State.ENDED, State.ENDED)
    assert [type(event) for event in pair.b_events] == [SessionEnded]
    assert pair.b_events[0].error.alert.name == "bad_certificate"
    assert pair.a_events[-1].error.alert.name == "bad_certificate"
    assert b.receive(b"\x17\x03\x03\x00\x05later") == []
    assert not any(isinstance(event, DataReceived) for event in pair.b_events)


def test_a_server_session_with_a_certificate_waits_for_release_before_its_last_flight():
    a, b = certificate_sessions()
    pair = Pair(a, b).run(release=False)
    assert b.state is State.WITHHOLDING
    assert a.state is State.HANDSHAKE
    assert b.verified_peer.peer == ID_A
    pair.run()
    assert (a.state, b.state) == (State.OPEN, State.OPEN)


def test_whoever_initiates_has_to_know_whom_it_means_to_reach():
    with pytest.raises(ConfigurationError, match="whom it means to reach"):
        initiator_a(configuration=flavoured(Flavour.CSE_ID))


def test_a_client_of_a_function_is_configured_for_that_function():
    with pytest.raises(ConfigurationError, match=r"not for maf\.sp\.example"):
        maf_handshake.initiate_by_certificate(
            ID_A,
            Fqdn("maf.sp.example"),
            A.local(),
            Trust((flavoured(Flavour.FQDN, "mef.sp.example"),)),
        )


# --- MAF clients with certificates (8.8.2.2) ---

MAF = Fqdn("maf.sp.example")
SENSOR = EntityId.parse("//sp.example/cse1/Csensor")
IN_CSE = EntityId.parse("//sp.example/in-cse")
OTHER_CSE = EntityId.parse("//sp.example/other-cse")


@contextlib.asynccontextmanager
async def certificate_maf(data, *configurations):
    store = await Store.open(data)
    endpoint = saef_certificate.accept(
        CA.issue(Flavour.FQDN, str(MAF)).local(with_root=False), Trust(configurations, Release.R3)
    )
    async with Server(store, [Maf(store, MAF, endpoint=endpoint)]) as server:
        yield await server.start(LOOPBACK), store


def maf_client(address, local, flavour, *, transport=Transport.TLS, days=365):
    initiator = maf_handshake.initiate_by_certificate(
        local,
        MAF,
        CA.issue(flavour, local.text, days=days).local(with_root=False),
        Trust((flavoured(Flavour.FQDN, str(MAF)),), Release.R3),
    )
    return MafClient(MAF, Link(address, transport), initiator)


CLIENTS = (
    flavoured(Flavour.AE_ID, SENSOR.text, targets=(IN_CSE,)),
    flavoured(Flavour.CSE_ID, IN_CSE.text),
    flavoured(Flavour.CSE_ID, OTHER_CSE.text),
)


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("release", Release)
async def test_a_and_b_associate_through_a_maf_that_knows_both_by_certificate(tmp_path, release, transport):
    async with certificate_maf(tmp_path, *CLIENTS) as (address, store):
        through = maf_client(address, IN_CSE, Flavour.CSE_ID, transport=transport)
        async with accepting(None, local=IN_CSE, mafs=[through], transport=transport) as (b, accepted):
            client = maf_client(address, SENSOR, Flavour.AE_ID, transport=transport)
            async with await associate(Link(b, transport), client.initiator(IN_CSE, release=release)) as a:
                await talk(a)
            await client.close()
            assert accepted[0].association.peer == SENSOR
            assert accepted[0].association.framework is Framework.SAEF_MAF
        [record] = [r for r in await store.records(KeyKind.KC) if r.source == SENSOR]
        assert record.targets == (IN_CSE,)
        assert record.parent is None


async def test_kc_from_a_certificate_session_is_for_the_configured_targets_only(tmp_path):
    async with certificate_maf(tmp_path, *CLIENTS) as (address, _):
        client = maf_client(address, SENSOR, Flavour.AE_ID)
        expires = CA.certificate.not_valid_after_utc
        with pytest.raises(PeerRefusedError, match="PRIVILEGE"):
            await client.register_key(expires=expires, target=OTHER_CSE, admin=MAF)
        connection = await client.register_key(expires=expires, target=IN_CSE, admin=MAF)
        await client.close()
        stranger = maf_client(address, OTHER_CSE, Flavour.CSE_ID)
        assert await stranger.retrieve(connection.kc_id) is None
        await stranger.close()


async def test_kc_does_not_outlive_the_certificate_that_it_came_from(tmp_path):
    async with certificate_maf(tmp_path, *CLIENTS) as (address, store):
        client = maf_client(address, SENSOR, Flavour.AE_ID, days=1)
        await client.handshake()
        await client.close()
        [record] = await store.records(KeyKind.KC)
        assert record.expires - record.issued <= timedelta(days=1)


async def test_a_maf_refuses_a_certificate_that_is_configured_for_nobody(tmp_path):
    async with certificate_maf(tmp_path, *CLIENTS) as (address, store):
        stranger = maf_client(address, EntityId.parse("//sp.example/cse1/Cstranger"), Flavour.AE_ID)
        with pytest.raises(HandshakeError) as refused:
            await stranger.handshake()
        await stranger.close()
        assert refused.value.alert.name == "bad_certificate"
        assert await store.records(KeyKind.KC) == []


async def test_a_maf_client_needs_some_credential_and_one_for_its_maf():
    with pytest.raises(TypeError, match="how"):
        MafClient(MAF, Link(LOOPBACK))  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match=f"the credential is for {ID_B}, not for {MAF}"):
        MafClient(MAF, Link(LOOPBACK), initiator_a())


async def test_a_credential_for_another_maf_is_not_shown_either_when_it_comes_later():
    async def later():
        return initiator_a()

    client = MafClient(MAF, Link(LOOPBACK), later)
    with pytest.raises(ConfigurationError, match=f"the credential is for {ID_B}, not for {MAF}"):
        await client.handshake()
    with pytest.raises(ConfigurationError, match="not for"):
        await client.deregister_key(KeyIdentifier("kc", MAF))


async def test_b_serves_others_while_a_client_with_a_certificate_stands_still():
    async with accepting(endpoint_b()) as (address, accepted):
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(initiator_a().session().data_to_send())
        await writer.drain()
        async with await open_channel(Link(address), initiator_a()) as a:
            await talk(a)
        await eventually(lambda: len(accepted) == 1)
        writer.close()

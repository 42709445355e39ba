"""GBA as a SAEF and as a bootstrap framework: identities, suites, hints, and what a resolver accepts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gba_support import (
    AE,
    BSF,
    CSE,
    CSE_NAF,
    MAF,
    MAF_NAF,
    NAF,
    Card,
    a_subscriber,
    a_subscription,
    gba_u_subscription,
    running_bsf,
)
from maf_support import LOOPBACK
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.credentials import Framework, Secret
from onem2m_security.errors import (
    CredentialError,
    HandshakeError,
    ResolverUnavailableError,
    SecurityFrameworkError,
)
from onem2m_security.frameworks import bootstrap_gba, saef_gba
from onem2m_security.frameworks.saef_gba import split_psk_identity
from onem2m_security.gba.context import BootstrappedContext, NafKey
from onem2m_security.gba.keys import Impi, KeyChoice, ua_security_protocol
from onem2m_security.identifiers import CredentialType, EntityId, KeyIdentifier, Suid
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.enrolees import Provisioning
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.run import Server
from onem2m_security.store import Store
from onem2m_security.tls.suites import CERTIFICATE_SUITES, PSK_SUITES

NOW = datetime.now(UTC)
B_TID = KeyIdentifier.from_octets(bytes(range(16)), BSF)
IMPI = Impi.parse("001010000000001@operator.example")


def a_context(**changes):
    given_ = {"b_tid": B_TID, "ks": Secret(bytes(range(32))), "impi": IMPI, "issued": NOW}
    return BootstrappedContext(**(given_ | {"expires": NOW + timedelta(hours=1)} | changes))


class Bsf:
    """Answers as a BSF does for one context, and counts."""

    def __init__(self, context, choice=None, **changes):
        self.context, self.choice, self.changes = context, choice or context.default_choice, changes
        self.asked = []

    async def __call__(self, b_tid, ua_id):
        self.asked.append((b_tid, ua_id))
        if b_tid != self.context.b_tid:
            return None
        key = self.context.naf_key(NAF, ua_id, self.choice)
        given_ = {"issued": self.context.issued, "expires": self.context.expires, "entity": AE} | self.changes
        return NafKey(b_tid, key, self.choice, **given_)


def test_entity_a_shows_the_hint_and_b_tid_and_offers_one_suite():
    initiator = saef_gba.initiate(AE, CSE, a_context())
    assert initiator.identity == b"3GPP-bootstrapping;AAECAwQFBgcICQoLDA0ODw==@bsf.operator.example"
    assert initiator.endpoint.allowed_suites == (saef_gba.TLS_SUITE,)
    assert initiator.server_name == NAF
    assert initiator.credential.framework is Framework.SAEF_GBA
    assert initiator.credential.credential_type is CredentialType.KPSA_ID
    of_uicc = saef_gba.initiate(AE, CSE, a_context(gba_u=True), choice=KeyChoice.KS_INT_NAF)
    assert of_uicc.identity.startswith(b"3GPP-bootstrapping-uicc;")


@pytest.mark.parametrize("suite", PSK_SUITES)
async def test_each_suite_gives_another_key_which_both_sides_derive(suite):
    bsf = Bsf(a_context())
    keys = saef_gba.accept({BSF: bsf})
    initiator = saef_gba.initiate(AE, CSE, a_context(), suite=suite)
    found = await keys.resolve(initiator.identity, suite)
    assert found.key == initiator.credential.key
    assert (found.peer, found.framework, found.suid) == (AE, Framework.SAEF_GBA, Suid.PROVISIONED_SAEF)
    other = PSK_SUITES[PSK_SUITES.index(suite) - 1]
    assert (await keys.resolve(initiator.identity, other)).key != found.key
    assert [ua for _, ua in bsf.asked] == [ua_security_protocol(s.code) for s in (suite, other)]


async def test_a_key_is_asked_for_once_in_each_suite():
    bsf = Bsf(a_context())
    keys = saef_gba.accept({BSF: bsf})
    identity = saef_gba.initiate(AE, CSE, a_context()).identity
    for _ in range(3):
        await keys.resolve(identity, saef_gba.TLS_SUITE)
    assert len(bsf.asked) == 1


async def test_a_bare_b_tid_is_accepted_in_either_wire_form():
    keys = saef_gba.accept({BSF: Bsf(a_context())})
    for identity in (B_TID.base64, B_TID.hex):
        assert await keys.resolve(identity.encode(), saef_gba.TLS_SUITE) is not None


async def test_a_hint_must_name_the_kind_of_key_that_the_bsf_gives():
    context = a_context(gba_u=True)
    b_tid = B_TID.base64.encode()
    for choice, fits in ((KeyChoice.KS_EXT_NAF, saef_gba.HINT), (KeyChoice.KS_INT_NAF, saef_gba.HINT_UICC)):
        keys = saef_gba.accept({BSF: Bsf(context, choice)})
        for hint in (saef_gba.HINT, saef_gba.HINT_UICC):
            found = await keys.resolve(hint + b";" + b_tid, saef_gba.TLS_SUITE)
            assert (found is not None) is (hint == fits)


@pytest.mark.parametrize(
    "identity",
    [
        b"3GPP-bootstrapping;",
        b"3GPP-bootstrapping;named@bsf.operator.example",
        b"named@bsf.operator.example",
        b"3GPP-bootstrapping;AAAAAAAAAAAAAAAAAAAAAA==@bsf.evil.example",
        b"3GPP-bootstrapping-digest;" + B_TID.base64.encode(),
        b"\xff;\xff",
        b"",
    ],
)
async def test_what_no_bsf_of_ours_issued_is_not_asked_for(identity):
    bsf = Bsf(a_context())
    assert await saef_gba.accept({BSF: bsf}).resolve(identity, saef_gba.TLS_SUITE) is None
    assert not bsf.asked


async def test_an_ended_key_is_none():
    bsf = Bsf(a_context(), expires=NOW - timedelta(seconds=1))
    identity = saef_gba.initiate(AE, CSE, a_context()).identity
    assert await saef_gba.accept({BSF: bsf}).resolve(identity, saef_gba.TLS_SUITE) is None


async def test_a_bsf_that_does_not_answer_is_unavailable():
    import asyncio

    async def silent(b_tid, ua_id):
        await asyncio.Event().wait()

    keys = saef_gba.accept({BSF: silent}, timeout=0.01)
    with pytest.raises(ResolverUnavailableError):
        await keys.resolve(B_TID.base64.encode(), saef_gba.TLS_SUITE)


@given(st.binary(max_size=80))
def test_splitting_never_loses_or_adds_an_octet(identity):
    hint, rest = split_psk_identity(identity)
    assert (rest if hint is None else hint + b";" + rest) == identity


def test_a_peer_without_a_domain_name_needs_its_name_as_a_naf():
    with pytest.raises(CredentialError, match="FQDN"):
        saef_gba.initiate(AE, EntityId("/in-cse"), a_context())
    named = saef_gba.initiate(AE, EntityId("/in-cse"), a_context(), naf=NAF)
    assert named.credential.key == saef_gba.initiate(AE, CSE, a_context()).credential.key


def test_a_key_of_the_other_mode_and_a_certificate_suite_are_refused():
    with pytest.raises(CredentialError, match="GBA_ME"):
        saef_gba.initiate(AE, CSE, a_context(), choice=KeyChoice.KS_INT_NAF)
    with pytest.raises(CredentialError, match="GBA_U"):
        saef_gba.initiate(AE, CSE, a_context(gba_u=True), choice=KeyChoice.KS_NAF)
    with pytest.raises(CredentialError, match="pre-shared"):
        saef_gba.initiate(AE, CSE, a_context(), suite=CERTIFICATE_SUITES[0])


# --- the bootstrap framework ---


async def test_km_is_the_naf_key_for_the_maf_and_the_mafs_policy_names_the_targets():
    context = a_context()

    async def fetch(b_tid, ua_id):
        key = context.naf_key(MAF, ua_id)
        return NafKey(b_tid, key, KeyChoice.KS_NAF, NOW, context.expires, AE)

    keys = bootstrap_gba.accept_at_maf({BSF: fetch}, {AE: (CSE,)}.get)
    km = bootstrap_gba.credential_at_maf(context, MAF)
    found = await keys.resolve(B_TID.base64.encode(), saef_gba.TLS_SUITE)
    assert found.key == km.key == context.naf_key(MAF, ua_security_protocol(0x00AE))
    assert (found.targets, found.peer, found.suid) == ((CSE,), AE, Suid.PROVISIONED_MAF)
    assert found.credential_id == km.credential_id
    assert str(found.credential_id) == f"11-{B_TID}"
    initiator = bootstrap_gba.initiate_at_maf(AE, MAF, context, suite=PSK_SUITES[2])
    assert initiator.identity == B_TID.base64.encode()
    assert initiator.endpoint.allowed_suites == (PSK_SUITES[2],)


async def test_kpsa_is_the_naf_key_for_the_cse_under_b_tid():
    context = a_context()
    initiator = bootstrap_gba.initiate(AE, CSE, context)
    found = await bootstrap_gba.accept({BSF: Bsf(context)}).resolve(initiator.identity, saef_gba.TLS_SUITE)
    assert initiator.identity == B_TID.base64.encode()
    assert found.key == initiator.credential.key
    assert found.framework is initiator.framework is Framework.SAEF_PSK


# --- over real sockets ---


@pytest.mark.parametrize("transport", Transport)
async def test_all_suites_associate_over_tls_and_dtls(tmp_path, transport):
    async with running_bsf(tmp_path / "data") as bsf:
        context = await bsf.ue().bootstrap()
        naf = CSE_NAF.client(bsf.zn, transport=transport)
        async with EntityB(CSE, bsfs=[naf]) as entity_b:
            address = await entity_b.listen(LOOPBACK, echo, transport=transport)
            for suite in PSK_SUITES:
                initiator = saef_gba.initiate(AE, CSE, context, suite=suite)
                async with await open_channel(Link(address, transport), initiator) as channel:
                    await channel.write(b"hello")
                    assert await channel.read() == b"hello"
                    assert channel.association.cipher_suite == suite.openssl_name


async def test_the_key_of_another_suite_does_not_associate(tmp_path):
    """An attacker who learnt the key of one suite gains nothing in another."""
    from dataclasses import replace

    async with running_bsf(tmp_path / "data") as bsf:
        context = await bsf.ue().bootstrap()
        async with EntityB(CSE, bsfs=[CSE_NAF.client(bsf.zn)]) as entity_b:
            address = await entity_b.listen(LOOPBACK, echo)
            one, other = (saef_gba.initiate(AE, CSE, context, suite=suite) for suite in PSK_SUITES[-2:])
            with pytest.raises(HandshakeError):
                await open_channel(Link(address), replace(one, endpoint=other.endpoint))


async def test_a_bsf_that_is_down_fails_the_handshake_and_a_later_one_succeeds(tmp_path):
    async with running_bsf(tmp_path / "data", [gba_u_subscription()]) as bsf:
        context = await bsf.ue(Card(a_subscriber(), gba_u=True)).bootstrap()
        naf = CSE_NAF.client(bsf.zn)
        down = [True]

        async def fetch(b_tid, ua_id):
            if down[0]:
                raise ResolverUnavailableError("the BSF is down")
            return await naf.fetch(b_tid, ua_id)

        async with EntityB(CSE, resolvers=[saef_gba.accept({BSF: fetch})]) as entity_b:
            address = await entity_b.listen(LOOPBACK, echo)
            initiator = saef_gba.initiate(AE, CSE, context)
            with pytest.raises(HandshakeError, match="internal_error"):
                await open_channel(Link(address), initiator)
            down[0] = False
            async with await open_channel(Link(address), initiator) as channel:
                assert channel.association.peer == CSE
        await naf.close()


@pytest.mark.parametrize("release", Release)
async def test_a_ue_that_a_maf_refuses_bootstraps_anew_once(tmp_path, release):
    card = Card(a_subscriber())
    async with (
        running_bsf(tmp_path / "bsf") as bsf,
        await Store.open(tmp_path / "maf") as store,
    ):
        asked = MAF_NAF.client(bsf.zn)
        by_gba = bootstrap_gba.accept_at_maf({BSF: asked.fetch}, {AE: (CSE,)}.get, remembered=timedelta(0))
        maf = Maf(store, MAF, provisioning=Provisioning(elsewhere=by_gba))
        async with Server(store, [maf]) as server:
            link = Link(await server.start(LOOPBACK))
            client = MafClient(MAF, link, bsf.ue(card).at_maf(AE, MAF))
            kcs = [await client.connection_key(CSE, release=release)]
            for _ in range(2):  # a new subscription ends what came of the one before
                await bsf.store.subscribers.add(a_subscription(), replace_existing=True)
                await client.close()
                kcs.append(await client.connection_key(CSE, release=release))
            assert len({kc.kc_id for kc in kcs}) == len(card.challenges) == 3
            await bsf.store.subscribers.add(a_subscription(nafs=[NAF]), replace_existing=True)
            await client.close()
            with pytest.raises(SecurityFrameworkError, match=rf"B-TID .* is new, of {BSF}: let {MAF} ask"):
                await client.connection_key(CSE, release=release)
            assert len(card.challenges) == 4, "once"
            await client.close()
        await asked.close()


async def echo(channel):
    if octets := await channel.read():
        await channel.write(octets)

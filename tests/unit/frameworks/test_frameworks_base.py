"""The four steps: initiators, acceptors, authorities, and the resolvers that any framework may use."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import ID_A, ID_B, MAF, A, key_of
from onem2m_security.association import Role
from onem2m_security.clock import Clock
from onem2m_security.credentials import Framework, ResolvedKey, Secret
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks import saef_maf, saef_psk
from onem2m_security.frameworks.resolvers import (
    ProvisionedKeys,
    RemoteKeys,
    ResolverChain,
    has_expired,
    parse_identity,
)
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.release import Release
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.suites import PSK_SUITES
from tls_support import Pair

SUITE = PSK_SUITES[0]
KC = key_of("kc")
KC_ID = KeyIdentifier.parse(f"00112233445566778899aabbccddeeff@{MAF}")
PAST = datetime(2020, 1, 1, tzinfo=UTC)
SOON = datetime.now(UTC) + timedelta(hours=1)


class Source:
    """A MAF as RemoteKeys sees it: counts what it is asked, and answers when it is let."""

    def __init__(self, answer: ResolvedKey | Exception | None = None) -> None:
        self.asked: list[KeyIdentifier] = []
        self.answer = answer
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_asked = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def fetch(self, key_id: KeyIdentifier) -> ResolvedKey | None:
        self.asked.append(key_id)
        self.is_asked.set()
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else dataclasses.replace(self.answer, key_id=key_id)


def kc(expires: datetime | None = SOON) -> ResolvedKey:
    return saef_maf.credential(KC_ID, KC, peer=ID_A, expires=expires)


def identity(key_id: KeyIdentifier = KC_ID) -> bytes:
    return str(key_id).encode()


# --- RemoteKeys ---


async def test_a_key_is_asked_for_once_and_kept():
    source = Source(kc())
    keys = RemoteKeys({MAF: source.fetch})
    found = [await keys.resolve(identity(), SUITE) for _ in range(3)]
    assert found == [kc()] * 3
    assert source.asked == [KC_ID]


async def test_both_wire_forms_of_an_identifier_are_one_key():
    source = Source(kc())
    keys = RemoteKeys({MAF: source.fetch})
    for release in Release:
        assert (await keys.resolve(release.wire(KC_ID).encode(), SUITE)).key == KC
    assert source.asked == [KC_ID]


async def test_handshakes_with_one_identifier_share_one_request():
    source = Source(kc())
    source.gate.clear()
    keys = RemoteKeys({MAF: source.fetch})
    waiting = [asyncio.create_task(keys.resolve(identity(), SUITE)) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.gate.set()
    assert [key.key for key in await asyncio.gather(*waiting)] == [KC] * 20
    assert source.asked == [KC_ID]


async def test_one_handshake_that_ends_early_does_not_end_the_request_of_the_others():
    source = Source(kc())
    source.gate.clear()
    keys = RemoteKeys({MAF: source.fetch})
    first, second = (asyncio.create_task(keys.resolve(identity(), SUITE)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert (await second).key == KC
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize(
    "shown", [b"nobody", b"km@elsewhere.example", b"\xff\0", b"", b"a@127.0.0.1", b"@" + str(MAF).encode()]
)
async def test_only_configured_parties_are_ever_asked(shown):
    source = Source(kc())
    assert await RemoteKeys({MAF: source.fetch}).resolve(shown, SUITE) is None
    assert source.asked == []


async def test_what_a_party_does_not_know_is_asked_again():
    source = Source(None)
    keys = RemoteKeys({MAF: source.fetch})
    assert await keys.resolve(identity(), SUITE) is None
    source.answer = kc()
    assert (await keys.resolve(identity(), SUITE)).key == KC


async def test_an_expired_key_is_no_answer():
    assert await RemoteKeys({MAF: Source(kc(PAST)).fetch}).resolve(identity(), SUITE) is None


async def test_a_kept_key_is_refused_after_its_lifetime():
    now = SOON - timedelta(seconds=1)
    source = Source(kc(SOON))
    keys = RemoteKeys({MAF: source.fetch}, clock=Clock(now=lambda: now))
    assert await keys.resolve(identity(), SUITE) is not None
    now = SOON
    assert await keys.resolve(identity(), SUITE) is None
    assert len(source.asked) == 2


async def test_no_more_keys_are_kept_than_there_is_room_for_and_the_least_used_goes():
    source = Source(kc())
    keys = RemoteKeys({MAF: source.fetch}, capacity=2)
    one, two, three = (KeyIdentifier(f"{n:032x}", MAF) for n in range(3))
    for key_id in (one, two, one, three, one):
        await keys.resolve(identity(key_id), SUITE)
    assert source.asked == [one, two, three]
    await keys.resolve(identity(two), SUITE)
    assert source.asked == [one, two, three, two]


async def test_a_forgotten_key_is_asked_for_again():
    source = Source(kc())
    keys = RemoteKeys({MAF: source.fetch})
    await keys.resolve(identity(), SUITE)
    keys.forget(KC_ID)
    await keys.resolve(identity(), SUITE)
    assert len(source.asked) == 2


async def test_a_party_that_gives_no_answer_in_time_is_unavailable():
    source = Source(kc())
    source.gate.clear()
    keys = RemoteKeys({MAF: source.fetch}, timeout=0.5)
    with pytest.raises(ResolverUnavailableError, match=r"maf\.example\.com gave no answer within 0\.5 s"):
        await keys.resolve(identity(), SUITE)
    source.gate.set()
    assert (await keys.resolve(identity(), SUITE)).key == KC


async def test_a_party_that_cannot_be_asked_is_unavailable_and_asked_again():
    source = Source(ResolverUnavailableError("no route"))
    keys = RemoteKeys({MAF: source.fetch})
    with pytest.raises(ResolverUnavailableError, match="no route"):
        await keys.resolve(identity(), SUITE)
    source.answer = kc()
    assert (await keys.resolve(identity(), SUITE)).key == KC


async def test_no_more_requests_are_under_way_than_allowed():
    source = Source(kc())
    source.gate.clear()
    keys = RemoteKeys({MAF: source.fetch}, concurrency=3)
    names = [identity(KeyIdentifier(f"{n:032x}", MAF)) for n in range(10)]
    waiting = [asyncio.create_task(keys.resolve(name, SUITE)) for name in names]
    for _ in range(5):
        await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(*waiting)
    assert source.most_at_once == 3
    assert len(source.asked) == 10


# --- ProvisionedKeys, ResolverChain ---


async def test_a_provisioned_key_is_found_in_any_spelling_until_it_expires():
    live = saef_psk.credential(KC_ID, KC)
    ended = saef_psk.credential(KeyIdentifier.parse("old@m.example"), KC, expires=PAST)
    keys = ProvisionedKeys([live, ended])
    assert await keys.resolve(KC_ID.base64.encode(), SUITE) == live
    assert await keys.resolve(b"old@m.example", SUITE) is None
    assert await keys.resolve(b"other@m.example", SUITE) is None
    assert await keys.resolve(b"\xff", SUITE) is None


async def test_a_resolver_that_is_stopped_asks_nobody_any_more_and_says_so_to_those_who_wait():
    source = Source(kc())
    source.gate.clear()
    keys = RemoteKeys({MAF: source.fetch})
    chain = ResolverChain([ProvisionedKeys([]), keys])
    waiting = [asyncio.create_task(chain.resolve(identity(), SUITE)) for _ in range(2)]
    await source.is_asked.wait()
    await chain.stop()
    assert source.at_once == 0, "what asked has ended when stop returns"
    for one in waiting:
        with pytest.raises(ResolverUnavailableError, match=r"maf\.example\.com is not asked any more"):
            await one
    assert source.asked == [KC_ID]


async def test_a_handshake_that_is_given_up_does_not_end_the_question_of_the_others():
    source = Source(kc())
    source.gate.clear()
    keys = RemoteKeys({MAF: source.fetch})
    given_up, other = (asyncio.create_task(keys.resolve(identity(), SUITE)) for _ in range(2))
    await source.is_asked.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    source.gate.set()
    found = await other
    assert found is not None
    assert found.key == KC


async def test_the_first_resolver_with_an_answer_counts():
    mine, theirs = saef_psk.credential(KC_ID, KC), Source(kc())
    chain = ResolverChain([ProvisionedKeys([mine]), RemoteKeys({MAF: theirs.fetch})])
    assert await chain.resolve(identity(), SUITE) == mine
    assert theirs.asked == []
    other = identity(KeyIdentifier("0" * 32, MAF))
    assert (await chain.resolve(other, SUITE)).key == KC
    assert await ResolverChain([]).resolve(identity(), SUITE) is None


async def test_of_two_parties_with_one_name_the_one_that_answers_counts_while_the_other_is_down():
    down, up = Source(ResolverUnavailableError("down")), Source(kc())
    for sources in ((down, up), (up, down)):
        chain = ResolverChain(RemoteKeys({MAF: source.fetch}) for source in sources)
        assert (await chain.resolve(identity(), SUITE)).key == KC


async def test_a_party_that_does_not_answer_takes_no_time_from_the_next():
    silent, up = Source(), Source(kc())
    silent.gate.clear()
    chain = ResolverChain(RemoteKeys({MAF: source.fetch}) for source in (silent, up))
    assert (await chain.resolve(identity(), SUITE)).key == KC
    assert not silent.gate.is_set(), "nobody waited for its answer"
    await chain.stop()
    assert silent.at_once == 0


async def test_what_nobody_knows_is_unavailable_if_somebody_could_not_be_asked():
    """Known to the one that is down or known to nobody: it looks the same."""
    down, up = Source(ResolverUnavailableError("down")), Source(None)
    for sources in ((down, up), (up, down)):
        chain = ResolverChain(RemoteKeys({MAF: source.fetch}) for source in sources)
        with pytest.raises(ResolverUnavailableError, match="down"):
            await chain.resolve(identity(), SUITE)
    assert await ResolverChain([RemoteKeys({MAF: up.fetch})] * 2).resolve(identity(), SUITE) is None


async def test_a_handshake_that_is_given_up_waits_for_no_party_any_more():
    silent = [Source(), Source()]
    for source in silent:
        source.gate.clear()
    chain = ResolverChain(RemoteKeys({MAF: source.fetch}) for source in silent)
    waiting = asyncio.create_task(chain.resolve(identity(), SUITE))
    async with asyncio.timeout(60):
        await asyncio.gather(*(source.is_asked.wait() for source in silent))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await chain.stop()
    assert [source.at_once for source in silent] == [0, 0]


def test_an_identity_that_cannot_be_a_key_identifier_is_none():
    assert parse_identity(b"km@maf.example.com") == KeyIdentifier.parse("km@maf.example.com")
    assert parse_identity(b"\xff") is None


@pytest.mark.parametrize(("expires", "expired"), [(None, False), (PAST, True), (SOON, False)])
def test_a_key_has_expired_at_its_end(expires, expired):
    assert has_expired(kc(expires), datetime.now(UTC)) is expired


# --- initiators, acceptors, authorities ---


def accept(*keys: ResolvedKey, name: str = "//sp.example/in-cse") -> Acceptor:
    from onem2m_security.identifiers import EntityId

    return Acceptor(EntityId.parse(name), Endpoint(server=True), ProvisionedKeys(keys))


def associate(initiator, authorities: Authorities, key: ResolvedKey | None):
    """Both ends of a finished handshake, without a socket."""
    pair = Pair(initiator.session(), authorities.session(), answer=None if key is None else key.key).run()
    acceptor = pair.b.owner
    return initiator.establish(pair.a), acceptor.establish(pair.b, key)


def test_both_ends_of_a_provisioned_key_session_end_with_the_same_association():
    key = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), KC, peer=ID_A, expires=SOON)
    initiator = saef_psk.initiate(ID_A, ID_B, dataclasses.replace(key, peer=ID_B))
    a, b = associate(initiator, Authorities({}, default=accept(key)), key)
    assert (a.association.role, b.association.role) == (Role.ENTITY_A, Role.ENTITY_B)
    assert (a.association.local, a.association.peer) == (ID_A, ID_B)
    assert (b.association.local, b.association.peer) == (ID_B, ID_A)
    for one in (a.association, b.association):
        assert one.framework is Framework.SAEF_PSK
        assert str(one.credential_id) == "12-kpsa@m.example"
        assert one.expires == SOON
        assert one.protocol == "TLSv1.2"
        assert one.server_name == "in-cse.sp.example"
    assert a.association.cipher_suite == b.association.cipher_suite
    assert a.export(ExportLabel.CONNECTION) == b.export(ExportLabel.CONNECTION)


def test_entity_a_shows_kc_id_as_its_release_writes_it():
    connection = saef_maf.ConnectionKey(KC_ID, KC)
    shown = {r: saef_maf.initiate(ID_A, ID_B, connection, release=r).identity for r in Release}
    assert shown == {Release.R1: KC_ID.base64.encode(), Release.R3: KC_ID.hex.encode()}


def test_a_maf_client_asks_for_the_maf_by_name():

    pair = Pair(
        A.initiator().session(), Authorities({}, default=accept(name=str(MAF))).session(), answer=A.km
    )
    assert pair.run().b.server_name == str(MAF)


def test_the_client_s_host_name_chooses_among_authorities():
    maf, mef = accept(name="maf.example.com"), accept(name="mef.example.com")
    names = {Fqdn("maf.example.com"): maf, Fqdn("mef.example.com"): mef}
    served = Authorities(names, default=None)
    assert set(map(id, served.acceptors)) == {id(maf), id(mef)}
    for wanted, acceptor in ((MAF, maf), (Fqdn("mef.example.com"), mef)):
        initiator = dataclasses.replace(A.initiator(), server_name=wanted)
        pair = Pair(initiator.session(), served.session(), answer=A.km).run()
        assert pair.b.owner is acceptor
    stranger = dataclasses.replace(A.initiator(), server_name=Fqdn("other.example"))
    assert not Pair(stranger.session(), served.session(), answer=A.km).run().a_completed
    served = Authorities(names, default=maf)
    pair = Pair(stranger.session(), served.session(), answer=A.km).run()
    assert pair.a_completed
    assert pair.b.owner is maf


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "not a name", None])
def test_an_address_is_not_sent_as_a_host_name(host):
    key = saef_psk.credential(KC_ID, Secret(b"k"))
    from onem2m_security.identifiers import EntityId

    initiator = saef_psk.initiate(ID_A, EntityId.parse("/in-cse"), key)
    pair = Pair(initiator.session(host), Authorities({}, default=accept()).session(), answer=key.key).run()
    assert pair.b.server_name is None
    named = Pair(initiator.session("b.example"), Authorities({}, default=accept()).session(), answer=key.key)
    assert named.run().b.server_name == "b.example"

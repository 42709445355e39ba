"""Ub at the BSF, request by request: who is bootstrapped, and every way to be refused."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gba_support import (
    AE,
    BSF,
    NAF,
    Card,
    a_subscriber,
    a_subscription,
    an_impi,
    answered,
    bootstrap,
    challenges,
    first,
    gba_u_subscription,
    get,
    the_challenge,
)
from logged import capture_logs
from onem2m_security.clock import Clock
from onem2m_security.errors import ResolverUnavailableError, StoreUnavailableError
from onem2m_security.gba import digest
from onem2m_security.gba.aka import MacFailure, SynchronisationFailure
from onem2m_security.gba.bootstrap_info import MEDIA_TYPE, BootstrappingInfo
from onem2m_security.gba.digest_headers import AuthenticationInfo, DigestAlgorithm, Qop
from onem2m_security.gba.keys import b_tid_of, ks_of
from onem2m_security.gba.subscriber import AlgorithmSet, Guss, NafSettings
from onem2m_security.gba.ub_messages import UbRequest
from onem2m_security.servers.bsf import Bsf
from onem2m_security.servers.ub import Ub
from onem2m_security.servers.ub_challenges import PER_SUBSCRIBER, SECONDS, Challenges
from onem2m_security.store import Store


class Passing:
    """Seconds that a test lets pass."""

    now = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now)


@pytest.fixture
async def store(tmp_path):
    async with await Store.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def clock():
    return Passing()


@pytest.fixture
async def bsf(store, clock):
    await store.subscribers.add(a_subscription())
    made = Bsf(store, BSF, lifetime=timedelta(hours=1))
    made.ub = Ub(store.subscribers, store, BSF, lifetime=timedelta(hours=1), clock=clock.clock)
    return made


@pytest.fixture
def card():
    return Card(a_subscriber())


async def sqn(store, number=1) -> int:
    return (await store.subscribers.find(an_impi(number))).subscriber.sqn.seq


# --- who is bootstrapped ---


@pytest.mark.parametrize("algorithm", DigestAlgorithm)
async def test_a_subscriber_is_challenged_answers_and_shares_ks_with_the_bsf(bsf, store, card, algorithm):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)), algorithm)
    assert challenge.realm == str(BSF)
    assert challenge.qop == (Qop.AUTH_INT,)
    credentials = answered(card, challenge)
    response = await bsf.ub.handle(get(credentials))

    assert response.status == 200
    headers = dict(response.headers)
    assert headers["Content-Type"] == MEDIA_TYPE
    assert headers["Cache-Control"] == "no-store"
    rand = challenge.aka_nonce.rand
    outputs = card.subscriber.functions.f2345(rand)
    password = algorithm.password(res=outputs.res, ck=outputs.ck, ik=outputs.ik)
    info = AuthenticationInfo.parse(headers["Authentication-Info"])
    assert digest.verify_server(info, credentials, password=password, body=response.body)

    told = BootstrappingInfo.parse(response.body)
    assert told.b_tid == b_tid_of(rand, BSF)
    kept = await store.bootstrappings.find(told.b_tid)
    assert kept.context.ks == ks_of(outputs.ck, outputs.ik)
    assert kept.context.impi == card.impi
    assert kept.context.expires == told.lifetime
    assert kept.entity == AE
    assert timedelta(minutes=59) < told.lifetime - datetime.now(UTC) <= timedelta(hours=1)


async def test_both_versions_of_digest_aka_are_offered_over_one_vector(bsf, card):
    offered = challenges(await bsf.ub.handle(first(card.impi)))
    assert set(offered) == set(DigestAlgorithm)
    assert len({challenge.nonce for challenge in offered.values()}) == 1


async def test_the_lifetime_is_the_shorter_of_the_bsfs_and_the_subscribers(bsf, store):
    guss = Guss((NafSettings(NAF),), lifetime=timedelta(minutes=5))
    await store.subscribers.add(a_subscription(2, guss=guss))
    told = BootstrappingInfo.parse((await bootstrap(bsf, Card(a_subscriber(2)))).body)
    assert told.lifetime - datetime.now(UTC) <= timedelta(minutes=5)


async def test_tuak_bootstraps_like_milenage(bsf, store):
    keys = {"k": key(32, "k"), "opc": key(32, "topc"), "algorithm": AlgorithmSet.TUAK}
    subscriber = replace(a_subscriber(2), **keys)
    await store.subscribers.add(a_subscription(2, subscriber=subscriber))
    assert (await bootstrap(bsf, Card(subscriber))).status == 200


def key(octets, name):
    from maf_support import key_of

    return type(key_of(name))(key_of(name).reveal()[:octets])


async def test_gba_u_is_bootstrapped_by_a_card_that_does_it_and_by_no_other(store):
    await store.subscribers.add(gba_u_subscription())
    bsf = Bsf(store, BSF)
    challenge = the_challenge(await bsf.ub.handle(first(an_impi())))
    plain = Card(a_subscriber())
    assert plain.authenticate(challenge.aka_nonce.rand, challenge.aka_nonce.autn) == MacFailure()
    response = await bootstrap(bsf, Card(a_subscriber(), gba_u=True))
    assert response.status == 200
    kept = await store.bootstrappings.find(BootstrappingInfo.parse(response.body).b_tid)
    assert kept.context.gba_u


# --- sequence numbers ---


async def test_a_replayed_challenge_is_refused_by_the_card_and_resynchronised(bsf, store, card):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    card.authenticate(challenge.aka_nonce.rand, challenge.aka_nonce.autn)
    refused = card.authenticate(challenge.aka_nonce.rand, challenge.aka_nonce.autn)
    assert isinstance(refused, SynchronisationFailure)
    again = await bsf.ub.handle(get(reported(card, challenge, refused.auts)))
    assert (await bsf.ub.handle(get(answered(card, the_challenge(again))))).status == 200


async def test_a_card_that_is_far_ahead_brings_the_bsf_up(bsf, store, card):
    for _ in range(50):  # vectors of another BSF
        (vector,) = await store.subscribers.vectors(card.impi)
        card.authenticate(vector.rand, vector.autn)
    await store.subscribers.remove(card.impi)
    await store.subscribers.add(a_subscription())
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    refused = card.authenticate(challenge.aka_nonce.rand, challenge.aka_nonce.autn)
    assert isinstance(refused, SynchronisationFailure)
    again = the_challenge(await bsf.ub.handle(get(reported(card, challenge, refused.auts))))
    assert await sqn(store) == 51
    assert (await bsf.ub.handle(get(answered(card, again)))).status == 200


async def test_a_wrong_auts_moves_nothing_and_the_challenge_stays(bsf, store, card):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    assert (await bsf.ub.handle(get(reported(card, challenge, bytes(14))))).status == 403
    assert await sqn(store) == 1
    assert (await bsf.ub.handle(get(answered(card, challenge)))).status == 200


async def refused_by_the_card(bsf, card):
    """A challenge that the card took before, and what it says of it now."""
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    nonce = challenge.aka_nonce
    card.authenticate(nonce.rand, nonce.autn)
    return challenge, card.authenticate(nonce.rand, nonce.autn).auts


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_auts_that_is_sent_again_pushes_no_challenge_out(bsf, card, at_once):
    report = get(reported(card, *await refused_by_the_card(bsf, card)))
    again = await bsf.ub.handle(report)
    if at_once:
        other = get(reported(card, *await refused_by_the_card(bsf, card)))
        await asyncio.gather(*(bsf.ub.handle(other) for _ in range(2 * PER_SUBSCRIBER)))
    else:
        for _ in range(2 * PER_SUBSCRIBER):
            await bsf.ub.handle(report)
    assert (await bsf.ub.handle(get(answered(Card(a_subscriber()), the_challenge(again))))).status == 200


def reported(card, challenge, auts):
    return digest.report_synchronisation_failure(challenge, impi=card.impi, auts=auts, cnonce="0a4f113b")


# --- refusals ---


async def test_a_wrong_res_is_refused_and_the_challenge_stays(bsf, card):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    good = answered(card, challenge)
    wrong = replace(good, response=good.response[::-1])
    assert (await bsf.ub.handle(get(wrong))).status == 403
    assert (await bsf.ub.handle(get(good))).status == 200


async def test_another_subscribers_key_does_not_answer(bsf, store, card):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    other = Card(a_subscriber(2)).subscriber.functions.f2345(challenge.aka_nonce.rand)
    forged = digest.answer(challenge, impi=card.impi, password=other.res, cnonce="0a4f113b")
    assert (await bsf.ub.handle(get(forged))).status == 403


async def test_somebody_elses_name_on_a_challenge_does_not_use_it_up(bsf, store, card):
    await store.subscribers.add(a_subscription(2))
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    good = answered(card, challenge)
    stolen = replace(good, username=str(an_impi(2)))
    assert (await bsf.ub.handle(get(stolen))).status == 401
    assert (await bsf.ub.handle(get(good))).status == 200


async def test_an_answer_works_once(bsf, card):
    request = get(answered(card, the_challenge(await bsf.ub.handle(first(card.impi)))))
    assert (await bsf.ub.handle(request)).status == 200
    assert (await bsf.ub.handle(request)).status == 401


async def test_of_two_equal_right_answers_at_once_one_bootstraps(bsf, card):
    request = get(answered(card, the_challenge(await bsf.ub.handle(first(card.impi)))))
    responses = await asyncio.gather(bsf.ub.handle(request), bsf.ub.handle(request))
    assert sorted(response.status for response in responses) == [200, 401]


async def test_a_stale_nonce_with_a_right_answer_is_challenged_again_and_a_wrong_one_refused(
    bsf, clock, card
):
    for is_right in (True, False):
        challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
        good = answered(card, challenge)
        clock.now += SECONDS + 1
        credentials = good if is_right else replace(good, response="0" * 32)
        response = await bsf.ub.handle(get(credentials))
        if is_right:
            again = the_challenge(response)
            assert again.stale
            assert again.nonce != challenge.nonce
            assert (await bsf.ub.handle(get(answered(card, again)))).status == 200
        else:
            assert response.status == 403


async def test_a_nonce_forgotten_long_ago_is_only_challenged_again(bsf, clock, card):
    good = answered(card, the_challenge(await bsf.ub.handle(first(card.impi))))
    clock.now += 3 * SECONDS
    assert not the_challenge(await bsf.ub.handle(get(good))).stale


async def test_under_a_flood_of_first_requests_every_challenge_can_still_be_answered(bsf, card):
    oldest = the_challenge(await bsf.ub.handle(first(card.impi)))
    flood = [the_challenge(await bsf.ub.handle(first(card.impi))) for _ in range(3 * PER_SUBSCRIBER)]
    assert len({challenge.nonce for challenge in flood}) == PER_SUBSCRIBER - 1
    for challenge in (oldest, flood[0], flood[-1]):
        assert (await bsf.ub.handle(get(answered(Card(a_subscriber()), challenge)))).status == 200


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_flood_of_first_requests_moves_the_sequence_number_by_a_bound_in_a_minute(
    bsf, store, clock, card, at_once
):
    last = 0
    for _ in range(5):
        asking = (bsf.ub.handle(first(card.impi)) for _ in range(3 * PER_SUBSCRIBER))
        if at_once:
            await asyncio.gather(*asking)
        else:
            for response in asking:
                await response
        last, before = await sqn(store), last
        assert before < last <= before + PER_SUBSCRIBER
        clock.now += SECONDS + 1


async def test_whoever_gets_the_challenge_of_others_has_as_long_as_they_to_answer(bsf, clock, card):
    for _ in range(PER_SUBSCRIBER):
        newest = the_challenge(await bsf.ub.handle(first(card.impi)))
    clock.now += SECONDS - 1
    shared = the_challenge(await bsf.ub.handle(first(card.impi)))
    assert shared == newest
    clock.now += 2
    for _ in range(PER_SUBSCRIBER):
        assert the_challenge(await bsf.ub.handle(first(card.impi))) != shared
    clock.now += SECONDS - 3
    assert (await bsf.ub.handle(get(answered(card, shared)))).status == 200


async def test_under_a_flood_a_subscriber_whose_settings_changed_gets_a_challenge_that_fits(bsf, store, card):
    for _ in range(PER_SUBSCRIBER):
        before = the_challenge(await bsf.ub.handle(first(card.impi)))
    await store.subscribers.add(gba_u_subscription(), replace_existing=True)
    assert the_challenge(await bsf.ub.handle(first(card.impi))) != before
    assert (await bootstrap(bsf, Card(a_subscriber(), gba_u=True))).status == 200


async def test_strangers_who_name_many_subscribers_or_none_cost_a_bounded_table(store):
    for number in range(1, 6):
        await store.subscribers.add(a_subscription(number))
    bsf = Bsf(store, BSF)
    bsf.ub._challenges = Challenges(capacity=3)
    for number in range(1, 50):
        await bsf.ub.handle(first(an_impi(number)))
    assert len(bsf.ub._challenges) == 3
    assert not bsf.ub._challenges._turns


async def test_an_address_that_asks_too_often_is_told_to_wait_and_others_are_served(store, clock, card):
    await store.subscribers.add(a_subscription())
    ub = Ub(store.subscribers, store, BSF, requests_per_second=2.0, clock=clock.clock)
    greedy = replace(first(card.impi), network="192.0.2.1")
    with capture_logs() as lines:
        assert [(await ub.handle(greedy)).status for _ in range(25)] == [401] * 20 + [429] * 5
        assert dict((await ub.handle(greedy)).headers)["Retry-After"] == "1"
        assert (await ub.handle(replace(greedy, network="192.0.2.2"))).status == 401
        assert (await ub.handle(replace(get("junk"), network="192.0.2.1"))).status == 429
    told = [line for line in lines if "over its quota" in line["event"]]
    assert len(told) == 1  # once, not for each request
    clock.now += 0.5
    assert [(await ub.handle(greedy)).status for _ in range(2)] == [401, 429]


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"<changed/>"},
        {"method": "POST"},
        {"uri": "/?x=1"},
    ],
)
async def test_a_request_changed_on_the_way_is_refused(bsf, card, change):
    """Under auth-int the digest covers method, URI and body."""
    request = get(answered(card, the_challenge(await bsf.ub.handle(first(card.impi)))))
    response = await bsf.ub.handle(replace(request, **change))
    assert response.status in {403, 405}
    assert not response.body


async def test_a_body_that_the_ue_meant_is_accepted(bsf, card):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    request = get(answered(card, challenge, body=b"<meant/>"), body=b"<meant/>")
    assert (await bsf.ub.handle(request)).status == 200


async def test_weaker_protection_than_was_offered_is_refused(bsf, card):
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    weaker = answered(card, replace(challenge, qop=(Qop.AUTH,)))
    assert weaker.qop is Qop.AUTH
    assert (await bsf.ub.handle(get(weaker))).status == 403


async def test_a_barred_and_an_unknown_subscriber_are_refused_alike(bsf, store):
    await store.subscribers.add(a_subscription(2, subscriber=a_subscriber(2, barred=True)))
    barred = await bsf.ub.handle(first(an_impi(2)))
    unknown = await bsf.ub.handle(first(an_impi(3)))
    assert barred == unknown
    assert barred.status == 403


async def test_a_subscriber_barred_between_challenge_and_answer_is_refused(bsf, store, card):
    good = answered(card, the_challenge(await bsf.ub.handle(first(card.impi))))
    await store.subscribers.set_barred(card.impi, barred=True)
    assert (await bsf.ub.handle(get(good))).status == 403


@pytest.mark.parametrize("status", [200, 403])
async def test_a_subscriber_replaced_or_removed_between_challenge_and_answer_gets_nothing(
    bsf, store, card, status
):
    good = get(answered(card, the_challenge(await bsf.ub.handle(first(card.impi)))))
    if status == 403:
        await store.subscribers.remove(card.impi)
        assert (await bsf.ub.handle(good)).status == 403
        return
    new = replace(a_subscriber(), k=a_subscriber(2).k)
    await store.subscribers.add(a_subscription(subscriber=new), replace_existing=True)
    assert (await bsf.ub.handle(good)).status == 403
    assert (await bootstrap(bsf, Card(new))).status == 200


async def test_settings_that_change_the_mode_in_between_need_a_new_challenge(bsf, store, card):
    good = answered(card, the_challenge(await bsf.ub.handle(first(card.impi))))
    await store.subscribers.add(gba_u_subscription(), replace_existing=True)
    assert the_challenge(await bsf.ub.handle(get(good))).stale


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (UbRequest("GET", "/", None), 400),
        (get("Basic dXNlcjpwYXNz"), 400),
        (get("Digest"), 400),
        (get('Digest username="u", username="u"'), 400),
        (get('Digest username="no impi", realm="r", nonce="", uri="/", response=""'), 400),
        (get('Digest username="a@b.example", realm="evil.example", nonce="", uri="/", response=""'), 403),
        (get("Digest x", uri="/elsewhere"), 404),
        (get("Digest x", method="PUT"), 405),
    ],
)
async def test_what_is_no_request_of_ub_gets_a_status_and_nothing_else(bsf, store, request_, status):
    response = await bsf.ub.handle(request_)
    assert response.status == status
    assert not response.body
    assert await sqn(store) == 0


@given(header=st.text(max_size=300) | st.from_regex(r'Digest( [a-z]+="?[^"]{0,12}"?,?){0,8}', fullmatch=True))
@settings(max_examples=300)
def test_no_header_whatever_brings_an_exception_or_costs_a_sequence_number(header):
    class NobodyHss:
        async def vectors(self, impi, **_):
            raise AssertionError(f"{impi} was asked for")

    ub = Ub(NobodyHss(), None, BSF)
    assert asyncio.run(ub.handle(get(header))).status in {400, 403}


async def test_an_hss_or_a_store_that_fails_is_a_503_without_internals(store, card):
    class BrokenHss:
        async def vectors(self, impi, **_):
            raise ResolverUnavailableError("hss.internal.example:3868 refused the connection")

        async def guss(self, impi):
            raise StoreUnavailableError("/var/lib/…")

    response = await Ub(BrokenHss(), store, BSF).handle(first(card.impi))
    assert (response.status, response.body) == (503, b"")


async def test_nothing_secret_is_logged(bsf, card):
    with capture_logs() as lines:
        await bootstrap(bsf, card)
    printed = str(lines)
    assert "bootstrapped" in printed
    outputs = card.subscriber.functions.f2345(card.challenges[0][0])
    for secret in (card.subscriber.k, card.subscriber.opc, outputs.res, outputs.ck, outputs.ik):
        assert secret.reveal().hex() not in printed


# --- many at once ---


async def test_concurrent_bootstraps_of_one_subscriber_all_succeed_with_numbers_of_their_own(
    bsf, store, card
):
    responses = await asyncio.gather(*(bootstrap(bsf, card) for _ in range(30)))
    assert [response.status for response in responses] == [200] * 30
    b_tids = {BootstrappingInfo.parse(response.body).b_tid for response in responses}
    assert len(b_tids) == 30
    assert await sqn(store) == 30


@asynccontextmanager
async def store_of(count, data):
    async with await Store.open(data) as store:
        for start in range(0, count, 500):
            numbers = range(start, min(start + 500, count))
            await asyncio.gather(*(store.subscribers.add(a_subscription(n)) for n in numbers))
        yield store


@pytest.mark.long
async def test_ten_thousand_subscribers_bootstrap_without_an_error(tmp_path):
    count = 10_000
    async with store_of(count, tmp_path / "data") as store:
        bsf = Bsf(store, BSF)
        places = asyncio.Semaphore(200)

        async def one(number):
            async with places:
                return await bootstrap(bsf, Card(a_subscriber(number)))

        responses = await asyncio.gather(*(one(number) for number in range(count)))
        assert {response.status for response in responses} == {200}
        assert len({response.body.split(b"<btid>")[1][:24] for response in responses}) == count

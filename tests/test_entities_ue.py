"""The UE over real sockets, with a BSF, and with servers that are none or are hostile."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from gba_support import BSF, Card, a_subscriber, a_subscription, running_bsf
from maf_support import LOOPBACK
from onem2m_security.clients.ue import Ue
from onem2m_security.errors import AuthenticationError, MessageError, ResolverUnavailableError
from onem2m_security.gba.aka import SequenceNumber
from onem2m_security.gba.digest_headers import Challenge
from onem2m_security.gba.ub_messages import UbRequest, UbResponse
from onem2m_security.identifiers import Fqdn
from onem2m_security.net.address import Address
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ub import UbListener

QUICK = Limits(request_seconds=2.0)


@pytest.fixture
async def bsf(tmp_path):
    async with running_bsf(tmp_path / "data") as running:
        yield running


@contextlib.asynccontextmanager
async def between(bsf, change):
    """Somebody between UE and BSF, who may change requests and responses."""

    async def handle(request: UbRequest) -> UbResponse:
        return change(await bsf.bsf.ub.handle(request))

    listener = UbListener(handle)
    try:
        yield await listener.start(LOOPBACK)
    finally:
        await listener.stop()


async def test_ue_and_bsf_hold_the_same_context(bsf):
    context = await bsf.ue().bootstrap()
    kept = (await bsf.store.gba.find_bootstrapping(context.b_tid)).context
    assert (kept.ks, kept.impi, kept.expires, kept.gba_u) == (
        context.ks,
        context.impi,
        context.expires,
        context.gba_u,
    )


async def test_the_stronger_version_of_digest_aka_is_chosen(bsf):
    seen = []

    def note(response):
        seen.append(response)
        return response

    async with between(bsf, note) as address:
        requests = []
        original = bsf.bsf.ub.handle

        async def handle(request):
            requests.append(request)
            return await original(request)

        bsf.bsf.ub.handle = handle
        await Ue(Card(a_subscriber()), BSF, Link(address)).bootstrap()
    assert "AKAv2-MD5" in requests[-1].authorization


async def test_a_bsf_that_offers_only_the_first_version_is_answered(bsf):
    def first_only(response):
        kept = [h for h in response.headers if "AKAv2" not in h[1]]
        return replace(response, headers=tuple(kept))

    async with between(bsf, first_only) as address:
        await Ue(Card(a_subscriber()), BSF, Link(address)).bootstrap()


async def test_a_card_out_of_step_resynchronises_by_itself(tmp_path):
    subscription = a_subscription()
    card = Card(a_subscriber())
    ahead = a_subscriber(sqn=SequenceNumber.from_parts(10_000, 3))
    for _ in range(32):  # every element of the card's array is ahead
        ahead, vector = ahead.next_vector()
        card.authenticate(vector.rand, vector.autn)
    async with running_bsf(tmp_path / "data", [subscription]) as bsf:
        context = await bsf.ue(card).bootstrap()
        assert len(card.challenges) == 32 + 2
        found = await bsf.store.gba.find_subscriber(card.impi)
        assert found.subscriber.sqn.seq == 10_033
        assert context.impi == card.impi


async def test_a_bsf_without_the_key_is_found_out_by_autn(bsf):
    stranger = Card(replace(a_subscriber(), k=a_subscriber(2).k))
    with pytest.raises(AuthenticationError, match="does not hold the key"):
        await bsf.ue(stranger).bootstrap()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda r: replace(r, body=r.body.replace(b"<btid>", b"<btid> ")), AuthenticationError),
        (lambda r: replace(r, body=r.body + b"\n"), AuthenticationError),
        (lambda r: replace(r, headers=r.headers[:1]), AuthenticationError),
        (lambda r: replace(r, headers=(*r.headers, r.headers[1])), MessageError),
        (lambda r: replace(r, headers=(r.headers[0], (r.headers[1][0], "rspauth"))), MessageError),
        (lambda r: replace(r, status=500), AuthenticationError),
        (lambda r: replace(r, body=b"x" * 9000), MessageError),
    ],
)
async def test_an_answer_that_the_bsf_did_not_prove_is_not_believed(bsf, change, error):
    async with between(bsf, lambda r: change(r) if r.status == 200 else r) as address:
        with pytest.raises(error):
            await Ue(Card(a_subscriber()), BSF, Link(address)).bootstrap()


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ((), MessageError),
        ((("WWW-Authenticate", "Digest"),), MessageError),
        ((("WWW-Authenticate", str(Challenge("evil.example", "AA=="))),), MessageError),
        ((("WWW-Authenticate", str(Challenge(str(BSF), "AA=="))),), MessageError),
        (
            (
                (
                    "WWW-Authenticate",
                    str(Challenge(str(BSF), "AA==")) + ", nonce=x",
                ),
            ),
            MessageError,
        ),
    ],
)
async def test_a_challenge_that_is_none_ends_it(bsf, headers, error):
    async with between(bsf, lambda r: replace(r, headers=headers)) as address:
        with pytest.raises(error):
            await Ue(Card(a_subscriber()), BSF, Link(address)).bootstrap()


async def test_a_bsf_that_never_stops_challenging_is_left(bsf):
    async def challenge_again(request):
        first = request.authorization.partition("nonce=")[0]
        return await bsf.bsf.ub.handle(
            replace(request, authorization=first + 'nonce="", uri="/", response=""')
        )

    listener = UbListener(challenge_again)
    address = await listener.start(LOOPBACK)
    with pytest.raises(AuthenticationError, match="given up"):
        await Ue(Card(a_subscriber()), BSF, Link(address)).bootstrap()
    await listener.stop()


async def test_another_name_than_the_bsfs_is_refused(bsf):
    with pytest.raises(AuthenticationError, match="HTTP 403"):
        await Ue(Card(a_subscriber()), Fqdn("other.operator.example"), Link(bsf.ub)).bootstrap()


async def test_a_bsf_that_cannot_be_reached_or_is_silent_is_told_as_that():
    with pytest.raises(ResolverUnavailableError):
        await Ue(Card(a_subscriber()), BSF, Link(Address("127.0.0.1", 1), limits=QUICK)).bootstrap()

    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async def nonsense(reader, writer):
        await reader.readline()
        writer.write(b"\x00" * 100)
        writer.close()

    for handler in (silent, nonsense):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ResolverUnavailableError):
            await Ue(Card(a_subscriber()), BSF, Link(Address("127.0.0.1", port), limits=QUICK)).bootstrap()
        server.close()

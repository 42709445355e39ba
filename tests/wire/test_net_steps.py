"""The steps of a handshake that need no task: a key that is at hand, and a commit that calls back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from logged import capture_logs
from maf_support import ID_A, ID_B, LOOPBACK, key_of
from onem2m_security.errors import HandshakeError, StoreUnavailableError
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.saef_psk import credential, initiate
from onem2m_security.frameworks.steps import PENDING, Acceptor, Authorities
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ports import channel_port
from onem2m_security.tls.endpoint import Endpoint

pytestmark = pytest.mark.usefixtures("either_way")

KPSA = credential(KeyIdentifier.parse("k@b.example.com"), key_of("k"), peer=ID_A)


class Keys(ProvisionedKeys):
    """A key that is at hand as often as it is said; how each was asked for."""

    def __init__(self, *answers):
        super().__init__([KPSA])
        self.answers = list(answers)
        self.asked = []

    def resolve_now(self, identity, suite):
        self.asked.append("now")
        answer = self.answers.pop(0) if self.answers else super().resolve_now(identity, suite)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def resolve(self, identity, suite):
        self.asked.append("later")
        return super().resolve_now(identity, suite)


class Commits:
    """What was begun, to be decided by the test; what it does not take is awaited."""

    def __init__(self, *, takes=True):
        self.takes = takes
        self.begun = asyncio.Queue()
        self.awaited = 0

    def commit(self, established, done):
        if self.takes:
            self.begun.put_nowait(done)
        return self.takes

    async def established(self, established):
        self.awaited += 1


async def echo(channel):
    while data := await channel.read():
        await channel.write(data)


@pytest.fixture(params=[Transport.TLS, Transport.DTLS], ids=lambda transport: transport.value)
def over(request):
    @contextlib.asynccontextmanager
    async def listening(keys=None, commits=None):
        acceptor = Acceptor(ID_B, Endpoint(server=True), keys or Keys())
        if commits is not None:
            acceptor.established, acceptor.commit = commits.established, commits.commit
        authorities = Authorities({}, default=acceptor)
        async with channel_port(request.param, authorities, echo, Limits()) as port:
            address = await port.start(LOOPBACK)
            yield port, Link(address, transport=request.param)

    return listening


async def connected(link):
    async with await open_channel(link, initiate(ID_A, ID_B, KPSA)) as channel:
        await channel.write(b"x")
        return await channel.read()


async def test_a_key_that_is_at_hand_is_found_without_a_task(over):
    keys = Keys()
    async with over(keys) as (_, link):
        assert await connected(link) == b"x"
    assert "later" not in keys.asked


async def test_a_key_that_is_not_at_hand_is_awaited(over):
    keys = Keys(PENDING)
    async with over(keys) as (_, link):
        assert await connected(link) == b"x"
    assert keys.asked[:2] == ["now", "later"]


@pytest.mark.parametrize("error", [StoreUnavailableError("no store"), ZeroDivisionError("a mistake")])
async def test_a_key_that_cannot_be_found_at_once_ends_that_handshake_and_no_other(over, error):
    with capture_logs() as logged:
        async with over(Keys(error)) as (_, link):
            with pytest.raises(HandshakeError) as caught:
                await connected(link)
            assert await connected(link) == b"x"
    assert caught.value.alert.name == "internal_error"
    assert any(str(error) in entry.get("error", "") for entry in logged)


async def test_a_client_waits_until_the_commit_calls_back(over):
    commits = Commits()
    async with over(commits=commits) as (_, link):
        waiting = asyncio.create_task(connected(link))
        done = await commits.begun.get()
        await asyncio.sleep(0)
        assert not waiting.done()
        done(None)
        assert await waiting == b"x"
    assert commits.awaited == 0


async def test_a_commit_that_fails_ends_the_handshake_with_internal_error(over):
    commits = Commits()
    async with over(commits=commits) as (_, link):
        waiting = asyncio.create_task(connected(link))
        (await commits.begun.get())(StoreUnavailableError("the disk is full"))
        with pytest.raises(HandshakeError) as caught:
            await waiting
    assert caught.value.alert.name == "internal_error"


async def test_what_the_commit_does_not_take_is_awaited(over):
    commits = Commits(takes=False)
    async with over(commits=commits) as (_, link):
        assert await connected(link) == b"x"
    assert commits.awaited == 1


async def test_a_commit_that_calls_back_for_a_handshake_that_was_given_up_changes_nothing(over):
    commits = Commits()
    async with over(commits=commits) as (port, link):
        waiting = asyncio.create_task(connected(link))
        done = await commits.begun.get()
        assert port.half_open.make_room()
        with capture_logs() as logged:
            done(None)
            done(StoreUnavailableError("too late"))
        assert logged == []
        with pytest.raises(HandshakeError):
            await waiting

"""CoAP on the asking side: one session for many requests at once, and how its end is noticed."""

from __future__ import annotations

import asyncio
import contextlib

import aiocoap
import pytest
from aiocoap.optiontypes import StringOption

from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import AnswerTimeoutError
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Transport
from onem2m_security.net.coap_client import CoapSessions
from onem2m_security.net.coap_messages import REQUEST_ID
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.udp import DatagramListener
from onem2m_security.net.udp_client import open_datagram_connection
from onem2m_security.onem2m.primitives import Response, Rsc
from programs import PATIENCE

KPSA = saef_psk.credential(KeyIdentifier.parse("k@issuer.example"), key_of("k"), peer=ID_A)


async def test_requests_share_a_session_until_it_serves_no_more_and_it_ends_with_the_last_of_them():
    """A slow request goes on over its session, while the next ones go over another."""
    slow, came = asyncio.Event(), asyncio.Event()
    by_session: list[tuple[str, int]] = []

    async def answer(request, established):
        by_session.append((request.to[0], id(established.session)))
        if request.to == ("slow",):
            came.set()
            await slow.wait()
        return Response(Rsc.OK)

    serving = [True]
    async with EntityB(ID_B, keys=[KPSA]) as b:
        link = Link(await b.listen_requests(LOOPBACK, answer, transport=Transport.DTLS), Transport.DTLS)
        how = saef_psk.initiate(ID_A, ID_B, KPSA)

        async def opened(make):
            return (await open_datagram_connection(link, how, make)).remote

        sessions = CoapSessions(Limits(), opened, lambda _: serving[0])
        waiting = asyncio.ensure_future(sessions.ask(asked("slow")))
        await came.wait()
        await sessions.ask(asked("first"))
        serving[0] = False
        await sessions.ask(asked("second"))
        serving[0] = True
        await sessions.ask(asked("third"))
        slow.set()
        assert (await waiting).code.is_successful()
        await eventually(lambda: b._ports[0].connections == 1)
        await sessions.close()
    of = dict(by_session)
    assert of["slow"] == of["first"] != of["second"] == of["third"]


def asked(path: str):
    message = aiocoap.Message(code=aiocoap.GET, uri_path=(path,))
    message.opt.add_option(StringOption(REQUEST_ID, "1"))
    return message


async def test_a_peer_that_lost_the_session_is_noticed_by_its_silence_before_an_answer_is_given_up():
    """Whatever the patience for answers, no sign of life at all is one that the session is gone."""
    limits = Limits(handshake_seconds=0.5, request_seconds=3600)
    async with EntityB(ID_B, keys=[KPSA]) as b:
        address = await b.listen_requests(LOOPBACK, ok, transport=Transport.DTLS)
        link, how = Link(address, Transport.DTLS), saef_psk.initiate(ID_A, ID_B, KPSA)

        async def opened(make):
            return (await open_datagram_connection(link, how, make)).remote

        sessions = CoapSessions(limits, opened)

        async def answered() -> bool:
            with contextlib.suppress(AnswerTimeoutError):  # on a busy machine an answer may be late
                return (await sessions.ask(asked("x"))).code.is_successful()
            return False

        await eventually(answered, PATIENCE)
        [port] = b._ports
        assert isinstance(port, DatagramListener)
        for connection in list(port._peers.values()):
            connection.shut()  # as a process that dies: nobody is told
        with pytest.raises(AnswerTimeoutError):
            await sessions.ask(asked("y"))
        await eventually(answered, PATIENCE)
        await sessions.close()


async def ok(request, established):
    return Response(Rsc.OK)

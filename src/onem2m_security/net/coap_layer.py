"""aiocoap's message layer over our DTLS connections, and what stands before it.

aiocoap matches answers to requests and retransmits. What a peer could fill is kept here instead, within
bounds for each peer and in all: repetitions, unanswered requests, blocks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final, Protocol, Self

import aiocoap
from aiocoap import error, interfaces
from aiocoap.numbers.types import ACK, CON, NON

from ..clock import CLOCK, Clock
from ..errors import ConfigurationError
from ..frameworks.steps import Established
from .coap_blocks import Blocks, Held
from .coap_messages import EXCHANGE_SECONDS, Refusal, read_message
from .limits import Limits
from .udp import DatagramConnection

AIOCOAP_MOVED: Final = (
    "the installed aiocoap does not do what the bounds on CoAP rest on: "
    "install a version within the bounds of this package's dependencies"
)

_HEAD_OCTETS: Final = 320
"""Room for a message's header and options; the longest option is an identifier of 255 octets."""
_BLOCK_EXPONENTS: Final = range(6, -1, -1)
"""Blocks of 1024 down to 16 octets (RFC 7959 clause 2.2)."""
_UNANSWERED: Final = 64
"""How many requests of one peer may wait for their answers."""


class CoapPeer(Protocol):
    """What carries the messages of one peer: a DTLS connection, or plain UDP."""

    @property
    def peer_address(self) -> str:
        """The peer's address and port."""

    @property
    def max_payload(self) -> int:
        """The most octets of one message."""

    @property
    def closed(self) -> bool:
        """Is it over?"""

    def send(self, data: bytes) -> None:
        """Send one message."""

    def close(self) -> None:
        """End it."""


class CoapRemote(interfaces.EndpointAddress):
    """A peer as aiocoap sees it; after the connection's end only its name is left."""

    scheme = "coaps"
    is_multicast = False
    is_multicast_locally = False
    _numbers = itertools.count()

    def __init__(self, connection: CoapPeer, established: Established, owner: Hashable) -> None:
        self.connection: CoapPeer | None = connection
        self.established = established
        self.owner = owner
        self.unanswered: OrderedDict[bytes, float] = OrderedDict()
        """The tokens of its requests that wait for their answers, and since when."""
        self.heard = 0
        """How many of its datagrams came: whether it gave a sign of life."""
        self._name = connection.peer_address
        self._number = next(self._numbers)
        room = connection.max_payload - _HEAD_OCTETS
        self._block_exponent = next((e for e in _BLOCK_EXPONENTS if 16 << e <= room), 0)

    @classmethod
    def of(cls, connection: DatagramConnection) -> Self:
        """The peer of an established connection; all its sessions together are charged to it."""
        established = connection.handshake.result()
        association = established.association
        return cls(connection, established, association.peer or association.credential_id)

    @property
    def maximum_block_size_exp(self) -> int:
        """Blocks that fit one datagram beside the longest options; smaller ones when the peer asks."""
        return self._block_exponent

    @maximum_block_size_exp.setter
    def maximum_block_size_exp(self, exponent: int) -> None:
        self._block_exponent = min(exponent, self._block_exponent)

    @property
    def maximum_payload_size(self) -> int:
        """Longer payloads go in blocks."""
        return 16 << self._block_exponent

    @property
    def hostinfo(self) -> str:
        """Host and port."""
        return self._name

    @property
    def hostinfo_local(self) -> str:
        """Not known, nor needed."""
        return "localhost"

    @property
    def uri_base(self) -> str:
        """For log lines."""
        return f"coaps://{self._name}"

    @property
    def uri_base_local(self) -> str:
        """For log lines."""
        return "coaps://localhost"

    @property
    def blockwise_key(self) -> object:
        """Blocks of different sessions are never put together (RFC 7252 clause 9.1.2)."""
        return self._number

    @property
    def authenticated_claims(self) -> tuple[str, ...]:
        """Who is at the other end."""
        peer = self.established.association.peer
        return () if peer is None else (str(peer),)

    def send(self, data: bytes) -> None:
        """Send a CoAP message, unless the session is over.

        Raises:
            ConfigurationError: It does not fit a datagram.
        """
        if self.connection is not None and not self.connection.closed:
            self.connection.send(data)

    def close(self) -> None:
        """End the session."""
        if self.connection is not None:
            self.connection.close()

    @property
    def is_open(self) -> bool:
        """Can a request be sent over it?"""
        return self.connection is not None and self.established.association.seconds_left > 0

    def ended(self) -> None:
        """Free the connection; aiocoap keeps the remote for as long as something waits for it."""
        self.connection = None


class CoapInterface(interfaces.MessageInterface):
    """aiocoap's way to our DTLS connections.

    Attributes:
        manager: aiocoap's message layer.
        limits: Bounds on size.
        repeatable: What each request of a peer was answered with, by Message ID; empty while it is not.
        blocks: Of the server on top.
        clock: What ages requests without an answer.
    """

    def __init__(self, manager: Any, limits: Limits, blocks: Blocks, *, clock: Clock = CLOCK) -> None:
        self.manager = manager
        self.limits = limits
        self.repeatable: Held[bytes] = Held(limits.body_octets)
        self.blocks = blocks
        self.clock = clock

    def send(self, message: Any) -> None:
        """Send a CoAP message to the peer that its remote stands for.

        As over UDP itself, what cannot be sent is lost: aiocoap was told of the session's end already.
        """
        remote, data = message.remote, message.encode()
        if message.code.is_response():
            remote.unanswered.pop(message.token, None)
        if message.mtype is ACK and self.repeatable.get(remote, message.mid) is not None:
            self.repeatable.put(remote, message.mid, data, len(data))
        try:
            remote.send(data)
        except ConfigurationError as too_long:
            failure = error.NetworkError(str(too_long))
            asyncio.get_running_loop().call_soon(self.manager.dispatch_error, failure, remote)

    def left(self, remote: CoapRemote) -> None:
        """The peer's session is over."""
        self.manager.dispatch_error(error.NetworkError("the session has ended"), remote)
        self.repeatable.forget(remote)
        self.blocks.forget(remote)

    async def recognize_remote(self, remote: object) -> bool:
        """Is this one of ours?"""
        return isinstance(remote, CoapRemote)

    async def determine_remote(self, message: Any) -> None:
        """Requests come with their remote."""
        del message

    async def shutdown(self) -> None:
        """The sockets belong to the listener."""


class CoapApplication:
    """One DTLS connection's side of the CoAP context."""

    def __init__(self, interface: CoapInterface, remote: CoapRemote) -> None:
        self._interface = interface
        self.remote = remote

    def datagram_received(self, data: bytes) -> None:
        """A CoAP message; what is none is dropped (RFC 7252 clause 4.2)."""
        self.remote.heard += 1
        try:
            message, refusal = read_message(data, self.remote)
        except error.UnparsableMessage:
            return
        if message.code.is_request():
            self._request(message, refusal)
        elif refusal is None and self._is_within_bounds(message):
            self._interface.manager.dispatch_message(message)

    def _request(self, request: Any, refusal: Refusal | None) -> None:
        """A request: one that came before is not done again (RFC 7252 clause 4.5)."""
        if request.mtype not in {CON, NON}:
            return
        answered = self._interface.repeatable.get(self.remote, request.mid)
        if answered is not None:
            if request.mtype is CON and answered:
                self.remote.send(answered)
            return
        refusal = refusal or self._busy(request.token)
        if refusal is not None:
            self._refuse(request, refusal)
            return
        self._interface.repeatable.put(self.remote, request.mid, b"", 0)
        self.remote.unanswered[request.token] = self._interface.clock.monotonic()
        self._interface.manager.dispatch_message(request)

    def _busy(self, token: bytes) -> Refusal | None:
        """Does the peer wait for as many answers as it may?"""
        unanswered = self.remote.unanswered
        while (
            unanswered
            and next(iter(unanswered.values())) < self._interface.clock.monotonic() - EXCHANGE_SECONDS
        ):
            unanswered.popitem(last=False)  # its answer was lost, and the peer no longer waits
        if token in unanswered or len(unanswered) < _UNANSWERED:
            return None
        return error.TooManyRequests("wait for the answers to earlier requests")

    def _refuse(self, request: Any, refusal: Refusal) -> None:
        """Answer without remembering it: a repetition is refused again."""
        answer = refusal.to_message()
        answer.remote, answer.token, answer.request = self.remote, request.token, request
        if request.mtype is CON:
            answer.mtype, answer.mid = ACK, request.mid
            self.remote.send(answer.encode())
        else:
            self._interface.manager.send_message(answer, None)  # which gives it a Message ID

    def _is_within_bounds(self, answer: Any) -> bool:
        """Is this no block beyond the greatest length? If it is, the session ends: more would only come."""
        block = answer.opt.block2
        if block is None or block.start + len(answer.payload) <= self._interface.limits.body_octets:
            return True
        self._interface.manager.dispatch_error(_AnswerTooLongError(), self.remote)
        self.remote.close()
        return False

    def ended(self) -> None:
        """The session is over."""
        self._interface.left(self.remote)
        self.remote.ended()


class _AnswerTooLongError(error.NetworkError):
    """The peer's answer is longer than it may be."""

    def __str__(self) -> str:
        return "the answer is too long"


async def coap_context(limits: Limits, site: Any = None) -> tuple[Any, CoapInterface]:
    """An aiocoap context with our interface as its only one.

    Args:
        limits: Bounds on size.
        site: Who answers requests, and has ``blocks``; on the client's side nobody.

    Raises:
        ConfigurationError: aiocoap is not as it was.
    """
    context = aiocoap.Context(
        loop=asyncio.get_running_loop(), serversite=site, loggername="onem2m_security.coap"
    )
    context.log.setLevel(logging.ERROR)
    blocks = Blocks(limits.body_octets) if site is None else site.blocks
    made: list[CoapInterface] = []

    async def make(manager: Any) -> CoapInterface:
        made.append(CoapInterface(manager, limits, blocks))
        return made[0]

    try:
        # aiocoap's public makers open sockets of their own; this is what they call.
        await context._append_tokenmanaged_messagemanaged_transport(make)
        return context, made[0]
    except (AttributeError, TypeError, LookupError) as moved:
        raise ConfigurationError(f"{AIOCOAP_MOVED} ({moved})") from moved

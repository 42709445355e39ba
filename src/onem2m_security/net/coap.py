"""The CoAP binding (TS-0008): oneM2M primitives over CoAP over DTLS.

aiocoap's message layer does messages, retransmission and block-wise transfer on both sides; it runs over our
own DTLS connections through its MessageInterface.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import aiocoap
from aiocoap import error, interfaces, resource
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.optiontypes import StringOption, UintOption

from ..errors import ConfigurationError, HandshakeError, ResolverUnavailableError
from ..frameworks.base import Established, Initiator
from ..functions.primitives import Operation, RefusedError, Request, Response, Rsc
from .address import Address
from .limits import Limits
from .udp import DatagramApplication, DatagramConnection, MakeApplication, open_datagram_connection

RequestHandler = Callable[[Request, Established], Awaitable[Response]]

_CONTENT_FORMAT_JSON: Final = 50
_JSON_FORMATS: Final = {_CONTENT_FORMAT_JSON, 10001}
"""application/json and vnd.onem2m-res+json (TS-0008 table 6.2.2.2-1)."""
_RELEASE: Final = "3"
_MAX_SEGMENTS: Final = 8
_HEAD_OCTETS: Final = 320
"""Room for a message's header and options; the longest option is an identifier of 255 octets."""
_BLOCK_EXPONENTS: Final = range(6, -1, -1)
"""Blocks of 1024 down to 16 octets (RFC 7959 clause 2.2)."""

# TS-0008 table 6.2.2.4.0-1
_FROM: Final = OptionNumber(279)
_REQUEST_ID: Final = OptionNumber(283)
_RESPONSE_STATUS: Final = OptionNumber(307)
_RESOURCE_TYPE: Final = OptionNumber(267)
_RELEASE_VERSION: Final = OptionNumber(271)
for _number in (_FROM, _REQUEST_ID, _RELEASE_VERSION):
    _number.format = StringOption
for _number in (_RESPONSE_STATUS, _RESOURCE_TYPE):
    _number.format = UintOption

_METHODS: Final = {
    Operation.CREATE: Code.POST,
    Operation.RETRIEVE: Code.GET,
    Operation.UPDATE: Code.PUT,
    Operation.DELETE: Code.DELETE,
}
_OPERATIONS: Final = {code: operation for operation, code in _METHODS.items()}

_CODES: Final = {
    Rsc.OK: Code.CONTENT,
    Rsc.CREATED: Code.CREATED,
    Rsc.DELETED: Code.DELETED,
    Rsc.UPDATED: Code.CHANGED,
    Rsc.BAD_REQUEST: Code.BAD_REQUEST,
    Rsc.CONTENTS_UNACCEPTABLE: Code.BAD_REQUEST,
    Rsc.ORIGINATOR_HAS_NO_PRIVILEGE: Code.FORBIDDEN,
    Rsc.ORIGINATOR_NOT_AUTHENTICATED: Code.FORBIDDEN,
    Rsc.CONFLICT: Code.FORBIDDEN,
    Rsc.NOT_FOUND: Code.NOT_FOUND,
    Rsc.TARGET_NOT_REACHABLE: Code.NOT_FOUND,
    Rsc.OPERATION_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED,
    Rsc.TOO_MANY_REQUESTS: Code.TOO_MANY_REQUESTS,
    Rsc.INTERNAL_SERVER_ERROR: Code.INTERNAL_SERVER_ERROR,
}
"""Response Status Code to CoAP response code (TS-0008 table 6.2.4-1)."""


class _Remote(interfaces.EndpointAddress):
    """A DTLS peer as aiocoap sees it; after the connection's end only its name is left."""

    scheme = "coaps"
    is_multicast = False
    is_multicast_locally = False
    _numbers = itertools.count()

    def __init__(self, connection: DatagramConnection, established: Established) -> None:
        self.connection: DatagramConnection | None = connection
        self.established = established
        self._name = connection.peer_address
        self._number = next(self._numbers)
        room = connection.max_payload - _HEAD_OCTETS
        self._block_exponent = next((e for e in _BLOCK_EXPONENTS if 16 << e <= room), 0)

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

    @property
    def is_open(self) -> bool:
        """Can a request be sent over it?"""
        return self.connection is not None and self.established.association.seconds_left > 0

    def ended(self) -> None:
        """Free the connection; aiocoap keeps the remote for the lifetime of an exchange."""
        self.connection = None


class _Interface(interfaces.MessageInterface):
    """aiocoap's way to our DTLS connections."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager

    def send(self, message: Any) -> None:
        """Send a CoAP message to the peer that its remote stands for.

        As over UDP itself, what cannot be sent is lost: aiocoap was told of the session's end already.
        """
        connection = message.remote.connection
        if connection is None or connection.closed:
            return
        try:
            connection.send(message.encode())
        except ConfigurationError as too_long:
            failure = error.NetworkError(str(too_long))
            asyncio.get_running_loop().call_soon(self.manager.dispatch_error, failure, message.remote)

    async def recognize_remote(self, remote: object) -> bool:
        """Is this one of ours?"""
        return isinstance(remote, _Remote)

    async def determine_remote(self, message: Any) -> None:
        """Requests come with their remote."""
        del message

    async def shutdown(self) -> None:
        """The sockets belong to the listener."""


class _Application:
    """One DTLS connection's side of the CoAP context."""

    def __init__(self, interface: _Interface, remote: _Remote) -> None:
        self._interface = interface
        self._remote = remote

    def datagram_received(self, data: bytes) -> None:
        """A CoAP message; what is none is dropped (RFC 7252 clause 4.2)."""
        try:
            message = aiocoap.Message.decode(data, self._remote)
        except (error.UnparsableMessage, ValueError):  # ValueError: a text option that is not UTF-8
            return
        self._interface.manager.dispatch_message(message)

    def ended(self) -> None:
        """The session is over."""
        self._interface.manager.dispatch_error(error.NetworkError("the session has ended"), self._remote)
        self._remote.ended()


async def _context(site: Any = None) -> tuple[Any, _Interface]:
    """An aiocoap context with our interface as its only one."""
    context = aiocoap.Context(
        loop=asyncio.get_running_loop(), serversite=site, loggername="onem2m_security.coap"
    )
    context.log.setLevel(logging.ERROR)
    made: list[_Interface] = []

    async def make(manager: Any) -> _Interface:
        made.append(_Interface(manager))
        return made[0]

    # aiocoap's public makers open sockets of their own; this is what they call.
    await context._append_tokenmanaged_messagemanaged_transport(make)
    return context, made[0]


# --- server ---


class _Site(resource.Resource, resource.PathCapable):
    """Every path leads here."""

    def __init__(self, handler: RequestHandler, limits: Limits) -> None:
        super().__init__()
        self._handler = handler
        self._limits = limits

    async def render(self, request: Any) -> Any:
        """Answer one request, its blocks put together."""
        established: Established = request.remote.established
        request_id = _text(request, _REQUEST_ID)
        try:
            response = await self._handler(self._parse(request, request_id), established)
        except RefusedError as refused:
            response = refused.response
        return _render(response, request_id)

    def _parse(self, message: Any, request_id: str) -> Request:
        operation = _OPERATIONS.get(message.code)
        if operation is None:
            raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "POST, GET, PUT and DELETE are offered")
        if not request_id:
            raise RefusedError(Rsc.BAD_REQUEST, "oneM2M-RQI (the Request Identifier) is missing")
        if len(message.opt.uri_path) > _MAX_SEGMENTS:
            raise RefusedError(Rsc.NOT_FOUND, "nothing is found here")
        return Request(
            operation, tuple(message.opt.uri_path), _text(message, _FROM), request_id, self._content(message)
        )

    def _content(self, message: Any) -> object:
        if not message.payload:
            return None
        if len(message.payload) > self._limits.body_octets:
            raise RefusedError(
                Rsc.CONTENTS_UNACCEPTABLE, f"the content has more than {self._limits.body_octets} octets"
            )
        if message.opt.content_format not in _JSON_FORMATS:
            raise RefusedError(Rsc.CONTENTS_UNACCEPTABLE, "the content is not application/json")
        try:
            return json.loads(message.payload)
        except (ValueError, RecursionError):
            raise RefusedError(Rsc.BAD_REQUEST, "the content is not JSON") from None

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        """Requests are put together from their blocks before they are answered, up to the limit."""
        block = request.opt.block1
        if block is not None and block.start + len(request.payload) > self._limits.body_octets:
            raise error.RequestEntityTooLarge
        return True


def _text(message: Any, number: OptionNumber) -> str:
    found = message.opt.get_option(number)
    return str(found[0].value)[:255] if found else ""


def _render(response: Response, request_id: str) -> Any:
    payload = b"" if response.content is None else json.dumps(response.content).encode()
    message = aiocoap.Message(code=_CODES[response.rsc], payload=payload)
    message.opt.add_option(UintOption(_RESPONSE_STATUS, int(response.rsc)))
    message.opt.add_option(StringOption(_RELEASE_VERSION, _RELEASE))
    message.opt.max_age = 0  # it may hold keys: nobody caches it (TS-0008 clause 6.4)
    if request_id:
        message.opt.add_option(StringOption(_REQUEST_ID, request_id))
    if payload:
        message.opt.content_format = _CONTENT_FORMAT_JSON
    return message


class CoapServer:
    """Answers requests on every DTLS connection that it is put on top of."""

    def __init__(self, context: Any, interface: _Interface) -> None:
        self._context = context
        self._interface = interface

    @classmethod
    async def create(cls, handler: RequestHandler, limits: Limits) -> CoapServer:
        """A server whose requests go to the handler."""
        return cls(*await _context(_Site(handler, limits)))

    @property
    def application(self) -> MakeApplication:
        """What the listener puts on top of a new connection."""

        def make(connection: DatagramConnection) -> DatagramApplication:
            return _Application(self._interface, _Remote(connection, connection.handshake.result()))

        return make

    async def stop(self) -> None:
        """Answer nothing more."""
        await self._context.shutdown()


# --- client ---


def _heed(answer: asyncio.Future[Any]) -> None:
    """An answer that comes after its request was given up is nobody's."""
    if not answer.cancelled():
        answer.exception()


class CoapClient:
    """Sends request primitives to one peer over a DTLS connection, opened when needed and then kept."""

    def __init__(self, initiator: Initiator, address: Address, *, limits: Limits | None = None) -> None:
        self._initiator = initiator
        self._address = address
        self._limits = limits or Limits()
        self._context: Any = None
        self._interface: _Interface | None = None
        self._remote: _Remote | None = None
        self._established: Established | None = None
        self._opening = asyncio.Lock()

    async def request(
        self,
        operation: Operation,
        to: Iterable[str],
        *,
        content: Mapping[str, Any] | None = None,
        resource_type: int | None = None,
    ) -> Response:
        """Send a request primitive and return the response primitive, whatever its status.

        Args:
            operation: What to do.
            to: The segments of the resource's path.
            content: The Content parameter, as JSON values.
            resource_type: For CREATE: the type of the resource.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or its answer is no response primitive.
        """
        payload = b"" if content is None else json.dumps(content).encode()
        message = aiocoap.Message(code=_METHODS[operation], payload=payload)
        message.opt.uri_path = tuple(to)
        message.opt.add_option(StringOption(_FROM, str(self._initiator.local)))
        message.opt.add_option(StringOption(_REQUEST_ID, secrets.token_hex(8)))
        message.opt.add_option(StringOption(_RELEASE_VERSION, _RELEASE))
        if resource_type is not None:
            message.opt.add_option(UintOption(_RESOURCE_TYPE, resource_type))
        if payload:
            message.opt.content_format = _CONTENT_FORMAT_JSON
        try:
            message.remote = await self._open()
            answer = await self._answer(message)
        except (error.Error, HandshakeError, OSError, TimeoutError) as failure:
            reason = str(failure) or type(failure).__name__
            raise ResolverUnavailableError(
                f"{self._initiator.peer} at {self._address}: {reason}"
            ) from failure
        return self._response(answer)

    async def _answer(self, message: Any) -> Any:
        """Wait for the answer; a session on which none comes is closed, and the next request makes another.

        The peer may have lost the session, and over UDP nobody says so.
        """
        answer: asyncio.Future[Any] = self._context.request(message).response
        answer.add_done_callback(_heed)
        try:
            # Not asyncio.timeout: aiocoap does not expect its future to be cancelled while the session ends.
            await asyncio.wait([answer], timeout=self._limits.request_seconds)
        finally:
            connection = message.remote.connection
            if connection is not None and (not answer.done() or answer.exception() is not None):
                connection.close()
        if not answer.done():
            raise TimeoutError(f"no answer within {self._limits.request_seconds:g} s")
        return answer.result()

    async def _open(self) -> _Remote:
        async with self._opening:
            if self._remote is not None and self._remote.is_open:
                return self._remote
            if self._interface is None:
                self._context, self._interface = await _context()
            made: list[_Remote] = []
            interface = self._interface

            def make(connection: DatagramConnection) -> DatagramApplication:
                made.append(_Remote(connection, connection.handshake.result()))
                return _Application(interface, made[0])

            connection = await open_datagram_connection(
                self._initiator, self._address, make, limits=self._limits
            )
            self._established = connection.handshake.result()
            self._remote = made[0]
            return self._remote

    def _response(self, answer: Any) -> Response:
        if len(answer.payload) > self._limits.body_octets:
            raise ResolverUnavailableError("the answer is too long")
        try:
            rsc = Rsc(int(_text(answer, _RESPONSE_STATUS)))
            content = json.loads(answer.payload) if answer.payload else None
        except (ValueError, RecursionError):
            raise ResolverUnavailableError("the answer is no oneM2M response primitive") from None
        if content is not None and not isinstance(content, dict):
            raise ResolverUnavailableError("the content of the answer is not a JSON object")
        return Response(rsc, content)

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established.

        Raises:
            HandshakeError: No connection was made yet.
        """
        if self._established is None:
            raise HandshakeError("no connection was made yet")
        return self._established

    async def close(self) -> None:
        """Close the kept connection."""
        if self._remote is not None and self._remote.connection is not None:
            self._remote.connection.close()
        if self._context is not None:
            await self._context.shutdown()
            self._context = self._interface = None

"""The CoAP binding (TS-0008): oneM2M primitives over CoAP over DTLS, by aiocoap's message layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import aiocoap
from aiocoap import error, resource
from aiocoap.numbers.codes import Code
from aiocoap.optiontypes import StringOption, UintOption

from ..errors import (
    AnswerTimeoutError,
    ConfigurationError,
    HandshakeError,
    MessageError,
    ResolverUnavailableError,
)
from ..frameworks.steps import Established, Initiator
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from .binding import (
    RELEASE_VERSION,
    RequestHandler,
    read_content,
    read_response,
    request_primitive,
    require_json_is_acceptable,
    write_content,
)
from .coap_blocks import Blocks
from .coap_client import CoapSessions
from .coap_layer import AIOCOAP_MOVED, CoapApplication, CoapInterface, CoapRemote, coap_context
from .coap_messages import (
    FROM,
    RELEASE_VERSION_INDICATOR,
    REQUEST_ID,
    RESOURCE_TYPE,
    RESPONSE_STATUS,
    number_option,
    read_message,
    text_option,
)
from .limits import Limits
from .link import Link
from .request_client import Asked, RequestClient
from .udp import DatagramApplication, DatagramConnection, MakeApplication
from .udp_client import open_datagram_connection

_CONTENT_FORMAT_JSON: Final = 50
_JSON_FORMATS: Final = {_CONTENT_FORMAT_JSON, 10001}
"""application/json and vnd.onem2m-res+json (TS-0008 table 6.2.2.2-1)."""
_PROOF_SECONDS: Final = 5.0
_ENDLESS: Final = b"\x40\x02\0\1" + b"\xd3\x0e\xff\xff\xf6"
"""A request (POST) whose Block1 option says that it is the last of 2^20 blocks of 1024 octets."""
_REPEATED: Final = b"\x40\x01\0\2" + b"\xe1\0\x0er"
"""A request (GET) with a Request Identifier."""
_METHODS: Final = {
    Operation.CREATE: Code.POST,
    Operation.RETRIEVE: Code.GET,
    Operation.UPDATE: Code.PUT,
    Operation.DELETE: Code.DELETE,
    Operation.NOTIFY: Code.POST,
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
    Rsc.UNSUPPORTED_MEDIA_TYPE: Code.UNSUPPORTED_CONTENT_FORMAT,
    Rsc.NOT_ACCEPTABLE: Code.NOT_ACCEPTABLE,
    Rsc.TOO_MANY_REQUESTS: Code.TOO_MANY_REQUESTS,
    Rsc.INTERNAL_SERVER_ERROR: Code.INTERNAL_SERVER_ERROR,
}
"""Response Status Code to CoAP response code (TS-0008 table 6.2.4-1)."""


# --- server ---


class _Site(resource.Resource, resource.PathCapable):
    """Every path leads here."""

    def __init__(self, handler: RequestHandler, limits: Limits) -> None:
        super().__init__()
        self.blocks = Blocks(limits.body_octets)
        self._handler = handler
        self._limits = limits

    async def render(self, request: Any) -> Any:
        """Answer one request, or one block of it."""
        return await self.blocks.serve(request, self._answer)

    async def _answer(self, request: Any) -> Any:
        established: Established = request.remote.established
        request_id = text_option(request, REQUEST_ID)
        try:
            response = await self._handler(self._parse(request, request_id), established)
        except RefusedError as refused:
            response = refused.response
        return _render(response, request_id)

    def _parse(self, message: Any, request_id: str) -> Request:
        request = request_primitive(
            _OPERATIONS.get(message.code),
            tuple(message.opt.uri_path),
            text_option(message, FROM),
            request_id,
            number_option(message, RESOURCE_TYPE),
        )
        require_json_is_acceptable(is_acceptable=message.opt.accept in {None, *_JSON_FORMATS})
        is_json = message.opt.content_format in _JSON_FORMATS
        return replace(request, content=read_content(message.payload, self._limits, is_json=is_json))

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        """No: aiocoap would put any number of requests together, of any length."""
        del request
        return False


def _render(response: Response, request_id: str) -> Any:
    payload = write_content(response.content)
    message = aiocoap.Message(code=_CODES[response.rsc], payload=payload)
    message.opt.add_option(UintOption(RESPONSE_STATUS, int(response.rsc)))
    message.opt.add_option(StringOption(RELEASE_VERSION_INDICATOR, RELEASE_VERSION))
    message.opt.max_age = 0  # it may hold keys: nobody caches it (TS-0008 clause 6.4)
    if request_id:
        message.opt.add_option(StringOption(REQUEST_ID, request_id))
    if payload:
        message.opt.content_format = _CONTENT_FORMAT_JSON
    if response.created is not None:
        message.opt.location_path = response.created
    return message


class _Probe:
    """Stands for a DTLS connection while aiocoap is tried."""

    peer_address = "nobody"
    max_payload = 1024
    closed = False

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()

    def send(self, data: bytes) -> None:
        self.sent.put_nowait(data)


async def _prove(limits: Limits) -> None:
    """Does aiocoap leave blocks and repetitions to us? If not, a peer could fill its tables.

    Raises:
        ConfigurationError: It does not.
    """
    done: list[Request] = []

    async def note(request: Request, established: Established) -> Response:
        del established
        done.append(request)
        return Response(Rsc.OK)

    context, interface = await coap_context(limits, _Site(note, limits))
    probe: Any = _Probe()
    remote = CoapRemote(probe, cast("Established", None), owner=probe)
    try:
        async with asyncio.timeout(_PROOF_SECONDS):
            CoapApplication(interface, remote).datagram_received(_ENDLESS)
            refused = (await probe.sent.get())[1] == Code.REQUEST_ENTITY_TOO_LARGE
            for _ in range(2):
                interface.manager.dispatch_message(read_message(_REPEATED, remote)[0])
                await probe.sent.get()
    except (AttributeError, TypeError, TimeoutError) as moved:
        raise ConfigurationError(AIOCOAP_MOVED) from moved
    finally:
        await context.shutdown()
    if not refused or len(done) != 2:
        raise ConfigurationError(AIOCOAP_MOVED)


class CoapServer:
    """Answers requests on every DTLS connection that it is put on top of."""

    def __init__(self, context: Any, interface: CoapInterface) -> None:
        self._context = context
        self._interface = interface

    @classmethod
    async def create(cls, handler: RequestHandler, limits: Limits) -> CoapServer:
        """A server whose requests go to the handler.

        Raises:
            ConfigurationError: The installed aiocoap does not do what the bounds rest on.
        """
        await _prove(limits)
        return cls(*await coap_context(limits, _Site(handler, limits)))

    @property
    def application(self) -> MakeApplication:
        """What the listener puts on top of a new connection."""

        def make(connection: DatagramConnection) -> DatagramApplication:
            return CoapApplication(self._interface, CoapRemote.of(connection))

        return make

    async def stop(self) -> None:
        """Answer nothing more."""
        await self._context.shutdown()


# --- client ---


class CoapClient(RequestClient):
    """Sends request primitives over a DTLS connection, opened when needed and then kept."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._link = link
        self._initiator = initiator
        self._limits = link.limits or Limits()
        self._sessions = CoapSessions(self._limits, self._open)

    async def _open(self, make: Callable[[DatagramConnection], CoapApplication]) -> CoapRemote:
        return (await open_datagram_connection(self._link, self._initiator, make)).remote

    async def send(self, asked: Asked) -> Response:
        """Send a request primitive and return the response primitive, whatever its status."""
        payload = write_content(asked.content)
        message = aiocoap.Message(code=_METHODS[asked.operation], payload=payload)
        message.opt.uri_path = asked.to
        message.opt.add_option(StringOption(FROM, str(self._initiator.local)))
        message.opt.add_option(StringOption(REQUEST_ID, asked.request_id))
        message.opt.add_option(StringOption(RELEASE_VERSION_INDICATOR, RELEASE_VERSION))
        if asked.resource_type is not None:
            message.opt.add_option(UintOption(RESOURCE_TYPE, asked.resource_type))
        if payload:
            message.opt.content_format = _CONTENT_FORMAT_JSON
        try:
            answer = await self._sessions.ask(message)
            return read_response(text_option(answer, RESPONSE_STATUS), answer.payload, self._limits)
        except MessageError as failure:
            raise ResolverUnavailableError(
                f"{self._initiator.peer} at {self._link.address}: {failure}"
            ) from None
        except (error.Error, HandshakeError, AnswerTimeoutError, OSError) as failure:
            reason = str(failure) or type(failure).__name__
            raise ResolverUnavailableError(
                f"{self._initiator.peer} at {self._link.address}: {reason}"
            ) from failure

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        return self._sessions.established

    async def close(self) -> None:
        """Close the kept connection."""
        await self._sessions.close()

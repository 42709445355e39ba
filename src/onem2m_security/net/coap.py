"""The CoAP binding (TS-0008): oneM2M primitives over CoAP over DTLS, by aiocoap's message layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from aiocoap import error, resource
from aiocoap.numbers.codes import Code

from ..errors import (
    AnswerTimeoutError,
    ConfigurationError,
    HandshakeError,
    MessageError,
    ResolverUnavailableError,
)
from ..frameworks.steps import Established, Initiator
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import RefusedError, Rsc
from .binding import RELEASE_VERSION, CarriedHandler, RequestHandler, answering
from .carrying_client import CarryingClient
from .coap_blocks import Blocks
from .coap_carried import read_request, read_response, write_request, write_response
from .coap_client import CoapSessions
from .coap_layer import AIOCOAP_MOVED, CoapApplication, CoapInterface, CoapPeer, CoapRemote, coap_context
from .coap_messages import REQUEST_ID, read_message, text_option
from .limits import Limits
from .link import Link
from .udp import DatagramApplication, DatagramConnection, MakeApplication
from .udp_client import open_datagram_connection

_PROOF_SECONDS: Final = 5.0
_ENDLESS: Final = b"\x40\x02\0\1" + b"\xd3\x0e\xff\xff\xf6"
"""A request (POST) whose Block1 option says that it is the last of 2^20 blocks of 1024 octets."""
_REPEATED: Final = b"\x40\x01\0\2" + b"\xe1\0\x0er"
"""A request (GET) with a Request Identifier."""

# --- server ---


class _Site(resource.Resource, resource.PathCapable):
    """Every path leads here."""

    def __init__(self, handler: CarriedHandler, limits: Limits) -> None:
        super().__init__()
        self.blocks = Blocks(limits.body_octets)
        self._handler = handler

    async def render(self, request: Any) -> Any:
        """Answer one request, or one block of it."""
        return await self.blocks.serve(request, self._answer)

    async def _answer(self, message: Any) -> Any:
        established: Established = message.remote.established
        operation = None
        try:
            request = read_request(message)
            operation = request.operation
            return write_response(await self._handler(request, established), operation)
        except RefusedError as refused:
            request_id = text_option(message, REQUEST_ID)
            refusal = CarriedResponse.refusal(refused, request_id, RELEASE_VERSION)
            return write_response(refusal, operation)

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        """No: aiocoap would put any number of requests together, of any length."""
        del request
        return False


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
    done: list[CarriedRequest] = []

    async def note(request: CarriedRequest, established: Established) -> CarriedResponse:
        del established
        done.append(request)
        return CarriedResponse(Rsc.OK)

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
        return await cls.carrying(answering(handler, limits), limits)

    @classmethod
    async def carrying(cls, handler: CarriedHandler, limits: Limits) -> CoapServer:
        """The same for a handler that carries primitives on.

        Raises:
            ConfigurationError: As for ``create``.
        """
        await _prove(limits)
        return cls(*await coap_context(limits, _Site(handler, limits)))

    @property
    def application(self) -> MakeApplication:
        """What the listener puts on top of a new connection."""

        def make(connection: DatagramConnection) -> DatagramApplication:
            return CoapApplication(self._interface, CoapRemote.of(connection))

        return make

    def on(self, peer: CoapPeer) -> CoapApplication:
        """The same on top of a peer without a session, which nobody has authenticated."""
        nothing = cast("Established", None)
        return CoapApplication(self._interface, CoapRemote(peer, nothing, owner=peer.peer_address))

    async def stop(self) -> None:
        """Answer nothing more."""
        context, self._context = self._context, None
        if context is not None:
            await context.shutdown()


# --- client ---


class CoapClient(CarryingClient):
    """Sends request primitives over a DTLS connection, opened when needed and then kept."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        super().__init__(str(initiator.local), link.limits or Limits())
        self._link = link
        self._initiator = initiator
        self._sessions = CoapSessions(self._limits, self._open)

    async def _open(self, make: Callable[[DatagramConnection], CoapApplication]) -> CoapRemote:
        return (await open_datagram_connection(self._link, self._initiator, make)).remote

    @property
    def name(self) -> str:
        """The peer, and where it is, for people."""
        return f"{self._initiator.peer} at {self._link.address}"

    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes."""
        return await carried_by(self._sessions, request, self.name, self._limits)

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        return self._sessions.established

    async def close(self) -> None:
        """Close the kept connection."""
        await self._sessions.close()


async def carried_by(
    sessions: CoapSessions, request: CarriedRequest, name: str, limits: Limits
) -> CarriedResponse:
    """Send a request primitive, and return the response primitive.

    Args:
        sessions: Over what.
        request: The request primitive.
        name: The peer, for people.
        limits: Bounds on the answer.

    Raises:
        AnswerTimeoutError: There was no answer in time.
        ResolverUnavailableError: The peer cannot be reached, or its answer is no response primitive.
        RefusedError: CoAP cannot carry what the request says.
    """
    message = write_request(request)
    try:
        answer = read_response(await sessions.ask(message))
    except AnswerTimeoutError as failure:
        raise AnswerTimeoutError(f"{name}: {failure}") from failure
    except (error.Error, HandshakeError, MessageError, OSError) as failure:
        raise ResolverUnavailableError(f"{name}: {str(failure) or type(failure).__name__}") from failure
    if len(answer.content) > limits.body_octets:
        raise ResolverUnavailableError(f"{name}: the answer is too long")
    return answer

"""The HTTP binding (TS-0009) on the asking side: request primitives over connections that are used again."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from ..errors import AnswerTimeoutError, HandshakeError, MessageError, ResolverUnavailableError
from ..frameworks.steps import Established, Initiator
from ..onem2m.carried import CarriedRequest, CarriedResponse
from .carrying_client import CarryingClient
from .http_carried import read_response, write_request
from .http_pool import HttpAnswer, HttpConnection, HttpPool
from .limits import Limits
from .link import Link
from .tcp import SecureTransport, open_transport


def path_component(to: Iterable[str]) -> str:
    """The path component of a request-target or of a Content-Location."""
    return "/" + "/".join(quote(segment, safe="") for segment in to)


class HttpPeer:
    """A peer that is asked over HTTP, however its connections are opened.

    Attributes:
        authority: The host that requests name.
        pool: The connections.
    """

    def __init__(self, authority: str, pool: HttpPool) -> None:
        """Ask by this name, over these connections."""
        self.authority = authority
        self.pool = pool

    async def exchange(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status.

        Args:
            method: ``GET``, ``POST`` …
            target: The path component of the request-target.
            headers: Header fields, each name once; those of host and length are added.
            body: The octets; None for none.

        Raises:
            AnswerTimeoutError: There was no answer within ``request_seconds``.
            ResolverUnavailableError: The peer cannot be reached, or its answer is not HTTP.
            SecurityFrameworkError: As whoever opens a connection says.
        """
        try:
            return await self.pool.exchange(method, target, {"Host": self.authority, **dict(headers)}, body)
        except AnswerTimeoutError as error:
            raise AnswerTimeoutError(f"{self.authority}: {error}") from error
        except HandshakeError:  # which may be one of time, before anything was asked
            raise
        except OSError as error:
            raise ResolverUnavailableError(f"{self.authority}: {error or type(error).__name__}") from error

    async def carry(self, request: CarriedRequest, more: Iterable[tuple[str, str]] = ()) -> CarriedResponse:
        """Send a request primitive as it is, with further header fields, and return the response primitive.

        Raises:
            ResolverUnavailableError: Its answer is no response primitive.
            SecurityFrameworkError: As for ``exchange``.
        """
        message = write_request(request)
        answer = await self.exchange(message.method, message.target, [*message.headers, *more], message.body)
        if answer.body is None:
            raise ResolverUnavailableError(f"{self.authority}: the answer is too long")
        try:
            return read_response(answer.fields, answer.body)
        except MessageError as error:
            raise ResolverUnavailableError(f"{self.authority}: {error}") from None

    async def close(self) -> None:
        """Close the kept connections."""
        await self.pool.close()


class HttpConnections(HttpPeer):
    """HTTP over TLS, over connections that one initiator makes and that are reused."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._link = link
        self._initiator = initiator
        self._established: Established | None = None
        authority = (initiator.server_name and str(initiator.server_name)) or link.address.host
        super().__init__(authority, HttpPool(self._connect, link.limits or Limits()))

    async def _connect(self, connection: HttpConnection) -> None:
        def on_top(transport: SecureTransport) -> HttpConnection:
            self._established = transport.handshake.result()
            return connection

        await open_transport(self._link, self._initiator, on_top)

    async def exchange(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status; see ``HttpPeer``.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or its answer is not HTTP.
        """
        try:
            return await super().exchange(method, target, headers, body)
        except HandshakeError as error:
            raise ResolverUnavailableError(f"{self.authority}: {error}") from error

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established.

        Raises:
            HandshakeError: No connection was made yet.
        """
        if self._established is None:
            raise HandshakeError("no connection was made yet")
        return self._established


class HttpClient(CarryingClient):
    """Sends request primitives over TLS, over connections that one initiator makes and that are reused."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        super().__init__(str(initiator.local), link.limits or Limits())
        self._connections = HttpConnections(link, initiator)

    @property
    def name(self) -> str:
        """The peer, for people."""
        return self._connections.authority

    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes."""
        return await self._connections.carry(request)

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        return self._connections.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._connections.close()

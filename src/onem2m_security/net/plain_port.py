"""HTTP without TLS, within the bounds of all HTTP here: on TCP, or at a Unix socket of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from ..errors import ConfigurationError
from ..tasks import GRACE_SECONDS
from .address import Address
from .http_server import BoundedHttpProtocol, check_bounds, http_config
from .limits import Limits
from .local_address import LocalAddress, UnixSocket, is_loopback
from .stream import StreamPort, StreamTransport


class _Protocol(BoundedHttpProtocol):
    """A connection; until its first request is complete it counts as half-open, and makes room for others."""

    def __init__(self, *args: Any, limits: Limits, port: PlainHttpPort) -> None:  # noqa: ANN401 - handed through
        super().__init__(*args, limits=limits)
        self._port = port

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self.transport.is_closing():
            self._port.half_open.leave(self.transport)


def for_programs(application: ASGIApp, *, hosts: bool = True) -> ASGIApp:
    """The application, for everything but web pages.

    A page that somebody opens in a browser on this machine can send requests to loopback, and by a name of
    its own that leads there it could read the answers too. Browsers say where a page comes from (Origin), and
    by which name it asks (Host).

    Args:
        application: Answers all others.
        hosts: Refuse names that are not those of loopback, too.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        named = [value.decode("latin-1") for name, value in headers if name == b"host"]
        is_of_page = any(name == b"origin" for name, _ in headers)
        if is_of_page or (hosts and not all(is_loopback(_host_of(one)) for one in named)):
            await HttpResponse("this is no place for web pages\n", 403)(scope, receive, send)
            return
        await application(scope, receive, send)

    return answer


def _host_of(authority: str) -> str:
    """The host of a Host header, without port and brackets."""
    host = authority.rpartition("]")[0].removeprefix("[")
    return host or authority.partition(":")[0]


class PlainHttpPort(StreamPort):
    """A port without TLS."""

    def __init__(
        self, application: ASGIApp, *, limits: Limits | None = None, state: Mapping[str, Any] | None = None
    ) -> None:
        """Hand every request to the application.

        Args:
            application: Answers a request.
            limits: Bounds on sizes, time and number.
            state: What the application finds in the state of each request.
        """
        super().__init__(limits or Limits())
        self._state = ServerState()
        self._found = dict(state or {})
        self._config = http_config(application, self._limits)
        self._at: UnixSocket | None = None

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on, or the bounds of HTTP do not hold with the
                uvicorn that is installed.
        """
        check_bounds()
        return await super().start(address)

    async def listen(self, address: LocalAddress) -> LocalAddress:
        """Listen on TCP or at a Unix socket; returns the address in use, and raises as ``start`` does."""
        if isinstance(address, Address):
            return await self.start(address)
        check_bounds()
        bound = address.bind()
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(
                self.accept, sock=bound, backlog=self._limits.backlog
            )
        except OSError as error:
            bound.close()
            raise ConfigurationError(f"cannot listen on {address}: {error.strerror or error}") from error
        self._at = address
        return address

    def accept(self) -> StreamTransport:
        """A transport for the next client."""
        transport = StreamTransport(self._limits, self)
        transport.set_protocol(
            _Protocol(self._config, self._state, self._found, limits=self._limits, port=self)
        )
        return transport

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, and remove the Unix socket; let what is under way finish as ``StreamPort``."""
        at, self._at = self._at, None
        if at is not None:
            at.remove()
        await super().stop(grace=grace)

"""HTTP without TLS, within the bounds of all HTTP here: on TCP, or at a Unix socket of this machine."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp
from uvicorn.server import ServerState

from ..errors import ConfigurationError
from ..tasks import GRACE_SECONDS
from .address import Address
from .http_server import BoundedHttpProtocol, check_bounds, http_config
from .limits import Limits
from .local_address import LocalAddress, UnixSocket
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


class PlainHttpPort(StreamPort):
    """A port without TLS."""

    def __init__(self, application: ASGIApp, *, limits: Limits | None = None) -> None:
        """Hand every request to the application.

        Args:
            application: Answers a request.
            limits: Bounds on sizes, time and number.
        """
        super().__init__(limits or Limits())
        self._state = ServerState()
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
        transport.set_protocol(_Protocol(self._config, self._state, {}, limits=self._limits, port=self))
        return transport

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, and remove the Unix socket; let what is under way finish as ``StreamPort``."""
        at, self._at = self._at, None
        if at is not None:
            at.remove()
        await super().stop(grace=grace)

"""HTTP without TLS, within the bounds of all HTTP here: on TCP, or at a Unix socket of this machine."""

from __future__ import annotations

import abc
import asyncio
from functools import partial

from ..errors import ConfigurationError
from ..tasks import GRACE_SECONDS
from ..telemetry import LOG
from .address import Address
from .http_messages import Answer, HttpRequest, HttpResponse
from .http_server import HttpProtocol
from .http_trial import check_bounds
from .limits import Limits
from .local_address import LocalAddress, UnixSocket, is_loopback
from .stream import StreamPort, StreamTransport


def for_programs(answer: Answer, *, hosts: bool = True) -> Answer:
    """The same, for everything but web pages.

    A page that somebody opens in a browser on this machine can send requests to loopback, and by a name of
    its own that leads there it could read the answers too. Browsers say where a page comes from (Origin), and
    by which name it asks (Host).

    Args:
        answer: Answers all others.
        hosts: Refuse names that are not those of loopback, too.
    """

    async def answer_programs(request: HttpRequest) -> HttpResponse:
        is_of_page = bool(request.all_of(b"origin"))
        if is_of_page or (hosts and not all(is_loopback(_host_of(one)) for one in request.all_of(b"host"))):
            headers = (("Content-Type", "text/plain"),)
            return HttpResponse(403, headers, b"this is no place for web pages\n")
        return await answer(request)

    return answer_programs


def _host_of(authority: str) -> str:
    """The host of a Host header, without port and brackets."""
    host = authority.rpartition("]")[0].removeprefix("[")
    return host or authority.partition(":")[0]


class PlainPort(StreamPort):
    """A port without TLS."""

    def __init__(self, limits: Limits) -> None:
        """A port with these bounds on sizes, time and number."""
        super().__init__(limits)
        self._at: UnixSocket | None = None

    @abc.abstractmethod
    async def answer(self, connection: StreamTransport, request: HttpRequest) -> HttpResponse:
        """Answer a request that came over this connection."""

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on, or the bounds of HTTP do not hold with the
                httptools that is installed.
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
        answer = partial(self._counted, transport)
        transport.set_protocol(
            HttpProtocol(answer, self._limits, lambda work: self.tasks.start(work, _failed))
        )
        return transport

    async def _counted(self, connection: StreamTransport, request: HttpRequest) -> HttpResponse:
        """Answer a client, which counts as half-open until its first request is complete."""
        if request.body is not None:
            self.half_open.leave(connection)
        return await self.answer(connection, request)

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, and remove the Unix socket; let what is under way finish as ``StreamPort``."""
        at, self._at = self._at, None
        if at is not None:
            at.remove()
        await super().stop(grace=grace)


class PlainHttpPort(PlainPort):
    """One where everybody is answered alike."""

    def __init__(self, answer: Answer, *, limits: Limits | None = None) -> None:
        """Hand every request to whom answers it.

        Args:
            answer: Answers a request.
            limits: Bounds on sizes, time and number.
        """
        super().__init__(limits or Limits())
        self._answer = answer

    async def answer(self, connection: StreamTransport, request: HttpRequest) -> HttpResponse:
        """Answer a request, whoever asks."""
        del connection
        return await self._answer(request)


def _failed(error: BaseException) -> None:
    LOG.error("a connection without TLS failed", error=repr(error))

"""HTTP on the asking side: requests over a bounded pool of connections to one peer, however it is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpcore

from ..errors import AnswerTimeoutError, HandshakeError, ResolverUnavailableError
from .channel import Channel
from .limits import Limits, at_most

MAX_CONNECTIONS: Final = 8
"""Of one pool, in use or kept, unless it is said: more make httpcore's pool slower, not faster."""


class _Stream(httpcore.AsyncNetworkStream):
    """A channel as httpcore wants it."""

    def __init__(self, channel: Channel, serves: Callable[[Channel], bool]) -> None:
        self._channel = channel
        self._serves = serves

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                return await self._channel.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                await self._channel.write(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._channel.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        """A kept connection that is readable is over to httpcore, and gets no further request."""
        return (self._channel.closing or not self._serves(self._channel)) if info == "is_readable" else None


class ChannelBackend(httpcore.AsyncNetworkBackend):
    """Opens secured connections to one peer, whatever host httpcore names."""

    def __init__(
        self,
        open_channel: Callable[[], Awaitable[Channel]],
        serves: Callable[[Channel], bool] = lambda _: True,
    ) -> None:
        """Open them so.

        Args:
            open_channel: Opens one; what it raises is raised to whoever asks.
            serves: Whether a kept one may take a further request.
        """
        self._open_channel = open_channel
        self._serves = serves

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open one."""
        del host, port, timeout, local_address, socket_options
        return _Stream(await self._open_channel(), self._serves)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a peer answered.

    Attributes:
        status: The HTTP status code.
        fields: The header fields, as they came.
        body: The octets; None when there were more than ``body_octets``.
    """

    status: int
    fields: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, by name in lower case; of several with one name the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.fields}


class HttpPool:
    """HTTP over connections that are reused.

    Attributes:
        authority: The host that requests name.
    """

    def __init__(
        self,
        authority: str,
        backend: httpcore.AsyncNetworkBackend,
        limits: Limits,
        *,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        """A pool without a connection yet.

        Args:
            authority: The host that requests name.
            backend: Opens connections.
            limits: Bounds on time and size.
            connections: How many there are at most, in use or kept.
        """
        self.authority = authority
        self._limits = limits
        # The pool looks through all that wait for it at every step: let them wait here.
        self._places = asyncio.Semaphore(connections)
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=min(60.0, limits.idle_seconds / 2),
            network_backend=backend,
        )

    async def exchange(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status.

        Args:
            method: ``GET``, ``POST`` …
            target: The path component of the request-target.
            headers: Header fields; those of host and length are added.
            body: The octets; None for none.

        Raises:
            AnswerTimeoutError: There was no answer within ``request_seconds``.
            ResolverUnavailableError: The peer cannot be reached, or its answer is not HTTP.
            SecurityFrameworkError: As whoever opens a connection says.
        """
        sent = [(name.encode("ascii"), value.encode()) for name, value in headers]
        sent.insert(0, (b"Host", self.authority.encode("ascii")))
        if body is not None:
            sent.append((b"Content-Length", str(len(body)).encode()))
        host = self.authority.encode("ascii")
        url = httpcore.URL(scheme=b"http", host=host, port=None, target=target.encode("ascii"))
        seconds = self._limits.request_seconds
        timeouts = {"pool": seconds, "connect": seconds, "read": seconds, "write": seconds}
        try:
            async with (
                asyncio.timeout(seconds),
                self._places,
                self._pool.stream(
                    method, url, headers=sent, content=body, extensions={"timeout": timeouts}
                ) as answer,
            ):
                whole = await at_most(self._limits.body_octets, answer.aiter_stream())
                return HttpAnswer(answer.status, answer.headers, whole)
        except HandshakeError:  # which may be one of time, before anything was asked
            raise
        except (TimeoutError, httpcore.TimeoutException) as error:
            message = f"{self.authority}: no answer within {seconds:g} s"
            raise AnswerTimeoutError(message) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise ResolverUnavailableError(f"{self.authority}: {error or type(error).__name__}") from error

    async def close(self) -> None:
        """Close the kept connections."""
        await self._pool.aclose()

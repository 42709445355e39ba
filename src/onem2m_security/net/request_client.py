"""Who asks: request primitives to one peer, whatever carries them."""

from __future__ import annotations

import abc
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..frameworks.steps import Established
from ..onem2m.primitives import Operation, Response


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request primitive says, but for From, which the credential of the session decides.

    Attributes:
        operation: What to do.
        to: The segments of the resource's path.
        content: The Content parameter, as JSON values; it may hold keys.
        resource_type: For CREATE: the type of the resource.
        request_id: The Request Identifier: 16 digits that nobody can guess.
    """

    operation: Operation
    to: tuple[str, ...]
    content: Mapping[str, Any] | None = field(default=None, repr=False)
    resource_type: int | None = None
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))


class RequestClient(abc.ABC):
    """Sends request primitives to one peer, over connections that are opened when needed and then kept."""

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
        return await self.send(Asked(operation, tuple(to), content, resource_type))

    @abc.abstractmethod
    async def send(self, asked: Asked) -> Response:
        """The same, with what is asked as one value."""

    @property
    @abc.abstractmethod
    def established(self) -> Established:
        """What the newest connection's handshake established.

        Raises:
            HandshakeError: No connection was made yet.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Close the kept connections."""

"""Who asks with carried primitives: what has a content of JSON values is turned into one."""

from __future__ import annotations

import abc

from ..errors import MessageError, ResolverUnavailableError
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import Response
from .binding import carried_of, response_of
from .limits import Limits
from .request_client import Asked, RequestClient


class CarryingClient(RequestClient):
    """Sends request primitives to one peer, whatever their content."""

    def __init__(self, originator: str, limits: Limits) -> None:
        self._originator = originator
        self._limits = limits

    async def send(self, asked: Asked) -> Response:
        """Send a request primitive and return the response primitive, whatever its status."""
        answer = await self.carry(carried_of(asked, self._originator))
        try:
            return response_of(answer, self._limits)
        except MessageError as error:
            raise ResolverUnavailableError(f"{self.name}: {error}") from None

    @abc.abstractmethod
    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or its answer is no response primitive.
            RefusedError: The binding cannot carry what the request says.
        """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The peer, and where it is, for people."""

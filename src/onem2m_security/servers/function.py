"""What MAF, MEF and BSF have in common: a request comes in over an authenticated session and is answered.

Deny by default: the originator must be the authenticated client, and a path without a route is not found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import MessageError, StoreError
from ..frameworks.steps import Acceptor, Established
from ..identifiers import Fqdn
from ..net.plain import PlainHandler
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from ..onem2m.resources import FunctionBase, Resource
from ..telemetry import LOG, REQUESTS

Handler = Callable[[Request, Established], Awaitable[Response]]
Route = tuple[Operation, tuple[str, ...], int]
"""Operation, the fixed segments of the path, and how many segments follow them."""


_Asked = TypeVar("_Asked", bound=Resource)


class Function:
    """A function that answers requests; subclasses fill ``routes``.

    Attributes:
        fqdn: The function's FQDN, its identity.
        acceptor: How clients are accepted.
        routes: What is answered.
        well_known: What is answered over HTTP beside it, by the name of a well-known URI (RFC 8615).
    """

    acceptor: Acceptor

    def __init__(self, fqdn: Fqdn) -> None:
        self.fqdn = fqdn
        self.routes: dict[Route, Handler] = {}
        self.well_known: dict[str, PlainHandler] = {}

    async def stop(self) -> None:
        """End what it does beside answering, such as asking others; its ports have stopped before."""

    async def handle(self, request: Request, established: Established) -> Response:
        """Answer a request that came over this session; errors become response primitives."""
        try:
            response = await self._dispatch(request, established)
        except RefusedError as refused:
            response = refused.response
            LOG.info(
                "request refused",
                local=str(self.fqdn),
                peer=str(established.association.peer),
                rsc=int(refused.rsc),
                reason=str(refused),
            )
        except StoreError as error:
            LOG.error("request failed", local=str(self.fqdn), error=str(error))
            response = RefusedError(
                Rsc.INTERNAL_SERVER_ERROR, "the request could not be carried out"
            ).response
        REQUESTS.labels(str(self.fqdn), int(response.rsc)).inc()
        return response

    async def _dispatch(self, request: Request, established: Established) -> Response:
        peer = established.association.peer
        if peer is None or request.originator != peer.text:
            raise RefusedError(
                Rsc.ORIGINATOR_NOT_AUTHENTICATED,
                "the originator is not the entity that authenticated this session",
            )
        here = {route[0]: handler for route, handler in self.routes.items() if _leads_to(route, request.to)}
        if not here:
            raise RefusedError(Rsc.NOT_FOUND, "nothing is found here")
        if request.operation is Operation.NOTIFY and Operation.CREATE in here:
            raise RefusedError(Rsc.BAD_REQUEST, "the Resource Type (ty) is missing")
        if request.operation not in here:
            raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "this operation is not offered here")
        return await here[request.operation](request, established)


def _leads_to(route: Route, path: tuple[str, ...]) -> bool:
    _, fixed, free = route
    return path[: len(fixed)] == fixed and len(path) == len(fixed) + free


def base_routes(base: FunctionBase) -> dict[Route, Handler]:
    """What is answered to those who ask where and what a function is."""

    async def retrieve(request: Request, established: Established) -> Response:
        del request, established
        return Response(Rsc.OK, base.encode())

    return {(Operation.RETRIEVE, base.path, 0): retrieve}


def asked_of(request: Request, resource: type[_Asked]) -> _Asked:
    """What a request's Content asks for.

    Raises:
        RefusedError: BAD_REQUEST, naming the attribute and what is expected of it; or a CREATE of another
            Resource Type.
    """
    if request.operation is Operation.CREATE and request.resource_type != resource.resource_type:
        raise RefusedError(Rsc.BAD_REQUEST, f"the Resource Type (ty) here is {resource.resource_type}")
    try:
        return resource.decode_request(request.content)
    except MessageError as error:
        raise RefusedError(Rsc.BAD_REQUEST, str(error)) from None

"""The registrar's door: what comes over an association goes to the CSE behind us, if it may."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Final

from ..association import Association
from ..clock import CLOCK, Clock
from ..errors import AnswerTimeoutError, MessageError, ResolverUnavailableError
from ..frameworks.steps import Established
from ..net.binding import RELEASE_VERSION
from ..onem2m.carried import CarriedRequest, CarriedResponse, to_of
from ..onem2m.primitives import Operation, RefusedError, Rsc
from ..telemetry import CARRIED, LOG
from .assigned import CreatedAe, read_created_ae
from .bound import BoundAeIds
from .places import Places
from .registrar import Admitted, Registrar
from .upstream import Upstream

_FAILED: Final = RefusedError(Rsc.INTERNAL_SERVER_ERROR, "the request could not be carried out")
_NOT_REACHED: Final = RefusedError(Rsc.TARGET_NOT_REACHABLE, "the CSE cannot be reached")
_TOO_LATE: Final = RefusedError(Rsc.REQUEST_TIMEOUT, "the CSE gave no answer in time")
_KNOWN: Final = frozenset(Rsc)


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind the door.

    Attributes:
        upstream: Asks the CSE.
        places: How many requests are under way there.
        bound: Whose the AE-IDs are that it has assigned.
        tells: Whether it is told what the association has proven, in header fields of HTTP.
    """

    upstream: Upstream
    places: Places
    bound: BoundAeIds
    tells: bool = False


class Door:
    """Carries requests to a CSE and its answers back."""

    def __init__(self, registrar: Registrar, behind: Behind, *, clock: Clock = CLOCK) -> None:
        """Stand in front of it.

        Args:
            registrar: Decides what may pass.
            behind: What is behind.
            clock: What tells in the access log how long a request took.
        """
        self._registrar = registrar
        self._behind = behind
        self._clock = clock
        self._is_reached = True

    async def handle(self, request: CarriedRequest, established: Established) -> CarriedResponse:
        """Answer a request that came over this session; errors become response primitives."""
        begun = self._clock.monotonic()
        try:
            response = await self._answer(request, established)
        except RefusedError as refused:
            response = self._refusal(request, refused)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's affair and no other's
            LOG.error("a request was not carried", peer=established.holder, error=repr(error))
            response = self._refusal(request, _FAILED)
        self._note(request, response, established.holder, self._clock.monotonic() - begun)
        return response

    async def _answer(self, request: CarriedRequest, established: Established) -> CarriedResponse:
        association = established.association
        admitted = self._registrar.admit(request, association)
        async with self._behind.places.place(established.holder):
            response = await self._ask(request, association)
            if admitted is Admitted.ASSIGNS and response.rsc == Rsc.CREATED:
                await self._assigned(request, response, association)
            return response

    async def _ask(self, request: CarriedRequest, association: Association) -> CarriedResponse:
        vouched = vouched_for(association) if self._behind.tells else ()
        try:
            response = await self._behind.upstream.carry(request, vouched)
        except AnswerTimeoutError as error:
            self._not_reached(error)
            raise _TOO_LATE from None
        except ResolverUnavailableError as error:
            self._not_reached(error)
            raise _NOT_REACHED from None
        if response.request_id not in {"", request.request_id}:
            self._not_reached(MessageError("the answer is to another request"))
            raise _NOT_REACHED
        if not self._is_reached:
            LOG.warning("the CSE answers again", cse=str(self._registrar.local))
            self._is_reached = True
        return replace(response, request_id=request.request_id)

    def _not_reached(self, error: Exception) -> None:
        if self._is_reached:
            LOG.warning("the CSE cannot be asked", cse=str(self._registrar.local), error=str(error))
        self._is_reached = False

    # --- registrations --------------------------------------------------------------------------------------

    async def _assigned(
        self, request: CarriedRequest, response: CarriedResponse, association: Association
    ) -> None:
        """Make the AE-ID that was assigned the association's own, before the AE hears of it."""
        created = None
        try:
            created = read_created_ae(response)
            assignment = self._registrar.assigned(request, created, association)
            if assignment is not None:
                await self._behind.bound.bind(assignment.credential_id, assignment.ae_id)
                LOG.info("AE-ID bound", ae_id=str(assignment.ae_id), credential=str(assignment.credential_id))
        except MessageError as error:
            raise RefusedError(Rsc.INTERNAL_SERVER_ERROR, str(error)) from None
        except (RefusedError, OSError) as error:
            LOG.warning("a registration is undone", reason=str(error), cse=str(self._registrar.local))
            if created is not None and created.resource_id:
                await self._undo(request, created, association)
            raise

    async def _undo(self, request: CarriedRequest, created: CreatedAe, association: Association) -> None:
        """Delete an AE that its originator will not hear of, in its own name."""
        undoing = CarriedRequest(
            Operation.DELETE,
            to_of(created.resource_id.lstrip("/").split("/")),
            secrets.token_hex(8),
            originator=str(created.ae_id),
            release_version=request.release_version,
        )
        undone = await self._ask(undoing, association)
        if undone.rsc != Rsc.DELETED:
            LOG.warning("an AE is left over", resource=created.resource_id, rsc=int(undone.rsc))

    # --- what is told ---------------------------------------------------------------------------------------

    def _refusal(self, request: CarriedRequest, refused: RefusedError) -> CarriedResponse:
        release_version = request.release_version or RELEASE_VERSION
        return CarriedResponse.refusal(refused, request.request_id, release_version)

    def _note(self, request: CarriedRequest, response: CarriedResponse, peer: str, seconds: float) -> None:
        """The access log, without any content, and the counter."""
        CARRIED.labels(
            str(self._registrar.local), str(int(response.rsc)) if response.rsc in _KNOWN else "other"
        ).inc()
        LOG.info(
            "request",
            peer=peer,
            originator=request.originator,
            operation=request.operation.name,
            to=request.to,
            ty=request.resource_type,
            rsc=int(response.rsc),
            octets_in=len(request.content),
            octets_out=len(response.content),
            seconds=round(seconds, 6),
        )

    async def close(self) -> None:
        """Nothing more is carried."""
        await self._behind.upstream.close()
        self._behind.bound.close()


def vouched_for(association: Association) -> list[tuple[str, str]]:
    """What an association has proven, in header fields that no client can set (OURS)."""
    ends = "" if association.expires is None else association.expires.isoformat()
    said = {
        "X-Association-Peer": "" if association.peer is None else str(association.peer),
        "X-Association-Credential-ID": str(association.credential_id or ""),
        "X-Association-Framework": association.framework.value,
        "X-Association-Expires": ends,
    }
    return [(name, value) for name, value in said.items() if value]

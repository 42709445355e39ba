"""The registrar's check (TS-0003 clause 7.2.1, TS-0004 clause 7.3.2.1), without I/O.

Whoever stands in front of a CSE knows by its association who asks, and lets nobody speak for another. What
comes over HTTP, CoAP, WebSocket or MQTT is the same here: a request primitive and an association.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from ..association import Association
from ..errors import IdentifierError
from ..identifiers import CredentialId, EntityId
from ..onem2m.carried import ABSOLUTE, SP_RELATIVE, CarriedRequest, segments_of
from ..onem2m.primitives import Operation, RefusedError, Rsc
from .assigned import CreatedAe
from .bound import BoundAeIds

AE_TYPE: Final = 2
"""The Resource Type of <AE>."""
_TO_BE_ASSIGNED: Final = frozenset({"", "C", "S"})
"""From of an AE that has no AE-ID yet (TS-0001 clause 10.2.2.2)."""
_SHOWS_ATTRIBUTES: Final = frozenset({"1", "3", "9"})
"""Result Content with which the answer to a CREATE has the attributes that the CSE assigned."""
_BLOCKING: Final = "3"
_WHOLE_REQUEST: Final = re.compile(r"[.-]preq\b", re.IGNORECASE)
"""In a media type: the content is a request primitive (TS-0004 clause 6.7), with a From of its own."""

_NOT_YOURS: Final = "the originator is not the entity that authenticated this session"


class Admitted(enum.Enum):
    """What is to be done with the answer to a request that may pass."""

    AS_IT_IS = "as it is"
    """It is passed on."""
    ASSIGNS = "assigns"
    """It assigns an AE-ID, which ``assigned`` looks at first."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """An AE-ID that is this credential's from now on.

    Attributes:
        credential_id: Whose it is.
        ae_id: The AE-ID, in its longest form.
    """

    credential_id: CredentialId
    ae_id: EntityId


class Registrar:
    """Decides which requests a CSE may see, and whose an AE-ID is that it assigns.

    Attributes:
        local: Our CSE-ID.
    """

    def __init__(
        self,
        local: EntityId,
        bound: BoundAeIds,
        *,
        registrees: Collection[EntityId] = (),
        is_others: Callable[[EntityId], bool] = lambda _: False,
    ) -> None:
        """Stand in front of this CSE.

        Args:
            local: Its CSE-ID.
            bound: Whose the AE-IDs are that it has assigned.
            registrees: CSEs that are known to be registered here: none may speak for another.
            is_others: Whether an AE-ID, in its longest form, is known as that of a peer that proves it.
        """
        self.local = local
        self._bound = bound
        self._registrees = frozenset(str(cse.seen_from(local)) for cse in registrees)
        self._is_others = is_others

    def admit(self, request: CarriedRequest, association: Association) -> Admitted:
        """Whether the CSE may see this request.

        Raises:
            RefusedError: ORIGINATOR_NOT_AUTHENTICATED: the association does not prove who From says;
                BAD_REQUEST for a registration whose answer would not say which AE-ID it assigns;
                UNSUPPORTED_MEDIA_TYPE for a content that is a request primitive with a From of its own.
        """
        if _WHOLE_REQUEST.search(request.content_type):
            raise RefusedError(
                Rsc.UNSUPPORTED_MEDIA_TYPE, "a request primitive inside another is not carried"
            )
        if association.is_with_cse:
            self._require_forwarded(request.originator, association)
            return Admitted.AS_IT_IS
        if self._is_registration(request):
            return self._registration(request, association)
        if not self._is_proven(request.originator, association):
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)
        return Admitted.AS_IT_IS

    def assigned(
        self, request: CarriedRequest, created: CreatedAe | None, association: Association
    ) -> Assignment | None:
        """What the answer to a registration means for the association; None for nothing new.

        Args:
            request: The registration.
            created: What the CSE's answer says of the AE that it created; None when it does not say it.
            association: On which the registration came.

        Raises:
            RefusedError: ORIGINATOR_NOT_AUTHENTICATED: the CSE assigned an AE-ID that is not this entity's;
                INTERNAL_SERVER_ERROR: nobody can say which one.
        """
        ae_id = _entity(request.originator) if created is None else created.ae_id
        if ae_id is None or (request.originator in _TO_BE_ASSIGNED and created is None):
            raise RefusedError(Rsc.INTERNAL_SERVER_ERROR, "the CSE did not say which AE-ID it assigned")
        if association.ae_ids:
            if not association.authenticates(str(ae_id)):
                own = " or ".join(str(one) for one in association.ae_ids[:4])
                raise RefusedError(
                    Rsc.ORIGINATOR_NOT_AUTHENTICATED,
                    f"the CSE assigned an AE-ID that is not of this association: register as {own}",
                )
            return None
        if association.credential_id is None:
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)
        return Assignment(association.credential_id, ae_id.seen_from(self.local))

    # --- CSEs ---------------------------------------------------------------------------------------------

    def _require_forwarded(self, originator: str, association: Association) -> None:
        """A CSE passes on what others say, but not what only we could hear from them (TS-0004 7.3.2.1)."""
        said = _entity(originator)
        if said is None or originator.startswith("C"):
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)
        seen = said.seen_from(self.local)
        if self._bound.holder_of(seen) is not None:
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)
        own = None if association.peer is None else str(association.peer.seen_from(self.local))
        whole = str(seen)
        others = (self._registrees | {str(self.local)}) - {own}
        if any(whole == other or whole.startswith(f"{other}/") for other in others):
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)

    # --- AEs ----------------------------------------------------------------------------------------------

    def _is_registration(self, request: CarriedRequest) -> bool:
        is_create = request.operation is Operation.CREATE and request.resource_type == AE_TYPE
        return is_create and self._is_here(request.to)

    def _is_here(self, to: str) -> bool:
        """Whether a resource is the CSE's own; one that is elsewhere is created by whom From says already."""
        first, *rest = segments_of(to)
        if first == SP_RELATIVE:
            return rest[:1] == [str(self.local).rpartition("/")[2]]
        if first == ABSOLUTE:
            return "//" + "/".join(rest[:2]) == str(self.local)
        return True

    def _registration(self, request: CarriedRequest, association: Association) -> Admitted:
        if request.originator not in _TO_BE_ASSIGNED:
            if self._is_proven(request.originator, association):
                return Admitted.ASSIGNS
            self._require_free(request.originator, association)
        self._require_a_telling_answer(request)
        return Admitted.ASSIGNS

    def _require_free(self, originator: str, association: Association) -> None:
        """An entity of which only the credential is known may choose an AE-ID that is nobody's."""
        said = _entity(originator)
        if association.ae_ids or association.credential_id is None or said is None:
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)
        whole = said.seen_from(self.local)
        is_an_ae_here = str(whole).rpartition("/")[0] == str(self.local) or originator.startswith("S")
        if not is_an_ae_here or self._is_others(whole) or self._bound.holder_of(whole) is not None:
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _NOT_YOURS)

    def _require_a_telling_answer(self, request: CarriedRequest) -> None:
        wanted = dict.fromkeys(("rcn", "rt"), "")
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            if name in wanted:
                if wanted[name]:
                    raise RefusedError(Rsc.BAD_REQUEST, f"the parameter {name} is there twice")
                wanted[name] = value
        if wanted["rcn"] not in {"", *_SHOWS_ATTRIBUTES} or wanted["rt"] not in {"", _BLOCKING}:
            raise RefusedError(
                Rsc.BAD_REQUEST,
                "the answer to this registration must say which AE-ID is assigned: rcn=1, 3 or 9, and rt=3",
            )

    def _is_proven(self, originator: str, association: Association) -> bool:
        if association.ae_ids:
            return association.authenticates(originator)
        said = _entity(originator)
        if said is None or association.credential_id is None:
            return False
        return self._bound.holder_of(said.seen_from(self.local)) == association.credential_id


def _entity(originator: str) -> EntityId | None:
    """Who From says, if it says it in canonical form: another form a CSE could read as somebody else."""
    try:
        said = EntityId.parse(originator)
    except IdentifierError:
        return None
    return said if said.text == originator else None

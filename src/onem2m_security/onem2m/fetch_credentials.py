"""The answer to ``GET /fetchCredentials/<KeID>/<SUID>``, as JSON (TS-0003 tables 8.3.2.1-5 and 8.3.2.1-6).

The parameter names are the standard's; it leaves their form open, so these are OURS: Status is true or false,
Credential is base64, Lifetime is the number of whole seconds that the key may still be used. USS, which the
tables do not have and clause 8.3.1.2 asks for, is OURS altogether, and there only where there are some.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self

from ..credentials import Secret
from ..errors import CredentialError, IdentifierError, MessageError
from ..identifiers import EntityId
from ..keys import DERIVED_KEY_OCTETS
from ..user_settings import Uss, as_list, of_list

MAX_LIFETIME: Final = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class FetchedCredential:
    """What an MEF tells an Enrolment Target.

    Attributes:
        credential: Km or Kpsa, 32 octets.
        enrolee: Enrolee-ID: whom it authenticates.
        lifetime: How long it may be used, from the moment of the request; whole seconds, at least one.
        uss: User security settings: what else the MEF says of the Enrolee.
    """

    credential: Secret = field(repr=False)
    enrolee: EntityId
    lifetime: timedelta
    uss: tuple[Uss, ...] = ()

    def encode(self) -> dict[str, Any]:
        """Table 8.3.2.1-5."""
        return {
            "Status": True,
            "Credential": base64.b64encode(self.credential.reveal()).decode("ascii"),
            "EnroleeID": str(self.enrolee),
            "Lifetime": int(self.lifetime.total_seconds()),
        } | ({"USS": as_list(self.uss)} if self.uss else {})

    @classmethod
    def decode(cls, content: object) -> Self | None:
        """Read an MEF's answer; None for a refusal.

        Raises:
            MessageError: It is neither of the two; the message names the parameter and shows no value.
        """
        if not isinstance(content, dict) or not isinstance(content.get("Status"), bool):
            raise MessageError("Status is missing: it is no answer to fetchCredentials")
        if not content["Status"]:
            return None
        return cls(
            _credential(content.get("Credential")),
            _enrolee(content.get("EnroleeID")),
            _lifetime(content.get("Lifetime")),
            _uss(content.get("USS", [])),
        )


REFUSAL: Final[Mapping[str, Any]] = {
    "Status": False,
    "ErrorString": "no credential for this target, usage and KeID",
}
"""Table 8.3.2.1-6: the one answer for a KeID that is unknown, has expired, or is not for the originator."""


def _credential(value: object) -> Secret:
    try:
        if isinstance(value, str) and len(value) <= 2 * DERIVED_KEY_OCTETS:
            key = Secret(base64.b64decode(value, validate=True))
            if len(key) == DERIVED_KEY_OCTETS:
                return key
    except (CredentialError, binascii.Error, ValueError):
        pass
    raise MessageError(f"Credential is not base64 of {DERIVED_KEY_OCTETS} octets") from None


def _enrolee(value: object) -> EntityId:
    try:
        if isinstance(value, str):
            return EntityId.parse(value)
    except IdentifierError:
        pass
    raise MessageError("EnroleeID is not a CSE-ID or AE-ID") from None


def _uss(value: object) -> tuple[Uss, ...]:
    try:
        return of_list(value)
    except ValueError as error:
        raise MessageError(f"USS: {error}") from None


def _lifetime(value: object) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_LIFETIME.total_seconds():
        return timedelta(seconds=value)
    raise MessageError("Lifetime is not a positive number of seconds")

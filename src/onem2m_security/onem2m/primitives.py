"""oneM2M request and response primitives, as far as a MAF, MEF or BSF needs them (TS-0004 clause 6.4).

The bindings (HTTP: TS-0009, CoAP: TS-0008) turn octets into these and back; the functions know nothing else.
"""

from __future__ import annotations

import contextlib
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ..errors import MessageError, SecurityFrameworkError


class Operation(enum.IntEnum):
    """TS-0004 clause 6.3.4.2.5, m2m:operation."""

    CREATE = 1
    RETRIEVE = 2
    UPDATE = 3
    DELETE = 4
    NOTIFY = 5


class Rsc(enum.IntEnum):
    """Response Status Codes (TS-0004 clause 6.6.3) that are used here."""

    OK = 2000
    CREATED = 2001
    DELETED = 2002
    UPDATED = 2004
    BAD_REQUEST = 4000
    NOT_FOUND = 4004
    OPERATION_NOT_ALLOWED = 4005
    UNSUPPORTED_MEDIA_TYPE = 4015
    TOO_MANY_REQUESTS = 4029
    """OURS: TS-0004 has none. Like its 4000 to 4015 it ends in the digits of the HTTP status (429)."""
    CONTENTS_UNACCEPTABLE = 4102
    ORIGINATOR_HAS_NO_PRIVILEGE = 4103
    CONFLICT = 4105
    ORIGINATOR_NOT_AUTHENTICATED = 4106
    INTERNAL_SERVER_ERROR = 5000
    TARGET_NOT_REACHABLE = 5103
    NOT_ACCEPTABLE = 5207


@dataclass(frozen=True, slots=True)
class Request:
    """A request primitive.

    Attributes:
        operation: What to do.
        to: The resource, as a path below the authority, split at ``/``.
        originator: The From parameter.
        request_id: The Request Identifier.
        content: The Content parameter, as JSON values; it may hold keys.
        resource_type: The Resource Type parameter (``ty``), which a CREATE has and no other request.
    """

    operation: Operation
    to: tuple[str, ...]
    originator: str
    request_id: str
    content: Any = field(default=None, repr=False)
    resource_type: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A response primitive.

    Attributes:
        rsc: The Response Status Code.
        content: The Content parameter, as JSON values; it may hold keys.
        created: Where the resource is that a CREATE made, as a path; None in every other answer.
    """

    rsc: Rsc
    content: Mapping[str, Any] | None = field(default=None, repr=False)
    created: tuple[str, ...] | None = None


class RefusedError(SecurityFrameworkError):
    """A request is answered with an error; the text goes to the originator and tells nothing of internals."""

    def __init__(self, rsc: Rsc, message: str) -> None:
        super().__init__(message)
        self.rsc = rsc

    @property
    def response(self) -> Response:
        """The response primitive: debug text as TS-0004 has it in ``m2m:dbg``."""
        return Response(self.rsc, {"m2m:dbg": str(self)})


_TIMESTAMP: Final = re.compile(r"(\d{8}T\d{6})(,\d{1,8})?Z?", re.ASCII)


def timestamp(moment: datetime) -> str:
    """m2m:timestamp: basic ISO 8601 in UTC, whole seconds (TS-0004 clause 6.3.3)."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S")


def parse_timestamp(text: object) -> datetime:
    """Parse m2m:timestamp (or m2m:absRelTimestamp in its absolute form); fractions of a second are dropped.

    Raises:
        MessageError: It is none.
    """
    found = _TIMESTAMP.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        with contextlib.suppress(ValueError):
            return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    raise MessageError("a timestamp of the form 20261231T235959 is expected")

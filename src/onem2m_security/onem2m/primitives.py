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
    """Response Status Codes (TS-0004 clause 6.6.3), all of them."""

    ACCEPTED = 1000
    ACCEPTED_NON_BLOCKING_REQUEST_SYNCH = 1001
    ACCEPTED_NON_BLOCKING_REQUEST_ASYNCH = 1002
    OK = 2000
    CREATED = 2001
    DELETED = 2002
    UPDATED = 2004
    BAD_REQUEST = 4000
    RELEASE_VERSION_NOT_SUPPORTED = 4001
    NOT_FOUND = 4004
    OPERATION_NOT_ALLOWED = 4005
    REQUEST_TIMEOUT = 4008
    UNSUPPORTED_MEDIA_TYPE = 4015
    TOO_MANY_REQUESTS = 4029
    """OURS: TS-0004 has none. Like its 4000 to 4015 it ends in the digits of the HTTP status (429)."""
    SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE = 4101
    CONTENTS_UNACCEPTABLE = 4102
    ORIGINATOR_HAS_NO_PRIVILEGE = 4103
    GROUP_REQUEST_IDENTIFIER_EXISTS = 4104
    CONFLICT = 4105
    ORIGINATOR_NOT_AUTHENTICATED = 4106
    SECURITY_ASSOCIATION_REQUIRED = 4107
    INVALID_CHILD_RESOURCE_TYPE = 4108
    NO_MEMBERS = 4109
    GROUP_MEMBER_TYPE_INCONSISTENT = 4110
    ESPRIM_UNSUPPORTED_OPTION = 4111
    ESPRIM_UNKNOWN_KEY_ID = 4112
    ESPRIM_UNKNOWN_ORIG_RAND_ID = 4113
    ESPRIM_UNKNOWN_RECV_RAND_ID = 4114
    ESPRIM_BAD_MAC = 4115
    ESPRIM_IMPERSONATION_ERROR = 4116
    ORIGINATOR_HAS_ALREADY_REGISTERED = 4117
    ONTOLOGY_NOT_AVAILABLE = 4118
    LINKED_SEMANTICS_NOT_AVAILABLE = 4119
    INVALID_SEMANTICS = 4120
    MASHUP_MEMBER_NOT_FOUND = 4121
    INVALID_TRIGGER_PURPOSE = 4122
    ILLEGAL_TRANSACTION_STATE_TRANSITION_ATTEMPTED = 4123
    BLOCKING_SUBSCRIPTION_ALREADY_EXISTS = 4124
    SPECIALIZATION_SCHEMA_NOT_FOUND = 4125
    APP_RULE_VALIDATION_FAILED = 4126
    OPERATION_DENIED_BY_REMOTE_ENTITY = 4127
    SERVICE_SUBSCRIPTION_NOT_ESTABLISHED = 4128
    INVALID_SPARQL_QUERY = 4143
    INTERNAL_SERVER_ERROR = 5000
    NOT_IMPLEMENTED = 5001
    TARGET_NOT_REACHABLE = 5103
    RECEIVER_HAS_NO_PRIVILEGE = 5105
    ALREADY_EXISTS = 5106
    REMOTE_ENTITY_NOT_REACHABLE = 5107
    TARGET_NOT_SUBSCRIBABLE = 5203
    SUBSCRIPTION_VERIFICATION_INITIATION_FAILED = 5204
    SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE = 5205
    NON_BLOCKING_SYNCH_REQUEST_NOT_SUPPORTED = 5206
    NOT_ACCEPTABLE = 5207
    DISCOVERY_DENIED_BY_IPE = 5208
    GROUP_MEMBERS_NOT_RESPONDED = 5209
    ESPRIM_DECRYPTION_ERROR = 5210
    ESPRIM_ENCRYPTION_ERROR = 5211
    SPARQL_UPDATE_ERROR = 5212
    TARGET_HAS_NO_SESSION_CAPABILITY = 5214
    SESSION_IS_ONLINE = 5215
    JOIN_MULTICAST_GROUP_FAILED = 5216
    LEAVE_MULTICAST_GROUP_FAILED = 5217
    TRIGGERING_DISABLED_FOR_RECIPIENT = 5218
    UNABLE_TO_REPLACE_REQUEST = 5219
    UNABLE_TO_RECALL_REQUEST = 5220
    CROSS_RESOURCE_OPERATION_FAILURE = 5221
    TRANSACTION_PROCESSING_IS_INCOMPLETE = 5222
    EXTERNAL_OBJECT_NOT_REACHABLE = 6003
    EXTERNAL_OBJECT_NOT_FOUND = 6005
    MAX_NUMBER_OF_MEMBER_EXCEEDED = 6010
    MGMT_SESSION_CANNOT_BE_ESTABLISHED = 6020
    MGMT_SESSION_ESTABLISHMENT_TIMEOUT = 6021
    INVALID_CMDTYPE = 6022
    INVALID_ARGUMENTS = 6023
    INSUFFICIENT_ARGUMENTS = 6024
    MGMT_CONVERSION_ERROR = 6025
    MGMT_CANCELLATION_FAILED = 6026
    ALREADY_COMPLETE = 6028
    MGMT_COMMAND_NOT_CANCELLABLE = 6029
    EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_RQET_TIMEOUT = 6030
    EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_OET_TIMEOUT = 6031


@dataclass(frozen=True, slots=True)
class Request:
    """A request primitive.

    Attributes:
        operation: What to do.
        to: The resource, as a path below the authority, split at ``/``; ``~`` or ``_`` comes first in an
            SP-relative or absolute one (TS-0009 clause 6.2.2.1).
        originator: The From parameter.
        request_id: The Request Identifier.
        content: The Content parameter, as JSON values; it may hold keys.
        resource_type: The Resource Type parameter (``ty``), which a CREATE has and no other request.
        query: What stands in the query, by name and value, in its order: Result Content, Filter Criteria…
        release_version: The Release Version Indicator; empty when it is absent.
        parameters: What else it says, by short name (TS-0004 clause 8.2.2), as text.
    """

    operation: Operation
    to: tuple[str, ...]
    originator: str
    request_id: str
    content: Any = field(default=None, repr=False)
    resource_type: int | None = None
    query: tuple[tuple[str, str], ...] = ()
    release_version: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


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

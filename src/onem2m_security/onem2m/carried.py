"""Primitives that are carried on: what a request or a response says, with its content as it came.

Whoever stands between two entities looks at the parameters and hardly ever at the content, which stays the
octets that it was, whether JSON, XML or CBOR. The bindings turn messages into these values and back: HTTP
(TS-0009) in ``net.http_carried``, CoAP (TS-0008) in ``net.coap_carried``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from .primitives import Operation, RefusedError, Rsc

MAX_REQUEST_ID: Final = 255
"""Characters of a Request Identifier."""
SP_RELATIVE: Final = "~"
ABSOLUTE: Final = "_"
"""What stands before the segments of a To parameter of this form (TS-0009 6.2.2.1, TS-0008 6.2.2.3)."""

_IN_SEGMENT: Final = "!$&'()*+,;=:@-._~"
"""What a segment of a path holds as it is (RFC 3986 clause 3.3)."""
_QUERY: Final = re.compile(r"""[^\x00-\x20"#<>\x7f-\U0010ffff]*""")
_NOT_IN_QUERY: Final = frozenset({"op", "to", "fr", "rqi", "pc"})
"""Parameters that stand elsewhere: what a receiver took from the query, nobody would have looked at."""
_MEDIA_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MEDIA_PARAMETER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class CarriedRequest:
    """A request primitive (TS-0004 clause 6.4.1).

    Attributes:
        operation: What to do.
        to: The To parameter: ``cse/x`` (CSE-relative), ``/cse-id/cse/x`` (SP-relative) or
            ``//sp/cse-id/cse/x`` (absolute), its segments percent-encoded, of any depth.
        request_id: The Request Identifier, 1 to 255 characters.
        originator: The From parameter; empty when it is absent.
        resource_type: The Resource Type, which a CREATE has and no other request.
        release_version: The Release Version Indicator; empty when it is absent.
        query: The query component, without ``?``, percent-encoded as it was: Response Type, Result Content,
            Filter Criteria…
        parameters: What else the primitive says, by short name (TS-0004 clause 8.2.2), as text; ``tkns`` are
            secrets.
        accept: The media types that an answer may have, as an Accept header says them; empty for any.
        content_type: The media type of the content, with its parameters but for ``ty``.
        content: The Content parameter, as it came.
    """

    operation: Operation
    to: str
    request_id: str
    originator: str = ""
    resource_type: int | None = None
    release_version: str = ""
    query: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    accept: str = ""
    content_type: str = ""
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class CarriedResponse:
    """A response primitive (TS-0004 clause 6.4.2).

    Attributes:
        rsc: The Response Status Code: one of ``Rsc``, or one that is not known here.
        request_id: The Request Identifier; empty when it is absent.
        originator: The From parameter; empty when it is absent.
        release_version: The Release Version Indicator; empty when it is absent.
        parameters: What else the primitive says, by short name, as text.
        location: The URI of a resource that was created, as the receiver wrote it; empty when it is absent.
        content_type: The media type of the content.
        content: The Content parameter, as it came.
    """

    rsc: int
    request_id: str = ""
    originator: str = ""
    release_version: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    location: str = ""
    content_type: str = ""
    content: bytes = field(default=b"", repr=False)

    @classmethod
    def refusal(
        cls, refused: RefusedError, request_id: str = "", release_version: str = ""
    ) -> CarriedResponse:
        """The answer to a request that is refused here: debug text as TS-0004 has it in ``m2m:dbg``."""
        content = json.dumps(refused.response.content).encode()
        return cls(
            refused.rsc, request_id, "", release_version, content_type="application/json", content=content
        )


# --- To ------------------------------------------------------------------------------------------------


def to_of(segments: Iterable[str]) -> str:
    """The To parameter that the segments of a path stand for.

    Args:
        segments: As a binding has them, ``~`` or ``_`` before those of an SP-relative or absolute one; not
            percent-encoded.

    Raises:
        RefusedError: BAD_REQUEST when no resource can be meant: an empty segment in the first place.
    """
    first, *rest = list(segments) or [""]
    prefix = {SP_RELATIVE: "/", ABSOLUTE: "//"}.get(first)
    named = [first, *rest] if prefix is None else rest
    if not named or (not named[0] and (prefix is not None or len(named) > 1)):
        raise RefusedError(Rsc.BAD_REQUEST, "the path does not say which resource is meant")
    return (prefix or "") + "/".join(quote(segment, safe=_IN_SEGMENT) for segment in named)


def segments_of(to: str) -> tuple[str, ...]:
    """The reverse of ``to_of``."""
    first: tuple[str, ...] = ()
    named = to
    if to.startswith("//"):
        first, named = (ABSOLUTE,), to[2:]
    elif to.startswith("/"):
        first, named = (SP_RELATIVE,), to[1:]
    return (*first, *(unquote_to_bytes(segment).decode("utf-8", "replace") for segment in named.split("/")))


def to_of_path(raw_path: bytes) -> str:
    """The To parameter of the path component of a request-target (TS-0009 clause 6.2.2.1).

    Raises:
        RefusedError: BAD_REQUEST: it is not UTF-8, or names no resource.
    """
    parts = raw_path.removeprefix(b"/").split(b"/")
    try:
        return to_of([unquote_to_bytes(part).decode("utf-8") for part in parts])
    except UnicodeDecodeError:
        raise RefusedError(Rsc.BAD_REQUEST, "the path is not UTF-8") from None


def path_of(to: str) -> str:
    """The path component of a request-target for a To parameter."""
    if to.startswith("//"):
        return f"/{ABSOLUTE}{to[1:]}"
    return f"/{SP_RELATIVE}{to}" if to.startswith("/") else f"/{to}"


# --- what may stand in a parameter ---------------------------------------------------------------------


def checked_query(query: str) -> str:
    """A query component that another receiver reads as we do.

    Raises:
        RefusedError: BAD_REQUEST: it has characters that no query has, or says what stands elsewhere: From,
            To, Operation, Request Identifier or Content.
    """
    if not _QUERY.fullmatch(query):
        raise RefusedError(Rsc.BAD_REQUEST, "the query has characters that must be percent-encoded")
    for pair in re.split("[&;]", query):
        name = unquote_plus(pair.partition("=")[0]).strip().lower()
        if name in _NOT_IN_QUERY:
            raise RefusedError(Rsc.BAD_REQUEST, f"the parameter {name} does not stand in a query")
    return query


def checked_value(name: str, value: bytes) -> str:
    """The value of a parameter as text.

    Raises:
        RefusedError: BAD_REQUEST: it is not UTF-8, or has control characters.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if not _VALUE.fullmatch(text):
        raise RefusedError(Rsc.BAD_REQUEST, f"{name} is not text")
    return text


def checked_request_id(request_id: str) -> str:
    """A Request Identifier.

    Raises:
        RefusedError: BAD_REQUEST: it is missing, or too long.
    """
    if not 1 <= len(request_id) <= MAX_REQUEST_ID:
        raise RefusedError(Rsc.BAD_REQUEST, "the Request Identifier is missing, or too long")
    return request_id


def media_type_of(text: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, in lower case but for values; an empty text has neither.

    Raises:
        RefusedError: BAD_REQUEST: it is none, or says something twice; quoted strings are not offered, which
            receivers read in more than one way.
    """
    if not text:
        return "", {}
    name, *rest = (part.strip(" \t") for part in text.split(";"))
    pairs = [part.partition("=") for part in rest]
    parameters = {key.lower(): value for key, _, value in pairs}
    whole = _MEDIA_TYPE.fullmatch(name) and all(map(_MEDIA_PARAMETER.fullmatch, rest))
    if not whole or len(parameters) != len(pairs):
        raise RefusedError(
            Rsc.BAD_REQUEST, "the media type of the content is not of the form type/subtype;ty=NUMBER"
        )
    return name.lower(), parameters


def resource_type_of(text: str) -> int:
    """A Resource Type.

    Raises:
        RefusedError: BAD_REQUEST when it is no number of five digits at most.
    """
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        raise RefusedError(Rsc.BAD_REQUEST, "the Resource Type (ty) is not a number of at most five digits")
    return int(text)

"""The body that ends a bootstrapping: B-TID and lifetime as XML (TS 24.109 Annex C).

``application/vnd.3gpp.bsf+xml``, root BootstrappingInfo in the namespace ``uri:3gpp-gba``. Document type
declarations, and with them every entity, are refused; the size is bounded; unknown elements are ignored, as
the annex asks. This module never performs I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import MessageError
from ..identifiers import KeyIdentifier
from ..texts import shown

MEDIA_TYPE = "application/vnd.3gpp.bsf+xml"
NAMESPACE = "uri:3gpp-gba"
BODY_MAX_OCTETS = 8192

# xs:dateTime in UTC, with the designator Z that Annex C prescribes.
_UTC_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class BootstrappingInfo:
    """What the BSF tells the UE at the end of a bootstrapping.

    Attributes:
        b_tid: The Bootstrapping Transaction Identifier, with a relative part of 16 octets.
        lifetime: When Ks ends, with a time zone; written in UTC to the second, rounded down.
    """

    b_tid: KeyIdentifier
    lifetime: datetime

    def __post_init__(self) -> None:
        if self.b_tid.octets is None:
            raise MessageError(f"{self.b_tid} is not a B-TID: base64 of a 16-octet RAND is expected")
        if self.lifetime.tzinfo is None:
            raise MessageError("the lifetime of a bootstrapping needs a time zone")

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read the body of the BSF's answer; 8192 octets at most.

        Raises:
            MessageError: Too long, not well-formed XML, with a document type declaration, another document,
                or without a lifetime in UTC.
            IdentifierError: The btid is not a B-TID.
        """
        if len(body) > BODY_MAX_OCTETS:
            raise MessageError(f"a bootstrapping info has at most {BODY_MAX_OCTETS} octets")
        try:
            root = fromstring(body, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise MessageError("the bootstrapping info is not XML, or has a document type") from error
        if root.tag != f"{{{NAMESPACE}}}BootstrappingInfo":
            raise MessageError(f"the document {shown(root.tag)} is not BootstrappingInfo of {NAMESPACE}")
        values = {}
        for name in ("btid", "lifetime"):
            elements = root.findall(f"{{{NAMESPACE}}}{name}")
            if len(elements) != 1:
                raise MessageError(f"a bootstrapping info has one {name}, not {len(elements)}")
            values[name] = (elements[0].text or "").strip()
        return cls(KeyIdentifier.parse(values["btid"]), _utc(values["lifetime"]))

    def to_xml(self) -> bytes:
        """The body to send, UTF-8."""
        # Neither a B-TID nor a time can hold a character that XML would need escaped.
        lifetime = self.lifetime.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<BootstrappingInfo xmlns="{NAMESPACE}">\n'
            f"<btid>{self.b_tid.base64}</btid>\n"
            f"<lifetime>{lifetime}</lifetime>\n"
            "</BootstrappingInfo>\n"
        ).encode()


def _utc(text: str) -> datetime:
    if _UTC_DATE_TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError as error:
            raise MessageError(f"{shown(text)} is not a date and time") from error
    raise MessageError(f"{shown(text)} is not a date and time in UTC (…Z)")

"""What a CSE says of an AE that it created: the content of its answer to a registration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from ..errors import IdentifierError, MessageError
from ..identifiers import EntityId
from ..onem2m.carried import CarriedResponse

_AE: Final = "ae"
_RESOURCE_AND_ADDRESS: Final = "rce"
"""m2m:resourceWrapper, around the resource where its address was wanted too (Result Content 3)."""
_AE_ID: Final = "aei"
_RESOURCE_ID: Final = "ri"

_Read = Callable[[bytes], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class CreatedAe:
    """An AE that was created.

    Attributes:
        ae_id: The AE-ID that the CSE assigned.
        resource_id: Its resource; empty when the answer does not say it.
    """

    ae_id: EntityId
    resource_id: str = ""


def read_created_ae(response: CarriedResponse) -> CreatedAe | None:
    """The AE in an answer; None where the answer does not say its AE-ID.

    Raises:
        MessageError: The content is not of its media type, or the AE-ID is none.
    """
    kind = response.content_type.partition(";")[0].rpartition("/")[2].rpartition("+")[2]
    reader = _READERS.get(kind)
    if reader is None or not response.content:
        return None
    said = reader(response.content)
    if _AE_ID not in said:
        return None
    try:
        return CreatedAe(EntityId.parse(said[_AE_ID]), said.get(_RESOURCE_ID, ""))
    except IdentifierError as error:
        raise MessageError(f"the CSE assigned no AE-ID: {error}") from None


def _in_json(content: bytes) -> Mapping[str, str]:
    try:
        return _in_values(json.loads(content))
    except (ValueError, RecursionError):
        raise MessageError("the answer is not JSON") from None


def _in_cbor(content: bytes) -> Mapping[str, str]:
    import cbor2  # noqa: PLC0415 - who asks a gateway's command what it does needs no server

    try:
        return _in_values(cbor2.loads(content))
    except (cbor2.CBORError, ValueError, RecursionError, OverflowError, TypeError):
        raise MessageError("the answer is not CBOR") from None


def _in_xml(content: bytes) -> Mapping[str, str]:
    try:
        root = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise MessageError("the answer is not XML") from None
    within = root if _local(root) != _RESOURCE_AND_ADDRESS else next(iter(_named(root, _AE)), root)
    attributes = list(within) if _local(within) == _AE else []
    return {_local(one): one.text for one in attributes if _local(one) in _WANTED and one.text}


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _named(element: Element, name: str) -> list[Element]:
    return [child for child in element if _local(child) == name]


def _in_values(values: object) -> Mapping[str, str]:
    """What JSON and CBOR come to: ``{"m2m:ae": {"aei": …}}``, or the same within ``m2m:rce``."""
    wrapper = _member(values, _RESOURCE_AND_ADDRESS)
    attributes = _member(values if wrapper is None else wrapper, _AE)
    found = {name: _member(attributes, name) for name in _WANTED}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _member(values: object, name: str) -> object:
    """A member by its name, whatever its namespace prefix."""
    if not isinstance(values, Mapping):
        return None
    named = ((str(key).rpartition(":")[2], value) for key, value in values.items())
    return next((value for key, value in named if key == name), None)


_WANTED: Final = (_AE_ID, _RESOURCE_ID)
_READERS: Final[Mapping[str, _Read]] = {"json": _in_json, "cbor": _in_cbor, "xml": _in_xml}

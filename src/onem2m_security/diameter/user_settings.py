"""GBA user security settings in XML, whole (GUSS) or for one NAF (USS): TS 29.109 clause 6.3.1.1 and Annex A.

Bounded before it is parsed, without document types, and strict in what counts; elements that are not known
are passed over, since an operator may add its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import MessageError
from ..identifiers import EntityId
from ..user_settings import Uss

MAX_OCTETS: Final = 8192

_GBA_U: Final = "GBA_U"
_MAX_LIFETIME_SECONDS: Final = 2**31


@dataclass(frozen=True, slots=True)
class UserSecuritySettings:
    """All settings of a subscriber that an HSS gives to a BSF, or those that a BSF gives to a NAF.

    Attributes:
        uss: The settings, one for each application.
        gba_u: Whether the bootstrapping runs on the UICC.
        lifetime: How long Ks may live at most; None for the BSF's own bound.
    """

    uss: tuple[Uss, ...] = ()
    gba_u: bool = False
    lifetime: timedelta | None = None

    @property
    def entity(self) -> EntityId | None:
        """The subscriber's CSE-ID or AE-ID: the first among all its identities."""
        return next((found for uss in self.uss if (found := uss.entity) is not None), None)

    def encode_guss(self, impi: str) -> bytes:
        """The whole, as an HSS gives it for this IMPI."""
        root = Element("guss", id=impi)
        info = SubElement(root, "bsfInfo")
        SubElement(info, "uiccType").text = _GBA_U if self.gba_u else "GBA"
        if self.lifetime is not None:
            SubElement(info, "lifeTime").text = str(int(self.lifetime.total_seconds()))
        root.append(self._uss_list())
        return _written(root)

    def encode_uss_list(self) -> bytes:
        """The settings alone, as a BSF gives them to a NAF."""
        return _written(self._uss_list())

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read either form, with whatever namespace.

        Raises:
            MessageError: More than 8192 octets, not XML, with a document type, or a value that is not of its
                form.
        """
        root = _root(octets)
        info = _child(root, "bsfInfo")
        try:
            return cls(
                tuple(_uss(element) for element in _all(root, "uss")),
                info is not None and _text(_child(info, "uiccType")) == _GBA_U,
                None if info is None else _lifetime(_text(_child(info, "lifeTime"))),
            )
        except ValueError:
            raise MessageError("a number of the user security settings is none") from None

    def _uss_list(self) -> Element:
        root = Element("ussList")
        for uss in self.uss:
            element = SubElement(root, "uss", id=uss.gsid, type=str(uss.service_type))
            if uss.naf_group is not None:
                element.set("nafGroup", uss.naf_group)
            uids = SubElement(element, "uids")
            for uid in uss.uids:
                SubElement(uids, "uid").text = uid
            flags = SubElement(element, "flags")
            for flag in sorted(uss.flags):
                SubElement(flags, "flag").text = str(flag)
        return root


def _root(octets: bytes) -> Element:
    if len(octets) > MAX_OCTETS:
        raise MessageError("the user security settings are too long")
    try:
        root: Element = fromstring(octets, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise MessageError("the user security settings are not XML, or have a document type") from None
    return root


def _written(root: Element) -> bytes:
    written: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return written


def _uss(element: Element) -> Uss:
    return Uss(
        element.get("id", ""),
        int(element.get("type", "0")),
        element.get("nafGroup"),
        tuple(text for uid in _all(element, "uid") if (text := _text(uid))),
        frozenset(int(_text(flag)) for flag in _all(element, "flag")),
    )


def _lifetime(text: str) -> timedelta | None:
    if not text:
        return None
    seconds = int(text)
    if not 0 < seconds <= _MAX_LIFETIME_SECONDS:
        raise ValueError(text)
    return timedelta(seconds=seconds)


def _all(element: Element, name: str) -> list[Element]:
    return [found for found in element.iter() if _local(found) == name]


def _child(element: Element, name: str) -> Element | None:
    return next((found for found in element if _local(found) == name), None)


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(element: Element | None) -> str:
    return "" if element is None else (element.text or "").strip()

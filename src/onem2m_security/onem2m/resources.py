"""The resources of a MAF, an MEF and a BSF as JSON: read and written by the one table of attributes.

Attribute names are the standard's (TS-0003 tables 8.8.2.3 to 8.8.2.9); short names, resource names and type
numbers are OURS until TS-0032 is at hand (docs/ours.md). TS-0004 table 6.3.4.2.1-1 gives these numbers to
nothing, and they fit into the two octets of the CoAP option. What a client asks is read strictly: one that is
unknown or not the client's to set is refused. In answers, unknown attributes are passed over, so that a newer
function can say more. A wrong type, form or size is refused in both.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from ..credentials import Secret
from ..errors import MessageError
from ..gba.keys import KeyChoice
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..user_settings import Uss, as_list, of_list
from . import paths
from .primitives import parse_timestamp, timestamp

MAX_LABELS: Final = 16
MAX_LABEL_OCTETS: Final = 128
MAX_TARGETS: Final = 64


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute: the standard's name, OUR short name, and its JSON value's way in and out."""

    name: str
    short_name: str
    read: Callable[[object], Any]
    write: Callable[[Any], object] = str


def _text(value: object, limit: int = 255) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise ValueError(f"a text of 1 to {limit} characters is expected")
    if any("\ud800" <= character <= "\udfff" for character in value):  # JSON can say it, UTF-8 cannot
        raise ValueError("a text of whole characters is expected, not half of a surrogate pair")
    return value


def _texts(value: object, count: int, limit: int) -> list[str]:
    if not isinstance(value, list) or len(value) > count:
        raise ValueError(f"a list of at most {count} is expected")
    return [_text(item, limit) for item in value]


def _suid(value: object) -> Suid:
    if isinstance(value, bool) or not isinstance(value, int) or value not in set(Suid):
        raise ValueError("the number of a Security Usage Identifier is expected")
    return Suid(value)


def _source(value: object) -> EntityId | KeyIdentifier:
    text = _text(value)
    return KeyIdentifier.parse_km_id(text) if "@" in text else EntityId.parse(text)


def _targets(value: object) -> tuple[EntityId, ...]:
    return tuple(dict.fromkeys(EntityId.parse(item) for item in _texts(value, MAX_TARGETS, 255)))


def _key(value: object) -> Secret:
    try:
        return Secret(base64.b64decode(_text(value, 400), validate=True))
    except ValueError:
        raise ValueError("not base64 of 1 to 256 octets") from None


def _written_key(key: Secret) -> str:
    return base64.b64encode(key.reveal()).decode("ascii")


def _key_type(value: object) -> KeyChoice:
    for choice in KeyChoice:
        if value == choice.value:
            return choice
    raise ValueError("Ks_NAF, Ks_ext_NAF or Ks_int_NAF is expected")


ATTRIBUTES: Final[Mapping[str, _Attribute]] = {
    "expiration_time": _Attribute("expirationTime", "et", parse_timestamp, timestamp),
    "labels": _Attribute("labels", "lbl", lambda v: tuple(_texts(v, MAX_LABELS, MAX_LABEL_OCTETS)), list),
    "admin_fqdn": _Attribute("adminFQDN", "adfq", lambda v: Fqdn.parse(_text(v))),
    "fqdn": _Attribute("fqdn", "fq", lambda v: Fqdn.parse(_text(v))),
    "suid": _Attribute("SUID", "suid", _suid, int),
    "target_ids": _Attribute("targetIDs", "tgis", _targets, lambda v: [str(target) for target in v]),
    "key_value": _Attribute("keyValue", "kv", _key, _written_key),
    "relative_key_id": _Attribute("relativeKeyID", "rkid", _text),
    "source_id": _Attribute("sourceID", "src", _source),
    "client_reg_id": _Attribute("clientRegID", "crid", _text),
    "client_id": _Attribute("clientID", "cid", lambda v: EntityId.parse(_text(v))),
    "assigned_symm_key_id": _Attribute(
        "assignedSymmKeyID", "aski", lambda v: KeyIdentifier.parse_km_id(_text(v))
    ),
    "key_type": _Attribute("keyType", "kty", _key_type, lambda v: v.value),
    "bootstrap_time": _Attribute("bootstrapTime", "bt", parse_timestamp, timestamp),
    "user_security_settings": _Attribute("userSecuritySettings", "uss", of_list, as_list),
}
"""Every attribute, by the name that it has in the classes below; what travels is the short name, OURS."""

SHORT_NAMES: Final = {attribute.name: attribute.short_name for attribute in ATTRIBUTES.values()}
"""OURS: the standard's name of an attribute to its short name."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource, or the attributes of it that one message names; an attribute that is None is absent.

    Attributes:
        resource_name: Its name in JSON.
        resource_type: Its type number; None where none is created by a request.
        path: Where it is.
    """

    resource_name: ClassVar[str]
    resource_type: ClassVar[int | None] = None
    path: ClassVar[tuple[str, ...]]
    _set_by_function: ClassVar[frozenset[str]] = frozenset()

    def encode(self) -> dict[str, Any]:
        """The Content of a message, as JSON values."""
        body = {}
        for name in self._names():
            value = getattr(self, name)
            if value is not None:
                body[ATTRIBUTES[name].short_name] = ATTRIBUTES[name].write(value)
        return {self.resource_name: body}

    @classmethod
    def decode_request(cls, content: object) -> Self:
        """Read what a client asks: one object under the resource's name, with attributes that clients set.

        Raises:
            MessageError: It is not; the message names the attribute and what is expected of it, and no key.
        """
        body = content.get(cls.resource_name) if isinstance(content, dict) and len(content) == 1 else None
        if not isinstance(body, dict):
            raise MessageError(f"the content is not one JSON object under {cls.resource_name!r}")
        settable = {ATTRIBUTES[name].short_name for name in cls._names() if name not in cls._set_by_function}
        for short_name in body:
            if short_name not in settable:
                raise MessageError(f"{cls.resource_name} has no attribute {str(short_name)[:40]!r} to set")
        return cls._read(body)

    @classmethod
    def decode_answer(cls, content: object) -> Self:
        """Read what a function answers; unknown attributes are passed over.

        Raises:
            MessageError: It is not this resource; the message names the attribute and what is expected of it,
                and no key.
        """
        body = content.get(cls.resource_name) if isinstance(content, dict) else None
        if not isinstance(body, dict):
            raise MessageError(f"there is no {cls.resource_name}")
        return cls._read(body)

    @classmethod
    def _read(cls, body: Mapping[str, object]) -> Self:
        values = {}
        for given in dataclasses.fields(cls):
            attribute = ATTRIBUTES[given.name]
            if attribute.short_name not in body:
                if given.default is dataclasses.MISSING:
                    raise MessageError(f"{attribute.name} is missing")
                continue
            try:
                values[given.name] = attribute.read(body[attribute.short_name])
            except ValueError as error:
                raise MessageError(f"{attribute.name}: {error}") from None
        return cls(**values)

    @classmethod
    def _names(cls) -> list[str]:
        return [given.name for given in dataclasses.fields(cls)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetricKeyRegistration(Resource):
    """<symmKeyReg>: a key that a MAF distributes (clauses 8.8.2.7 to 8.8.2.10).

    Attributes:
        expiration_time: When it ends (UTC), to the second.
        labels: Free texts, at most 16 of at most 128 characters.
        admin_fqdn: The administrating stakeholder.
        fqdn: The MAF-FQDN.
        suid: What the key is for.
        target_ids: Who may retrieve the key, at most 64.
        key_value: Kc, 1 to 256 octets.
        relative_key_id: The relative part of KcId.
        source_id: Whose key it is: a CSE-ID or AE-ID or, where none is configured, the KmId it came from.
    """

    resource_name: ClassVar[str] = "sec:skr"
    resource_type: ClassVar[int | None] = 65001
    path: ClassVar[tuple[str, ...]] = paths.MAF_SYMM_KEY_REG
    _set_by_function: ClassVar[frozenset[str]] = frozenset({"relative_key_id", "source_id"})

    expiration_time: datetime | None = None
    labels: tuple[str, ...] | None = None
    admin_fqdn: Fqdn | None = None
    fqdn: Fqdn | None = None
    suid: Suid | None = None
    target_ids: tuple[EntityId, ...] | None = None
    key_value: Secret | None = field(default=None, repr=False)
    relative_key_id: str | None = None
    source_id: EntityId | KeyIdentifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration(Resource):
    """<mafClientReg> or <mefClientReg>: a client of a MAF or an MEF (clauses 8.8.2.3 to 6, 8.3.5.2.3 to 6).

    Attributes:
        expiration_time: When it ends (UTC), to the second.
        labels: Free texts, at most 16 of at most 128 characters.
        admin_fqdn: The administrating stakeholder.
        fqdn: The function's FQDN.
        client_reg_id: mafClientRegID or mefClientRegID.
        client_id: The client.
        assigned_symm_key_id: KmId of a remotely provisioned Km.
    """

    _set_by_function: ClassVar[frozenset[str]] = frozenset(
        {"client_reg_id", "client_id", "assigned_symm_key_id"}
    )

    expiration_time: datetime | None = None
    labels: tuple[str, ...] | None = None
    admin_fqdn: Fqdn | None = None
    fqdn: Fqdn | None = None
    client_reg_id: str | None = None
    client_id: EntityId | None = None
    assigned_symm_key_id: KeyIdentifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MafClientRegistration(ClientRegistration):
    """<mafClientReg>."""

    resource_name: ClassVar[str] = "sec:mafcr"
    resource_type: ClassVar[int | None] = 65002
    path: ClassVar[tuple[str, ...]] = paths.MAF_CLIENT_REG


@dataclass(frozen=True, slots=True, kw_only=True)
class MefClientRegistration(ClientRegistration):
    """<mefClientReg>."""

    resource_name: ClassVar[str] = "sec:mefcr"
    resource_type: ClassVar[int | None] = 65003
    path: ClassVar[tuple[str, ...]] = paths.MEF_CLIENT_REG


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrappingInfo(Resource):
    """What a BSF tells a NAF over Zn in our own form (TS 33.220 clause 4.5.3); no client sets any of it.

    Attributes:
        key_value: Ks_NAF, Ks_ext_NAF or Ks_int_NAF, 32 octets.
        key_type: Which of them.
        bootstrap_time: When the bootstrapping was made (UTC), to the second.
        expiration_time: When the key ends (UTC), to the second.
        source_id: The subscriber's CSE-ID or AE-ID; None when not configured.
        user_security_settings: What the NAF is told of the subscriber beside that; None for nothing.
    """

    resource_name: ClassVar[str] = "gba:bi"
    path: ClassVar[tuple[str, ...]] = paths.BOOTSTRAPPING_INFO
    _set_by_function: ClassVar[frozenset[str]] = frozenset(
        {
            "key_value",
            "key_type",
            "bootstrap_time",
            "expiration_time",
            "source_id",
            "user_security_settings",
        }
    )

    key_value: Secret = field(repr=False)
    key_type: KeyChoice
    bootstrap_time: datetime
    expiration_time: datetime
    source_id: EntityId | None = None
    user_security_settings: tuple[Uss, ...] | None = None

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
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from ..credentials import Secret
from ..errors import MessageError
from ..gba.keys import KeyChoice
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..user_settings import Uss, as_list, of_list
from . import paths
from .commands import (
    DEVICE_CONFIG_URI,
    MAX_URI,
    CommandDescription,
    CommandStatus,
    DeviceConfigUri,
    ServerUri,
)
from .elements import Attribute, read_fields, read_number, read_suid, read_text, read_texts
from .primitives import parse_timestamp, timestamp

MAX_LABELS: Final = 16
MAX_LABEL_OCTETS: Final = 128
MAX_TARGETS: Final = 64
MAX_CHILDREN: Final = 16


def _source(value: object) -> EntityId | KeyIdentifier:
    text = read_text(value)
    return KeyIdentifier.parse_km_id(text) if "@" in text else EntityId.parse(text)


def _targets(value: object) -> tuple[EntityId, ...]:
    return tuple(dict.fromkeys(EntityId.parse(item) for item in read_texts(value, MAX_TARGETS, 255)))


def _key(value: object) -> Secret:
    try:
        return Secret(base64.b64decode(read_text(value, 400), validate=True))
    except ValueError:
        raise ValueError("not base64 of 1 to 256 octets") from None


def _written_key(key: Secret) -> str:
    return base64.b64encode(key.reveal()).decode("ascii")


def _key_type(value: object) -> KeyChoice:
    for choice in KeyChoice:
        if value == choice.value:
            return choice
    raise ValueError("Ks_NAF, Ks_ext_NAF or Ks_int_NAF is expected")


@dataclass(frozen=True, slots=True)
class ChildReference:
    """childResource: where a resource below this one is (TS-0004 clause 6.3.5.29, m2m:childResourceRef).

    Attributes:
        name: Its resource name.
        resource_type: Its type number.
        path: Where it is: the segments of its path.
    """

    name: str
    resource_type: int
    path: tuple[str, ...]

    def encode(self) -> dict[str, object]:
        """As JSON, by the short names of TS-0004."""
        return {"nm": self.name, "typ": self.resource_type, "val": "/" + "/".join(self.path)}

    @classmethod
    def read(cls, value: object) -> Self:
        """Read one of a list.

        Raises:
            ValueError: It is none.
        """
        given = value if isinstance(value, dict) else {}
        path = read_text(given.get("val"), 1024)
        segments = tuple(path.removeprefix("/").split("/"))
        if not path.startswith("/") or "" in segments:
            raise ValueError("val is not the path of a resource")
        return cls(read_text(given.get("nm")), read_number(given.get("typ")), segments)


def _children(value: object) -> tuple[ChildReference, ...]:
    if not isinstance(value, list) or len(value) > MAX_CHILDREN:
        raise ValueError(f"a list of at most {MAX_CHILDREN} is expected")
    return tuple(map(ChildReference.read, value))


def _status(value: object) -> CommandStatus:
    return CommandStatus(read_number(value))


ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    "expiration_time": Attribute("expirationTime", "et", parse_timestamp, timestamp),
    "labels": Attribute("labels", "lbl", lambda v: tuple(read_texts(v, MAX_LABELS, MAX_LABEL_OCTETS)), list),
    "admin_fqdn": Attribute("adminFQDN", "adfq", lambda v: Fqdn.parse(read_text(v))),
    "fqdn": Attribute("fqdn", "fq", lambda v: Fqdn.parse(read_text(v))),
    "suid": Attribute("SUID", "suid", read_suid, int),
    "target_ids": Attribute("targetIDs", "tgis", _targets, lambda v: [str(target) for target in v]),
    "key_value": Attribute("keyValue", "kv", _key, _written_key),
    "relative_key_id": Attribute("relativeKeyID", "rkid", read_text),
    "source_id": Attribute("sourceID", "src", _source),
    "client_reg_id": Attribute("clientRegID", "crid", read_text),
    "client_id": Attribute("clientID", "cid", lambda v: EntityId.parse(read_text(v))),
    "assigned_symm_key_id": Attribute(
        "assignedSymmKeyID", "aski", lambda v: KeyIdentifier.parse_km_id(read_text(v))
    ),
    "key_type": Attribute("keyType", "kty", _key_type, lambda v: v.value),
    "bootstrap_time": Attribute("bootstrapTime", "bt", parse_timestamp, timestamp),
    "absolute_uri": Attribute("absoluteURI", "auri", lambda v: ServerUri.parse(read_text(v, MAX_URI))),
    "device_config_uri": DEVICE_CONFIG_URI,
    "child_resources": Attribute("childResource", "ch", _children, lambda v: [one.encode() for one in v]),
    "cmd_id": Attribute("cmdID", "cmid", read_text),
    "cmd_description": Attribute(
        "cmdDescription", "cmde", CommandDescription.decode, CommandDescription.encode
    ),
    "cmd_status": Attribute("cmdStatus", "cmst", _status, int),
    "user_security_settings": Attribute("userSecuritySettings", "uss", of_list, as_list),
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
        return cls(**read_fields(cls, ATTRIBUTES, body))

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
        fqdn: The function's FQDN.
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
class MefSymmetricKeyRegistration(SymmetricKeyRegistration):
    """<symmKeyReg>: a key that an MEF distributes (clauses 8.3.5.2.7 to 8.3.5.2.10)."""

    path: ClassVar[tuple[str, ...]] = paths.MEF_SYMM_KEY_REG


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
        child_resources: What is below it: at an MEF, <mefClientCmd>.
    """

    _set_by_function: ClassVar[frozenset[str]] = frozenset(
        {"client_reg_id", "client_id", "assigned_symm_key_id", "child_resources"}
    )

    expiration_time: datetime | None = None
    labels: tuple[str, ...] | None = None
    admin_fqdn: Fqdn | None = None
    fqdn: Fqdn | None = None
    client_reg_id: str | None = None
    client_id: EntityId | None = None
    assigned_symm_key_id: KeyIdentifier | None = None
    child_resources: tuple[ChildReference, ...] | None = None


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
class FunctionBase(Resource):
    """<MAFBase> or <MEFBase>: a function itself, as its clients may retrieve it; no client sets any of it.

    Attributes:
        fqdn: The function's FQDN.
        absolute_uri: By what the function is addressed: ``https://mef.example.com/mef``.
    """

    _set_by_function: ClassVar[frozenset[str]] = frozenset({"fqdn", "absolute_uri", "device_config_uri"})

    fqdn: Fqdn
    absolute_uri: ServerUri

    @classmethod
    def at(cls, fqdn: Fqdn, **more: Any) -> Self:  # noqa: ANN401 - further attributes of the subclass
        """That of the function at this FQDN."""
        uri = ServerUri("/".join((f"https://{fqdn.ascii}", *cls.path)), fqdn)
        return cls(fqdn=fqdn, absolute_uri=uri, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class MafBase(FunctionBase):
    """<MAFBase>."""

    resource_name: ClassVar[str] = "sec:mafb"
    path: ClassVar[tuple[str, ...]] = paths.MAF_BASE


@dataclass(frozen=True, slots=True, kw_only=True)
class MefBase(FunctionBase):
    """<MEFBase>.

    Attributes:
        device_config_uri: deviceConfigURI: where devices are configured (12.2); None for nowhere.
    """

    resource_name: ClassVar[str] = "sec:mefb"
    path: ClassVar[tuple[str, ...]] = paths.MEF_BASE

    device_config_uri: DeviceConfigUri | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MefClientCommand(Resource):
    """<mefClientCmd>: the command that an MEF has for a client, below its <mefClientReg> (clause 8.3.9).

    The MEF makes it; a client retrieves it, and updates it with what came of the command.

    Attributes:
        cmd_id: Which command it is, 1 to 255 characters.
        cmd_description: What is to be done.
        cmd_status: How it stands.
    """

    resource_name: ClassVar[str] = "sec:mefcc"
    resource_type: ClassVar[int | None] = 65004
    path: ClassVar[tuple[str, ...]] = paths.MEF_CLIENT_REG
    _set_by_function: ClassVar[frozenset[str]] = frozenset({"cmd_description"})

    cmd_id: str
    cmd_status: CommandStatus
    cmd_description: CommandDescription | None = None

    @classmethod
    def below(cls, registration_id: str) -> ChildReference:
        """The reference to it in the <mefClientReg> of this MEFClientRegID."""
        assert cls.resource_type is not None  # noqa: S101 - it is, above
        where = (*cls.path, registration_id, paths.MEF_CLIENT_CMD)
        return ChildReference(paths.MEF_CLIENT_CMD, cls.resource_type, where)


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

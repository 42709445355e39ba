"""MEF Client Commands: the types of TS-0003 clauses 12.2 to 12.4, as an MEF writes and a client reads them.

A command describes itself by its class and by the arguments of that class. A client takes the description
whole and reads the arguments afterwards (``CommandDescription.parsed``): a class that it does not know and
arguments that it cannot read are answers of their own (8.3.9.5), not errors of the transport. Short names are
OURS (docs/ours.md).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final, Self

from ..errors import IdentifierError, MessageError
from ..identifiers import EntityId, Fqdn, Suid
from ..texts import shown
from .elements import Attribute, read_fields, read_number, read_suid, read_text

MAX_URI: Final = 1024
"""Characters of a URI or of the path of an MO node."""

MAX_RETRY: Final = timedelta(days=3650)


class CommandClass(enum.IntEnum):
    """sec:cmdClassID (12.3.2.3)."""

    NO_MORE_COMMANDS = 0
    CERT_PROV = 1
    DEV_CFG = 2
    MO_NODE = 3


class CommandStatus(enum.IntEnum):
    """sec:cmdStatusCode (12.3.2.4); the MEF assigns the first two, the client all others."""

    ISSUED = 10
    REISSUED = 11
    OK = 20
    REPEATED_CMD_ID = 40
    CLASS_NOT_SUPPORTED = 41
    BAD_ARGUMENTS = 42
    UNACCEPTABLE_ARGUMENTS = 43
    CERT_PROV_SERVER_ERROR = 100
    CERT_PROV_CLIENT_ERROR = 101
    DEV_CFG_SERVER_ERROR = 201
    DEV_CFG_CLIENT_ERROR = 202
    MO_NODE_NOT_FOUND = 300
    MO_NODE_TYPE_CONFLICT = 301
    MO_NODE_BAD_ARGS = 302
    MO_NODE_UNACCEPTABLE_ARGS = 303
    MO_NODE_INCONSISTENT_CONFIG = 304
    MO_NODE_EXECUTION_ERROR = 305

    def is_outcome_of(self, command_class: int | None) -> bool:
        """Whether a client may say this of a command of this class, or of any (table 8.3.9.5.1-1)."""
        if self in _BY_MEF:
            return False
        if command_class is None:
            return True
        only = _ONLY_OF.get(self // 100)
        if only is not None:
            return command_class == only
        return self is not self.UNACCEPTABLE_ARGUMENTS or command_class != CommandClass.NO_MORE_COMMANDS


_BY_MEF = {CommandStatus.ISSUED, CommandStatus.REISSUED}
_ONLY_OF = {1: CommandClass.CERT_PROV, 2: CommandClass.DEV_CFG, 3: CommandClass.MO_NODE}
"""The hundred of a status to the one class that it belongs to."""


class CertProvProtocol(enum.IntEnum):
    """sec:certProvProtocolID (12.3.2.5)."""

    EST = 1
    SCEP = 2


class CertSubjectType(enum.IntEnum):
    """sec:certSubjectType (12.3.2.6)."""

    NODE_ID = 1
    CSE_ID = 2
    AE_ID = 3


class DevMgmt(enum.IntEnum):
    """sec:devMgmtID (12.3.2.2): how a device is managed."""

    OMA_DM_1_3 = 1
    OMA_DM_2_0 = 2
    OMA_LWM2M = 3
    BBF_TR_069 = 4


class ObjectType(enum.IntEnum):
    """sec:objectTypeID (12.3.2.7): the specialization of <mgmtObj> that an MO node is of."""

    AUTHENTICATION_PROFILE = 1
    TRUST_ANCHOR_CRED = 2
    MAF_CLIENT_REG_CFG = 3


@dataclass(frozen=True, slots=True)
class ServerUri:
    """Where a server is: an absolute URI with an FQDN, and nothing that two readers could read differently.

    Attributes:
        text: The URI.
        fqdn: The FQDN in it.
    """

    text: str
    fqdn: Fqdn

    _FORM: ClassVar[re.Pattern[str]] = re.compile(
        r"[A-Za-z][A-Za-z0-9+.-]{0,30}://([A-Za-z0-9.-]{1,255})(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*)?"
    )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``https://mef.example.com/.well-known/est``; user information and fragments are refused.

        Raises:
            MessageError: It is no such URI.
        """
        found = cls._FORM.fullmatch(text) if len(text) <= MAX_URI else None
        try:
            if found is not None:
                return cls(text, Fqdn.parse(found[1]))
        except IdentifierError:
            pass
        raise MessageError(f"{shown(text)} is not an absolute URI with an FQDN: https://mef.example.com/path")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class DeviceConfigUri:
    """sec:deviceConfigURI (12.2): how a device is configured, and where.

    Attributes:
        management: The protocol.
        uri: The device management server.
    """

    management: DevMgmt
    uri: ServerUri

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``3:coaps://mef.example.com``.

        Raises:
            MessageError: It is none.
        """
        number, colon, uri = text.partition(":")
        if not colon or number not in {str(int(one)) for one in DevMgmt}:
            raise MessageError(
                f"{shown(text)} is not a deviceConfigURI: 1 to 4, a colon and a URI are expected"
            )
        return cls(DevMgmt(int(number)), ServerUri.parse(uri))

    def __str__(self) -> str:
        return f"{int(self.management)}:{self.uri}"


DEVICE_CONFIG_URI: Final = Attribute(
    "deviceConfigURI", "dcu", lambda value: DeviceConfigUri.parse(read_text(value, MAX_URI + 2))
)
"""As an attribute of <MEFBase> and as an element of devCfgCmdArgs."""

_DURATION: Final = re.compile(
    r"P(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,6})D)?"
    r"(?:T(?=\d)(?:(\d{1,7})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.\d{1,9})?S)?)?",
    re.ASCII,
)
_UNITS: Final = (365 * 86_400, 30 * 86_400, 86_400, 3_600, 60, 1)


def read_duration(value: object) -> timedelta:
    """xs:duration, not negative; a year is 365 days, a month is 30, fractions of a second are dropped.

    Raises:
        ValueError: It is none, or more than ten years.
    """
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is not None and any(found.groups()):
        seconds = sum(int(number or 0) * unit for number, unit in zip(found.groups(), _UNITS, strict=True))
        if seconds <= MAX_RETRY.total_seconds():
            return timedelta(seconds=seconds)
    raise ValueError("a duration of the form PT3600S, of at most ten years, is expected")


def _written_duration(duration: timedelta) -> str:
    return f"PT{int(duration.total_seconds())}S"


@dataclass(frozen=True, slots=True)
class CommandArguments:
    """The arguments of one class of commands: cmdArgs (12.4.5), of which each class has one element.

    Attributes:
        command_class: The class.
        element: The name of the element.
    """

    command_class: ClassVar[CommandClass]
    element: ClassVar[str]
    elements: ClassVar[Mapping[str, Attribute]]
    """The elements of that element, by the name of the field."""

    def encode(self) -> dict[str, Any]:
        """cmdArgs, as JSON values."""
        body = {}
        for name, element in self.elements.items():
            value = getattr(self, name)
            if value is not None:
                body[element.short_name] = element.write(value)
        return {self.element: body}

    @classmethod
    def decode(cls, content: object) -> Self:
        """Read cmdArgs; elements that are not known are passed over.

        Raises:
            MessageError: It is not of this class; the message names the element and what is expected of it.
        """
        body = content.get(cls.element) if isinstance(content, dict) and len(content) == 1 else None
        if not isinstance(body, dict):
            raise MessageError(f"cmdArgs is not one JSON object under {cls.element!r}")
        return cls(**read_fields(cls, cls.elements, body))


@dataclass(frozen=True, slots=True)
class NoMoreCommands(CommandArguments):
    """sec:noMoreCmdArgs (12.4.6): there is nothing to do for now.

    Attributes:
        retry: retryDuration: after what time to ask again; whole seconds.
    """

    command_class: ClassVar[CommandClass] = CommandClass.NO_MORE_COMMANDS
    element: ClassVar[str] = "nmca"
    elements: ClassVar[Mapping[str, Attribute]] = {
        "retry": Attribute("retryDuration", "rtyd", read_duration, _written_duration)
    }

    retry: timedelta


@dataclass(frozen=True, slots=True)
class CertificateProvisioning(CommandArguments):
    """sec:certProvCmdArgs (12.4.7): get a certificate.

    Attributes:
        protocol: certProvProtocolID.
        uri: The base URI of that protocol.
        subject_type: certSubjectType: what the certificate is to name.
        subject: certSubjectID: the Node-ID, CSE-ID or AE-ID; 1 to 255 characters.
    """

    command_class: ClassVar[CommandClass] = CommandClass.CERT_PROV
    element: ClassVar[str] = "cpca"
    elements: ClassVar[Mapping[str, Attribute]] = {
        "protocol": Attribute("certProvProtocolID", "cpp", lambda v: CertProvProtocol(read_number(v)), int),
        "uri": Attribute("URI", "uri", lambda v: ServerUri.parse(read_text(v, MAX_URI))),
        "subject_type": Attribute("certSubjectType", "cst", lambda v: CertSubjectType(read_number(v)), int),
        "subject": Attribute("certSubjectID", "csid", read_text),
    }

    protocol: CertProvProtocol
    uri: ServerUri
    subject_type: CertSubjectType
    subject: str


@dataclass(frozen=True, slots=True)
class DeviceConfiguration(CommandArguments):
    """sec:devCfgCmdArgs (12.4.8): be configured by a device management server.

    Attributes:
        server: deviceConfigURI.
    """

    command_class: ClassVar[CommandClass] = CommandClass.DEV_CFG
    element: ClassVar[str] = "dcca"
    elements: ClassVar[Mapping[str, Attribute]] = {"server": DEVICE_CONFIG_URI}

    server: DeviceConfigUri


@dataclass(frozen=True, slots=True)
class ManagedObjectNode(CommandArguments):
    """sec:MONodeCmdArgs (12.4.9): process an MO node that has been configured before.

    Attributes:
        path: objectPath, 1 to 1024 characters.
        object_type: objectTypeID.
        suid: The SUID of objectTypeSpecificArgs, which an [authenticationProfile] has and nothing else; as it
            came, since what is wrong with it has a status of its own (``MO_NODE_BAD_ARGS``).
    """

    command_class: ClassVar[CommandClass] = CommandClass.MO_NODE
    element: ClassVar[str] = "moca"
    elements: ClassVar[Mapping[str, Attribute]] = {
        "path": Attribute("objectPath", "obp", lambda v: read_text(v, MAX_URI)),
        "object_type": Attribute("objectTypeID", "obt", lambda v: ObjectType(read_number(v)), int),
        "specific": Attribute("objectTypeSpecificArgs", "otsa", lambda v: v, lambda v: v),
    }

    path: str
    object_type: ObjectType
    specific: Any = None

    @classmethod
    def of(cls, path: str, object_type: ObjectType, suid: Suid | None = None) -> Self:
        """The arguments, with authProfileMONodeArgs (12.4.10) where there is a SUID."""
        return cls(path, object_type, None if suid is None else {_SUID.short_name: _SUID.write(suid)})

    @property
    def suid(self) -> Suid:
        """The SUID of authProfileMONodeArgs (12.4.10).

        Raises:
            MessageError: It is missing, or none.
        """
        value = self.specific.get(_SUID.short_name) if isinstance(self.specific, dict) else None
        try:
            return Suid(_SUID.read(value))
        except ValueError as error:
            raise MessageError(f"SUID: {error}") from None


_SUID: Final = Attribute("SUID", "suid", read_suid, int)

ARGUMENTS: Final[Mapping[int, type[CommandArguments]]] = {
    int(arguments.command_class): arguments
    for arguments in (NoMoreCommands, CertificateProvisioning, DeviceConfiguration, ManagedObjectNode)
}
"""The arguments of each class of commands."""


@dataclass(frozen=True, slots=True)
class CommandDescription:
    """sec:cmdDescription (12.4.4).

    Attributes:
        command_class: cmdClassID; a number that this release does not know, too.
        arguments: cmdArgs as JSON values, not read yet.
        target: targetID: the entity that the command is for; None when it is the client itself.
    """

    command_class: int
    arguments: Mapping[str, Any] = field(hash=False)
    target: EntityId | None = None

    @classmethod
    def of(cls, arguments: CommandArguments, target: EntityId | None = None) -> Self:
        """The description of a command with these arguments."""
        return cls(int(arguments.command_class), arguments.encode(), target)

    def parsed(self) -> CommandArguments | None:
        """The arguments; None for a class that is not known.

        Raises:
            MessageError: They are not those of their class.
        """
        arguments = ARGUMENTS.get(self.command_class)
        return None if arguments is None else arguments.decode(self.arguments)

    def encode(self) -> dict[str, Any]:
        """As JSON values."""
        body = {"ccid": int(self.command_class), "carg": dict(self.arguments)}
        return body if self.target is None else body | {"tgid": str(self.target)}

    @classmethod
    def decode(cls, content: object) -> Self:
        """Read it, whatever its class.

        Raises:
            MessageError: It is none.
        """
        if not isinstance(content, dict) or not isinstance(content.get("carg"), dict):
            raise MessageError("an object with cmdClassID and cmdArgs is expected")
        try:
            command_class = read_number(content.get("ccid"))
            target = content.get("tgid")
            return cls(
                command_class, content["carg"], None if target is None else EntityId.parse(read_text(target))
            )
        except ValueError as error:
            raise MessageError(f"cmdClassID or targetID: {error}") from None

"""The configuration of ``m2msec serve``: which functions run in this process, from one TOML file.

Keys never stand in it, only the names of files that hold them. Every error names the file, the line and the
key, and shows no value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from .durations import parse_duration
from .errors import ConfigurationError, IdentifierError
from .frameworks.base import REMEMBERED
from .functions.enrolees import AssociationRule
from .functions.instructions import DEFAULT_ENROLMENT_EXPIRY
from .functions.maf import DEFAULT_KC_LIFETIME
from .identifiers import Fqdn, KeyIdentifier
from .net.address import Address, Transport
from .net.limits import Limits
from .peer_quotas import DEFAULT_QUOTAS, PeerQuotas

MAX_FILE_OCTETS: Final = 1 << 20

_T = TypeVar("_T")


def _from_text(parse: Callable[[str], _T]) -> PlainValidator:
    def from_text(value: object) -> _T:
        if not isinstance(value, str):
            raise ValueError("a text is expected")  # noqa: TRY004 - pydantic turns it into its own error
        try:
            return parse(value)
        except (ConfigurationError, IdentifierError) as error:
            raise ValueError(str(error)) from error

    return PlainValidator(from_text)


def _as_list(value: object) -> object:
    """One table is as good as an array of one."""
    return [value] if isinstance(value, dict) else value


FqdnSetting = Annotated[Fqdn, _from_text(Fqdn.parse)]
AddressSetting = Annotated[Address, _from_text(Address.parse)]
KeyIdSetting = Annotated[KeyIdentifier, _from_text(KeyIdentifier.parse)]
DurationSetting = Annotated[timedelta, _from_text(parse_duration)]
RuleSetting = Annotated[AssociationRule, _from_text(AssociationRule.parse)]


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_kebab)


class FunctionSettings(_Table):
    """What every function has.

    Attributes:
        fqdn: Its FQDN.
        listen: Where it listens; functions that name the same address and port share it by SNI.
        data: Its data directory; a relative one is beside the configuration file.
        transports: ``tls``, ``dtls`` or both.
    """

    fqdn: FqdnSetting
    listen: AddressSetting
    data: Path
    transports: Annotated[tuple[Transport, ...], Field(min_length=1)] = (Transport.TLS, Transport.DTLS)


class MefPeerSettings(_Table):
    """An MEF that a MAF may ask for the Master Credentials of its Enrolees.

    Attributes:
        fqdn: The MEF-ID.
        address: Where it listens.
        key_id: Identifier of the key that the MAF shares with it.
        key_file: The file that holds the key.
        transport: ``tls`` or ``dtls``.
    """

    fqdn: FqdnSetting
    address: AddressSetting
    key_id: KeyIdSetting
    key_file: Path
    transport: Transport = Transport.TLS


class MafSettings(FunctionSettings):
    """``[maf]``, or ``[[maf]]`` for several.

    Attributes:
        kc_lifetime: How long Kc may be used.
        mefs: ``[[maf.mefs]]``.
        enrolee_targets: ``IDB`` or ``ENROLEE=IDB``: whom clients of these MEFs may have keys for.
        remember: How long what these MEFs said of a client counts, before they are asked again.
    """

    kc_lifetime: DurationSetting = DEFAULT_KC_LIFETIME
    mefs: tuple[MefPeerSettings, ...] = ()
    enrolee_targets: tuple[RuleSetting, ...] = ()
    remember: DurationSetting = REMEMBERED


class MefSettings(FunctionSettings):
    """``[mef]``, or ``[[mef]]`` for several.

    Attributes:
        enrolment_expiry: How long Ke may be used by an Enrolee whose instructions do not say it.
    """

    enrolment_expiry: DurationSetting = DEFAULT_ENROLMENT_EXPIRY


_DEFAULT = Limits()


class LimitSettings(_Table):
    """``[limits]``: as ``net.limits.Limits``, for each port."""

    handshake_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.handshake_seconds
    idle_seconds: Annotated[float, Field(gt=0, le=86400)] = _DEFAULT.idle_seconds
    half_open: Annotated[int, Field(gt=0)] = _DEFAULT.half_open
    half_open_per_address: Annotated[int, Field(gt=0)] = _DEFAULT.half_open_per_address
    connections: Annotated[int, Field(gt=0)] = _DEFAULT.connections
    head_octets: Annotated[int, Field(ge=1024)] = _DEFAULT.head_octets
    body_octets: Annotated[int, Field(ge=1024)] = _DEFAULT.body_octets
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.request_seconds

    def limits(self) -> Limits:
        """The value that the ports take."""
        return Limits(**self.model_dump())


class QuotaSettings(_Table):
    """``[quotas]``: as ``peer_quotas.PeerQuotas``, for each authenticated peer."""

    live_keys: Annotated[int, Field(gt=0)] = DEFAULT_QUOTAS.live_keys
    client_registrations: Annotated[int, Field(gt=0)] = DEFAULT_QUOTAS.client_registrations
    key_registrations_per_second: Annotated[float, Field(gt=0)] = DEFAULT_QUOTAS.key_registrations_per_second
    connections: Annotated[int, Field(gt=0)] = DEFAULT_QUOTAS.connections
    requests_per_second: Annotated[float, Field(gt=0)] = DEFAULT_QUOTAS.requests_per_second

    def quotas(self) -> PeerQuotas:
        """The value that functions and ports take."""
        return PeerQuotas(**self.model_dump())


class Settings(BaseSettings):
    """The whole file.

    Attributes:
        maf: The MAFs to run.
        mef: The MEFs to run.
        limits: Bounds on time, size and number.
        quotas: What one authenticated peer may have and do.
        metrics: Where to offer Prometheus metrics, in the clear.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, alias_generator=_kebab)

    maf: Annotated[tuple[MafSettings, ...], BeforeValidator(_as_list)] = ()
    mef: Annotated[tuple[MefSettings, ...], BeforeValidator(_as_list)] = ()
    limits: LimitSettings = LimitSettings()
    quotas: QuotaSettings = QuotaSettings()
    metrics: AddressSetting | None = None


def load(file: Path) -> Settings:
    """Read and validate a configuration file.

    Raises:
        ConfigurationError: It cannot be read, is not TOML, or a setting is wrong; the message has a line for
            each error, with the line in the file and the key.
    """
    text = _read(file)

    class FromFile(Settings):
        """Settings come from this file and from nowhere else."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, env_settings, dotenv_settings, file_secret_settings
            return (TomlConfigSettingsSource(settings_cls, file),)

    try:
        settings = FromFile()
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: not TOML: {error}") from None
    except ValidationError as error:
        lines = (_told(file, text, told["loc"], told["msg"]) for told in error.errors(include_input=False))
        raise ConfigurationError("\n".join(lines)) from None
    if not settings.maf and not settings.mef:
        raise ConfigurationError(f"{file}: there is nothing to run: give [maf], [mef] or both")
    return settings


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            octets = stream.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    if len(octets) > MAX_FILE_OCTETS:
        raise ConfigurationError(f"{file} is longer than {MAX_FILE_OCTETS} octets")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 at octet {error.start}") from None


def _told(file: Path, text: str, place: Sequence[int | str], message: str) -> str:
    key = ".".join(str(part) for part in place if isinstance(part, str))
    line = line_of(text, place)
    where = "" if line is None else f", line {line}"
    return f"{file}{where}: {key}: {message.removeprefix('Value error, ')}"


# --- from a key to its line ---------------------------------------------------------------------------------

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\- \t\"']+?)\s*\]\]?\s*(#.*)?")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_.\-\"']+)\s*=")


def line_of(text: str, place: Sequence[int | str]) -> int | None:
    """The line (from 1) of a key, or of the innermost table around it that has one; None for neither.

    Args:
        text: The TOML document.
        place: Keys, and positions in arrays, from the outside in.
    """
    best, found = 0, None
    for path, line in _keys(text):
        depth = _common(path, place)
        if depth > best:
            best, found = depth, line
    return found


def _keys(text: str) -> Iterator[tuple[tuple[int | str, ...], int]]:
    """Every table header and assignment that begins a line, with its path."""
    table: tuple[int | str, ...] = ()
    arrays: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            names = _names(header[2])
            if header[1] == "[[":
                arrays[names] = arrays.get(names, -1) + 1
            table = _indexed(names, arrays)
            yield table, number
        elif assignment := _ASSIGNMENT.match(line):
            yield (*table, *_names(assignment[1])), number


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))


def _indexed(names: tuple[str, ...], arrays: dict[tuple[str, ...], int]) -> tuple[int | str, ...]:
    path: list[int | str] = []
    for depth, name in enumerate(names, start=1):
        path.append(name)
        if (position := arrays.get(names[:depth])) is not None:
            path.append(position)
    return tuple(path)


def _common(path: Sequence[int | str], place: Sequence[int | str]) -> int:
    """How deep a path leads towards a place; 0 when it leads elsewhere. A lone table is position 0."""
    depth = 0
    for part in path:
        if depth < len(place) and place[depth] == 0 and part != 0:
            depth += 1
        if depth >= len(place) or place[depth] != part:
            return 0
        depth += 1
    return depth

"""The configuration of ``m2msec serve``: which functions run in this process, from one TOML file.

Keys never stand in it, only the names of files that hold them. Every error names the file, the line and the
key, and shows no value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
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

from ..durations import parse_duration
from ..errors import ConfigurationError, IdentifierError
from ..files import read_bounded
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY
from ..frameworks.resolvers import REMEMBERED
from ..identifiers import Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.limits import DATAGRAM_OCTETS_LEAST, DATAGRAM_OCTETS_MOST, Limits
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from .enrolees import AssociationRule
from .maf import DEFAULT_KC_LIFETIME
from .toml_lines import Lines

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
    close_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.close_seconds
    half_open: Annotated[int, Field(gt=0)] = _DEFAULT.half_open
    half_open_per_address: Annotated[int, Field(gt=0)] = _DEFAULT.half_open_per_address
    connections: Annotated[int, Field(gt=0)] = _DEFAULT.connections
    connections_per_address: Annotated[int, Field(gt=0)] = _DEFAULT.connections_per_address
    backlog: Annotated[int, Field(gt=0)] = _DEFAULT.backlog
    head_octets: Annotated[int, Field(ge=1024)] = _DEFAULT.head_octets
    body_octets: Annotated[int, Field(ge=1024)] = _DEFAULT.body_octets
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.request_seconds
    datagram_octets: Annotated[int, Field(ge=DATAGRAM_OCTETS_LEAST, le=DATAGRAM_OCTETS_MOST)] = (
        _DEFAULT.datagram_octets
    )

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
        lines = Lines(text)
        told = (_told(file, lines, each["loc"], each["msg"]) for each in error.errors(include_input=False))
        raise ConfigurationError("\n".join(told)) from None
    if not settings.maf and not settings.mef:
        raise ConfigurationError(f"{file}: there is nothing to run: give [maf], [mef] or both")
    return settings


def _read(file: Path) -> str:
    try:
        octets = read_bounded(file, MAX_FILE_OCTETS, pipes=True).octets
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 at octet {error.start}") from None


def _told(file: Path, lines: Lines, place: Sequence[int | str], message: str) -> str:
    key = ".".join(str(part) for part in place if isinstance(part, str))
    line = lines.of(place)
    where = "" if line is None else f", line {line}"
    return f"{file}{where}: {key}: {message.removeprefix('Value error, ')}"

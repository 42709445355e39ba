"""The configuration file: one description of an entity, in TOML, for everything that runs.

Keys never stand in it, only the names of files that hold them. Every error names the file, the line and the
key, and shows no value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ..errors import ConfigurationError
from ..files import read_bounded
from ..identifiers import EntityId, Fqdn
from .bounds import LimitSettings, QuotaSettings
from .complaints import Place, complaint, complaints, nearest
from .functions import BsfSettings, FunctionSettings, MafSettings, MefSettings
from .peers import MefPeerSettings, PeerSettings
from .toml_lines import Lines
from .values import AddressSetting, EntitySetting, FileSetting, Table, as_list

MAX_FILE_OCTETS: Final = 1 << 20
FUNCTIONS: Final = ("maf", "mef", "bsf")


class IdentitySettings(Table):
    """``[identity]``: who we are.

    Attributes:
        id: Our CSE-ID or AE-ID, the identity that we assume with every peer.
    """

    id: EntitySetting


class StoreSettings(Table):
    """``[store]``: where records are kept.

    Attributes:
        data: The data directory, mode 0700; functions may have their own.
    """

    data: FileSetting


class Settings(Table):
    """The whole file.

    Attributes:
        identity: Who we are.
        store: Where records are kept.
        peers: Whom we know, by identity.
        maf: The MAFs to run.
        mef: The MEFs to run.
        bsf: The BSFs to run.
        limits: Bounds on time, size and number.
        quotas: What one authenticated peer may have and do.
        metrics: Where to offer Prometheus metrics, in the clear.
    """

    metrics: AddressSetting | None = None
    identity: IdentitySettings | None = None
    store: StoreSettings | None = None
    peers: dict[EntitySetting, PeerSettings] = Field(default_factory=dict)
    maf: Annotated[tuple[MafSettings, ...], BeforeValidator(as_list)] = ()
    mef: Annotated[tuple[MefSettings, ...], BeforeValidator(as_list)] = ()
    bsf: Annotated[tuple[BsfSettings, ...], BeforeValidator(as_list)] = ()
    limits: LimitSettings = LimitSettings()
    quotas: QuotaSettings = QuotaSettings()

    @model_validator(mode="before")
    @classmethod
    def _with_the_common_store(cls, document: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        """Functions without a data directory of their own have the one under ``[store]``."""
        if not isinstance(document, dict):
            return document
        store = document.get("store")
        data = store.get("data") if isinstance(store, dict) else None
        if not isinstance(data, str):
            return document
        filled = dict(document)
        for kind in FUNCTIONS:
            tables = as_list(document.get(kind, []))
            if isinstance(tables, list):
                filled[kind] = [
                    {"data": data, **table} if isinstance(table, dict) else table for table in tables
                ]
        return filled

    @property
    def functions(self) -> tuple[FunctionSettings, ...]:
        """Everything that is to run."""
        return (*self.maf, *self.mef, *self.bsf)

    @classmethod
    def of(cls, document: dict[str, Any], file: Path, lines: Lines) -> Self:
        """Validate what a file says.

        Raises:
            ConfigurationError: A setting is wrong; the message has a line for each error.
        """
        try:
            settings = cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationError("\n".join(complaints(cls, file, lines, error))) from None
        told = [complaint(file, lines, place, message) for place, message in settings.unknown_peers(document)]
        if told:
            raise ConfigurationError("\n".join(told))
        return settings

    def unknown_peers(self, document: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        """Where a peer is named that is not there or that is there twice, and what to say about it."""
        if len(self.peers) != len(document.get("peers", {})):
            yield ("peers",), "one peer is here twice, under two ways to write its identity"
        for place, name in self._named():
            if EntityId(name) not in self.peers:
                known = [str(peer) for peer in self.peers]
                yield place, f'there is no [peers."{name}"]{nearest(name, known)}'

    def _named(self) -> Iterator[tuple[Place, str]]:
        for number, maf in enumerate(self.maf):
            for position, mef in enumerate(maf.mefs):
                if not isinstance(mef, MefPeerSettings):
                    yield ("maf", number, "mefs", position), str(mef)
            for position, bsf in enumerate(maf.bsfs):
                yield ("maf", number, "bsfs", position), str(bsf)
        asked: list[tuple[Place, Fqdn | None]]
        asked = [(("bsf", number, "hss"), bsf.hss) for number, bsf in enumerate(self.bsf)]
        asked += [(("mef", number, "est", "server"), mef.est_server) for number, mef in enumerate(self.mef)]
        yield from ((place, str(fqdn)) for place, fqdn in asked if fqdn is not None)
        for peer, settings in self.peers.items():
            for key in ("maf", "enrolment", "bsf"):
                if (named := getattr(settings.prove, key, None)) is not None:
                    yield ("peers", str(peer), "prove", key), str(named)


def load(file: Path) -> Settings:
    """Read and validate a configuration file.

    Raises:
        ConfigurationError: It cannot be read, is not TOML, or a setting is wrong; the message has a line for
            each error, with the line in the file and the key.
    """
    text = _read(file)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file}: not TOML: {error}") from None
    settings = Settings.of(document, file, Lines(text))
    if not settings.functions and not settings.peers:
        raise ConfigurationError(
            f"{file}: there is nothing to run: give [maf], [mef] or [bsf], or the [peers] of an entity"
        )
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

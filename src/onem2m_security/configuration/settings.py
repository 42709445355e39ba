"""The configuration file: one description of an entity, in TOML, for everything that runs.

Keys never stand in it, only the names of files that hold them. Every error names the file, the line and the
key, and shows no value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from ..errors import ConfigurationError
from ..files import read_bounded
from ..identifiers import EntityId
from .agent_settings import AgentSettings
from .bounds import LimitSettings, QuotaSettings
from .complaints import Place, complaint, complaints, nearest
from .enrolment import EnrolmentSettings
from .entity_b import EntityBSettings
from .functions import BsfSettings, FunctionSettings, MafSettings, MefSettings
from .gateway import GatewaySettings
from .peers import MefPeerSettings, PeerSettings
from .toml_lines import Lines
from .values import ONE_OR_MANY, AddressSetting, EntitySetting, FileSetting, Table, as_list

MAX_FILE_OCTETS: Final = 1 << 20
WITH_DATA: Final = ("maf", "mef", "bsf", "enrolment", "gateway")
"""Tables that have a data directory each, their own or, if they do not say it, the common one."""


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
        entity_b: How we accept associations.
        enrolment: With which MEFs we enrol.
        gateway: The CSEs to stand in front of.
        maf: The MAFs to run.
        mef: The MEFs to run.
        bsf: The BSFs to run.
        agent: The agents to run (m2msec agent).
        limits: Bounds on time, size and number.
        quotas: What one authenticated peer may have and do.
        metrics: Where to offer Prometheus metrics, in the clear.
    """

    metrics: AddressSetting | None = None
    identity: IdentitySettings | None = None
    store: StoreSettings | None = None
    peers: dict[EntitySetting, PeerSettings] = Field(default_factory=dict)
    entity_b: EntityBSettings | None = None
    enrolment: Annotated[tuple[EnrolmentSettings, ...], ONE_OR_MANY] = ()
    gateway: Annotated[tuple[GatewaySettings, ...], ONE_OR_MANY] = ()
    maf: Annotated[tuple[MafSettings, ...], ONE_OR_MANY] = ()
    mef: Annotated[tuple[MefSettings, ...], ONE_OR_MANY] = ()
    bsf: Annotated[tuple[BsfSettings, ...], ONE_OR_MANY] = ()
    agent: Annotated[tuple[AgentSettings, ...], ONE_OR_MANY] = ()
    limits: LimitSettings = LimitSettings()
    quotas: QuotaSettings = QuotaSettings()

    @model_validator(mode="before")
    @classmethod
    def _with_the_common_store(cls, document: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        """Functions and enrolments without a data directory of their own have the one under ``[store]``."""
        if not isinstance(document, dict):
            return document
        store = document.get("store")
        data = store.get("data") if isinstance(store, dict) else None
        if not isinstance(data, str):
            return document
        filled = dict(document)
        for kind in WITH_DATA:
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
        wrong = (*settings.unknown_peers(document), *settings.crowded_enrolments())
        told = [complaint(file, lines, place, message) for place, message in wrong]
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

    def crowded_enrolments(self) -> Iterator[tuple[Place, str]]:
        """Where an enrolment has no directory of its own, and what to say about it."""
        for number, one in enumerate(self.enrolment):
            before = self.enrolment[:number]
            if any(other.mef == one.mef for other in before):
                yield ("enrolment", number, "mef"), "we enrol with an MEF once: name all targets there"
            elif any(other.data == one.data for other in before):
                yield (
                    ("enrolment", number, "data"),
                    "another enrolment is kept there: give each its own",
                )

    def _named(self) -> Iterator[tuple[Place, str]]:
        asking = {"maf": self.maf, "bsf": self.bsf, "gateway": self.gateway}
        for kind, tables in asking.items():
            for number, table in enumerate(tables):
                yield from _asked((kind, number), table)
        for number, mef in enumerate(self.mef):
            yield from _asked(("mef", number), mef)
            if mef.est_server is not None:
                yield ("mef", number, "est", "server"), str(mef.est_server)
        if self.entity_b is not None:
            yield from _asked(("entity-b",), self.entity_b)
        yield from ((("enrolment", number, "mef"), str(one.mef)) for number, one in enumerate(self.enrolment))
        yield from ((("agent", number, "peer"), str(one.peer)) for number, one in enumerate(self.agent))
        for peer, settings in self.peers.items():
            if settings.prove is not None:
                yield from _others(("peers", str(peer), "prove"), settings.prove)
            for number, trust in enumerate(settings.trust):
                yield from _others(("peers", str(peer), "trust", number), trust)


def _asked(place: Place, asking: Table) -> Iterator[tuple[Place, str]]:
    """The peers that a table lists as those to ask."""
    for key in ("mafs", "mefs", "bsfs"):
        for position, name in enumerate(getattr(asking, key, ())):
            if not isinstance(name, MefPeerSettings):
                yield (*place, key, position), str(name)
    if (hss := getattr(asking, "hss", None)) is not None:
        yield (*place, "hss"), str(hss)


def _others(place: Place, member: Table) -> Iterator[tuple[Place, str]]:
    """The peers by which a member of ``prove`` or ``trust`` comes about."""
    for key in ("maf", "mef", "enrolment", "bsf"):
        if (named := getattr(member, key, None)) is not None:
            yield (*place, key), str(named)


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
    if not (settings.functions or settings.peers or settings.entity_b or settings.gateway):
        raise ConfigurationError(
            f"{file}: there is nothing to run: give [maf], [mef], [bsf], [entity-b] or [gateway], or the "
            "[peers] of an entity"
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

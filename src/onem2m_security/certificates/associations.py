"""A file of Association Configurations: whose certificates to accept, and as whom (TOML).

Each ``[[association]]`` has one of the two forms of configuration.py. Release 1: ``certificate_name``,
``root_of_trust`` and ``peer``; ``root_certificate`` (a PEM file) for a peer that does not send its root.
Release 3: ``flavour``, ``trust_anchors`` (a PEM file; none for a raw public key) and, as the flavour needs,
``peer_id``, ``peer`` and ``allowed_ae_ids``. Both take ``name``, ``targets``, ``uss`` and ``peer_kind``. A
key may be written with hyphens, as in the configuration of an entity. Files are relative to this one.
Whatever is wrong is refused as a whole, naming file, association and key; nothing is guessed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from onem2m_security.errors import ConfigurationError, IdentifierError
from onem2m_security.identifiers import EntityId, EntityKind
from onem2m_security.user_settings import Uss

from .configuration import AssociationConfiguration
from .files import read_public
from .flavours import Flavour

ASSOCIATIONS_MAX: Final = 10_000
"""The most associations in one file."""

_RELEASE1: Final = {"certificate_name", "root_of_trust", "root_certificate"}
_RELEASE3: Final = {"flavour", "peer_id", "trust_anchors", "allowed_ae_ids"}
_BOTH: Final = {"name", "peer", "peer_kind", "targets", "uss"}
_LISTS: Final = {"allowed_ae_ids", "targets", "uss"}
_KINDS: Final = {"cse": EntityKind.CSE, "ae": EntityKind.AE}


def load_associations(path: Path) -> tuple[AssociationConfiguration, ...]:
    """Read a file of Association Configurations, in its order.

    Raises:
        ConfigurationError: Unreadable, no TOML, or an association that is not as it should be.
    """
    try:
        document = tomllib.loads(read_public(path).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    entries = document.pop("association", None)
    if document:
        raise ConfigurationError(f"{path}: {min(document)!r} is not known here: use [[association]]")
    if not isinstance(entries, list) or not 1 <= len(entries) <= ASSOCIATIONS_MAX:
        raise ConfigurationError(f"{path}: 1 to {ASSOCIATIONS_MAX} [[association]] are expected")
    found: dict[str, AssociationConfiguration] = {}
    for number, entry in enumerate(entries, start=1):
        configuration = _association(path, number, entry)
        called = configuration.name or str(number)
        if called in found:
            raise ConfigurationError(f"{path}: two associations are called {called!r}")
        found[called] = configuration
    return tuple(found.values())


def _association(path: Path, number: int, entry: object) -> AssociationConfiguration:
    written = entry if isinstance(entry, Mapping) else {}
    where = f"{path}: association {written.get('name') or number!r}"
    given = _by_key(where, written)
    if not given.keys() & {"flavour", "certificate_name"}:
        raise ConfigurationError(
            f"{where}: give certificate_name, root_of_trust and peer (Release 1), "
            "or flavour and trust_anchors (Release 3)"
        )
    is_release1 = "certificate_name" in given
    foreign = sorted(given.keys() & (_RELEASE3 if is_release1 else _RELEASE1))
    if foreign:
        form = "flavour" if is_release1 else "certificate_name"
        raise ConfigurationError(f"{where}: {foreign[0]} belongs to an association with {form}")
    is_raw = given.get("flavour") == Flavour.RAW_PUBLIC_KEY.value
    needed = {"root_of_trust", "peer"} if is_release1 else {"peer_id" if is_raw else "trust_anchors"}
    missing = sorted(needed - given.keys())
    if missing:
        raise ConfigurationError(f"{where}: {missing[0]} is missing")
    try:
        return _make(path, given)
    except (ConfigurationError, IdentifierError) as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _by_key(where: str, written: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the one spelling of their keys."""
    given: dict[str, Any] = {}
    for spelling, value in written.items():
        key = spelling.replace("-", "_")
        if key not in _RELEASE1 | _RELEASE3 | _BOTH:
            known = ", ".join(sorted(_RELEASE1 | _RELEASE3 | _BOTH))
            raise ConfigurationError(f"{where}: the key {spelling!r} is not known: use {known}")
        if key in given:
            raise ConfigurationError(f"{where}: {spelling} is there in both spellings: leave one out")
        _check_type(f"{where}: {spelling}", value, is_list=key in _LISTS)
        given[key] = value
    return given


def _make(path: Path, given: Mapping[str, Any]) -> AssociationConfiguration:
    peer = None if "peer" not in given else EntityId.parse(given["peer"])
    if "peer_kind" in given:
        if peer is None or given["peer_kind"] not in _KINDS:
            raise ConfigurationError("peer_kind is 'cse' or 'ae', and says which of them peer is")
        peer = peer.known_as(_KINDS[given["peer_kind"]])
    targets = tuple(map(EntityId.parse, given.get("targets", ())))
    uss = tuple(map(Uss.parse, given.get("uss", ())))
    if "certificate_name" in given:
        assert peer is not None  # noqa: S101 - its absence was reported before
        root = given.get("root_certificate")
        return AssociationConfiguration.release1(
            certificate_name=given["certificate_name"],
            root_of_trust=given["root_of_trust"],
            root_certificate=None if root is None else read_public(path.parent / root),
            peer=peer,
            targets=targets,
            uss=uss,
            name=given.get("name"),
        )
    return AssociationConfiguration.release3(
        flavour=given["flavour"],
        trust_anchors=read_public(path.parent / given["trust_anchors"]) if "trust_anchors" in given else (),
        peer_id=given.get("peer_id"),
        peer=peer,
        allowed_ae_ids=tuple(given.get("allowed_ae_ids", ())),
        targets=targets,
        uss=uss,
        name=given.get("name"),
    )


def _check_type(what: str, value: object, *, is_list: bool) -> None:
    is_text = isinstance(value, str) and value
    if is_list:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigurationError(f"{what}: a list of texts is expected")
    elif not is_text:
        raise ConfigurationError(f"{what}: a text is expected")

"""User security settings (USS): what an operator says of an Enrolee beside its identity, for an application.

An MEF and a BSF hand them on with a key (TS-0003 clauses 8.3.1.2 and 8.3.2.3, TS 29.109). What they mean is
between the operator and the application that is told them: nothing here decides by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from .errors import ConfigurationError, IdentifierError
from .identifiers import EntityId

AUTHENTICATION_ALLOWED: Final = 1
"""The flag that allows to authenticate the subscriber (TS 29.109 Annex C)."""

FIRST_OPERATOR_GSID: Final = "1000000"
"""The first GSID that an operator may give a meaning to (TS 29.109 clause 6.3.1.4)."""

MAX_SETTINGS: Final = 8
MAX_VALUES: Final = 16
MAX_TEXT: Final = 255
MAX_NUMBER: Final = 2**31 - 1

_FORM: Final = "GSID[,type=N][,group=NAME][,uid=TEXT]…[,flag=N]…"


@dataclass(frozen=True, slots=True)
class Uss:
    """The settings of a subscriber for one application.

    Attributes:
        gsid: The GAA Service Identifier: which application.
        service_type: The GAA Service Type Code (Annex B).
        naf_group: The group of NAFs that they are for; None for all.
        uids: The identities of the subscriber there: anything, an IMPU, a telephone number, an AE-ID.
        flags: The authorization flags.
    """

    gsid: str
    service_type: int = 0
    naf_group: str | None = None
    uids: tuple[str, ...] = ()
    flags: frozenset[int] = frozenset()

    @property
    def entity(self) -> EntityId | None:
        """The CSE-ID or AE-ID among the identities: the first that is one."""
        return next((entity for uid in self.uids if (entity := _entity(uid)) is not None), None)

    @classmethod
    def of(cls, entity: EntityId) -> Self:
        """What a NAF is told of a subscriber that is this entity."""
        return cls(FIRST_OPERATOR_GSID, uids=(entity.text,), flags=frozenset({AUTHENTICATION_ALLOWED}))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what a person writes: ``1000001,uid=/meter,flag=1``.

        Raises:
            ConfigurationError: It is not of this form.
        """
        gsid, *rest = text.split(",")
        pairs = [part.partition("=")[::2] for part in rest]
        values = {name: [value for known, value in pairs if known == name] for name, _ in pairs}
        if not gsid.isascii() or not gsid.isdigit() or values.keys() - {"type", "group", "uid", "flag"}:
            raise ConfigurationError(f"{text[:80]!r} are no user security settings: {_FORM}")
        try:
            return cls.of_dict(
                {
                    "id": gsid,
                    "type": int(*values.get("type", ["0"])),
                    "uids": values.get("uid", []),
                    "flags": [int(flag) for flag in values.get("flag", [])],
                }
                | ({"group": "".join(values["group"])} if "group" in values else {})
            )
        except (ValueError, TypeError):
            raise ConfigurationError(f"{text[:80]!r} are no user security settings: {_FORM}") from None

    @property
    def can_travel(self) -> bool:
        """Whether it keeps the bounds of what is handed on; what an HSS says may not."""
        try:
            return self.of_dict(self.as_dict()) == self
        except ValueError:
            return False

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        group = {} if self.naf_group is None else {"group": self.naf_group}
        named = {"id": self.gsid, "type": self.service_type} | group
        return named | {"uids": list(self.uids), "flags": sorted(self.flags)}

    @classmethod
    def of_dict(cls, value: object) -> Self:
        """Read ``as_dict``, from whomever.

        Raises:
            ValueError: It is not of this form, or too long.
        """
        if not isinstance(value, dict):
            raise ValueError("an object is expected")  # noqa: TRY004 - a value of a peer
        return cls(
            _text(value.get("id")),
            _number(value.get("type", 0)),
            None if value.get("group") is None else _text(value["group"]),
            tuple(_text(uid) for uid in _list(value.get("uids", []), MAX_VALUES)),
            frozenset(_number(flag) for flag in _list(value.get("flags", []), MAX_VALUES)),
        )


def require_few(settings: Iterable[Uss]) -> tuple[Uss, ...]:
    """As many as one answer may have.

    Raises:
        ConfigurationError: There are more.
    """
    told = tuple(settings)
    if len(told) > MAX_SETTINGS:
        raise ConfigurationError(
            f"at most {MAX_SETTINGS} user security settings are handed on, not {len(told)}"
        )
    return told


def as_list(settings: Iterable[Uss]) -> list[dict[str, Any]]:
    """Several, as plain JSON values."""
    return [uss.as_dict() for uss in settings]


def of_list(value: object) -> tuple[Uss, ...]:
    """Read ``as_list``, from whomever.

    Raises:
        ValueError: It is not of this form, or too long.
    """
    return tuple(Uss.of_dict(item) for item in _list(value, MAX_SETTINGS))


def _list(value: object, count: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > count:
        raise ValueError(f"a list of at most {count} is expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise ValueError(f"a printable text of 1 to {MAX_TEXT} characters is expected")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        raise ValueError("a whole number of 31 bits is expected")
    return value


def _entity(uid: str) -> EntityId | None:
    try:
        return EntityId.parse(uid)
    except IdentifierError:
        return None

"""Attributes of resources and elements of their types: each has a name, and one way in and out of JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MessageError
from ..identifiers import Suid


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute: the standard's name, OUR short name, and its JSON value's way in and out."""

    name: str
    short_name: str
    read: Callable[[object], Any]
    write: Callable[[Any], object] = str


def read_fields(
    of: type[Any], attributes: Mapping[str, Attribute], body: Mapping[str, object]
) -> dict[str, Any]:
    """The values of a dataclass's fields, out of an object that has them by their short names.

    Args:
        of: The dataclass.
        attributes: Its fields' attributes, by the names of the fields.
        body: The object.

    Raises:
        MessageError: One is missing that has no default, or is not what is expected; it is named.
    """
    values = {}
    for given in dataclasses.fields(of):
        attribute = attributes[given.name]
        if attribute.short_name not in body:
            if given.default is dataclasses.MISSING:
                raise MessageError(f"{attribute.name} is missing")
            continue
        try:
            values[given.name] = attribute.read(body[attribute.short_name])
        except ValueError as error:
            raise MessageError(f"{attribute.name}: {error}") from None
    return values


def read_text(value: object, limit: int = 255) -> str:
    """A text of 1 to ``limit`` characters.

    Raises:
        ValueError: It is none, or holds what UTF-8 cannot say.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise ValueError(f"a text of 1 to {limit} characters is expected")
    if any("\ud800" <= character <= "\udfff" for character in value):  # JSON can say it, UTF-8 cannot
        raise ValueError("a text of whole characters is expected, not half of a surrogate pair")
    return value


def read_texts(value: object, count: int, limit: int) -> list[str]:
    """A list of at most so many texts.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, list) or len(value) > count:
        raise ValueError(f"a list of at most {count} is expected")
    return [read_text(item, limit) for item in value]


def read_number(value: object) -> int:
    """A whole number.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a whole number is expected")


def read_suid(value: object) -> Suid:
    """A Security Usage Identifier, by its number.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in set(Suid):
        raise ValueError("the number of a Security Usage Identifier is expected")
    return Suid(value)

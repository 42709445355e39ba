"""On which line a key of a TOML document stands, for errors that a person can act on.

``tomllib`` reads each statement of the document by itself, so that there is one reader of TOML. What is left
is to count lines, and to follow which table a header opens.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, Final

Place = tuple[int | str, ...]
"""Keys, and positions in arrays, from the outside in."""

_CLOSING: Final = ("]", "}", '"""', "'''")


class Lines:
    """Where the keys of a document stand.

    Args:
        text: The document; it is valid TOML.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        table: Place = ()
        last: dict[Place, int] = {}
        for line, statement, values in _statements(text):
            if statement.lstrip().startswith("["):
                table = _opened(values, last)
                self._lines[_without_firsts(table)] = line
            else:
                for place in _places(values, table):
                    self._lines.setdefault(_without_firsts(place), line)

    def of(self, place: Sequence[int | str]) -> int | None:
        """The line (from 1) of a key, or of the innermost table around it that has one; None for neither.

        A lone table may be called position 0.
        """
        wanted = _without_firsts(place)
        while wanted and wanted not in self._lines:
            wanted = wanted[:-1]
        return self._lines.get(wanted)


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Every table header and assignment: its first line, its text, and what it says when it stands alone."""
    first, statement = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        # A statement of several lines ends on one that closes something: the others need no attempt.
        if number > first and not any(mark in line for mark in _CLOSING):
            continue
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        if values:
            yield first, statement, values
        first, statement = number + 1, ""


def _opened(header: dict[str, Any], last: dict[Place, int]) -> Place:
    """The table that a header opens.

    Args:
        header: What it says: tables within each other, the innermost one in an array if it adds to an array.
        last: The position of the last table of each array of tables; an array that is added to is noted here.
    """
    place: Place = ()
    inner: Any = header
    while inner:
        [(name, inner)] = inner.items()
        place = (*place, name)
        if isinstance(inner, list):
            last[place] = last.get(place, -1) + 1
            inner = {}
        if place in last:
            place = (*place, last[place])
    return place


def _places(value: object, place: Place) -> Iterator[Place]:
    """Every key and position in a value."""
    inner: Iterator[tuple[int | str, object]] = iter(())
    if isinstance(value, dict):
        inner = iter(value.items())
    elif isinstance(value, list):
        inner = enumerate(value)
    for part, of_part in inner:
        yield (*place, part)
        yield from _places(of_part, (*place, part))


def _without_firsts(place: Sequence[int | str]) -> Place:
    """A table that stands alone and the first of an array have one name."""
    return tuple(part for part in place if part != 0)

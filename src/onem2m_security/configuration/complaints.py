"""What is wrong with a configuration file, for people: file, line, key, and the nearest right word."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from .prove import PROOFS
from .toml_lines import Lines
from .trust import TRUST
from .values import Table, kebab

Place = tuple[int | str, ...]
"""Keys, and positions in arrays, from the outside in."""


MEMBERS = {**PROOFS, **TRUST}
_TAG = "as "
"""Begins the name of a member of a union, which stands in a place of pydantic's and in no file."""


def complaints(model: type[Table], file: Path, lines: Lines, error: ValidationError) -> Iterator[str]:
    """A line for each thing that is wrong."""
    for each in error.errors(include_input=False, include_url=False):
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = f"not permitted here{nearest(str(each['loc'][-1]), words(model, each['loc']))}"
        yield complaint(file, lines, each["loc"], message)


def complaint(file: Path, lines: Lines, place: Sequence[int | str], message: str) -> str:
    """One line: where it is, and what is wrong."""
    place = [part for part in place if not _is_pydantics_own(part)]
    key = ".".join(str(part) for part in place if isinstance(part, str))
    line = lines.of(place)
    where = "" if line is None else f", line {line}"
    return f"{file}{where}: {key}: {message}"


def nearest(word: str, known: Iterable[str]) -> str:
    """What the word was meant to be; empty when nothing is near, or when it is not plain text.

    Only words that are known are shown: what stands in the file may be a key that went astray.
    """
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f": is {found[0]!r} meant?" if found else ""


def words(model: type[Table], place: Sequence[int | str]) -> list[str]:
    """The keys that the table around this place may have."""
    tables = [model]
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        if part.startswith(_TAG):
            tables = [table for table in tables if MEMBERS.get(part) is table] or tables
            continue
        inner = [
            found
            for table in tables
            for name, field in table.model_fields.items()
            if kebab(name) == part
            for found in tables_in(field.annotation)
        ]
        tables = inner or tables
    return sorted({word for table in tables for word in table.words()})


def tables_in(annotation: object) -> list[type[Table]]:
    """The tables that a value of this type may be or have."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in tables_in(part)]


def _is_pydantics_own(part: int | str) -> bool:
    return isinstance(part, str) and (part.startswith(_TAG) or part == "[key]")

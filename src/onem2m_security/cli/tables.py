"""Records: added to a store, read from it a page at a time, and printed as they are read."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import typer

from ..errors import SecurityFrameworkError
from .common import open_store
from .options.listing import ListOptions

if TYPE_CHECKING:
    from ..store.records import KeyKind, KeyRecord
    from ..store.store import Store

FOLDED_ROWS_MAX: Final = 100
"""So many rows are fitted to the width of a terminal; that takes a third of a millisecond for each."""

Row = dict[str, Any]
_Record = TypeVar("_Record")
Pages = AsyncIterator[Sequence[_Record | SecurityFrameworkError]]
"""Records as a store reads them: lists of some hundred, with the error in place of one that does not open."""


def add_record(data: Path, record: KeyRecord, *, replace: bool) -> None:
    """Store a key in a data directory, which is made if it is not there; what was removed may come back."""
    import asyncio

    async def add() -> None:
        async with await open_store(data, make=True) as store:
            await store.add(record, replace=replace)
            await store.trust.readmit(record.kind, record.key_id)

    asyncio.run(add())


def list_keys(kind: KeyKind, row: Callable[[KeyRecord], Row | None], wanted: ListOptions) -> None:
    """Print the keys of a kind in the order of their identifiers; see ``list_pages``."""
    list_pages(lambda store: store.pages(kind), row, wanted)


def list_pages(
    pages: Callable[[Store], Pages[_Record]], row: Callable[[_Record], Row | None], wanted: ListOptions
) -> None:
    """Print the records of a store, each page before the next is read.

    Args:
        pages: What to read of the store.
        row: A record as a row, all with the same fields; None for one that is not in this list.
        wanted: Which rows of which store, and in which form.

    Raises:
        typer.Exit: A record does not open: it is named on standard error, and the list goes on.
        StoreError: The store cannot be read.
    """
    import asyncio

    async def read() -> bool:
        async with await open_store(wanted.data) as store:
            return await show(pages(store), row, wanted)

    if not asyncio.run(read()):
        raise typer.Exit(1)


async def show(pages: Pages[_Record], row: Callable[[_Record], Row | None], wanted: ListOptions) -> bool:
    """Print pages of records as they come; whether all of them opened."""
    printer = _printer(wanted)
    remaining = wanted.limit if wanted.limit is not None else sys.maxsize
    sound = True
    async for page in pages:
        rows: list[Row] = []
        for record in page:
            if isinstance(record, SecurityFrameworkError):
                print(f"m2msec: {record}", file=sys.stderr)
                sound = False
            elif (found := row(record)) is not None and _has(found, wanted.only):
                rows.append(found)
        rows = rows[:remaining]
        remaining -= len(rows)
        if rows:
            printer.add(rows)
            sys.stdout.flush()
        if not remaining:
            break
    printer.close()
    return sound


class _Printer(Protocol):
    """What becomes of rows."""

    def add(self, rows: list[Row]) -> None:
        """Take the rows of a page; there is at least one."""
        ...

    def close(self) -> None:
        """There are no more."""
        ...


def _printer(wanted: ListOptions) -> _Printer:
    if wanted.count:
        return _Count()
    return _Array() if wanted.as_json else _Columns()


class _Count:
    """How many there are."""

    def __init__(self) -> None:
        self._number = 0

    def add(self, rows: list[Row]) -> None:
        self._number += len(rows)

    def close(self) -> None:
        print(self._number)


class _Array:
    """A JSON array."""

    def __init__(self) -> None:
        self._before = "[\n"

    def add(self, rows: list[Row]) -> None:
        for row in rows:
            print(self._before + textwrap.indent(json.dumps(row, indent=2), "  "), end="")
            self._before = ",\n"

    def close(self) -> None:
        print("[]" if self._before == "[\n" else "\n]")


class _Columns:
    """Columns as wide as their widest value so far; the rows of a short list are fitted to a terminal."""

    def __init__(self) -> None:
        self._widths: list[int] = []
        self._number = 0

    def add(self, rows: list[Row]) -> None:
        names, lines = list(rows[0]), [[*map(_cell, row.values())] for row in rows]
        first, self._number = not self._number, self._number + len(rows)
        if sys.stdout.isatty() and self._number <= FOLDED_ROWS_MAX:
            self._fold(names, lines, header=first)
            return
        if first:
            lines.insert(0, names)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        self._widths = [*map(max, widths, self._widths or widths)]
        for line in lines:
            padded = (text.ljust(width) for text, width in zip(line, self._widths, strict=True))
            print("  ".join(padded).rstrip())

    def _fold(self, names: list[str], lines: list[list[str]], *, header: bool) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, show_header=header)
        for name in names:
            table.add_column(name, overflow="fold")
        for line in lines:
            table.add_row(*line)
        Console().print(table)

    def close(self) -> None:
        if not self._number:
            print("nothing")


def _has(row: Row, text: str) -> bool:
    return not text or any(text in _cell(value) for value in row.values())


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)

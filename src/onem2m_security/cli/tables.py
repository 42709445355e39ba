"""Records: added to a store, read from it, printed for people or as JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ..store.records import KeyKind, KeyRecord
from .common import open_store

FOLDED_ROWS_MAX: Final = 1000
"""So many rows are fitted to the width of a terminal; that takes a third of a millisecond for each."""


def read_records(data: Path, kind: KeyKind) -> list[KeyRecord]:
    """All keys of a kind in a data directory, oldest first."""

    async def read() -> list[KeyRecord]:
        async with await open_store(data) as store:
            return await store.records(kind)

    return asyncio.run(read())


def add_record(data: Path, record: KeyRecord, *, replace: bool) -> None:
    """Store a key in a data directory, which is made if it is not there; what was removed may come back."""

    async def add() -> None:
        async with await open_store(data, make=True) as store:
            await store.add(record, replace=replace)
            await store.trust.readmit(record.kind, record.key_id)

    asyncio.run(add())


def with_text(rows: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The rows in which a value has this text."""
    return [row for row in rows if any(text in _cell(value) for value in row.values())]


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows that have the same fields, as a table or as a JSON array."""
    names = list(rows[0]) if rows else ["nothing"]
    console = Console()
    if as_json:
        print(json.dumps(rows, indent=2))
    elif console.is_terminal and len(rows) <= FOLDED_ROWS_MAX:
        table = Table(box=None)
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(_cell, row.values()))
        console.print(table)
    else:
        lines = [names, *([_cell(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            print("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)

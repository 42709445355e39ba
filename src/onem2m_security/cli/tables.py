"""Records: added to a store, read from it, printed for people or as JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..store.records import KeyKind, KeyRecord
from .common import open_store


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


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows that have the same fields, as a table or as a JSON array."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=None)
    for name in rows[0] if rows else ["nothing"]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            *(" ".join(v) if isinstance(v, list) else "" if v is None else str(v) for v in row.values())
        )
    console = Console()
    Console(width=console.width if console.is_terminal else 250).print(table)

"""``m2msec store``: care for a data directory."""

from __future__ import annotations

import typer

from .common import DataOption, log_to_stderr, open_store

app = typer.Typer(help="The sealed store in a data directory.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """The sealed store in a data directory."""


@app.command()
def rekey(data: DataOption) -> None:
    """Seal every record under a new key-encryption key and destroy the old one. Servers may go on running."""
    import asyncio

    log_to_stderr(verbose=False)

    async def reseal() -> int:
        async with await open_store(data) as opened:
            return await opened.rekey()

    print(f"{asyncio.run(reseal())} records sealed under a new key-encryption key")

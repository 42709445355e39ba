"""The ``m2msec`` command: one file per group of commands, all mounted here."""

from __future__ import annotations

import sys

import typer

from ..errors import SecurityFrameworkError
from ..private_memory import keep_memory_private
from ..version import __version__
from . import bsf, connect, demo, enrol, escertke, maf, mef, pki, serve, store, usim, vectors

app = typer.Typer(
    name="m2msec",
    help="The oneM2M security frameworks (TS-0003): servers, associations, known answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback's local variables could hold keys
    rich_markup_mode=None,
    add_completion=False,
)
app.add_typer(maf.app, name="maf")
app.add_typer(mef.app, name="mef")
app.add_typer(bsf.app, name="bsf")
app.add_typer(usim.app, name="usim")
app.add_typer(pki.app, name="pki")
app.add_typer(escertke.app, name="escertke")
app.add_typer(store.app, name="store")
app.command("connect")(connect.connect)
app.command("listen")(connect.listen)
app.command("enrol")(enrol.enrol)
app.command("vectors")(vectors.vectors)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Run the command; an error of ours ends it with one line on standard error and status 1."""
    keep_memory_private()
    try:
        app()
    except SecurityFrameworkError as error:
        print(f"m2msec: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

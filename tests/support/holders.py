"""Where the manual's pages say that something is held: by a test, a target of make, or a file."""

from __future__ import annotations

from pathlib import Path

from places import ROOT, TESTS

FILES = {file.stem: file for file in TESTS.rglob("test_*.py")}


def holder(name: str) -> Path | None:
    """Where what a name says is: a test by its file's name, a target of make, anything else by its path."""
    if name.startswith("make "):
        makefile = ROOT / "Makefile"
        return makefile if f"\n{name.removeprefix('make ')}:" in makefile.read_text("utf-8") else None
    file, _, function = name.partition("::")
    found = FILES.get(file.removesuffix(".py"), ROOT / file)
    return found if found.is_file() and f"def {function}" in found.read_text("utf-8") else None

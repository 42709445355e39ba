"""The code that is measured: the working tree, and a named commit beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Tree:
    """The sources of one commit, run from where they lie.

    Attributes:
        name: How it is called in tables; empty for the working tree.
        root: Its directory.
    """

    name: str
    root: Path

    def called(self, what: str) -> str:
        """The name of one of its servers in a table."""
        return f"{what} [{self.name}]" if self.name else what

    def has(self, path: str) -> bool:
        return (self.root / path).exists()

    @property
    def environment(self) -> dict[str, str]:
        """Whose Python imports this tree's package, and its benchmarks."""
        return os.environ | {"PYTHONPATH": os.pathsep.join([str(self.root / "src"), str(self.root)])}

    def python(self, *arguments: object) -> list[str]:
        return [sys.executable, *map(str, arguments)]

    def m2msec(self, *arguments: object) -> list[str]:
        # Trees of before the package could be run began the command line elsewhere.
        module = "onem2m_security" if self.has("src/onem2m_security/__main__.py") else "onem2m_security.cli"
        return self.python("-m", module, *arguments)

    def run(self, *arguments: object) -> str:
        """Run Python in this tree until it ends; what it printed."""
        done = subprocess.run(
            self.python(*arguments),
            env=self.environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout


WORKING = Tree("", ROOT)


def base(commit: str, directory: Path) -> Tree:
    """Lay out a commit of this repository in a directory."""
    git = ["git", "-C", str(ROOT)]
    short = subprocess.run(
        [*git, "rev-parse", "--short", f"{commit}^{{commit}}"], capture_output=True, text=True, check=False
    )
    if short.returncode:
        raise SystemExit(f"--base {commit}: there is no such commit here")
    directory.mkdir()
    with subprocess.Popen([*git, "archive", commit], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", str(directory)], stdin=archive.stdout, check=True)
    return Tree(short.stdout.strip(), directory)

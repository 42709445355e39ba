"""The programs in C, compiled when they are older than their sources."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .trees import ROOT

SOURCES = Path(__file__).parent / "c"
BUILT = ROOT / "build" / "bench"
FLAGS = {".so": ["-shared", "-fPIC", "-ldl"], "": ["-pthread", "-lssl", "-lcrypto"]}


def built(name: str) -> Path:
    """The path of a program or library; its source has the same name, with ``.c``."""
    made = BUILT / name
    source = SOURCES / f"{made.stem}.c"
    if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
        return made
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("no C compiler is installed (Debian: apt-get install gcc libssl-dev)")
    BUILT.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-o", str(made), str(source), *FLAGS[made.suffix]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{source.name} does not compile (Debian: libssl-dev): {done.stderr[:500]}")
    return made

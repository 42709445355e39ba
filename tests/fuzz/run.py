"""Coverage-guided fuzzing of everything that reads octets from strangers; ``make fuzz`` runs it.

    python tests/fuzz/run.py [--seconds N] [--seed N] [--runs N] [TARGET ...]

Each target runs in a process of its own for so many seconds. What makes one fail is written to
``.fuzz/<target>/``, where the corpus is kept as well; give the file's octets to the target to see it again::

    python tests/fuzz/run.py --again identifiers .fuzz/identifiers/crash-…
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CORPUS = ROOT / ".fuzz"
WRITTEN = re.compile(r"Test unit written to (\S+)")


def fuzz(name: str, seconds: int, seed: int, runs: int) -> None:
    """Run one target in this process until the time or the runs are over, and end it."""
    import atheris

    with atheris.instrument_imports(include=["onem2m_security"]):
        import targets

    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(targets.SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(octets)
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={corpus}/"]
    options += [f"-runs={runs}", "-max_len=4096", "-timeout=10"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ["--here"]:
        fuzz(sys.argv[2], *map(int, sys.argv[3:]))
    import targets

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="try the same octets each time; 0 for others")
    parser.add_argument("--runs", type=int, default=-1, help="at most so many; -1 for no limit")
    parser.add_argument("--again", help="run this target once on the octets of the given file")
    options = parser.parse_args()
    if options.again:
        targets.TARGETS[options.again](Path(options.names[0]).read_bytes())
        return 0
    failed = []
    for name in options.names or targets.TARGETS:
        bounds = map(str, (options.seconds, options.seed, options.runs))
        command = [sys.executable, __file__, "--here", name, *bounds]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        executed = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
        print(f"{name}: {executed[-1] if executed else 'FAILED'}", flush=True)
        if done.returncode != 0:
            print(done.stderr[-3000:])
            for found in WRITTEN.findall(done.stderr):
                print(f"To repeat it: {sys.executable} {__file__} --again {name} {found}")
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

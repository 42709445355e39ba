"""What an idle session holds: memory of the server for each of many that say nothing, over TLS and DTLS."""

from __future__ import annotations

import argparse
import time

from . import machine
from .bench import Bench
from .load import PSK_DTLS, Load
from .provision import identity_of
from .running import Server
from .servers import entity_b_by_key, maf, provisioned

CLIENTS = 1000
SETTLED_SECONDS = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=10_000)


def measure(bench: Bench) -> None:
    machine.allow_open_files()
    sessions = bench.options.sessions
    one = Load(PSK_DTLS, 16, dtls=True, identity=identity_of(0).decode())
    for tree in bench.trees:
        data = bench.directory(tree.name or "working") / "maf"
        provisioned(tree, "maf", data, CLIENTS)
        for aim, server, load in (
            ("idle-tls", bench.run(maf(tree, data)), Load(clients=CLIENTS)),
            ("idle-dtls", bench.run(entity_b_by_key(tree)), one),
        ):
            held = kilobytes(server, load, sessions)
            print(f"{tree.called(aim)}: {held:.1f} kB for each of {sessions:,} sessions", flush=True)
            if tree is bench.trees[0]:
                bench.reached(aim, held)


def kilobytes(server: Server, load: Load, sessions: int) -> float:
    """Growth of the server's own memory for each session, after it has served many that ended."""
    load.run(server.port)
    time.sleep(SETTLED_SECONDS)
    before = server.resident_octets
    with load.holding(server.port, sessions) as outcome:
        time.sleep(SETTLED_SECONDS)
        if outcome.failed:
            raise SystemExit(f"{outcome.failed} of {sessions} were not accepted: {outcome.why}")
        return (server.resident_octets - before) / sessions / 1000

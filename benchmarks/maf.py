"""What a MAF Handshake costs over TLS with a pre-shared key, Kc durable before its last flight leaves.

Beside it: s_server with the one key in memory, which stores nothing; stunnel and gnutls-serv with the keys in
a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from . import compare, peers
from .bench import Bench, turn
from .load import Load
from .running import Server
from .servers import maf, provisioned

REFERENCE = "openssl s_server"
FEW, MANY = 1000, 1_000_000
CROWD = 32


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, nargs="+", default=[FEW], help="of one MAF each")
    parser.add_argument("--at-once", type=int, nargs="+", default=[CROWD, 1])


def named(clients: int) -> str:
    return f"MAF, {clients:,} clients"


def start(bench: Bench) -> dict[str, tuple[Server, int]]:
    """All servers, and how many clients each knows."""
    servers = {REFERENCE: (bench.run(peers.s_server()), FEW)}
    for tree in bench.trees:
        for clients in bench.options.clients:
            name = tree.called(named(clients))
            data = bench.directory(tree.name or "working") / str(clients)
            print(f"{name}: provisioned in {provisioned(tree, 'maf', data, clients):.1f} s", flush=True)
            servers[name] = (bench.run(maf(tree, data)), clients)
    others: dict[str, Callable[[], object]] = {
        "stunnel": lambda: peers.stunnel(bench.scratch, FEW),
        "gnutls-serv": lambda: peers.gnutls_serv(bench.scratch, FEW),
    }
    for name, other in others.items():
        if peers.program(name) is not None:
            servers[name] = (bench.run(other()), FEW)
    return servers


def measure(bench: Bench) -> None:
    servers = start(bench)
    for at_once in bench.options.at_once:
        print(f"\n{at_once} at once\n")
        turns = bench.compare(
            {
                name: turn(server, Load(clients=clients, at_once=at_once, seconds=bench.options.seconds))
                for name, (server, clients) in servers.items()
            },
            REFERENCE,
        )
        for clients in bench.options.clients:
            spread = compare.cost(turns, named(clients), REFERENCE)
            if at_once == CROWD and clients in {FEW, MANY}:
                bench.reached("maf" if clients == FEW else "maf-many", spread.median)
            if at_once == 1 and clients == FEW:
                bench.reached("maf-one", spread.median)
            if at_once == CROWD and clients == FEW:
                bench.reached("maf-rate", compare.rate(turns, named(clients), REFERENCE).median)

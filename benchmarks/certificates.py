"""What a handshake with certificates at both ends costs Entity B, of a client that returns and of new ones.

A chain of end entity, intermediate and root. Who has been seen before may be verified more cheaply; whoever
publishes one of the two numbers publishes both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from onem2m_security.certificates.authority import Authority
from onem2m_security.certificates.issued_names import permitted_names

from . import compare, peers
from .bench import Bench, turn
from .compare import Contender
from .load import ECDSA, Load
from .running import Server
from .servers import entity_b_by_certificate

REFERENCE = "openssl s_server -Verify, returning"
RETURNING, NEW = "Entity B, returning", "Entity B, never seen"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--handshakes", type=int, default=200, help="in each turn")
    parser.add_argument("--at-once", type=int, default=8)


def make_files(directory: Path, clients: int) -> None:
    """Chains and keys of ``b`` and ``a``, the root, and numbered clients; all clients have one name."""
    root = Authority.root("benchmark root")
    authority = root.intermediate(permitted=permitted_names(dns=["sp.example"]))
    (directory / "root.pem").write_bytes(root.trust_anchor_pem)
    (directory / "issuers.pem").write_bytes(authority.issued.full_chain_pem)
    (directory / "root-of-trust").write_text(root.root_of_trust.hex())
    for name, fqdn in [("b", "b"), ("a", "a"), *((f"new-{number}", "a") for number in range(clients))]:
        issued = authority.issue(None, f"{fqdn}.sp.example")
        for file, octets in (
            (f"{name}.pem", issued.full_chain_pem),
            (f"{name}.key", issued.key_pem),
            (f"{name}.both", issued.full_chain_pem + issued.key_pem),
        ):
            path = directory / file
            path.touch(mode=0o600)
            path.write_bytes(octets)


def measure(bench: Bench) -> None:
    options = bench.options
    directory = bench.directory("certificates")
    make_files(directory, options.handshakes * (options.rounds + 1))

    def returning(server: Server) -> Contender:
        same = str(directory / "a.both")
        return turn(server, Load(ECDSA, options.at_once, count=options.handshakes, certificates=same))

    def never_seen(server: Server) -> Contender:
        def drive(number: int):
            each = str(directory / "new-%d.both")
            first = number * options.handshakes
            load = Load(ECDSA, options.at_once, count=options.handshakes, certificates=each, first=first)
            return load.run(server.port)

        return Contender(server, drive)

    reference = bench.run(peers.s_server_certificates(directory))
    contenders = {
        REFERENCE: returning(reference),
        "openssl s_server -Verify, never seen": never_seen(reference),
    }
    for tree in bench.trees:
        server = bench.run(entity_b_by_certificate(tree, directory))
        contenders[tree.called(RETURNING)] = returning(server)
        contenders[tree.called(NEW)] = never_seen(server)
    if peers.program("nginx") is not None:
        contenders["nginx, returning"] = returning(bench.run(peers.nginx(directory)))
    turns = bench.compare(contenders, REFERENCE)
    bench.reached("certificates-returning", compare.cost(turns, RETURNING, REFERENCE).median)
    bench.reached("certificates-new", compare.cost(turns, NEW, REFERENCE).median)

"""What DTLS costs: handshakes with cookies of an Entity B and of a MAF, and a spoofed ClientHello.

``s_server -listen`` stays connected to the first address that it meets, so it is driven from one port, by one
client at a time, whatever the others are.
"""

from __future__ import annotations

import argparse
import contextlib
import socket

from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.session import Session
from onem2m_security.tls.suites import BY_OPENSSL_NAME

from . import compare, peers
from .bench import Bench, turn
from .load import PSK_DTLS, Load
from .provision import KM, identity_of
from .running import Server, free_port
from .servers import entity_b_by_key, maf, provisioned

REFERENCE = "openssl s_server -listen"
CLIENTS = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--handshakes", type=int, default=300, help="in each turn")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--hellos", type=int, default=20_000, help="spoofed ones")


def measure(bench: Bench) -> None:
    options = bench.options
    reference = bench.run(peers.s_server_dtls())
    contenders = {
        REFERENCE: turn(reference, _load(bench, 1, one=True, bind=free_port())),
    }
    by_key = []
    for tree in bench.trees:
        data = bench.directory(tree.name or "working") / "maf"
        provisioned(tree, "maf", data, CLIENTS)
        with_store, in_memory = bench.run(maf(tree, data)), bench.run(entity_b_by_key(tree))
        by_key.append((tree, in_memory))
        for at_once in options.at_once:
            contenders[tree.called(f"Entity B, {at_once} at once")] = turn(
                in_memory, _load(bench, at_once, one=True)
            )
            contenders[tree.called(f"MAF, {at_once} at once")] = turn(with_store, _load(bench, at_once))
    if peers.program("coap-server-openssl") is not None:
        server = bench.run(peers.coap_server())
        for at_once in options.at_once:
            contenders[f"coap-server, {at_once} at once"] = turn(server, _load(bench, at_once, one=True))
    turns = bench.compare(contenders, REFERENCE)
    for at_once in sorted({1, 16} & set(options.at_once)):
        for short, name in (("b", "Entity B"), ("maf", "MAF")):
            spread = compare.cost(turns, f"{name}, {at_once} at once", REFERENCE)
            bench.reached(f"dtls-{short}-{at_once}", spread.median)
    for tree, server in by_key:
        each = hello_microseconds(server, options.hellos)
        print(f"{tree.called('Entity B')}: {each:.1f} µs for a spoofed ClientHello")


def _load(bench: Bench, at_once: int, *, one: bool = False, bind: int | None = None) -> Load:
    """One client's identity, for who has only one key, or any client's."""
    identity = {"identity": identity_of(0).decode()} if one else {}
    return Load(
        PSK_DTLS, at_once, dtls=True, count=bench.options.handshakes, clients=CLIENTS, bind=bind, **identity
    )


def hello_microseconds(server: Server, hellos: int) -> float:
    """Processor time of the server for a ClientHello without a cookie, each of a client of its own."""
    endpoint = Endpoint(server=False, suites=(BY_OPENSSL_NAME[PSK_DTLS],))
    session = Session(endpoint, offer=PskOffer(identity_of(0), KM), framing=DatagramFraming())
    [hello] = session.datagrams_to_send()
    before, answered = server.processor_seconds, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.port))
        client.settimeout(0.05)
        for start in range(0, hellos, 50):
            for number in range(start, start + 50):
                client.send(hello[:27] + number.to_bytes(4, "big") + hello[31:])
            with contextlib.suppress(TimeoutError):
                for _ in range(50):
                    client.recv(2048)
                    answered += 1
    return (server.processor_seconds - before) / answered * 1e6

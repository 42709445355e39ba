"""Can an identity that the MAF knows be told from one that it does not know by the time of the answer?

One client, one connection at a time, shows a known identity and an unknown one in turns, in random order
within each pair, with a wrong key in both cases. What is timed is what a stranger can see: from sending the
flight with the identity to the alert. The answers must be alike; the difference within the pairs is judged by
the signed-rank test, which a few late answers do not disturb: |z| beyond 3 tells the two apart, given so many
tries on an idle loopback.
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import time
from dataclasses import dataclass

from onem2m_security.credentials import Secret
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import SessionEnded
from onem2m_security.tls.session import Session
from onem2m_security.tls.suites import BY_OPENSSL_NAME

from .bench import Bench
from .figures import signed_rank_z
from .load import PSK_TLS
from .provision import identity_of
from .running import Server
from .servers import maf, provisioned

CLIENTS = 1000
WARMING = 200


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=4000)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for an identity.

    Attributes:
        seconds: From the flight with the identity to the alert.
        alert: Its name.
    """

    seconds: float
    alert: str | None


def refused(server: Server, identity: bytes) -> Answer:
    """Show this identity with a key that is nobody's."""
    endpoint = Endpoint(server=False, suites=(BY_OPENSSL_NAME[PSK_TLS],))
    session = Session(endpoint, offer=PskOffer(identity, Secret.generate()))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(session.data_to_send())
        flight = b""
        while not flight:
            session.receive(connection.recv(65536))
            flight = session.data_to_send()
        begin = time.perf_counter()
        connection.sendall(flight)
        octets = connection.recv(65536)
        seconds = time.perf_counter() - begin
        [ended] = session.receive(octets)
        assert isinstance(ended, SessionEnded)
        return Answer(seconds, None if ended.error is None else ended.error.alert and ended.error.alert.name)


def times_of(server: Server, pairs: int) -> tuple[list[float], list[float]]:
    """The times of known and of unknown identities, pair by pair."""
    times: dict[bool, list[float]] = {True: [], False: []}
    alerts = set()
    for number in range(WARMING + pairs):
        for known in random.sample((True, False), 2):
            client = random.randrange(CLIENTS) + (0 if known else 10 * CLIENTS)
            answer = refused(server, identity_of(client))
            alerts.add(answer.alert)
            if number >= WARMING:
                times[known].append(answer.seconds)
    if len(alerts) != 1:
        raise RuntimeError(f"the answers themselves differ: {alerts}")
    return times[True], times[False]


def measure(bench: Bench) -> None:
    for tree in bench.trees:
        data = bench.directory(tree.name or "working") / "maf"
        provisioned(tree, "maf", data, CLIENTS)
        known, unknown = times_of(bench.run(maf(tree, data)), bench.options.pairs)
        differences = [one - other for one, other in zip(known, unknown, strict=True)]
        z = signed_rank_z(differences)
        for name, seconds in (("known", known), ("unknown", unknown)):
            median = statistics.median(seconds) * 1e6
            print(f"{tree.called('MAF')}, {name} identity: median {median:.0f} µs to the alert")
        difference = statistics.median(differences) * 1e6
        print(
            f"{bench.options.pairs} pairs, known minus unknown: {difference:+.1f} µs, z = {z:+.1f}",
            flush=True,
        )
        if tree is bench.trees[0]:
            bench.reached("lookup-time", abs(z))

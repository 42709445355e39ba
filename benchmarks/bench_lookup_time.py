"""Can an identity that the MAF knows be told from one that it does not know by the time of the answer?

    python -m benchmarks.bench_lookup_time [--pairs 4000]

One client, one connection at a time, shows a known identity and an unknown one in turns, in random order
within each pair, with a wrong key in both cases. What is timed is what a stranger can see: from sending the
flight with the identity to the alert. The answers must be alike; the difference within the pairs is judged by
the signed-rank test, which a few late answers do not disturb: |z| beyond 3 tells the two apart, given so many
tries on an idle loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from onem2m_security.credentials import Secret
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import SessionEnded
from onem2m_security.tls.session import Session
from onem2m_security.tls.suites import BY_OPENSSL_NAME

from .__main__ import hardware
from .load import identity_of
from .servers import Server, maf, provision

SUITE = "PSK-AES128-GCM-SHA256"
CLIENTS = 1000
WARMING = 200
AIM_Z = 3.0


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
    endpoint = Endpoint(server=False, suites=(BY_OPENSSL_NAME[SUITE],))
    session = Session(endpoint, offer=PskOffer(identity, Secret.generate()))
    with socket.create_connection((server.address.host, server.address.port)) as connection:
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


def signed_rank_z(differences: list[float]) -> float:
    """Wilcoxon's signed-rank statistic, as a normal deviate: 0 for differences that lie around 0."""
    n = len(differences)
    ordered = sorted(differences, key=abs)
    positive = sum(rank for rank, difference in enumerate(ordered, 1) if difference > 0)
    return (positive - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)


def measure(server: Server, pairs: int) -> tuple[list[float], list[float]]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=4000)
    options = parser.parse_args()
    print(hardware())
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "maf"
        asyncio.run(provision(data, CLIENTS))
        with maf(data) as server:
            known, unknown = measure(server, options.pairs)
    differences = [one - other for one, other in zip(known, unknown, strict=True)]
    z = signed_rank_z(differences)
    for name, seconds in (("known", known), ("unknown", unknown)):
        print(f"{name} identity: median {statistics.median(seconds) * 1e6:.0f} µs to the alert")
    difference = statistics.median(differences) * 1e6
    print(
        f"{options.pairs} pairs: median difference {difference:+.1f} µs, z = {z:+.1f} "
        f"(aim: within {AIM_Z:g}: {'met' if abs(z) <= AIM_Z else 'missed'})"
    )


if __name__ == "__main__":
    main()

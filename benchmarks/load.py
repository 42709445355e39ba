"""What is done to a server: turns of ``c/load.c``, and what came of each."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .programs import built
from .provision import IDENTITY, KM

PSK_TLS, PSK_DTLS, ECDSA = "PSK-AES128-GCM-SHA256", "PSK-AES128-CCM8", "ECDHE-ECDSA-AES128-GCM-SHA256"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one turn came to.

    Attributes:
        completed: Handshakes, or answered requests.
        failed: What did not complete, an abrupt end included.
        seconds: From the first to the last.
        median: Latency, in microseconds; p95 and p99 are those of the slowest 5 and 1 %.
        why: How the last failure was called.
    """

    completed: int
    failed: int
    seconds: float
    median: float
    p95: float
    p99: float
    why: str


@dataclass(frozen=True, slots=True)
class Load:
    """Options of the client in C; None leaves one out.

    Attributes:
        suite: The only suite that is offered, by its OpenSSL name.
        at_once: Connections at the same time.
        dtls: Over UDP, with cookies.
        seconds: How long a turn takes, unless it ends by a count.
        count: How many handshakes a turn has.
        clients: Identities are taken at random from so many.
        identity: The one that they show; with ``%ld`` for the number of the client.
        keys: A file of identities and keys, each shown once, instead.
        certificates: Numbered files of a certificate and its key, each shown once, instead.
        first: The number of the first of them.
        bind: The local port, for one DTLS client at a time.
        request: A file with what is asked again and again in one session; then requests are counted.
    """

    suite: str = PSK_TLS
    at_once: int = 32
    dtls: bool = False
    seconds: float = 1.0
    count: int | None = None
    clients: int = 1000
    identity: str = IDENTITY
    keys: Path | None = None
    certificates: str | None = None
    first: int = 0
    bind: int | None = None
    request: Path | None = None

    def command(self, port: int, *, hold: bool = False) -> list[str]:
        given: dict[str, object] = {
            "dtls": int(self.dtls),
            "at-once": self.at_once,
            "seconds": self.seconds,
            "count": self.count,
            "bind": self.bind,
            "request": self.request,
            "hold": int(hold),
        }
        if self.certificates is not None:
            given |= {"certificates": self.certificates, "first": self.first}
        elif self.keys is not None:
            given |= {"keys": self.keys}
        else:
            given |= {"identity": self.identity, "clients": self.clients, "key": KM.reveal().hex()}
        options = [str(word) for name, value in given.items() if value is not None for word in (name, value)]
        return [str(built("load")), str(port), self.suite, *options]

    def run(self, port: int) -> Outcome:
        done = subprocess.run(self.command(port), stdout=subprocess.PIPE, text=True, check=True)
        return _outcome(done.stdout)

    @contextlib.contextmanager
    def holding(self, port: int, sessions: int) -> Iterator[Outcome]:
        """So many sessions, which say nothing until the context ends."""
        command = replace(self, count=sessions).command(port, hold=True)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield _outcome(process.stdout.readline())
            process.stdin.close()


def _outcome(printed: str) -> Outcome:
    outcome = Outcome(**json.loads(printed))
    if not outcome.completed:
        raise SystemExit(f"nothing completed, {outcome.failed} failed: {outcome.why}")
    return outcome

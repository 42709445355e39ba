"""A server that runs in a process of its own, until its context ends."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from . import machine
from .programs import built

START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and what it has cost.

    Attributes:
        pid: Its process.
        port: Where it listens, on 127.0.0.1.
        syncs: The counter of its syncs, where they are counted.
    """

    pid: int
    port: int
    syncs: mmap.mmap | None = None

    @property
    def processor_seconds(self) -> float:
        return machine.processor_seconds(self.pid)

    @property
    def resident_octets(self) -> int:
        return machine.resident_octets(self.pid)

    @property
    def synced(self) -> int | None:
        """How often it has synced so far."""
        return None if self.syncs is None else int.from_bytes(self.syncs[:8], "little")

    def end(self) -> None:
        """Let it end as an operator does, and wait: what it writes at its end is there then."""
        process = psutil.Process(self.pid)
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def told(
    command: list[str], *, environment: Mapping[str, str], cwd: Path, pattern: str, count_syncs: bool = False
) -> Iterator[Server]:
    """A server that prints its port: what it prints is read up to the pattern's group, and then drained."""
    with contextlib.ExitStack() as stack:
        counter, preload = stack.enter_context(_counter()) if count_syncs else (None, {})
        process = stack.enter_context(
            _ended(command, env=environment | preload, cwd=cwd, stdout=subprocess.PIPE)
        )
        for line in process.stdout:
            if found := re.search(pattern.encode(), line):
                break
        else:
            raise SystemExit(f"{' '.join(command)} did not start")
        # What it prints from here on is not wanted, and must not fill the pipe.
        stack.enter_context(_ended(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL))
        yield Server(process.pid, int(found.group(1)), counter)


@contextlib.contextmanager
def at(port: int, command: list[str], *, udp: bool = False) -> Iterator[Server]:
    """A server that was told its port: it runs when somebody answers there, or has had a second for UDP."""
    with _ended(command, stdout=subprocess.DEVNULL) as process:
        give_up = time.monotonic() + START_SECONDS
        while not udp:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None or time.monotonic() > give_up:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.05)
        if udp:
            time.sleep(1.0)
        yield Server(process.pid, port)


@contextlib.contextmanager
def _counter() -> Iterator[tuple[mmap.mmap, dict[str, str]]]:
    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.fileno(), mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
            yield mapped, {"LD_PRELOAD": str(built("syncs.so")), "SYNCS": file.name}


@contextlib.contextmanager
def _ended(
    command: list[str], *, stdout: int, stdin: int | IO[bytes] = subprocess.PIPE, **given: Any
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, **given) as process:
        try:
            yield process
        finally:
            process.kill()

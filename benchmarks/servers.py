"""The servers that are compared, each a process of its own: ``m2msec maf serve``, ``openssl s_server``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.store import KeyKind, KeyRecord, Store

from .load import KM, identity_of

M2MSEC = Path(sys.executable).with_name("m2msec")
TARGET = EntityId.parse("/in-cse")
_CONFIG = """\
[maf]
fqdn = "maf.example.com"
listen = "127.0.0.1:0"
data = "{data}"

[quotas]
live-keys = 1000000000
key-registrations-per-second = 1000000
connections = 1000000
requests-per-second = 1000000
"""


class Server:
    """A running server and what it has cost."""

    def __init__(self, process: subprocess.Popen, address: Address) -> None:
        self.address = address
        self._process = psutil.Process(process.pid)

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        times = self._process.cpu_times()
        return times.user + times.system

    @property
    def resident_octets(self) -> int:
        return self._process.memory_info().rss


async def provision(data: Path, clients: int) -> float:
    """A store with so many clients; the seconds that it took."""
    issued = datetime.now(UTC)
    records = (
        KeyRecord(
            KeyKind.KM,
            KeyIdentifier.parse_km_id(identity_of(number)),
            KM,
            issued,
            EntityId(f"Cclient{number}"),
            (TARGET,),
        )
        for number in range(clients)
    )
    begin = time.perf_counter()
    async with await Store.open(data) as store:
        await store.add_many(records)
    return time.perf_counter() - begin


@contextlib.contextmanager
def maf(data: Path) -> Iterator[Server]:
    """The MAF over this store; one client may do here what many do elsewhere."""
    config = data.with_name(data.name + ".toml")
    config.write_text(_CONFIG.format(data=data.absolute()), encoding="utf-8")
    command = [M2MSEC, "serve", "--config", config]
    with _running(command, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline().decode()
        yield Server(process, Address("127.0.0.1", int(re.search(r":(\d+)\b", line).group(1))))


@contextlib.contextmanager
def s_server(suite: str) -> Iterator[Server]:
    """``openssl s_server`` with the one key; it stores nothing, and serves one client at a time."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        shutil.which("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2",
        "-nocert", "-no_ticket",
        "-psk", KM.reveal().hex(), "-psk_identity", identity_of(0).decode(), "-cipher",
        f"{suite}@SECLEVEL=0", "-quiet",
    ]  # fmt: skip
    with _running(command, stdout=subprocess.DEVNULL) as process:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield Server(process, Address("127.0.0.1", port))


@contextlib.contextmanager
def _running(command: list[object], **streams: int) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ, **streams
    ) as process:
        try:
            yield process
        finally:
            process.kill()

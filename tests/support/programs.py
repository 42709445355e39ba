"""Real programs for tests: ``m2msec`` as a person starts it, and ``openssl`` as the foreign peer."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import forking
from requirements import needs

M2MSEC = Path(sys.executable).with_name("m2msec")
FRESH = (M2MSEC,)
"""The command in an interpreter of its own, for a test of the start itself."""

PATIENCE = 60.0
"""Seconds after which a program that does not do what it should counts as stuck; never a measure of speed."""

_READY = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for another program: until the condition holds; what it gave."""
    deadline = time.monotonic() + PATIENCE
    while not (held := condition()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
    return held


def key_file(directory: Path, name: str, key: bytes) -> Path:
    """A key in hex in a file that only its owner can read."""
    path = directory / name
    path.touch(mode=0o600)
    path.write_text(key.hex() + "\n", encoding="ascii")
    return path


def m2msec(*arguments: object, given: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    done = forking.Command([*map(str, arguments)], given).finish(PATIENCE)
    assert not check or done.returncode == 0, done.stderr
    return done


def kc_rows(data: Path) -> list[dict[str, Any]]:
    """What ``m2msec maf keys --json --reveal`` prints."""
    return json.loads(m2msec("maf", "keys", "--data", data, "--json", "--reveal").stdout)


class Server:
    """A command that listens: started on a port of the system's choice, ended with the test.

    It is forked, unless a command is given, such as ``FRESH``.

    Attributes:
        port: Where it listens on 127.0.0.1.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: object,
        environment: dict[str, str] | None = None,
        command: Sequence[object] = (),
    ) -> None:
        self.arguments = [*map(str, command), *map(str, arguments)]
        env = os.environ | (environment or {})
        self._paths = [directory / f"{name}.{time.monotonic_ns()}" for name in ("out", "err")]
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process: forking.Forked | subprocess.Popen[bytes] = (
                subprocess.Popen(self.arguments, stdin=subprocess.PIPE, stdout=out, stderr=err, env=env)
                if command
                else forking.Forked(self.arguments, stdout=out, stderr=err, env=env)
            )
        self.port = int(self.wait_for(_READY).group(1))

    @property
    def output(self) -> str:
        """What it printed to standard output."""
        return self._paths[0].read_text(encoding="utf-8", errors="replace")

    @property
    def errors(self) -> str:
        """What it printed to standard error, log lines included."""
        return self._paths[1].read_text(encoding="utf-8", errors="replace")

    @property
    def associations(self) -> list[dict[str, Any]]:
        """The associations that ``m2msec listen --json`` told of."""
        return [line for line in self._lines() if "framework" in line]

    @property
    def received(self) -> bytes:
        """What peers sent, as ``m2msec listen --json`` tells it."""
        return b"".join(base64.b64decode(line["data"]) for line in self._lines() if "data" in line)

    def _lines(self) -> list[dict[str, Any]]:
        whole, _, _ = self.output.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for_data(self, data: bytes, *, times: int = 1) -> None:
        """Wait until peers have sent this, to ``m2msec listen --json``, so many times."""
        deadline = time.monotonic() + PATIENCE
        while self.received.count(data) < times:
            assert time.monotonic() < deadline, f"{data!r} did not come: {self.output}{self.errors}"
            time.sleep(0.02)

    def wait_for(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        """Wait until its output or its errors match."""

        def found() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            match = re.search(pattern, self.output + self.errors)
            assert match or not ended, f"{self.arguments} ended with {self.process.returncode}: {self.errors}"
            return match

        return wait_until(found, f"{pattern} from {self.arguments}")

    def stop(self) -> int:
        """End it as an operator does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        status = self.process.wait(PATIENCE)
        assert self.process.stdin is not None
        self.process.stdin.close()
        return status


def with_open_files(number: int) -> tuple[object, ...]:
    """The m2msec command, allowed so many open files and no more (``ulimit -n``, soft and hard)."""
    return "/bin/sh", "-c", f'ulimit -n {number} && exec "$0" "$@"', M2MSEC


class Programs:
    """Starts servers in a directory of the test's own, and ends those that are left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Server] = []

    def start(self, *arguments: object, **settings: Any) -> Server:
        server = Server(self.directory, *arguments, **settings)
        self._started.append(server)
        return server

    def start_maf(
        self, data: Path, *arguments: object, fqdn: str = "maf.example.com", **settings: Any
    ) -> Server:
        return self.start(
            "maf", "serve", "--data", data, "--fqdn", fqdn, "--listen", "127.0.0.1:0", *arguments, **settings
        )

    def end_all(self) -> None:
        for server in self._started:
            server.kill()


def openssl() -> str:
    """The openssl command."""
    return needs("openssl")


def s_client(
    port: int,
    identity: str,
    key: bytes,
    suite: str,
    *,
    options: Sequence[str] = (),
    given: bytes = b"",
    hold: float = 0.0,
) -> str:
    """Be a TLS client with ``openssl s_client``; what it printed.

    Args:
        port: On 127.0.0.1.
        identity: The psk_identity.
        key: The psk; public test data, so it may stand in the argument list.
        suite: OpenSSL's name of the only suite to offer.
        options: Further options.
        given: Application data to send.
        hold: Seconds to keep the session open after sending.
    """
    command = [
        openssl(), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2",
        "-psk_identity", identity, "-psk", key.hex(), "-cipher", f"{suite}@SECLEVEL=0", *options,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.flush()
        time.sleep(hold)
        printed, _ = process.communicate(timeout=PATIENCE)
    return printed.decode("utf-8", "replace")


def keying_material(printed: str) -> bytes:
    """The octets that s_client exported."""
    found = re.search(r"Keying material: ([0-9A-F]+)", printed)
    assert found, printed
    return bytes.fromhex(found.group(1))

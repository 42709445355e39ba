"""``m2msec`` without a start: forked from a process that has imported everything.

A fresh interpreter needs near a second for its imports, the same for each of hundreds of commands. What a
person starts is tried by ``tests/house/test_shell_blocks.py``, command for command, and wherever a test
asks for ``FRESH``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pkgutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import reduction
from pathlib import Path
from typing import IO, Any

import onem2m_security

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        *(
            module.name
            for module in pkgutil.walk_packages(onem2m_security.__path__, "onem2m_security.")
            if not (module.ispkg or module.name.endswith(".__main__") or ".migrations." in module.name)
        ),
        # What they import once they are at work.
        "alembic.command",
        "sqlalchemy.dialects.sqlite",
    ]
)

_one_at_a_time = threading.Lock()
"""Whether a process has ended can be read once, and starting another reads it of all."""


class _Stream:
    """An open file on its way to another process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __getstate__(self) -> object:
        return reduction.DupFd(self.descriptor)

    def __setstate__(self, sent: Any) -> None:
        self.descriptor = sent.detach()


def _main(
    arguments: Sequence[str], directory: str, environment: Mapping[str, str], streams: Sequence[_Stream]
):
    """What the ``m2msec`` command does."""
    from onem2m_security.cli import main

    for number, stream in enumerate(streams):
        os.dup2(stream.descriptor, number)
        os.close(stream.descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the process ends with it
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["m2msec", *arguments]
    main()


class Forked:
    """``m2msec`` in a process of its own, with the manners of ``subprocess.Popen``.

    Attributes:
        stdin: What writes to its standard input, if none was given.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes],
        stderr: IO[bytes],
        env: Mapping[str, str] | None = None,
    ) -> None:
        given, self.stdin = (stdin.fileno(), None) if stdin else _pipe()
        streams = [_Stream(descriptor) for descriptor in (given, stdout.fileno(), stderr.fileno())]
        self._process = FORKING.Process(
            target=_main,
            args=(list(arguments), str(Path.cwd()), dict(env or os.environ), streams),
            daemon=True,
        )
        with _one_at_a_time:
            self._process.start()
        if stdin is None:
            os.close(given)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with _one_at_a_time:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("m2msec", timeout)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        if self.poll() is None:
            self._process.kill()


def _pipe() -> tuple[int, IO[bytes]]:
    reading, writing = os.pipe()
    return reading, os.fdopen(writing, "wb")


class Command(Forked):
    """``m2msec`` with all of its standard input given beforehand, whose output is read when it has ended."""

    def __init__(self, arguments: Sequence[str], given: str = "") -> None:
        self._arguments = arguments
        self._files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed by ``finish``
        stdin, out, err = self._files
        stdin.write(given.encode())
        stdin.seek(0)
        super().__init__(arguments, stdin=stdin, stdout=out, stderr=err)

    def finish(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end; what it left."""
        with contextlib.ExitStack() as afterwards:
            _, out, err = map(afterwards.enter_context, self._files)
            afterwards.callback(self.kill)
            status = self.wait(seconds)
            return subprocess.CompletedProcess(self._arguments, status, _all_of(out), _all_of(err))


def _all_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8")

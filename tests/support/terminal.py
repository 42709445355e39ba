"""Programs at a pseudo-terminal, as a person sits before it: a shell with job control, or one command."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from programs import M2MSEC, PATIENCE

PROMPT = "next? "


class Shell:
    """An interactive bash; what it and its programs print is kept."""

    def __init__(self, pid: int, terminal: int) -> None:
        self.pid, self._terminal = pid, terminal
        self.printed = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, pattern: str, since: int) -> str:
        """Wait until what was printed since then matches; all of that."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.printed[since:]):
            assert time.monotonic() < deadline, f"{pattern} did not come: {self.printed[since:]}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                self.printed += (
                    os.read(self._terminal, 65_536).decode("utf-8", "replace").replace("\r\n", "\n")
                )
        return self.printed[since:]

    def run(self, command: str) -> str:
        """Type a command, wait until the shell asks for the next, and tell what was printed."""
        since = len(self.printed)
        self.type(command + "\n")
        return self.wait_for(re.escape(PROMPT), since)


@contextlib.contextmanager
def a_shell(directory: Path) -> Iterator[Shell]:
    """A shell in a directory, which finds m2msec; all that it started ends with it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(directory)
        own = {"PS1": PROMPT, "PS2": "", "TERM": "dumb", "HISTFILE": "", "COLUMNS": "200"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        os.execvpe(command[0], command, os.environ | own | {"PATH": path})
    shell = Shell(pid, terminal)
    try:
        shell.wait_for(re.escape(PROMPT), 0)
        shell.run("stty -echo")
        yield shell
    finally:
        os.close(terminal)  # as a window is closed: the shell hands the hangup on to every job
        os.waitpid(pid, 0)


def printed_at_a_terminal(*arguments: str, columns: int) -> list[str]:
    """The lines, without colours, that m2msec prints at a terminal so wide."""
    terminal, of_command = pty.openpty()
    termios.tcsetwinsize(of_command, (24, columns))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    printed = b""
    try:
        with subprocess.Popen(
            [M2MSEC, *arguments], stdin=of_command, stdout=of_command, env=environment | {"TERM": "xterm"}
        ) as process:
            os.close(of_command)
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                while data := os.read(terminal, 65_536):
                    printed += data
        assert process.returncode == 0
    finally:
        os.close(terminal)
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).splitlines()

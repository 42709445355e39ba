"""What README and the manual tell to type does what they say, typed at a terminal."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from places import ROOT
from requirements import needs
from terminal import Shell, a_shell

PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")


def blocks(page: str) -> list[str]:
    """The blocks of commands of a page."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def commands(block: str) -> list[str]:
    """The commands of a block, each in one line."""
    joined = re.sub(r" \\\n\s+", " ", block)
    return [line for line in joined.splitlines() if line.strip()]


class Reader:
    """Somebody who types what is written, with ports that are free on this machine."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._ports: dict[str, str] = {}

    def type(self, command: str) -> str:
        """Type a command; a server goes to the background, as it would into another window."""
        command = PORT.sub(lambda found: self._port(found.group()), command)
        since, serves = len(self.shell.printed), re.search(r"^m2msec .*(serve|listen)\b", command)
        if not serves:
            return self.shell.run(command)
        printed = self.shell.run(command.removesuffix("&") + " &")
        return printed if "listening on" in printed else self.shell.wait_for("listening on", since)

    def _port(self, written: str) -> str:
        if written not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[written] = str(free.getsockname()[1])
        return self._ports[written]


@pytest.fixture
def reader(tmp_path):
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    with a_shell(tmp_path) as shell:
        yield Reader(shell)


def test_the_commands_of_the_readme_show_openssl_and_the_maf_with_one_key(reader):
    needs("openssl")
    _, maf, entity_a = blocks("README.md")
    for command in commands(maf):
        reader.type(command)
    exported, held = (reader.type(command) for command in commands(entity_a))
    [material] = re.findall(r"Keying material: ([0-9A-F]{96})", exported)
    [kc] = json.loads(held[: held.rindex("]") + 1])
    assert material.lower() == kc["relative_kc_id"] + kc["kc"]


def test_the_first_example_of_the_manual_ends_in_an_association_and_nothing_is_stopped(reader):
    """Entity B listens in the background of the same terminal: it must not be stopped for reading it."""
    first, *_ = blocks("docs/command-line.md")
    *before, connect, keys = commands(first)
    for command in before:
        reader.type(command)
    assert '"peer": "/in-cse"' in reader.type(connect)
    assert "/in-cse" in reader.type(keys)
    assert "Stopped" not in reader.shell.run("jobs")
    assert reader.shell.printed.count("hello") >= 1


def test_what_is_typed_goes_to_the_peer_once_the_job_is_in_the_foreground(reader):
    first, *_ = blocks("docs/command-line.md")
    for command in commands(first)[:-2]:
        reader.type(command)
    connect = commands(first)[-2].partition("|")[2].strip()
    since = len(reader.shell.printed)
    reader.type(f"(sleep 60 | {connect}) &")
    reader.shell.wait_for(r'"peer": "/in-cse"', since)
    reader.shell.type("fg %2\n")
    reader.shell.type("from the terminal\n")
    reader.shell.wait_for("from the terminal", since)

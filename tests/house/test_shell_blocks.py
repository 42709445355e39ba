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
LISTENS = re.compile(r"--listen\S* (127\.0\.0\.1:\d+)")
BLOCK = re.compile(r"^(<!-- not run: \S[^\n]* -->\n)?```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [
    str(page.relative_to(ROOT))
    for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    if BLOCK.search(page.read_text("utf-8"))
]


def blocks(page: str) -> list[str]:
    """The blocks of commands of a page, but those before which it says why they are not run."""
    return [block for marked, block in BLOCK.findall((ROOT / page).read_text("utf-8")) if not marked]


COMMAND = re.compile(r"^[^\n]* <<END\n.*?^END$|^[^\n]+$", re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """The commands of a block, each in one line but for one whose input stands in the block (``<<END``)."""
    joined = re.sub(r" \\\n\s+", " ", block)
    return [found.group() for found in COMMAND.finditer(joined) if found.group().strip()]


class Reader:
    """Somebody who types what is written, with ports that are free on this machine."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._ports: dict[str, str] = {}

    def type(self, command: str) -> str:
        """Type a command, which succeeds; a server goes to the background, as into another window."""
        command = PORT.sub(lambda found: self._port(found.group()), command)
        since, serves = len(self.shell.printed), re.search(r"^m2msec .*(serve|listen)\b", command)
        if serves:
            printed = self.shell.run(command.removesuffix("&") + " &")
            for address in LISTENS.findall(command):  # a server may have several, and a line for each
                printed = self.shell.wait_for(f"listening on {re.escape(address)}", since)
            return printed
        printed = self.shell.run(command)
        assert "status 0\n" in self.shell.run('echo "status $?"'), f"{command}: {printed}"
        return printed

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


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_type_does_what_it_says(reader, page):
    needs("openssl")
    needs("curl")
    printed = [[reader.type(command) for command in commands(block)] for block in blocks(page)]
    assert "Stopped" not in reader.shell.run("jobs")
    SAYS.get(page, lambda *_: None)(reader, *printed)


def openssl_and_the_maf_have_one_key(_: Reader, maf: list[str], entity_a: list[str]) -> None:
    exported, held = entity_a
    [material] = re.findall(r"Keying material: ([0-9A-F]{96})", exported)
    [kc] = json.loads(held[: held.rindex("]") + 1])
    assert material.lower() == kc["relative_kc_id"] + kc["kc"]


def everybody_is_associated(reader: Reader, first: list[str], *others: list[str]) -> None:
    """Entity B listens in the background of the same terminal: it must not be stopped for reading it."""
    *_, connect, keys = first
    assert '"peer": "/in-cse"' in connect
    assert "/in-cse" in keys
    assert reader.shell.printed.count("hello") >= 3


def both_have_one_end_to_end_key(reader: Reader, *_: list[str]) -> None:
    reader.type("cmp alice-e2e.key bob-e2e.key")


def an_ae_is_served_and_an_impostor_is_not(_: Reader, *printed: list[str]) -> None:
    *_, ae, impostor = printed
    assert '"aei": "Cthermometer"' in ae[1]
    assert '"con": "22.5"' in ae[4]
    assert " 403 " in impostor[0]
    assert ": 4106" in impostor[0]


SAYS = {
    "README.md": openssl_and_the_maf_have_one_key,
    "docs/command-line.md": everybody_is_associated,
    "docs/gateway.md": an_ae_is_served_and_an_impostor_is_not,
    "docs/escertke.md": both_have_one_end_to_end_key,
}
"""What must be seen, beyond that each command succeeds and each server listens."""


def test_every_page_of_which_more_is_known_has_blocks_to_run():
    assert set(SAYS) <= {page for page in PAGES if blocks(page)}


def test_no_commands_stand_in_the_pages_in_a_form_in_which_they_are_not_run():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text("utf-8")
        fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
        shell = [
            block
            for language, block in fenced
            if language in {"sh", "bash", "shell", "console"}
            or re.search(r"^ *(\$ |m2msec )", block, re.MULTILINE)
        ]
        assert len(shell) == len(BLOCK.findall(text)), f"{page}: write it as ```sh, or say why it is not run"


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

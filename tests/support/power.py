"""Power cuts: what a process wrote and synced, in order, and the disk as a cut at any moment leaves it."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from places import SUPPORT
from requirements import needs

SECTOR = 512
"""What a disk writes whole or not at all, in octets."""

_HEAD = struct.Struct("<cqIH")


def tracer(into: Path) -> Path:
    """The library that puts down what a process writes; see ``writes.c``."""
    library = into / "writes.so"
    command = [needs("gcc"), "-O1", "-shared", "-fPIC", SUPPORT / "writes.c", "-o", library, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done: a write, a new length, the begin or the end of a sync."""

    what: str
    name: str
    at: int
    octets: bytes


def events(trace: Path) -> Iterator[Event]:
    record, at = trace.read_bytes(), 0
    while at < len(record):
        what, offset, length, named = _HEAD.unpack_from(record, at)
        at += _HEAD.size
        name, octets = record[at : at + named], record[at + named : at + named + length]
        at += named + length
        yield Event(what.decode(), name.decode(), offset, octets)


@dataclass(slots=True)
class File:
    """A file on a disk: what is kept whatever comes, and what may or may not be there."""

    kept: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)
    is_named: bool = False
    """Whether its name is kept."""


class Disk:
    """The files of a directory, from a state in which all was kept."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {name: File(bytearray(octets), is_named=True) for name, octets in files.items()}
        self._begun: dict[int, dict[str, int]] = {}

    def do(self, event: Event) -> None:
        if event.what in "wt":
            self.files.setdefault(event.name, File()).pending.append(event)
        elif event.what == "S":
            # What is written while a sync is under way may have come too late for it.
            self._begun[event.at] = {name: len(file.pending) for name, file in self.files.items()}
        else:
            begun = self._begun.pop(event.at)
            if event.name == ".":
                for name in begun:
                    self.files[name].is_named = True
            else:
                self._keep(event.name, begun.get(event.name, 0))

    def _keep(self, name: str, count: int) -> None:
        file = self.files[name]
        for event in file.pending[:count]:
            _apply(event, file.kept)
        del file.pending[:count]
        for counts in self._begun.values():
            counts[name] = max(0, counts.get(name, 0) - count)

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """What is there after the power came back: what was synced, and of the rest any part, torn."""
        left: dict[str, bytes] = {}
        likely = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for name, file in self.files.items():
            if not file.is_named and chance.random() < 0.5:
                continue
            octets = bytearray(file.kept)
            for event in file.pending:
                for part in _torn(event):
                    if chance.random() < likely:
                        _apply(part, octets)
            left[name] = bytes(octets)
        return left


def _torn(event: Event) -> Iterator[Event]:
    """A write, sector by sector."""
    if event.what == "t":
        yield event
        return
    end = event.at + len(event.octets)
    at = event.at
    while at < end:
        to = min(end, (at // SECTOR + 1) * SECTOR)
        yield Event("w", event.name, at, event.octets[at - event.at : to - event.at])
        at = to


def _apply(event: Event, octets: bytearray) -> None:
    if event.what == "t":
        del octets[event.at :]
        octets.extend(bytes(event.at - len(octets)))
        return
    end = event.at + len(event.octets)
    if len(octets) < end:
        octets.extend(bytes(end - len(octets)))
    octets[event.at : end] = event.octets

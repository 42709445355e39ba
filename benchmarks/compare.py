"""Several servers driven in turns, and the table of what each took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .figures import Spread, ratio, without_idling
from .load import Outcome
from .running import Server

IDLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Contender:
    """A server and what is done to it in a turn.

    Attributes:
        server: It runs.
        drive: Does a turn; it is given the number of the round, 0 for the one that warms up.
    """

    server: Server
    drive: Callable[[int], Outcome]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took.

    Attributes:
        microseconds: Processor time of the server for each handshake, idling subtracted.
        per_second: Handshakes.
        group: Handshakes for each sync; None where syncs are not counted.
        outcome: As the client saw it.
    """

    microseconds: float
    per_second: float
    group: float | None
    outcome: Outcome


Turns = Mapping[str, Sequence[Turn]]


def compare(contenders: Mapping[str, Contender], rounds: int) -> Turns:
    """Drive them in turns, each first in its round in turn: what disturbs the machine disturbs all alike."""
    for contender in contenders.values():
        contender.drive(0)
    idle = _idle_rates(contenders)
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(1, rounds + 1):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            turns[name].append(_turn(contenders[name], number, idle[name]))
    return turns


def _idle_rates(contenders: Mapping[str, Contender]) -> dict[str, float]:
    """Processor seconds a second that each uses when nothing is asked of it."""
    time.sleep(0.2)  # what the last turn left to do is no idling
    before = {name: contender.server.processor_seconds for name, contender in contenders.items()}
    time.sleep(IDLE_SECONDS)
    return {
        name: (contender.server.processor_seconds - before[name]) / IDLE_SECONDS
        for name, contender in contenders.items()
    }


def _turn(contender: Contender, number: int, idle_rate: float) -> Turn:
    server = contender.server
    used, synced, begin = server.processor_seconds, server.synced, time.monotonic()
    outcome = contender.drive(number)
    took = time.monotonic() - begin
    cost = without_idling(server.processor_seconds - used, idle_rate, took) / outcome.completed
    syncs = None if synced is None else (server.synced or 0) - synced
    group = outcome.completed / syncs if syncs else None
    return Turn(cost * 1e6, outcome.completed / outcome.seconds, group, outcome)


def cost(turns: Turns, name: str, reference: str) -> Spread:
    """Processor time, to that of another in the same round."""
    return _ratio(turns, name, reference, lambda turn: turn.microseconds)


def rate(turns: Turns, name: str, reference: str) -> Spread:
    """Handshakes a second, to those of another in the same round."""
    return _ratio(turns, name, reference, lambda turn: turn.per_second)


def _ratio(turns: Turns, name: str, reference: str, value: Callable[[Turn], float]) -> Spread:
    return ratio([value(turn) for turn in turns[name]], [value(turn) for turn in turns[reference]])


def table(turns: Turns, reference: str, unit: str = "handshake") -> str:
    """One row for each server; ratios are medians over the rounds, with their quartiles."""
    lines = [
        f"| server | CPU per {unit} | ratio | per second | ratio | median, p95 | {unit}s per sync | failed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, measured in turns.items():
        groups = [turn.group for turn in measured if turn.group is not None]
        lines.append(
            f"| {name} | {_median(measured, lambda turn: turn.microseconds):.0f} µs "
            f"| {cost(turns, name, reference)} "
            f"| {_median(measured, lambda turn: turn.per_second):.0f} | {rate(turns, name, reference)} "
            f"| {_median(measured, lambda turn: turn.outcome.median) / 1e3:.1f}, "
            f"{_median(measured, lambda turn: turn.outcome.p95) / 1e3:.1f} ms "
            f"| {f'{statistics.median(groups):.1f}' if groups else '-'} "
            f"| {sum(turn.outcome.failed for turn in measured)} |"
        )
    return "\n".join(lines)


def _median(turns: Sequence[Turn], value: Callable[[Turn], float]) -> float:
    return statistics.median(value(turn) for turn in turns)

"""The arithmetic of the measurements: ratios within rounds, what they scatter, and whether an aim is met."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the quartiles around it.

    Attributes:
        median: Half of the rounds are below it.
        low: A quarter of the rounds are below it.
        high: A quarter of the rounds are above it.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(values: Sequence[float], reference: Sequence[float]) -> Spread:
    """What one took against what another took in the same round: what disturbs a round disturbs both."""
    return Spread.of([one / other for one, other in zip(values, reference, strict=True)])


def without_idling(used: float, idle_rate: float, took: float) -> float:
    """Processor seconds of the work alone: what the process uses when nothing is asked of it is not its."""
    return max(used - idle_rate * took, 0.0)


def signed_rank_z(differences: Sequence[float]) -> float:
    """Wilcoxon's signed-rank statistic, as a normal deviate: 0 for differences that lie around 0."""
    n = len(differences)
    ordered = sorted(differences, key=abs)
    positive = sum(rank for rank, difference in enumerate(ordered, 1) if difference > 0)
    return (positive - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a measured value should be.

    Attributes:
        what: What is measured.
        must: What has been shown to be possible.
        aim: What is hoped for.
        unit: Of all three values.
        at_least: Whether more is better.
    """

    what: str
    must: float
    aim: float
    unit: str = ""
    at_least: bool = False

    def row(self, value: float) -> str:
        """The row of the table: what was measured, and a verdict for each of the two."""
        told = f"| {self.what} | {value:.2f}{self.unit} |"
        for wanted in (self.must, self.aim):
            met = value >= wanted if self.at_least else value <= wanted
            told += f" {wanted:g}{self.unit}: {'met' if met else '**missed**'} |"
        return told

"""What a first contact costs: a MAF Handshake with a KeId, for which the MAF asks the MEF in mid-handshake.

Each round is of new Enrolees: they bootstrap (Ke durable at the MEF; by the project's own client, which is
not measured), then meet the MAF for the first time (with the question to the MEF, Km durable), then again.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from onem2m_security.frameworks import bootstrap_psk
from onem2m_security.frameworks.bootstrap_psk import export_enrolment_key
from onem2m_security.net.address import Address
from onem2m_security.net.channel import open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.loop import run
from onem2m_security.release import Release

from . import figures
from .bench import Bench
from .load import Load, Outcome
from .provision import KM, MAF, MEF, enrolee
from .running import Server
from .servers import maf_with_mef, mef, provisioned
from .trees import Tree

PATIENT = Limits(handshake_seconds=60.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--enrolees", type=int, default=200, help="in each round")


@dataclass(frozen=True, slots=True)
class Contact:
    """What one kind of handshake cost in one round: microseconds of either server, and what was seen."""

    mef: float
    maf: float
    per_second: float
    outcome: Outcome


class Domain:
    """An MEF and a MAF of one tree, and who has not bootstrapped yet."""

    def __init__(self, bench: Bench, tree: Tree) -> None:
        self._directory = bench.directory(tree.name or "working")
        self._per_round, self._at_once = bench.options.enrolees, bench.options.at_once
        data = self._directory / "mef"
        provisioned(tree, "mef", data, self._per_round * (bench.options.rounds + 1))
        self._mef = bench.run(mef(tree, data))
        self._maf = bench.run(maf_with_mef(tree, self._directory / "maf", self._mef))
        self.contacts: dict[str, list[Contact]] = {"bootstrap": [], "first contact": [], "repeat contact": []}

    def round(self, number: int) -> None:
        """Round 0 warms up, and is not kept."""
        keys = self._directory / "keys"
        keys.touch(mode=0o600)
        devices = range(number * self._per_round, (number + 1) * self._per_round)
        measured = {"bootstrap": self._cost(lambda: self._bootstrapped(devices, keys))}
        load = Load(keys=keys, count=self._per_round, at_once=self._at_once)
        for name in ("first contact", "repeat contact"):
            measured[name] = self._cost(lambda: load.run(self._maf.port))
        if number:
            for name, contact in measured.items():
                self.contacts[name].append(contact)

    def _bootstrapped(self, devices: range, keys: Path) -> Outcome:
        begin = time.monotonic()
        lines = run(_bootstrap(self._mef, devices, self._at_once))
        took = time.monotonic() - begin
        keys.write_text("".join(lines))
        return Outcome(len(lines), 0, took, 0, 0, 0, "")

    def _cost(self, do: Callable[[], Outcome]) -> Contact:
        before = self._mef.processor_seconds, self._maf.processor_seconds
        outcome = do()
        used = self._mef.processor_seconds - before[0], self._maf.processor_seconds - before[1]
        of_mef, of_maf = (seconds / outcome.completed * 1e6 for seconds in used)
        return Contact(of_mef, of_maf, outcome.completed / outcome.seconds, outcome)


async def _bootstrap(at_mef: Server, devices: range, at_once: int) -> list[str]:
    """Let these devices bootstrap; the lines of identity and key that each then has."""
    waiting, lines = iter(devices), []
    link = Link(Address("127.0.0.1", at_mef.port), limits=PATIENT)

    async def one_after_the_other(numbers: Iterator[int]) -> None:
        for number in numbers:
            entity, kpm_id = enrolee(number)
            initiator = bootstrap_psk.initiate(entity, MEF, bootstrap_psk.credential(kpm_id, KM))
            async with await open_channel(link, initiator) as channel:
                key = export_enrolment_key(channel.established, MEF)
            km = key.master_credential(Release.R1, MAF)
            lines.append(f"{key.ke_id.base64} {km.key.reveal().hex()}\n")

    await asyncio.gather(*(one_after_the_other(waiting) for _ in range(at_once)))
    return lines


def measure(bench: Bench) -> None:
    domains = {tree: Domain(bench, tree) for tree in bench.trees}
    for number in range(bench.options.rounds + 1):
        for domain in domains.values():
            domain.round(number)
    print(f"{bench.options.at_once} at once\n")
    print("| contact | CPU of the MEF | CPU of the MAF | per second | failed |\n|---|---|---|---|---|")
    for tree, domain in domains.items():
        for name, contacts in domain.contacts.items():
            of_mef, of_maf, per_second = (
                statistics.median(getattr(contact, what) for contact in contacts)
                for what in ("mef", "maf", "per_second")
            )
            failed = sum(contact.outcome.failed for contact in contacts)
            print(
                f"| {tree.called(name)} | {of_mef:.0f} µs | {of_maf:.0f} µs | {per_second:.0f} | {failed} |"
            )
    for tree, domain in domains.items():
        first, repeat = (
            [contact.maf for contact in domain.contacts[name]] for name in ("first contact", "repeat contact")
        )
        spread = figures.ratio(first, repeat)
        print(f"\n{tree.called('first contact')} to repeat contact, CPU of the MAF: {spread}", flush=True)
        if tree is bench.trees[0]:
            bench.reached("first-contact", spread.median)

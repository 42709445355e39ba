"""What a first contact costs: a MAF Handshake with a KeId, for which the MAF asks the MEF in mid-handshake.

MEF and MAF are processes of their own, as a person starts them; this process is every Enrolee. For each
number of simultaneous Enrolees it measures the bootstrap (Ke durable at the MEF), the first contact (with the
fetch, Km durable at the MAF) and the repeat contact (Km is there). Run it by itself::

    python benchmarks/bench_bootstrap.py [--at-once 1 100 1000] [--handshakes 1000]

It prints handshakes a second, the median and the 95th percentile of their time, the processor time of both
servers, and what failed. The last line of each block says what a first contact costs in repeat contacts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from onem2m_security.cli.common import log_to_stderr
from onem2m_security.credentials import Secret
from onem2m_security.demo.maf import server
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import bootstrap_psk, maf_handshake
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey, export_enrolment_key
from onem2m_security.frameworks.instructions import BootstrapInstruction, enrolee_record, target_record
from onem2m_security.frameworks.steps import Initiator
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.run import run
from onem2m_security.store import Store

MEF, MAF = Fqdn("mef.example.com"), Fqdn("maf.example.com")
MAF_ID, CSE = EntityId(str(MAF)), EntityId("/in-cse")
KPM = Secret(bytes(range(1, 33)))
MAF_KEY_ID = KeyIdentifier("maf", MEF)
PATIENT = Limits(handshake_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Enrolee:
    """One device among many."""

    number: int

    @property
    def entity(self) -> EntityId:
        return EntityId(f"/in-cse/Cdevice{self.number}")

    @property
    def kpm_id(self) -> KeyIdentifier:
        return KeyIdentifier(f"device{self.number}", MEF)

    def at_mef(self) -> Initiator:
        return bootstrap_psk.initiate(self.entity, MEF, bootstrap_psk.credential(self.kpm_id, KPM))

    def at_maf(self, key: EnrolmentKey) -> Initiator:
        km = key.master_credential(Release.R1, MAF)
        return maf_handshake.initiate(self.entity, MAF, km, key.ke_id.base64)


@dataclass
class Outcome:
    """What one kind of handshake cost."""

    seconds: list[float]
    failed: int
    took: float
    cpu: dict[str, float]

    def __str__(self) -> str:
        if not self.seconds:
            return f"all {self.failed} failed"
        ordered = sorted(self.seconds)
        p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        per = {name: cpu / len(ordered) * 1e6 for name, cpu in self.cpu.items()}
        return (
            f"{len(ordered) / self.took:8.0f}/s  median {statistics.median(ordered) * 1e3:8.1f} ms  "
            f"p95 {p95 * 1e3:8.1f} ms  cpu mef {per['mef']:6.0f} us, maf {per['maf']:6.0f} us  "
            f"failed {self.failed}"
        )


def processor_time() -> dict[str, float]:
    """Seconds that the two servers have used so far."""
    found = dict.fromkeys(("mef", "maf"), 0.0)
    for child in psutil.Process().children():
        name = next((name for name in found if name in child.cmdline()), None)
        if name is not None:
            times = child.cpu_times()
            found[name] = times.user + times.system
    return found


async def drive(initiators: Iterator[Initiator], address: Address, at_once: int, keep=None) -> Outcome:
    """Do every handshake, so many at a time; ``keep`` is told of each session."""
    outcome = Outcome([], 0, 0.0, {})
    before, begin = processor_time(), time.perf_counter()

    async def one_after_the_other() -> None:
        for initiator in initiators:
            started = time.perf_counter()
            try:
                async with await open_channel(Link(address, limits=PATIENT), initiator) as channel:
                    outcome.seconds.append(time.perf_counter() - started)
                    if keep is not None:
                        keep(initiator, channel)
            except HandshakeError:
                outcome.failed += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    outcome.took = time.perf_counter() - begin
    outcome.cpu = {name: used - before[name] for name, used in processor_time().items()}
    return outcome


async def measure(enrolees: list[Enrolee], mef: Address, maf: Address, at_once: int) -> None:
    keys: dict[EntityId, EnrolmentKey] = {}

    def keep(initiator, channel):
        keys[initiator.local] = export_enrolment_key(channel.established, MEF)

    bootstrap = await drive((e.at_mef() for e in enrolees), mef, at_once, keep)
    ready = [e for e in enrolees if e.entity in keys]
    first = await drive((e.at_maf(keys[e.entity]) for e in ready), maf, at_once)
    repeat = await drive((e.at_maf(keys[e.entity]) for e in ready), maf, at_once)
    print(f"{at_once} at once, {len(enrolees)} Enrolees")
    for name, outcome in (("bootstrap", bootstrap), ("first contact", first), ("repeat contact", repeat)):
        print(f"  {name:15} {outcome}")
    if first.seconds and repeat.seconds:
        times = (first.took / len(first.seconds)) / (repeat.took / len(repeat.seconds))
        print(f"  a first contact costs as much as {times:.2f} repeat contacts", flush=True)


async def main(at_once: list[int], handshakes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        numbers = iter(range(10**9))
        groups = {
            many: [Enrolee(next(numbers)) for _ in range(max(many, min(handshakes, 200 * many)))]
            for many in at_once
        }
        async with await Store.open(directory / "mef") as store:
            await store.add(target_record(MAF_KEY_ID, KPM, MAF_ID))
            for group in groups.values():
                await store.add_many(
                    enrolee_record(
                        e.kpm_id, KPM, BootstrapInstruction(e.entity, (MAF_ID,), timedelta(days=1))
                    )
                    for e in group
                )
        key_file = directory / "key"
        key_file.touch(mode=0o600)
        key_file.write_text(KPM.reveal().hex())
        async with contextlib.AsyncExitStack() as running:
            mef = await running.enter_async_context(
                server(
                    *("mef", "serve", "--data", str(directory / "mef"), "--fqdn", str(MEF)),
                    errors=directory / "mef.log",
                )
            )
            maf = await running.enter_async_context(
                server(
                    *("maf", "serve", "--data", str(directory / "maf"), "--fqdn", str(MAF)),
                    *("--mef", f"{MEF}={mef}", "--mef-key-id", str(MAF_KEY_ID)),
                    *("--mef-key-file", str(key_file), "--enrolee-target", str(CSE)),
                    errors=directory / "maf.log",
                )
            )
            for many, group in groups.items():
                await measure(group, mef, maf, many)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--handshakes", type=int, default=1000)
    given = parser.parse_args()
    log_to_stderr(verbose=False)
    run(main(given.at_once, given.handshakes))

"""What a MAF handshake costs, against ``openssl s_server``, and what an idle session holds.

    python -m benchmarks [--clients 1000 1000000] [--seconds 1] [--rounds 15] [--suite PSK-AES128-GCM-SHA256]

Server processor time (user and system) is counted in the server's process alone; both servers are driven by
the same client in the same run, in turns. The MAF stores each Kc durably before its last flight leaves;
s_server stores nothing. Ratios outlive the machine they were measured on; the other numbers do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import resource
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onem2m_security.servers.run import run

from .load import Load
from .servers import Server, maf, provision, s_server

REFERENCE = "openssl s_server"
AIM_CPU, AIM_GROWTH, AIM_SESSION_KB = 1.5, 1.2, 40.0


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement of one server."""

    microseconds: float
    per_second: float


async def measure(server: Server, load: Load, seconds: float) -> Cost:
    before = server.cpu_seconds
    count, took = await load.run(server.address, seconds)
    return Cost((server.cpu_seconds - before) / count * 1e6, count / took)


async def compare(
    servers: dict[str, tuple[Server, Load]], seconds: float, rounds: int
) -> dict[str, list[Cost]]:
    """Drive the servers in turns, each for a moment: what disturbs the machine disturbs them alike."""
    for server, load in servers.values():
        await load.run(server.address, seconds)
    costs: dict[str, list[Cost]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, (server, load) in servers.items():
            costs[name].append(await measure(server, load, seconds))
    return costs


def ratio(costs: list[Cost], reference: list[Cost], what: str = "microseconds") -> float:
    """The median, over the rounds, of what one server took against what another took in the same round."""
    pairs = zip(costs, reference, strict=True)
    return statistics.median(getattr(one, what) / getattr(other, what) for one, other in pairs)


def median(costs: list[Cost], what: str) -> float:
    return statistics.median(getattr(cost, what) for cost in costs)


async def idle_session_octets(server: Server, load: Load, sessions: int) -> float:
    """Resident memory of the server for each idle session."""
    endpoint = load.endpoint()
    await load.run(server.address, 1.0)
    before = server.resident_octets
    held = []
    for start in range(0, sessions, 50):
        batch = range(start, min(start + 50, sessions))
        held += await asyncio.gather(*(load.connect(server.address, endpoint, keep=True) for _ in batch))
    await asyncio.sleep(1.0)
    grown = server.resident_octets - before
    for handshake in held:
        handshake.close()
    return grown / sessions


def hardware() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    release = next(
        (line.partition("=")[2].strip('"') for line in _lines("/etc/os-release")), platform.system()
    )
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    openssl = version.partition(" (")[0]
    return f"{os.cpu_count()} x {model}, {release}, Python {platform.python_version()}, {openssl}"


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8").splitlines()
    return []


def verdict(value: float, aim: float) -> str:
    return "met" if value <= aim else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1000])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--sessions", type=int, default=3000)
    parser.add_argument("--suite", default="PSK-AES128-GCM-SHA256")
    options = parser.parse_args()
    wanted = options.sessions + 1000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else wanted, hard))

    print(hardware())
    rounds = f"{options.rounds} rounds of {options.seconds:g} s"
    print(f"{options.suite}, {options.at_once} connections at once, {rounds}\n")
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        servers = {REFERENCE: (running.enter_context(s_server(options.suite)), 1000)}
        for clients in options.clients:
            data = Path(scratch) / str(clients)
            print(f"provisioned {clients:,} clients in {asyncio.run(provision(data, clients)):.1f} s")
            servers[f"MAF, {clients:,} clients"] = (running.enter_context(maf(data)), clients)
        loaded = {
            name: (server, Load(options.suite, clients, options.at_once))
            for name, (server, clients) in servers.items()
        }
        costs = run(compare(loaded, options.seconds, options.rounds))
        reference = costs[REFERENCE]
        print("\n| server | CPU per handshake | ratio | handshakes per second | ratio |")
        print("|---|---|---|---|---|")
        for name, measured in costs.items():
            print(
                f"| {name} | {median(measured, 'microseconds'):.0f} µs | {ratio(measured, reference):.2f} "
                f"| {median(measured, 'per_second'):.0f} | {ratio(measured, reference, 'per_second'):.2f} |"
            )
        ours = [name for name in costs if name != REFERENCE]
        first, last = ours[0], ours[-1]
        cpu = ratio(costs[first], reference)
        print(f"\nCPU, {first} to {REFERENCE}: {cpu:.2f} (aim {AIM_CPU}: {verdict(cpu, AIM_CPU)})")
        if last != first:
            growth = ratio(costs[last], costs[first])
            print(f"CPU, {last} to {first}: {growth:.2f} (aim {AIM_GROWTH}: {verdict(growth, AIM_GROWTH)})")
        server, load = loaded[first]
        kilobytes = run(idle_session_octets(server, load, options.sessions)) / 1000
        print(
            f"memory per idle session: {kilobytes:.1f} kB over {options.sessions} sessions "
            f"(aim {AIM_SESSION_KB:g}: {verdict(kilobytes, AIM_SESSION_KB)})"
        )


if __name__ == "__main__":
    main()

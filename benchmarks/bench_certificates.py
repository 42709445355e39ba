"""What a handshake with certificates at both ends costs a server: Entity B against ``openssl s_server``.

The same client (``openssl s_time``, new sessions only, a chain of end entity, intermediate and root) drives
one server after the other, in turns, in one run. Counted is the processor time of the server process alone,
so that the speed of the client and of the machine cancel out. Run it by itself::

    python benchmarks/bench_certificates.py [--seconds N] [--rounds N]

It prints microseconds for each handshake, and the ratio; below 1, Entity B is cheaper.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from onem2m_security.certificates.authority import Authority, permitted_names
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.trust import Trust
from onem2m_security.cli.common import log_to_stderr
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.frameworks import saef_certificate
from onem2m_security.identifiers import EntityId
from onem2m_security.net.address import Address
from onem2m_security.net.channel import Channel
from onem2m_security.net.limits import Limits
from onem2m_security.peer_quotas import PeerQuotas
from onem2m_security.servers.run import run

SUITE = "ECDHE-ECDSA-AES128-GCM-SHA256"
AIM = 0.8
NAME_A, NAME_B = "a.sp.example", "b.sp.example"
MANY = Limits(quotas=PeerQuotas(connections=1_000_000))
"""One client does here what many do elsewhere."""


def make_certificates(directory: Path) -> None:
    """Files for both programs: chains with the root, private keys, the root alone."""
    root = Authority.root("benchmark root")
    authority = root.intermediate(permitted=permitted_names(dns=["sp.example"]))
    (directory / "root.pem").write_bytes(root.trust_anchor_pem)
    (directory / "issuers.pem").write_bytes(authority.issued.full_chain_pem)
    (directory / "root-of-trust").write_text(root.root_of_trust.hex())
    for name in ("a", "b"):
        issued = authority.issue(None, f"{name}.sp.example")
        (directory / f"{name}.pem").write_bytes(issued.full_chain_pem)
        key = directory / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(issued.key_pem)


async def serve(directory: Path) -> None:
    """Be Entity B until standard input ends; the first line of output is the port."""
    configuration = AssociationConfiguration.release1(
        certificate_name=NAME_A, root_of_trust=(directory / "root-of-trust").read_text(), peer="/a"
    )
    certificate = LocalCertificate.load(directory / "b.pem", directory / "b.key")

    async def accepted(channel: Channel) -> None:
        while await channel.read():
            pass

    endpoint = saef_certificate.accept(certificate, Trust((configuration,)), psk=False)
    async with EntityB(EntityId("/b"), endpoint=endpoint, limits=MANY) as entity_b:
        bound = await entity_b.listen(Address("127.0.0.1", 0), accepted)
        print(bound.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def start_entity_b(directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    command = [sys.executable, __file__, "--serve", str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return process, int(process.stdout.readline())


def start_s_server(openssl: str, directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    command = [
        openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", "b.pem", "-key", "b.key",
        "-cert_chain", "issuers.pem", "-CAfile", "root.pem", "-Verify", "5", "-verify_return_error",
        "-tls1_2", "-cipher", SUITE, "-no_ticket", "-no_cache", "-naccept", "1000000",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    for line in process.stdout:
        if found := re.search(rb"ACCEPT .*:(\d+)", line):
            return process, int(found.group(1))
    raise SystemExit("openssl s_server did not start")


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """User and system time of a process so far; ``schedstat`` counts in nanoseconds, ``stat`` in ticks."""
    tasks = Path(f"/proc/{process.pid}/task")
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    except OSError:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(openssl: str, directory: Path, port: int, seconds: int) -> int:
    """Handshakes that s_time completed."""
    command = [
        openssl, "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time", str(seconds), "-tls1_2",
        "-cipher", SUITE, "-cert", "a.pem", "-key", "a.key", "-CAfile", "issuers.pem",
    ]  # fmt: skip
    # s_time takes its own chain from -CAfile.
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    found = re.search(r"^(\d+) connections in \d+ real seconds", done.stdout, re.MULTILINE)
    if not found or not int(found.group(1)):
        raise SystemExit(f"no handshake was completed: {done.stdout}{done.stderr}")
    return int(found.group(1))


def measure(seconds: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of the server's processor time for each handshake, round by round."""
    openssl = shutil.which("openssl") or sys.exit("the openssl command is not installed")
    results: dict[str, list[float]] = {"entity_b": [], "s_server": []}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_certificates(directory)
        servers = {
            "entity_b": start_entity_b(directory),
            "s_server": start_s_server(openssl, directory),
        }
        drained = subprocess.Popen(["cat"], stdin=servers["s_server"][0].stdout, stdout=subprocess.DEVNULL)
        try:
            for _, port in servers.values():
                drive(openssl, directory, port, 1)
            for _ in range(rounds):
                for called, (process, port) in servers.items():
                    before = processor_seconds(process)
                    handshakes = drive(openssl, directory, port, seconds)
                    time.sleep(0.1)
                    results[called].append((processor_seconds(process) - before) / handshakes * 1e6)
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait()
            drained.wait()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=3, help="for each server in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        log_to_stderr(verbose=False)
        run(serve(arguments.serve))
        return
    results = measure(arguments.seconds, arguments.rounds)
    for called, microseconds in results.items():
        shown = " ".join(f"{value:.0f}" for value in microseconds)
        print(f"{called}: {statistics.median(microseconds):.0f} us of processor time per handshake ({shown})")
    ratio = statistics.median(results["entity_b"]) / statistics.median(results["s_server"])
    print(
        f"mutual ECDSA handshake, processor time of Entity B to that of openssl s_server: {ratio:.2f} "
        f"(aim {AIM})"
    )


if __name__ == "__main__":
    main()

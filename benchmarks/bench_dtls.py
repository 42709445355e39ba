"""What DTLS costs a server: handshakes against ``openssl s_server``, idle peers, spoofed ClientHellos.

    python -m benchmarks.bench_dtls [--handshakes 500] [--rounds 7] [--peers 10000] [--hellos 100000]

Server processor time (user and system) is counted in the server's process alone, so that the speed of the
client cancels out. A client is the project's sans-IO session on one blocking socket, one handshake at a time,
always from the same address and port: ``s_server -listen`` connects its socket to its first client, and then
serves nobody else. The same client drives all servers in turns, in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onem2m_security.cli.common import log_to_stderr
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import Channel
from onem2m_security.net.limits import Limits
from onem2m_security.peer_quotas import PeerQuotas
from onem2m_security.servers.run import run
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.session import Session, State
from onem2m_security.tls.suites import BY_OPENSSL_NAME

from .load import KM, identity_of
from .servers import Server, _running, maf, provision

IDENTITY = identity_of(0)
SUITE = "PSK-AES128-CCM8"
REPEAT_SECONDS = 0.05
PATIENT = Limits(idle_seconds=3600, quotas=PeerQuotas(connections=1_000_000))
"""One client does here what many do elsewhere."""
"""After how long without an answer the client says the same again; loopback loses what nobody listens for."""


class Client:
    """Handshakes one after the other on one socket."""

    def __init__(self, server: Address, source: str = "127.0.0.1") -> None:
        self._endpoint = Endpoint(server=False, suites=(BY_OPENSSL_NAME[SUITE],))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._socket.connect((server.host, server.port))
        self._socket.settimeout(REPEAT_SECONDS)

    def handshake(self, *, keep: bool = False) -> None:
        """One handshake; then close_notify, or silence."""
        session = self._session()
        flight: list[bytes] = []
        while session.state is State.HANDSHAKE:
            flight = session.datagrams_to_send() or flight
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                for datagram in flight:
                    self._socket.send(datagram)
                session.receive(self._socket.recv(65535))
        if session.state is not State.OPEN:
            raise RuntimeError("a handshake failed: is the server provisioned?")
        if not keep:
            session.close()
            for datagram in session.datagrams_to_send():
                self._socket.send(datagram)

    def hellos(self, count: int) -> int:
        """ClientHellos without a cookie, each from a client of its own; how many were answered."""
        [hello] = self._session().datagrams_to_send()
        answered = 0
        for start in range(0, count, 50):
            for number in range(start, start + 50):
                self._socket.send(hello[:27] + number.to_bytes(4, "big") + hello[31:])
            with contextlib.suppress(TimeoutError):
                for _ in range(50):
                    self._socket.recv(2048)
                    answered += 1
        return answered

    def _session(self) -> Session:
        offer = PskOffer(IDENTITY, KM)
        return Session(self._endpoint, offer=offer, server_name="maf.example.com", framing=DatagramFraming())

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def s_server() -> Iterator[Server]:
    """``openssl s_server -dtls1_2 -listen`` with the one key."""
    command = [
        shutil.which("openssl"), "s_server", "-accept", "127.0.0.1:0", "-dtls1_2", "-listen", "-nocert",
        "-psk", KM.reveal().hex(), "-psk_identity", IDENTITY.decode(), "-cipher", f"{SUITE}@SECLEVEL=0",
    ]  # fmt: skip
    with _running(command, stdout=subprocess.PIPE) as process:
        while not (line := process.stdout.readline()).startswith(b"ACCEPT"):
            if not line:
                raise SystemExit("openssl s_server did not start")
        # Everything else that it prints is not wanted, and must not fill the pipe.
        subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        yield Server(process, Address("127.0.0.1", int(line.rpartition(b":")[2])))


@contextlib.contextmanager
def entity_b() -> Iterator[Server]:
    """Entity B with the one key in memory: the library's DTLS port without a store."""
    command = [sys.executable, "-m", "benchmarks.bench_dtls", "--serve"]
    with _running(command, stdout=subprocess.PIPE) as process:
        yield Server(process, Address("127.0.0.1", int(process.stdout.readline())))


async def serve() -> None:
    """Be Entity B until standard input ends; the first line of output is the port."""

    async def accepted(channel: Channel) -> None:
        while await channel.read():
            pass

    kpsa = saef_psk.credential(KeyIdentifier.parse(IDENTITY), KM, peer=EntityId("/a"))
    async with EntityB(EntityId("/b"), keys=[kpsa], limits=PATIENT) as b:
        bound = await b.listen(Address("127.0.0.1", 0), accepted, transport=Transport.DTLS)
        print(bound.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


class Crowd:
    """So many clients of one server, each in a thread, each doing its handshakes one after the other."""

    def __init__(self, server: Server, clients: int) -> None:
        self._server = server
        self._clients = [Client(server.address) for _ in range(clients)]

    def microseconds(self, handshakes: int) -> float:
        """Processor time of the server for each handshake."""
        share = handshakes // len(self._clients)
        before = self._server.cpu_seconds
        with ThreadPoolExecutor(len(self._clients)) as pool:
            list(pool.map(lambda client: [client.handshake() for _ in range(share)], self._clients))
        return (self._server.cpu_seconds - before) / (share * len(self._clients)) * 1e6

    def close(self) -> None:
        for client in self._clients:
            client.close()


def compare(crowds: dict[str, Crowd], handshakes: int, rounds: int) -> dict[str, list[float]]:
    """Drive the servers in turns: what disturbs the machine disturbs them alike."""
    for crowd in crowds.values():
        crowd.microseconds(100)
    costs: dict[str, list[float]] = {name: [] for name in crowds}
    for _ in range(rounds):
        for name, crowd in crowds.items():
            costs[name].append(crowd.microseconds(handshakes))
    for crowd in crowds.values():
        crowd.close()
    return costs


def idle_peer_octets(server: Server, peers: int) -> float:
    """Resident memory for each peer that has a session and says nothing."""
    before = server.resident_octets
    for number in range(peers):
        client = Client(server.address, source=f"127.0.{1 + number // 250 // 250}.{1 + number // 250 % 250}")
        client.handshake(keep=True)
        client.close()
    return (server.resident_octets - before) / peers


def hello_microseconds(server: Server, hellos: int) -> float:
    client = Client(server.address)
    before = server.cpu_seconds
    answered = client.hellos(hellos)
    client.close()
    return (server.cpu_seconds - before) / answered * 1e6


def report(costs: dict[str, list[float]], reference: str) -> None:
    print(f"{'server':34} {'CPU per handshake':>18} {'ratio':>6} {'per CPU second':>15}")
    for name, each in costs.items():
        ratio = statistics.median(one / other for one, other in zip(each, costs[reference], strict=True))
        cost = statistics.median(each)
        print(f"{name:34} {cost:15.0f} us {ratio:6.2f} {1e6 / cost:15.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--handshakes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--hellos", type=int, default=100_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        log_to_stderr(verbose=False)  # as the command line does; standard output is for the port
        run(serve())
        return
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        data = Path(directory) / "data"
        run(provision(data, 1))
        reference, b, maf_ = (stack.enter_context(each) for each in (s_server(), entity_b(), maf(data)))
        crowds = {
            "openssl s_server -listen": Crowd(reference, 1),
            "Entity B, key in memory": Crowd(b, 1),
            "Entity B, 16 clients at once": Crowd(b, 16),
            "MAF, Kc durable": Crowd(maf_, 1),
            "MAF, 16 clients at once": Crowd(maf_, 16),
        }
        report(compare(crowds, options.handshakes, options.rounds), next(iter(crowds)))
        print(f"Entity B: {hello_microseconds(b, options.hellos):.1f} us for a spoofed ClientHello")
        held = idle_peer_octets(b, options.peers)
        print(f"Entity B: {held / 1024:.1f} kB for each of {options.peers} idle peers")


if __name__ == "__main__":
    main()

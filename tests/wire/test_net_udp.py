"""DTLS over real sockets: peers that come back, that are silent, that are many, and that are attackers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from link import LABEL
from logged import capture_logs
from maf_support import ID_A, ID_B, LOOPBACK, A, eventually, key_of, running_maf
from onem2m_security.clients.entity_a import associate
from onem2m_security.credentials import ResolvedKey
from onem2m_security.errors import ConfigurationError, HandshakeError, HandshakeTimeoutError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities, Established, Initiator
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import Channel, DatagramChannel, datagram_channels
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.udp import DatagramListener
from onem2m_security.net.udp_client import open_datagram_connection
from onem2m_security.peer_quotas import PeerQuotas
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.records import datagram_alert
from onem2m_security.tls.states import State
from onem2m_security.tls.suites import PSK_SUITES, Suite
from test_tls_records import first_flight, hello_of

KPSA_ID = KeyIdentifier.parse("k@b.example.com")
KPSA = saef_psk.credential(KPSA_ID, key_of("k"), peer=ID_A)
NOBODY = ("192.0.2.7", 7)


class Resolver:
    """Provisioned keys, found after a while, and counted."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._keys = ProvisionedKeys([KPSA])
        self._seconds = seconds
        self.asked: list[bytes] = []

    async def resolve(self, identity: bytes, suite: Any) -> ResolvedKey | None:
        self.asked.append(identity)
        await asyncio.sleep(self._seconds)
        return await self._keys.resolve(identity, suite)


class Port(DatagramListener):
    """A port that echoes; counts what was made durable, and sends and receives through a filter."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        resolver: Resolver | None = None,
        commit_seconds: float = 0.0,
        passes: Callable[[bytes, bool], bool] = lambda datagram, from_server: True,
    ) -> None:
        self.exports: list[bytes] = []
        self.resolver = resolver or Resolver()
        self.sent = 0
        self._passes = passes
        self._commit_seconds = commit_seconds
        acceptor = Acceptor(ID_B, Endpoint(server=True), self.resolver, established=self._commit)
        authorities = Authorities({}, default=acceptor)
        super().__init__(authorities, datagram_channels(echo), limits or Limits())

    async def _commit(self, established: Established) -> None:
        await asyncio.sleep(self._commit_seconds)
        self.exports.append(established.session.export(LABEL, 48))

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._passes(data, False):
            super().datagram_received(data, addr)

    def _transmit(self, datagram: bytes, addr: tuple[Any, ...]) -> None:
        self.sent += len(datagram)
        if self._passes(datagram, True):
            super()._transmit(datagram, addr)

    async def __aenter__(self) -> Self:
        self.address = await self.start(LOOPBACK)
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.stop()


async def echo(channel: Channel) -> None:
    while data := await channel.read():
        await channel.write(data[::-1])


def initiator(key: ResolvedKey = KPSA, suite: Suite | None = None) -> Initiator:
    made = saef_psk.initiate(ID_A, ID_B, key)
    return made if suite is None else replace(made, endpoint=Endpoint(server=False, suites=(suite,)))


async def connect(port: Port, limits: Limits | None = None) -> Channel:
    link = Link(port.address, Transport.DTLS, limits)
    return await associate(link, saef_psk.initiate(ID_A, ID_B, KPSA))


async def answered(channel: Channel, data: bytes = b"abc") -> None:
    await channel.write(data)
    async with asyncio.timeout(20):
        assert await channel.read() == data[::-1]


class Wire:
    """A client's socket in the hands of a test: the sans-IO session, and every datagram it sends."""

    def __init__(
        self, port: Port, *, bind: tuple[str, int] = ("127.0.0.1", 0), suite: Suite | None = None
    ) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(bind)
        self.socket.connect((port.address.host, port.address.port))
        self.socket.setblocking(False)
        self.session = initiator(suite=suite).session(framing=DatagramFraming())
        self.sent: list[bytes] = []
        self.events: list[Any] = []

    @property
    def address(self) -> tuple[str, int]:
        return self.socket.getsockname()

    def send(self, datagram: bytes) -> None:
        self.sent.append(datagram)
        self.socket.send(datagram)

    def flush(self) -> None:
        for datagram in self.session.datagrams_to_send():
            self.send(datagram)

    async def step(self) -> None:
        """Take one datagram and answer it."""
        async with asyncio.timeout(20):
            datagram = await asyncio.get_running_loop().sock_recv(self.socket, 65535)
        self.events += self.session.receive(datagram)
        self.flush()

    async def handshake(self) -> Wire:
        self.flush()
        while self.session.state is State.HANDSHAKE:
            await self.step()
        assert self.session.state is State.OPEN
        return self

    async def answered(self, data: bytes = b"abc") -> None:
        self.session.send(data)
        self.flush()
        count = len(self.events)
        while len(self.events) == count:
            await self.step()
        assert self.events[-1].data == data[::-1]

    def close(self) -> None:
        self.socket.close()

    __del__ = close  # a test that failed leaves no open socket to complain about


# --- what a port is for ---


@pytest.mark.parametrize("mtu", [300, 576, 1232])
async def test_both_ends_associate_and_exchange_datagrams(mtu):
    limits = Limits(datagram_octets=mtu)
    async with Port(limits) as port:
        channel = await open_datagram_connection(
            Link(port.address, Transport.DTLS, limits), initiator(), DatagramChannel
        )
        assert channel.association.protocol == "DTLSv1.2"
        assert channel.association.peer == ID_B
        assert port.exports == [channel.established.session.export(LABEL, 48)]
        await answered(channel, secrets.token_bytes(channel.max_write))
        with pytest.raises(ConfigurationError, match="do not fit one datagram"):
            await channel.write(bytes(channel.max_write + 1))
        await channel.close()
        await eventually(lambda: port.connections == 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_ipv4_ipv6_and_names_are_reached(host):
    port = Port()
    port.address = await port.start(Address(host, 0))
    async with await connect(port) as channel:
        await answered(channel)
    await port.stop()


async def test_a_port_that_is_taken_is_named():
    async with Port() as port:
        with pytest.raises(ConfigurationError, match=rf"cannot listen on .*{port.address.port} \(UDP\)"):
            await Port().start(port.address)


async def test_nobody_at_the_address_is_a_clear_failure_in_time():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = Port()
        port.address = Address(*probe.getsockname())
        with pytest.raises(HandshakeTimeoutError, match="no complete handshake within"):
            await connect(port, limits=Limits(handshake_seconds=0.2))


async def test_a_wrong_key_is_silence_and_the_error_says_what_that_may_mean():
    async with Port(Limits(handshake_seconds=0.3)) as port:
        wrong = saef_psk.credential(KPSA_ID, key_of("another"))
        with pytest.raises(HandshakeTimeoutError, match="an unknown identity or a wrong key"):
            await open_datagram_connection(
                Link(port.address, Transport.DTLS, Limits(handshake_seconds=0.3)),
                initiator(wrong),
                DatagramChannel,
            )
        assert port.exports == []
        await eventually(lambda: port.connections == len(port.half_open) == 0)


@pytest.mark.parametrize("identity", ["k@b.example.com", "nobody@b.example.com"])
async def test_whoever_gives_up_first_no_side_blames_a_maf_that_nobody_asked(identity):
    """Over DTLS a wrong key and an unknown identity look alike, to both sides, whose time limits differ."""
    wrong = saef_psk.credential(KeyIdentifier.parse(identity), key_of("another"), peer=ID_A)
    may_mean = "over DTLS an unknown identity or a wrong key is met with silence"
    for patience_of_server, patience_of_client in ((0.3, 30.0), (1.0, 0.3)):
        with capture_logs() as logged:
            async with Port(Limits(handshake_seconds=patience_of_server)) as port:
                with pytest.raises(HandshakeError) as caught:
                    await open_datagram_connection(
                        Link(port.address, Transport.DTLS, Limits(handshake_seconds=patience_of_client)),
                        initiator(wrong),
                        DatagramChannel,
                    )
                await eventually(lambda: port.connections == 0)
        at_server = next(e["error"] for e in logged if e.get("local") == str(ID_B) and "error" in e)
        assert caught.value.alert.name == "internal_error"
        for told in (str(caught.value), at_server):
            assert may_mean in told
            assert not any(function in told for function in ("MAF", "MEF", "BSF"))


@pytest.mark.parametrize(
    ("resolver", "commit_seconds", "told"),
    [(600.0, 0.0, "is still being looked up"), (0.0, 600.0, "is not durable yet")],
)
async def test_a_server_whose_own_part_takes_too_long_says_so(resolver, commit_seconds, told):
    with capture_logs() as logged:
        limits = Limits(handshake_seconds=0.3)
        async with Port(limits, resolver=Resolver(resolver), commit_seconds=commit_seconds) as port:
            with pytest.raises(HandshakeError, match="something that it needs failed, or its time ran out"):
                await connect(port, limits=Limits(handshake_seconds=30))
    assert any(told in str(entry.get("error")) for entry in logged)


async def test_stopping_the_port_tells_its_peers():
    port = Port()
    async with port:
        channel = await connect(port)
    async with asyncio.timeout(20):
        assert await channel.read() == b""
    assert channel.closing


async def test_kc_is_durable_before_the_last_flight_leaves_and_a_lost_one_comes_again(tmp_path):
    """The real MAF; the first two last flights are lost on the way."""
    lost = []
    async with running_maf(tmp_path / "data", clients=[A]) as running:
        listener = next(p for p in running.server._ports if isinstance(p, DatagramListener))
        send = listener._transmit

        def lose_last_flight(datagram: bytes, addr: Any) -> None:
            if datagram[0] == 20 and len(lost) < 2:  # ChangeCipherSpec leads the last flight
                lost.append(datagram)
            else:
                send(datagram, addr)

        listener._transmit = lose_last_flight
        channel = await open_datagram_connection(
            Link(running.address, Transport.DTLS, Limits(handshake_seconds=60)),
            A.initiator(),
            DatagramChannel,
        )
        assert len(lost) == 2
        exported = channel.established.session.export(LABEL, 48)
        [(kc_id, kc)] = (await running.kcs()).items()
        assert kc.reveal() == exported[16:]
        assert exported[:16].hex() in str(kc_id)
        await channel.close()


# --- peers that come back, and peers that are silent ---


async def test_a_client_that_crashed_comes_back_from_the_same_address_and_port():
    """RFC 6347 clause 4.2.8."""
    async with Port() as port:
        first = await Wire(port).handshake()
        await first.answered()
        address = first.address
        first.close()  # no close_notify: it crashed
        again = Wire(port, bind=address)
        again.flush()
        await again.step()
        assert port.connections == 1  # nothing is given up for a client that has only said hello
        await again.handshake()
        await again.answered()
        assert port.connections == 1
        assert len(port.exports) == 2
        again.close()


async def test_the_old_session_goes_on_while_the_same_address_only_tries_a_handshake():
    async with Port() as port:
        old = await Wire(port).handshake()
        new = initiator(saef_psk.credential(KPSA_ID, key_of("wrong"))).session(framing=DatagramFraming())
        for _ in range(2):  # hello, hello with cookie; then a flight that cannot succeed
            for datagram in new.datagrams_to_send():
                old.send(datagram)
            async with asyncio.timeout(20):
                answer = await asyncio.get_running_loop().sock_recv(old.socket, 65535)
            new.receive(answer)
        for datagram in new.datagrams_to_send():
            old.send(datagram)
        await eventually(lambda: port.connections == 2)
        for number in range(5):
            await old.answered(b"still here %d" % number)
        assert len(port.exports) == 1
        old.close()


async def test_a_second_try_from_one_address_replaces_the_first_unfinished_one():
    async with Port() as port:
        first = Wire(port)
        first.flush()
        await first.step()  # cookie
        await eventually(lambda: port.connections == 1)
        first.close()
        again = Wire(port, bind=first.sent and first_address(port))
        await again.handshake()
        assert port.connections == 1
        assert len(port.half_open) == 0
        again.close()


def first_address(port: Port) -> tuple[str, int]:
    [key] = port._handshakes
    return key


async def test_a_peer_without_data_is_told_and_forgotten_in_time():
    async with Port(Limits(idle_seconds=0.3)) as port:
        channel = await connect(port)
        async with asyncio.timeout(20):
            assert await channel.read() == b""
        await eventually(lambda: port.connections == 0)


async def test_forged_datagrams_do_not_keep_a_silent_peer_alive():
    async with Port(Limits(idle_seconds=0.5)) as port:
        wire = await Wire(port).handshake()

        async def forge() -> None:
            while port.connections:
                port.datagram_received(b"\x17\xfe\xfd\0\1" + secrets.token_bytes(60), wire.address)
                await asyncio.sleep(0.05)

        async with asyncio.timeout(20):
            await forge()
        wire.close()


async def test_beyond_the_limit_the_peer_that_was_silent_for_longest_goes():
    async with Port(Limits(connections=3)) as port:
        channels = [await connect(port) for _ in range(3)]
        await answered(channels[0])
        newest = await connect(port)
        async with asyncio.timeout(20):
            assert await channels[1].read() == b""
        for channel in (channels[0], channels[2], newest):
            await answered(channel)
        assert port.connections == 3


async def test_no_number_of_unfinished_handshakes_pushes_out_an_established_peer():
    async with Port(Limits(connections=2, half_open=5, half_open_per_address=5)) as port:
        channels = [await connect(port) for _ in range(2)]
        wires = [Wire(port) for _ in range(12)]
        for wire in wires:
            wire.flush()
            await wire.step()
        await eventually(lambda: port.connections == 7)
        assert len(port.half_open) == 5
        for channel in channels:
            await answered(channel)
        for wire in wires:
            wire.close()


async def test_under_pressure_the_oldest_unfinished_handshake_goes_and_the_newest_completes():
    async with Port(Limits(half_open=3)) as port:
        wires = [Wire(port) for _ in range(6)]
        for wire in wires:
            wire.flush()
            await wire.step()
        await eventually(lambda: len(port.half_open) == 3)
        await wires[-1].handshake()
        await wires[-1].answered()
        while wires[0].session.state is not State.ENDED:
            await wires[0].step()
        for wire in wires:
            wire.close()


async def test_one_address_cannot_have_more_unfinished_handshakes_than_its_share():
    async with Port(Limits(half_open=100, half_open_per_address=2)) as port:
        wires = [Wire(port) for _ in range(5)]
        for wire in wires:
            wire.flush()
            await wire.step()
        await eventually(lambda: port.connections == 2)
        for wire in wires:
            wire.close()


async def test_an_unfinished_handshake_is_forgotten_in_time():
    async with Port(Limits(handshake_seconds=0.3)) as port:
        wire = Wire(port)
        wire.flush()
        await wire.step()
        await eventually(lambda: port.connections == 1)
        await eventually(lambda: port.connections == len(port.half_open) == 0)
        wire.close()


async def test_a_slow_lookup_is_made_once_while_the_client_repeats_itself():
    resolver = Resolver(seconds=2.5)
    async with Port(resolver=resolver, commit_seconds=1.5) as port:
        async with await connect(port, limits=Limits(handshake_seconds=60)) as channel:
            await answered(channel)
        assert resolver.asked == [str(KPSA_ID).encode()]
        assert len(port.exports) == 1


async def test_a_lookup_that_takes_longer_than_a_handshake_may_is_given_up_without_a_key():
    async with Port(Limits(handshake_seconds=0.5), resolver=Resolver(seconds=600)) as port:
        with pytest.raises(HandshakeError):
            await connect(port, limits=Limits(handshake_seconds=30))
        assert len(port.resolver.asked) == 1
        assert port.connections == len(port.half_open) == len(port.exports) == 0


# --- attacks ---


def spoofed(count: int) -> list[tuple[bytes, tuple[str, int]]]:
    """ClientHellos from so many addresses that do not answer."""
    start = first_flight()
    return [
        (
            start[:27] + number.to_bytes(4, "big") + start[31:],
            (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1024 + number % 60000),
        )
        for number in range(count)
    ]


async def test_100_000_spoofed_client_hellos_leave_no_state_and_are_not_amplified():
    async with Port(passes=lambda datagram, from_server: not from_server) as port:
        asked = 0
        for number, (datagram, address) in enumerate(spoofed(100_000)):
            if number == 20_000:
                tracemalloc.start()
                before = tracemalloc.get_traced_memory()[0]
            if number == 30_000:
                kept = tracemalloc.get_traced_memory()[0] - before
                tracemalloc.stop()
            asked += len(datagram)
            port.datagram_received(datagram, address)
        assert kept < 10_000  # octets, for ten thousand senders
        assert port.connections == len(port.half_open) == 0
        assert port.sent < asked  # every one was answered, with less than it brought
        assert port.sent == 100_000 * 60


async def test_spoofed_client_hellos_on_the_socket_do_not_keep_others_out():
    async with Port() as port:
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
        for number, (datagram, _) in enumerate(spoofed(3000)):
            senders[number % 20].sendto(datagram, (port.address.host, port.address.port))
        async with await connect(port, limits=Limits(handshake_seconds=30)) as channel:
            await answered(channel)
        assert port.connections <= 1
        for sender in senders:
            sender.close()


async def test_no_more_than_what_came_is_sent_to_an_address_before_its_cookie_is_back():
    """Whatever the octets: not only ClientHellos."""
    chance = random.Random(5)
    async with Port(passes=lambda datagram, from_server: not from_server) as port:
        start = first_flight()
        for _ in range(5000):
            datagram = bytearray(start[: chance.randrange(1, len(start) + 1)])
            for _ in range(chance.randrange(4)):
                datagram[chance.randrange(len(datagram))] = chance.randrange(256)
            before = port.sent
            port.datagram_received(bytes(datagram), NOBODY)
            assert port.sent - before <= len(datagram)


async def test_a_source_port_of_zero_closes_nothing():
    """It cannot be answered; anybody can write it into a datagram."""
    async with Port() as port:
        port.datagram_received(first_flight(), ("127.0.0.1", 0))
        await asyncio.sleep(0)
        async with await connect(port) as channel:
            await answered(channel)


EVERY_SUITE = pytest.mark.parametrize("suite", PSK_SUITES, ids=lambda suite: suite.openssl_name)


@EVERY_SUITE
async def test_replayed_records_are_dropped(suite):
    async with Port() as port:
        wire = await Wire(port, suite=suite).handshake()
        await wire.answered(b"pay once")
        paid = wire.sent[-1]
        for _ in range(5):
            wire.send(paid)
        for datagram in list(wire.sent):
            wire.send(datagram)
        await wire.answered(b"next")  # and nothing before it
        assert [event.data for event in wire.events if hasattr(event, "data")] == [b"ecno yap", b"txen"]
        assert port.connections == 1
        assert len(port.exports) == 1
        wire.close()


def forgeries(wire: Wire, chance: random.Random) -> list[bytes]:
    """Datagrams of somebody who writes a live peer's address, and saw its traffic."""
    made = [
        datagram_alert(80, 1 << 40),
        datagram_alert(0, 99),
        b"\x15\xfe\xfd\0\1" + bytes(6) + b"\0\2\2\0",
        b"\x15\xfe\xfd\0\2" + bytes(6) + b"\0\2\2\0",
        b"\x14\xfe\xfd\0\0\0\0\0\0\0\x70\0\1\1",
        first_flight(),
        hello_of(bytes(32), b"", bytes(32), bytes(40)),
        b"",
        b"\x16\xfe\xfd" + bytes(10),
        bytes(65000),
        b"\x17\xfe\xfd\0\1" + b"\xff" * 6 + b"\x40\0" + bytes(1 << 14),
    ]
    for _ in range(300):
        datagram = bytearray(chance.choice(wire.sent))
        for _ in range(chance.randrange(1, 5)):
            datagram[chance.randrange(len(datagram))] = chance.randrange(256)
        made.append(bytes(datagram[: chance.randrange(1, len(datagram) + 1)]))
    made += [chance.randbytes(chance.randrange(1, 200)) for _ in range(300)]
    return made


@EVERY_SUITE
async def test_what_an_attacker_sends_with_a_live_peer_s_address_does_not_end_its_session(suite):
    async with Port() as port:
        wire = await Wire(port, suite=suite).handshake()
        await wire.answered()
        exported = wire.session.export(LABEL, 48)
        chance = random.Random(7)
        for datagram in forgeries(wire, chance):
            port.datagram_received(datagram, wire.address)
            wire.events += wire.session.receive(datagram)  # and to the client with the server's address
            wire.session.datagrams_to_send()
        with contextlib.suppress(BlockingIOError):  # answers of the port to the forged hellos
            while True:
                wire.events += wire.session.receive(wire.socket.recv(65535))
        await wire.answered(b"as if nothing had been")
        assert port.exports == [exported]
        assert len(port.resolver.asked) == 1
        wire.close()


async def test_what_an_attacker_injects_into_a_handshake_ends_at_most_that_handshake():
    """In the clear nothing proves its sender: a handshake can be spoiled, but never yields a second key."""
    chance = random.Random(11)
    completed = 0
    async with Port(Limits(handshake_seconds=30)) as port:
        witness = await connect(port)
        model = await Wire(port).handshake()
        for _ in range(60):
            wire = Wire(port)
            wire.flush()
            await wire.step()
            keys = len(port.exports)
            for datagram in chance.choices(forgeries(chance.choice([model, wire]), chance), k=3):
                port.datagram_received(datagram, wire.address)
            with contextlib.suppress(TimeoutError, AssertionError):
                async with asyncio.timeout(0.3):
                    await wire.handshake()
            if wire.session.state is State.OPEN:
                completed += 1
                await wire.answered()
                assert len(port.exports) == keys + 1
            else:
                assert len(port.exports) <= keys + 1
            wire.close()
        model.close()
        await answered(witness)
        async with await connect(port) as channel:
            await answered(channel)
    assert completed > 10


async def test_an_application_that_fails_on_a_datagram_harms_its_own_peer_only():
    class Broken:
        def datagram_received(self, data: bytes) -> None:
            raise ZeroDivisionError

        def ended(self) -> None:
            pass

    port = Port()
    make = port._make_application
    port._make_application = lambda c: Broken() if port.connections == 2 else make(c)
    async with port:
        good = await connect(port)
        bad = await connect(port)
        await bad.write(b"crash")
        await answered(good)
        async with await connect(port) as another:
            await answered(another)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(datagrams=st.lists(st.binary(max_size=200), max_size=5), address=st.sampled_from([NOBODY, ("::1", 1)]))
def test_no_datagram_of_a_stranger_makes_a_port_raise_or_remember(datagrams, address):
    async def attempt() -> None:
        port = Port(passes=lambda datagram, from_server: not from_server)
        for datagram in datagrams:
            for octets in (datagram, b"\x16\xfe\xfd" + bytes(8) + datagram, first_flight()[:25] + datagram):
                port.datagram_received(octets, address)
        assert port.connections == 0

    asyncio.run(attempt())


# --- many ---


async def test_1000_clients_at_once_associate_at_15_percent_loss():
    """Six tries of each flight take 31 s; who is unluckier begins anew, as a device does."""
    chance = random.Random(1000)
    patient = Limits(
        handshake_seconds=33,
        half_open=2000,
        half_open_per_address=2000,
        quotas=PeerQuotas(connections=2000),
    )
    async with Port(patient, passes=lambda datagram, from_server: chance.random() >= 0.15) as port:

        async def associate_at_last() -> DatagramChannel:
            for _ in range(3):
                with contextlib.suppress(HandshakeTimeoutError):
                    return await open_datagram_connection(
                        Link(port.address, Transport.DTLS, patient), initiator(), DatagramChannel
                    )
            raise AssertionError("three handshakes failed at 15 % loss")

        channels = await asyncio.gather(*(associate_at_last() for _ in range(1000)))
        exports = {channel.established.session.export(LABEL, 48) for channel in channels}
        assert len(exports) == 1000
        assert exports <= set(port.exports)
        assert len(port.exports) == len(set(port.exports)) < 1010  # unlucky ones may leave one unclaimed
        for channel in channels:
            await channel.close()


async def test_a_handshake_that_is_given_up_closes_its_socket():
    async with Port(passes=lambda datagram, from_server: False) as port:
        opening = asyncio.create_task(connect(port))
        await asyncio.sleep(0.05)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    with pytest.raises(HandshakeError, match="cannot be reached"):
        await open_datagram_connection(
            Link(Address("name.invalid", 1), Transport.DTLS), initiator(), DatagramChannel
        )

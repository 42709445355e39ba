"""Half-open connections: counted by address, evicted oldest first; and limits that fit the open files."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onem2m_security.errors import ConfigurationError
from onem2m_security.net.limits import HalfOpen, Limits, network_of


class Peers:
    """Enters numbered peers and notes which are dropped."""

    def __init__(self, **limits: int) -> None:
        self.half_open = HalfOpen(Limits(**limits))
        self.dropped: list[int] = []

    def enter(self, number: int, address: str) -> None:
        self.half_open.enter(number, address, lambda: self.dropped.append(number))


def test_nobody_is_dropped_within_the_limits():
    peers = Peers(half_open=10, half_open_per_address=5)
    for number in range(10):
        peers.enter(number, f"10.0.0.{number % 2}")
    assert peers.dropped == []
    assert len(peers.half_open) == 10


def test_beyond_the_limit_the_oldest_of_all_is_dropped():
    peers = Peers(half_open=3, half_open_per_address=3)
    for number in range(5):
        peers.enter(number, f"10.0.0.{number}")
    assert peers.dropped == [0, 1]
    assert len(peers.half_open) == 3


def test_one_address_pushes_out_its_own_and_nobody_else_s():
    peers = Peers(half_open=100, half_open_per_address=2)
    peers.enter(0, "10.0.0.1")
    for number in range(1, 6):
        peers.enter(number, "10.0.0.2")
    assert peers.dropped == [1, 2, 3]
    assert len(peers.half_open) == 3


def test_whoever_finishes_makes_room():
    peers = Peers(half_open=2, half_open_per_address=2)
    peers.enter(0, "10.0.0.1")
    peers.enter(1, "10.0.0.1")
    peers.half_open.leave(0)
    peers.enter(2, "10.0.0.1")
    assert peers.dropped == []


def test_leaving_twice_or_without_entering_changes_nothing():
    peers = Peers()
    peers.enter(0, "10.0.0.1")
    for _ in range(2):
        peers.half_open.leave(0)
        peers.half_open.leave("nobody")
    assert len(peers.half_open) == 0


def test_a_peer_may_leave_while_it_is_dropped():
    half_open = HalfOpen(Limits(half_open=1))
    half_open.enter("old", "10.0.0.1", lambda: half_open.leave("old"))
    half_open.enter("new", "10.0.0.1", lambda: None)
    assert len(half_open) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 3)), max_size=60))
def test_the_limits_hold_whatever_comes_and_goes(steps):
    peers = Peers(half_open=6, half_open_per_address=3)
    inside: dict[int, str] = {}
    for enters, number, host in steps:
        if enters and number not in inside:
            inside[number] = f"10.0.0.{host}"
            peers.enter(number, inside[number])
            while peers.dropped:
                del inside[peers.dropped.pop()]
        elif not enters:
            inside.pop(number, None)
            peers.half_open.leave(number)
        assert len(peers.half_open) == len(inside) <= 6
        assert all(list(inside.values()).count(address) <= 3 for address in inside.values())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/socket", "/run/socket"),
    ],
)
def test_one_address_is_an_ipv4_address_or_the_64_of_an_ipv6_address(address, network):
    assert network_of(address) == network


def test_what_ends_while_it_is_dropped_does_not_enter_again():
    half_open = HalfOpen(Limits(half_open=2, half_open_per_address=2))
    dropped = []

    def enter(number: int) -> None:
        def drop() -> None:
            half_open.enter(number, "10.0.0.1", drop)
            dropped.append(number)

        half_open.enter(number, "10.0.0.1", drop)

    for number in range(2000):
        enter(number)
    assert dropped == list(range(1998))
    assert len(half_open) == 2


def test_room_is_made_by_the_oldest_as_long_as_there_is_one():
    peers = Peers()
    for number in range(2):
        peers.enter(number, f"10.0.0.{number}")
    assert [peers.half_open.make_room() for _ in range(3)] == [True, True, False]
    assert peers.dropped == [0, 1]


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_an_ipv6_network_of_64_bits_is_one_address(one, other, are_one):
    assert (network_of(one) == network_of(other)) is are_one
    peers = Peers(half_open_per_address=1)
    peers.enter(1, one)
    peers.enter(2, other)
    assert peers.dropped == ([1] if are_one else [])
    peers.half_open.leave(2)
    peers.half_open.leave(1)
    assert len(peers.half_open) == 0


# --- limits and open files ---


def test_limits_that_fit_are_kept():
    limits = Limits(connections=1000, half_open=500, half_open_per_address=100, backlog=100)
    assert limits.fitted(10_000, ports=2) == limits


def test_the_usual_1024_descriptors_leave_places_for_real_clients():
    fitted = Limits().fitted(1024)
    assert fitted.half_open < fitted.connections
    assert fitted.half_open_per_address < fitted.half_open
    assert (
        dataclasses.replace(
            fitted,
            connections=Limits().connections,
            half_open=Limits().half_open,
            half_open_per_address=Limits().half_open_per_address,
            backlog=Limits().backlog,
        )
        == Limits()
    )  # nothing else changes


def test_too_few_descriptors_are_refused_with_the_way_out():
    with pytest.raises(ConfigurationError, match=r"80 open files are too few for 2 ports: .*ulimit -n"):
        Limits().fitted(80, ports=2)


@given(
    descriptors=st.integers(0, 1 << 20),
    ports=st.integers(1, 40),
    connections=st.integers(1, 1 << 20),
    half_open=st.integers(1, 1 << 20),
    per_address=st.integers(1, 1 << 20),
    backlog=st.integers(1, 1 << 16),
)
def test_whatever_the_settings_the_descriptors_suffice(
    descriptors, ports, connections, half_open, per_address, backlog
):
    limits = Limits(
        connections=connections, half_open=half_open, half_open_per_address=per_address, backlog=backlog
    )
    try:
        fitted = limits.fitted(descriptors, ports)
    except ConfigurationError:
        assume(False)
    assert ports * (fitted.connections + 4 * fitted.backlog) + 64 <= descriptors
    assert fitted.half_open <= max(1, fitted.connections // 2)
    assert fitted.half_open_per_address <= max(1, fitted.half_open)
    for name in ("connections", "half_open", "half_open_per_address", "backlog"):
        assert 1 <= getattr(fitted, name) <= getattr(limits, name)

"""Token buckets: a rate for each key, and a table that does not grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from logged import capture_logs
from onem2m_security.quotas import OverQuota, TokenBuckets


def test_a_burst_is_served_at_once_and_then_the_rate_holds():
    buckets = TokenBuckets(rate=2.0, burst=3, capacity=10)
    assert [buckets.take("a", 100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("a", 100.5) == 0
    assert buckets.take("a", 100.5) == 0.5


def test_asking_in_vain_costs_nothing():
    buckets = TokenBuckets(rate=1.0, burst=1, capacity=10)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 0.5) for _ in range(100)] == [0.5] * 100
    assert buckets.take("a", 1.0) == 0


def test_one_key_never_costs_another_anything():
    buckets = TokenBuckets(rate=1.0, burst=1, capacity=10)
    for _ in range(100):
        buckets.take("greedy", 0.0)
    assert buckets.take("other", 0.0) == 0


def test_a_bucket_holds_no_more_than_a_burst_however_long_nobody_asks():
    buckets = TokenBuckets(rate=1.0, burst=2, capacity=10)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 1e6) > 0 for _ in range(3)] == [False, False, True]


def test_the_table_stays_within_its_capacity_and_forgets_the_least_recently_used():
    buckets = TokenBuckets(rate=0.001, burst=1, capacity=3)
    for key in "abc":
        buckets.take(key, 0.0)
    assert buckets.take("a", 0.0) > 0  # used again, in vain
    buckets.take("d", 0.0)
    assert len(buckets) == 3
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("b", 0.0) == 0  # forgotten


def test_full_buckets_are_not_remembered():
    buckets = TokenBuckets(rate=1.0, burst=5, capacity=1000)
    for key in range(100):
        buckets.take(key, 0.0)
    assert len(buckets) == 100
    buckets.take("later", 1.0)
    assert len(buckets) == 1


@pytest.mark.parametrize("sizes", [(0, 1, 1), (-1.0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_buckets_of_no_size_are_refused(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        TokenBuckets(*sizes)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0, 1), max_size=100),
)
def test_in_any_time_nobody_gets_more_than_the_burst_and_the_rate_of_it(rate, burst, steps):
    buckets = TokenBuckets(rate, burst, capacity=2)
    now, served = 0.0, 0
    for step in steps:
        now += step
        served += buckets.take("a", now) == 0
    assert served <= burst + rate * now + 1e-6


@given(burst=st.integers(1, 20), rate=st.floats(0.1, 100), asks=st.integers(1, 50))
def test_whoever_waits_as_told_is_served(burst, rate, asks):
    buckets = TokenBuckets(rate, burst, capacity=2)
    now = 0.0
    for _ in range(asks):
        while wait := buckets.take("a", now):
            now += wait + 1e-9
    assert now <= asks / rate + 1e-3


def test_whoever_is_refused_again_and_again_is_logged_once_a_minute_and_counted_each_time():
    over_quota = OverQuota("of-this-test")
    before = counted("of-this-test")
    with capture_logs() as lines:
        for moment in (0.0, 1.0, 59.0, 61.0):
            for peer in ("a", "b"):
                over_quota.note(peer, moment)
    assert counted("of-this-test") - before == 8
    assert [line["event"] for line in lines] == ["over its quota"] * 4


def counted(quota):
    return REGISTRY.get_sample_value("onem2m_over_quota_total", {"quota": quota}) or 0

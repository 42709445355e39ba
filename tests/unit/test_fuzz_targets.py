"""The targets of ``make fuzz``, each on its seeds and a little beside them: so that none is out of date."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import TESTS
from requirements import needs

_SPEC = importlib.util.spec_from_file_location("fuzz_targets", TESTS / "fuzz" / "targets.py")
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)


def test_every_target_has_seeds():
    assert fuzz.SEEDS.keys() == fuzz.TARGETS.keys()
    assert all(fuzz.SEEDS.values())


def test_what_takes_gnutls_is_a_target_where_it_is_installed():
    needs("libgnutls.so.30")
    assert "raw_public_keys" in fuzz.TARGETS


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_target_takes_its_seeds(name):
    for seed in fuzz.SEEDS[name]:
        fuzz.TARGETS[name](seed)


@pytest.mark.parametrize("name", fuzz.TARGETS)
@given(st.data())
def test_a_target_takes_what_is_nearly_its_seed(name, data):
    seed = data.draw(st.sampled_from(fuzz.SEEDS[name]))
    at, cut = data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, 8))
    fuzz.TARGETS[name](seed[:at] + data.draw(st.binary(max_size=8)) + seed[at + cut :])

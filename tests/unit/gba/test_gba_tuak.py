"""TUAK against every published test set, and its permutation against hashlib's SHA-3."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError
from onem2m_security.gba.tuak import Tuak, keccak_f1600, topc_from_top

# TS 35.233 clauses 6.3 to 6.8.
_LINES = (Path(__file__).parent / "data" / "tuak.txt").read_text().splitlines()
SETS = [
    pytest.param(*line.split(), id=f"set{number}")
    for number, line in enumerate((line for line in _LINES if not line.startswith("#")), start=1)
]
COLUMNS = "k, rand, sqn, amf, top, iterations, topc, f1, f1_star, f2, f3, f4, f5, f5_star"


def test_all_published_sets_are_here():
    assert len(SETS) == 6


@pytest.mark.parametrize(COLUMNS, SETS)
def test_published_set(k, rand, sqn, amf, top, iterations, topc, f1, f1_star, f2, f3, f4, f5, f5_star):
    key, rounds = Secret(bytes.fromhex(k)), int(iterations)
    made = topc_from_top(key, Secret(bytes.fromhex(top)), iterations=rounds)
    assert made.reveal().hex() == topc
    functions = Tuak(
        key,
        made,
        mac_octets=len(f1) // 2,
        res_octets=len(f2) // 2,
        ck_octets=len(f3) // 2,
        ik_octets=len(f4) // 2,
        iterations=rounds,
    )
    challenge = bytes.fromhex(rand)
    assert functions.f1(challenge, bytes.fromhex(sqn), bytes.fromhex(amf)).hex() == f1
    assert functions.f1_star(challenge, bytes.fromhex(sqn), bytes.fromhex(amf)).hex() == f1_star
    outputs = functions.f2345(challenge)
    assert outputs.res.reveal().hex() == f2
    assert outputs.ck.reveal().hex() == f3
    assert outputs.ik.reveal().hex() == f4
    assert outputs.ak.hex() == f5
    assert functions.f5_star(challenge).hex() == f5_star


@given(st.binary(max_size=400))
def test_the_permutation_makes_sha3(message):
    rate = 136
    padded = bytearray(message + b"\x06")
    padded += bytes(-len(padded) % rate)
    padded[-1] |= 0x80
    state = bytes(200)
    for start in range(0, len(padded), rate):
        block = bytes(padded[start : start + rate]).ljust(200, b"\0")
        state = keccak_f1600(bytes(a ^ b for a, b in zip(state, block, strict=True)))
    assert state[:32] == hashlib.sha3_256(message).digest()


def test_repr_shows_neither_k_nor_topc():
    shown = repr(Tuak(Secret(b"K" * 16), Secret(b"T" * 32)))
    assert "Secret" not in shown
    assert "KKKK" not in shown


def test_unusable_keys_and_lengths_are_refused():
    k, topc = Secret(b"k" * 16), Secret(b"t" * 32)
    for make in (
        lambda: Tuak(Secret(b"k" * 24), topc),
        lambda: Tuak(k, Secret(b"t" * 16)),
        lambda: Tuak(k, topc, mac_octets=4),
        lambda: Tuak(k, topc, res_octets=5),
        lambda: Tuak(k, topc, ck_octets=8),
        lambda: Tuak(k, topc, ik_octets=8),
        lambda: Tuak(k, topc, iterations=0),
        lambda: topc_from_top(k, Secret(b"t" * 31)),
        lambda: Tuak(k, topc).f2345(bytes(15)),
        lambda: Tuak(k, topc).f1(bytes(16), bytes(5), bytes(2)),
        lambda: Tuak(k, topc).f1(bytes(16), bytes(6), bytes(1)),
        lambda: keccak_f1600(bytes(199)),
    ):
        with pytest.raises(CredentialError):
            make()

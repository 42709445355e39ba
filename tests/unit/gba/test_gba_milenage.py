"""MILENAGE against every published test set."""

from pathlib import Path

import pytest

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError
from onem2m_security.gba.milenage import Milenage, opc_from_op

# TS 35.208 clause 4.3 sets 1 to 20, and TS 35.207 set 2: see the head of the file.
_LINES = (Path(__file__).parent / "data" / "milenage.txt").read_text().splitlines()
SETS = [
    pytest.param(*map(bytes.fromhex, line.split()), id=f"set{number}")
    for number, line in enumerate((line for line in _LINES if not line.startswith("#")), start=1)
]
COLUMNS = "k, rand, sqn, amf, op, opc, f1, f1_star, f2, f5, f3, f4, f5_star"


def test_all_published_sets_are_here():
    assert len(SETS) == 21


@pytest.mark.parametrize(COLUMNS, SETS)
def test_published_set(k, rand, sqn, amf, op, opc, f1, f1_star, f2, f5, f3, f4, f5_star):
    assert opc_from_op(Secret(k), Secret(op)) == Secret(opc)
    functions = Milenage(Secret(k), Secret(opc))
    assert functions.f1(rand, sqn, amf) == f1
    assert functions.f1_star(rand, sqn, amf) == f1_star
    outputs = functions.f2345(rand)
    assert outputs.res.reveal() == f2
    assert outputs.ck.reveal() == f3
    assert outputs.ik.reveal() == f4
    assert outputs.ak == f5
    assert functions.f5_star(rand) == f5_star


def test_repr_shows_neither_k_nor_opc_nor_outputs():
    functions = Milenage(Secret(b"K" * 16), Secret(b"O" * 16))
    assert repr(functions) == "Milenage()"
    assert repr(functions.f2345(bytes(16))) == "AkaOutputs()"


@pytest.mark.parametrize("octets", [15, 17, 32])
def test_a_key_of_another_length_is_refused(octets):
    good, bad = Secret(b"k" * 16), Secret(b"k" * octets)
    for make in (
        lambda: Milenage(bad, good),
        lambda: Milenage(good, bad),
        lambda: opc_from_op(bad, good),
        lambda: opc_from_op(good, bad),
    ):
        with pytest.raises(CredentialError, match=f"has 16 octets, not {octets}"):
            make()


def test_inputs_of_another_length_are_refused():
    functions = Milenage(Secret(b"k" * 16), Secret(b"o" * 16))
    with pytest.raises(CredentialError, match="RAND"):
        functions.f2345(bytes(15))
    with pytest.raises(CredentialError, match="RAND"):
        functions.f5_star(bytes(17))
    with pytest.raises(CredentialError, match="SQN"):
        functions.f1(bytes(16), bytes(5), bytes(2))
    with pytest.raises(CredentialError, match="AMF"):
        functions.f1_star(bytes(16), bytes(6), bytes(3))

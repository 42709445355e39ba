"""The small helpers of the algorithm sets."""

import pytest

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError
from onem2m_security.gba.algorithm import require_length, xor


def test_xor_is_bitwise_and_refuses_other_lengths():
    assert xor(b"\x0f\xf0", b"\xff\x0f") == b"\xf0\xff"
    with pytest.raises(ValueError, match="shorter"):
        xor(b"\x00\x00", b"\x00")


def test_a_wrong_length_is_named_without_the_value():
    require_length("K", Secret(b"k" * 32), 16, 32)
    with pytest.raises(CredentialError) as caught:
        require_length("K", Secret(b"sesame"), 16, 32)
    assert str(caught.value) == "K has 16 or 32 octets, not 6"

"""What differs between Release 1 and Release 3."""

from __future__ import annotations

import pytest

from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.release import DEFAULT_RELEASE, Release

KC_ID = KeyIdentifier.parse("00112233445566778899aabbccddeeff@maf.example.com")


def test_release_1_is_the_default():
    assert DEFAULT_RELEASE is Release.R1


def test_release_1_writes_base64_and_release_3_hex_binary():
    assert Release.R1.wire(KC_ID) == "ABEiM0RVZneImaq7zN3u/w==@maf.example.com"
    assert Release.R3.wire(KC_ID) == "00112233445566778899AABBCCDDEEFF@maf.example.com"


@pytest.mark.parametrize(("text", "release"), [("1", Release.R1), ("3", Release.R3)])
def test_a_release_is_named_by_its_number(text, release):
    assert Release.parse(text) is release


@pytest.mark.parametrize("text", ["", "2", "4", "one", "R1", "1.0"])
def test_another_release_is_refused(text):
    with pytest.raises(ConfigurationError, match="1 or 3 is expected"):
        Release.parse(text)

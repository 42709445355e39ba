"""Identifiers and keys of a bootstrapping.

No official vector of the GBA key derivation is public. So each derivation is checked against a second
implementation, written here from the formula of TS 33.220 Annex B with HMAC from RFC 2104 spelled out, and
one value against the ``openssl`` command.
"""

import base64
import hashlib
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError, IdentifierError, SecurityFrameworkError
from onem2m_security.gba.keys import (
    Impi,
    KeyChoice,
    b_tid_of,
    kdf,
    ks_ext_naf,
    ks_int_naf,
    ks_naf,
    ks_of,
    naf_id,
    naf_key,
    ua_security_protocol,
)
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from requirements import needs

KS = Secret(bytes(range(32)))
RAND = bytes(range(0x40, 0x50))
IMPI = Impi.parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org")
NAF = Fqdn.parse("cse.provider.example")
UA = ua_security_protocol(0x00AE)

octets32 = st.binary(min_size=32, max_size=32)
octets16 = st.binary(min_size=16, max_size=16)


def hmac_sha256(key, message):
    """RFC 2104, for keys up to a block."""
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in block) + message).digest()
    return hashlib.sha256(bytes(octet ^ 0x5C for octet in block) + inner).digest()


def string_s(p0, rand, impi, naf):
    """S of Annex B.2 for the NAF keys of Annex B.3."""
    return b"\x01" + b"".join(value + struct.pack(">H", len(value)) for value in (p0, rand, impi, naf))


@given(
    octets32,
    octets16,
    st.from_regex(r"[a-z0-9]{1,20}@[a-z]{1,20}\.example", fullmatch=True),
    st.integers(0, 65535),
)
def test_naf_keys_agree_with_a_second_implementation(ks, rand, impi, suite):
    identity = naf_id(NAF, ua_security_protocol(suite))
    second = b"cse.provider.example\x01\x00\x01" + struct.pack(">H", suite)
    arguments = {"rand": rand, "impi": Impi.parse(impi), "naf_id": identity}
    external = hmac_sha256(ks, string_s(b"gba-me", rand, impi.encode(), second))
    internal = hmac_sha256(ks, string_s(b"gba-u", rand, impi.encode(), second))
    assert ks_naf(Secret(ks), **arguments).reveal() == external
    assert ks_ext_naf(Secret(ks), **arguments).reveal() == external
    assert ks_int_naf(Secret(ks), **arguments).reveal() == internal


def test_ks_naf_agrees_with_the_openssl_command(tmp_path):
    message = tmp_path / "s"
    message.write_bytes(
        string_s(b"gba-me", RAND, str(IMPI).encode(), b"cse.provider.example\x01\x00\x01\x00\xae")
    )
    command = [needs("openssl"), "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KS.reveal().hex()}"]
    printed = subprocess.run([*command, str(message)], check=True, capture_output=True, text=True).stdout
    assert printed.split()[-1] == ks_naf(KS, rand=RAND, impi=IMPI, naf_id=naf_id(NAF, UA)).reveal().hex()


def test_each_key_choice_names_its_derivation():
    arguments = {"rand": RAND, "impi": IMPI, "naf_id": naf_id(NAF, UA)}
    external, internal = ks_ext_naf(KS, **arguments), ks_int_naf(KS, **arguments)
    assert external != internal
    assert naf_key(KeyChoice.KS_NAF, KS, **arguments) == external
    assert naf_key(KeyChoice.KS_EXT_NAF, KS, **arguments) == external
    assert naf_key(KeyChoice.KS_INT_NAF, KS, **arguments) == internal
    assert [choice.is_gba_u for choice in KeyChoice] == [False, True, True]


def test_every_input_separates_the_keys():
    base = {"rand": RAND, "impi": IMPI, "naf_id": naf_id(NAF, UA)}
    others = [
        base | {"rand": bytes(16)},
        base | {"impi": Impi.parse("someone@else.example")},
        base | {"naf_id": naf_id(Fqdn.parse("other.example"), UA)},
        base | {"naf_id": naf_id(NAF, ua_security_protocol(0xC0A8))},
    ]
    keys = {ks_naf(KS, **arguments).reveal() for arguments in [base, *others]}
    assert len(keys) == 5


def test_ks_is_ck_then_ik():
    ck, ik = Secret(b"c" * 16), Secret(b"i" * 16)
    assert ks_of(ck, ik).reveal() == b"c" * 16 + b"i" * 16
    with pytest.raises(CredentialError, match="IK"):
        ks_of(ck, Secret(b"i" * 15))
    with pytest.raises(CredentialError, match="CK"):
        ks_of(Secret(b"c" * 17), ik)


@given(octets16)
def test_b_tid_is_base64_of_rand_at_the_bsf(rand):
    b_tid = b_tid_of(rand, Fqdn.parse("bsf.example.com"))
    assert b_tid.base64 == base64.b64encode(rand).decode() + "@bsf.example.com"
    assert b_tid.octets == rand
    assert KeyIdentifier.parse(b_tid.base64) == b_tid


def test_naf_id_and_ua_security_protocol():
    assert UA.hex() == "01000100ae"
    assert naf_id(Fqdn.parse("NAF.Example.com."), UA) == b"naf.example.com" + UA
    for bad in (-1, 0x10000):
        with pytest.raises(CredentialError):
            ua_security_protocol(bad)
    with pytest.raises(CredentialError):
        naf_id(NAF, UA[:4])


@given(octets32, st.lists(st.binary(max_size=40), max_size=5))
def test_kdf_agrees_with_a_second_implementation(key, parameters):
    for fc in (b"\x6f", b"\xff\x01"):
        s = fc + b"".join(value + struct.pack(">H", len(value)) for value in parameters)
        assert kdf(Secret(key), fc, *parameters).reveal() == hmac_sha256(key, s)


def test_kdf_bounds():
    assert len(kdf(KS, b"\x01", bytes(0xFFFF))) == 32
    for fc, parameter in ((b"\x01", bytes(0x10000)), (b"", b""), (b"\x01\x02", b"")):
        with pytest.raises(CredentialError):
            kdf(KS, fc, parameter)
    with pytest.raises(CredentialError, match="Ks"):
        ks_naf(Secret(b"k" * 16), rand=RAND, impi=IMPI, naf_id=naf_id(NAF, UA))
    with pytest.raises(CredentialError, match="RAND"):
        ks_int_naf(KS, rand=RAND[:15], impi=IMPI, naf_id=naf_id(NAF, UA))


def test_impi_is_kept_as_given():
    assert str(Impi.parse("User.1@Home1.NET")) == "User.1@Home1.NET"


NO_IMPI = ["", "user", "@home1.net", "user@", "a:b@home1.net", 'a"b@home1.net', "a b@home1.net"]
NO_IMPI += ["a\n@home1.net", "user@ho me", "é@home1.net", "a@b@home1.net", "u" * 250 + "@home1.net"]


@pytest.mark.parametrize("text", NO_IMPI)
def test_what_is_no_impi_is_refused(text):
    with pytest.raises(IdentifierError):
        Impi.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_an_impi_or_refused_by_our_error(text):
    try:
        parsed = Impi.parse(text)
    except SecurityFrameworkError:
        return
    assert Impi.parse(str(parsed)) == parsed

"""The XML body that ends a bootstrapping."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import MessageError, SecurityFrameworkError
from onem2m_security.gba.bootstrap_info import BODY_MAX_OCTETS, BootstrappingInfo
from onem2m_security.gba.keys import b_tid_of
from onem2m_security.identifiers import Fqdn, KeyIdentifier

B_TID = b_tid_of(bytes(range(16)), Fqdn.parse("bsf.home1.net"))
UNTIL = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = BootstrappingInfo(B_TID, UNTIL).to_xml()


def test_a_document_of_a_real_bsf():
    # As printed in public traces of Ub: white space between elements, fractions of a second.
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<BootstrappingInfo xmlns="uri:3gpp-gba">\n'
        b"    <btid>x1XRv9GU/jU1U5DrkYljrQ==@bsf.home1.net</btid>\n"
        b"    <lifetime>2013-04-22T13:10:25.559Z</lifetime>\n</BootstrappingInfo>\n"
    )
    info = BootstrappingInfo.parse(body)
    assert info.b_tid.base64 == "x1XRv9GU/jU1U5DrkYljrQ==@bsf.home1.net"
    assert info.lifetime == datetime(2013, 4, 22, 13, 10, 25, 559000, tzinfo=UTC)


def test_a_prefix_and_unknown_elements_and_attributes_are_ignored():
    body = (
        b'<g:BootstrappingInfo xmlns:g="uri:3gpp-gba" colour="red"><g:btid>'
        + B_TID.base64.encode()
        + b"</g:btid><g:lifetime>2030-01-02T03:04:05Z</g:lifetime>"
        b"<g:Extension><currenttime>2029-01-02T03:04:05Z</currenttime></g:Extension></g:BootstrappingInfo>"
    )
    assert BootstrappingInfo.parse(body) == BootstrappingInfo(B_TID, UNTIL)


@given(
    st.binary(min_size=16, max_size=16),
    st.datetimes(datetime(1900, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_round_trip_to_the_second(rand, lifetime):
    info = BootstrappingInfo(b_tid_of(rand, Fqdn.parse("bsf.home1.net")), lifetime)
    assert BootstrappingInfo.parse(info.to_xml()) == BootstrappingInfo(
        info.b_tid, lifetime.replace(microsecond=0)
    )


def test_the_lifetime_is_written_in_utc():
    there = timezone(timedelta(hours=5, minutes=30))
    assert BootstrappingInfo(B_TID, UNTIL.astimezone(there)).to_xml() == BODY


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>&b;</btid></BootstrappingInfo>'
)
EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b'<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>&a;</btid></BootstrappingInfo>'
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"<BootstrappingInfo",
        BILLION_LAUGHS,
        EXTERNAL,
        b"<!DOCTYPE BootstrappingInfo>" + BODY.split(b"\n", 1)[1],
        BODY.replace(b"UTF-8", b"no-such-encoding"),
        BODY.replace(b"uri:3gpp-gba", b"uri:other"),
        BODY.replace(b"BootstrappingInfo", b"Other"),
        BODY.replace(b"<btid>", b"<other>").replace(b"</btid>", b"</other>"),
        BODY.replace(b"<lifetime>", b"<lifetime>2030-01-01T00:00:00Z</lifetime><lifetime>"),
        BODY.replace(b"05Z", b"05"),
        BODY.replace(b"05Z", b"05+00:00"),
        BODY.replace(b"2030-01-02", b"2030-13-02"),
        BODY.replace(b"2030-01-02T03:04:05Z", b""),
        BODY.replace(B_TID.base64.encode(), b""),
        BODY.replace(B_TID.base64.encode(), b"named@bsf.home1.net"),
        BODY.replace(B_TID.base64.encode(), b"AAECAwQFBgcICQoLDA0ODw=="),
        BODY + b" " * BODY_MAX_OCTETS,
    ],
)
def test_what_is_no_bootstrapping_info_is_refused(body):
    with pytest.raises(SecurityFrameworkError):
        BootstrappingInfo.parse(body)


@given(st.binary(max_size=200), st.integers(0, len(BODY)), st.integers(0, 20))
def test_any_damage_is_read_or_refused_by_our_error(noise, position, cut):
    for body in (noise, BODY[:position] + noise + BODY[position + cut :]):
        try:
            info = BootstrappingInfo.parse(body)
        except SecurityFrameworkError:
            continue
        assert BootstrappingInfo.parse(info.to_xml()).b_tid == info.b_tid


def test_values_that_cannot_be_written_are_refused():
    with pytest.raises(MessageError, match="time zone"):
        BootstrappingInfo(B_TID, UNTIL.replace(tzinfo=None))
    with pytest.raises(MessageError, match="B-TID"):
        BootstrappingInfo(KeyIdentifier.parse("named@bsf.home1.net"), UNTIL)

"""The Bootstrapping-Info command of Zn: what is written is read as the same, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gba_support import AE, BSF, CSE, NAF
from onem2m_security.credentials import Secret
from onem2m_security.diameter import messages as dm
from onem2m_security.diameter.bootstrapping_info import (
    BootstrappingInfoRequest,
    decode_naf_key,
    encode_naf_key,
)
from onem2m_security.diameter.messages import DiameterMessage
from onem2m_security.errors import IdentifierError, MessageError
from onem2m_security.gba.context import NafKey
from onem2m_security.gba.keys import KeyChoice
from onem2m_security.identifiers import Fqdn, KeyIdentifier

RANDS = st.binary(min_size=16, max_size=16)
B_TIDS = RANDS.map(lambda rand: KeyIdentifier.from_octets(rand, BSF))
NAFS = st.sampled_from([NAF, Fqdn("a.example"), Fqdn.parse("bücher.example")])
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
REQUESTS = st.builds(BootstrappingInfoRequest, B_TIDS, NAFS, st.binary(min_size=5, max_size=5))
NAF_KEYS = st.builds(
    NafKey,
    B_TIDS,
    st.binary(min_size=1, max_size=256).map(Secret),
    st.sampled_from(KeyChoice),
    TIMES,
    TIMES,
    st.sampled_from([None, CSE, AE]),
)
OCTET_STRINGS = [
    dm.TRANSACTION_IDENTIFIER,
    dm.NAF_ID,
    dm.ME_KEY_MATERIAL,
    dm.UICC_KEY_MATERIAL,
    dm.GBA_USER_SEC_SETTINGS,
]
TIME_CODES = [dm.KEY_EXPIRY_TIME, dm.BOOTSTRAP_INFO_CREATION_TIME]
TYPED = st.tuples(st.sampled_from(OCTET_STRINGS), st.binary(max_size=40)) | st.tuples(
    st.sampled_from(TIME_CODES), st.binary(min_size=4, max_size=4)
)
ANY = st.tuples(st.sampled_from(OCTET_STRINGS + TIME_CODES), st.binary(max_size=40))


def over_the_wire(attributes) -> DiameterMessage:
    message = DiameterMessage.request(dm.BOOTSTRAPPING_INFO, dm.APPLICATION_ZN, attributes)
    return DiameterMessage.parse(message.octets())


@given(REQUESTS)
def test_what_a_naf_asks_is_read_as_the_same(asked):
    assert BootstrappingInfoRequest.decode(over_the_wire(asked.encode())) == asked


@given(NAF_KEYS)
def test_what_a_naf_is_told_is_read_as_the_same_but_for_what_diameter_cannot_say(found):
    read = decode_naf_key(found.b_tid, over_the_wire(encode_naf_key(found)))
    told = KeyChoice.KS_NAF if found.choice is KeyChoice.KS_EXT_NAF else found.choice
    assert read == replace(found, choice=told)
    assert read.key == found.key


@given(st.lists(TYPED | ANY, max_size=6))
def test_any_values_are_read_or_refused_by_the_documented_errors(attributes):
    try:
        message = over_the_wire(attributes)
        assert isinstance(BootstrappingInfoRequest.decode(message), BootstrappingInfoRequest)
    except (MessageError, IdentifierError) as error:
        assert len(str(error)) < 400  # noqa: PT017 - some are requests
    try:
        message = over_the_wire(attributes)
        assert isinstance(decode_naf_key(KeyIdentifier.from_octets(bytes(16), BSF), message), NafKey)
    except MessageError as error:
        assert len(str(error)) < 400  # noqa: PT017 - some are answers


@pytest.mark.parametrize("octets", [b"", bytes(257)])
def test_key_material_of_no_length_or_too_long_is_refused_without_being_shown(octets):
    attributes = [
        (dm.ME_KEY_MATERIAL, octets),
        (dm.KEY_EXPIRY_TIME, datetime(2030, 1, 1, tzinfo=UTC)),
        (dm.BOOTSTRAP_INFO_CREATION_TIME, datetime(2029, 1, 1, tzinfo=UTC)),
    ]
    with pytest.raises(MessageError, match="key material") as caught:
        decode_naf_key(KeyIdentifier.from_octets(bytes(16), BSF), over_the_wire(attributes))
    assert len(str(caught.value)) < 120


@given(
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**24 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(TYPED, max_size=6),
)
def test_a_whole_message_is_read_as_the_same(is_request, is_error, command, number, attributes):
    message = replace(
        DiameterMessage.request(command, dm.APPLICATION_ZN, attributes),
        is_request=is_request,
        is_error=is_error and not is_request,
        hop_by_hop=number,
        end_to_end=number ^ 1,
    )
    read = DiameterMessage.parse(message.octets())
    assert replace(read, attributes=()) == replace(message, attributes=())
    assert read.octets() == message.octets()
    assert [(avp.code, avp.vendor_id, avp.payload) for avp in read.attributes] == [
        (*code, value) for code, value in attributes
    ]

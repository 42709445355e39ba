"""The resources of a MAF, an MEF and a BSF as JSON: a round trip each, and strict reading."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.errors import MessageError
from onem2m_security.gba.keys import KeyChoice
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from onem2m_security.onem2m import paths
from onem2m_security.onem2m.commands import DeviceConfigUri
from onem2m_security.onem2m.primitives import parse_timestamp, timestamp
from onem2m_security.onem2m.resources import (
    ATTRIBUTES,
    MAX_LABELS,
    MAX_TARGETS,
    SHORT_NAMES,
    BootstrappingInfo,
    ChildReference,
    MafBase,
    MafClientRegistration,
    MefBase,
    MefClientCommand,
    MefClientRegistration,
    SymmetricKeyRegistration,
)
from places import ROOT

NAME = "sec:skr"
RESOURCES = (
    SymmetricKeyRegistration,
    MafClientRegistration,
    MefClientRegistration,
    MefClientCommand,
    MafBase,
    MefBase,
    BootstrappingInfo,
)
BASE_PATHS = (MafBase.path, MefBase.path)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
LABELS = st.lists(st.text(min_size=1, max_size=20), max_size=MAX_LABELS).map(tuple)
FQDNS = st.sampled_from([Fqdn("admin.example"), Fqdn("maf.example.com"), Fqdn.parse("bücher.example")])
ENTITIES = st.sampled_from(["/a", "/b", "Cc", "//sp.example/cse/Cae"]).map(EntityId)
KEYS = st.binary(min_size=1, max_size=256).map(Secret)
CHILDREN = st.lists(
    st.builds(
        ChildReference,
        st.text(min_size=1, max_size=20),
        st.integers(1, 1 << 16),
        st.lists(st.from_regex(r"[A-Za-z0-9.~-]{1,20}", fullmatch=True), min_size=1, max_size=5).map(tuple),
    ),
    max_size=3,
).map(tuple)
KM_IDS = st.binary(min_size=16, max_size=16).map(
    lambda octets: KeyIdentifier.from_octets(octets, Fqdn("maf.example.com"))
) | st.just(KeyIdentifier.parse_km_id("Km-7@maf.example.com"))
ASKED_OF_A_REGISTRATION = {
    "expiration_time": st.none() | MOMENTS,
    "labels": st.none() | LABELS,
    "admin_fqdn": st.none() | FQDNS,
    "fqdn": st.none() | FQDNS,
}
ASKED_OF_A_KEY = ASKED_OF_A_REGISTRATION | {
    "suid": st.none() | st.sampled_from(Suid),
    "target_ids": st.none() | st.lists(ENTITIES, unique=True).map(tuple),
    "key_value": st.none() | KEYS,
}
KEY_REQUESTS = st.builds(SymmetricKeyRegistration, **ASKED_OF_A_KEY)
KEY_ANSWERS = st.builds(
    SymmetricKeyRegistration,
    **ASKED_OF_A_KEY,
    relative_key_id=st.none() | st.text(min_size=1, max_size=255),
    source_id=st.none() | ENTITIES,
)


def registrations(resource) -> st.SearchStrategy:
    return st.builds(resource, **ASKED_OF_A_REGISTRATION)


def answers(resource) -> st.SearchStrategy:
    return st.builds(
        resource,
        **ASKED_OF_A_REGISTRATION,
        client_reg_id=st.none() | st.text(min_size=1, max_size=255),
        client_id=st.none() | ENTITIES,
        assigned_symm_key_id=st.none() | KM_IDS,
        child_resources=st.none() | CHILDREN,
    )


BOOTSTRAPPING_INFOS = st.builds(
    BootstrappingInfo,
    key_value=KEYS,
    key_type=st.sampled_from(KeyChoice),
    bootstrap_time=MOMENTS,
    expiration_time=MOMENTS,
    source_id=st.none() | ENTITIES,
)
BASES = st.one_of(
    FQDNS.map(MafBase.at),
    st.builds(
        MefBase.at,
        FQDNS,
        device_config_uri=st.none() | st.just(DeviceConfigUri.parse("3:coaps://dm.example.com")),
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
SHORT = st.sampled_from([*SHORT_NAMES.values(), "x"])
RESOURCE_NAMES = st.sampled_from([resource.resource_name for resource in RESOURCES])


@given(KEY_REQUESTS | registrations(MafClientRegistration) | registrations(MefClientRegistration))
def test_what_a_client_asks_decodes_to_the_same(asked):
    assert type(asked).decode_request(asked.encode()) == asked


@given(
    KEY_ANSWERS
    | answers(MafClientRegistration)
    | answers(MefClientRegistration)
    | BOOTSTRAPPING_INFOS
    | BASES
)
def test_what_a_function_answers_decodes_to_the_same(answer):
    assert type(answer).decode_answer(answer.encode()) == answer


@given(st.one_of(JSON, st.dictionaries(RESOURCE_NAMES, st.dictionaries(SHORT, JSON, max_size=5), max_size=2)))
def test_any_json_decodes_or_is_refused_by_the_one_error(content):
    for resource in RESOURCES:
        for decode in (resource.decode_request, resource.decode_answer):
            try:
                assert isinstance(decode(content), resource)
            except MessageError as error:
                assert len(str(error)) < 300  # noqa: PT017 - not everything is refused


@pytest.mark.parametrize("resource", RESOURCES)
def test_what_only_a_function_sets_is_refused_from_a_client_and_read_from_the_function(resource):
    by_function = resource._set_by_function
    assert by_function
    for name in by_function:
        content = {resource.resource_name: {ATTRIBUTES[name].short_name: "x"}}
        with pytest.raises(MessageError, match="no attribute"):
            resource.decode_request(content)


def test_what_a_newer_function_says_besides_is_passed_over():
    content = {NAME: {"rkid": "a", "of a newer release": [1]}, "beside it": {}}
    assert SymmetricKeyRegistration.decode_answer(content) == SymmetricKeyRegistration(relative_key_id="a")


@pytest.mark.parametrize("missing", ["kv", "kty", "bt", "et"])
def test_a_bootstrapping_info_that_lacks_something_is_refused_by_the_name_of_it(missing):
    whole = {"kv": "AAAA", "kty": "Ks_NAF", "bt": "20300101T000000", "et": "20300101T000000"}
    BootstrappingInfo.decode_answer({"gba:bi": whole})
    name = next(attribute.name for attribute in ATTRIBUTES.values() if attribute.short_name == missing)
    del whole[missing]
    with pytest.raises(MessageError, match=f"{name} is missing"):
        BootstrappingInfo.decode_answer({"gba:bi": whole})


def test_no_key_is_in_the_repr_of_a_resource():
    key = Secret(b"a very secret key")
    for resource in (
        SymmetricKeyRegistration(key_value=key),
        BootstrappingInfo(
            key_value=key,
            key_type=KeyChoice.KS_NAF,
            bootstrap_time=datetime.now(UTC),
            expiration_time=datetime.now(UTC),
        ),
    ):
        assert "key_value" not in repr(resource)


def test_a_path_is_segments_without_slashes():
    for path in (*(resource.path for resource in RESOURCES), paths.FETCH_CREDENTIALS):
        assert path
        assert not any("/" in segment for segment in path)


def test_no_two_attributes_share_a_name_or_a_short_name():
    assert len(SHORT_NAMES) == len(set(SHORT_NAMES.values())) == len(ATTRIBUTES)


# --- the manual ---


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a text in the page of our own wire forms."""
    page = (ROOT / "docs" / "ours.md").read_text(encoding="utf-8")
    _, *lines = page[page.index(heading) :].partition("|---")[2].splitlines()
    table = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_manual_lists_the_attributes_and_their_short_names():
    shown = {short.strip("`"): name for name, short, _ in rows("Attributes and their short names")}
    assert shown.keys() == set(SHORT_NAMES.values())


def test_the_manual_tells_paths_names_and_type_numbers():
    told = dict(rows("# Wire forms"))
    assert told["path of `<MAFBase>`, of `<MEFBase>`"] == ", ".join(f"`/{'/'.join(p)}`" for p in BASE_PATHS)
    bases = ", ".join(f"`{one.resource_name}`" for one in (MafBase, MefBase))
    assert told["name of `<MAFBase>`, of `<MEFBase>` in JSON"] == bases
    written = ["`/" + "/".join(path) + "/<" for path in (paths.MAF_SYMM_KEY_REG, paths.MAF_CLIENT_REG)]
    assert told["path of a key registration"].startswith(written[0])
    assert told["path of a client registration"].startswith(written[1])
    assert "`/" + "/".join(paths.MEF_CLIENT_REG) + "/<" in told["path of a client registration"]
    below = MefClientCommand.below("<ClientRegID>").path
    assert told["path of `<mefClientCmd>`"] == "`/" + "/".join(below) + "`"
    registered = RESOURCES[:4]
    assert told["name of the resource in JSON"] == ", ".join(f"`{one.resource_name}`" for one in registered)
    assert told["type numbers"] == ", ".join(str(one.resource_type) for one in registered)


def test_the_type_numbers_are_given_to_nothing_else_and_fit_into_the_coap_option():
    numbers = [one.resource_type for one in RESOURCES if one.resource_type is not None]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:  # TS-0004 table 6.3.4.2.1-1: 1 to 51; announced variants lie 10000 above
        assert 20_000 <= number < 1 << 16


# --- one attribute after the other ---


@pytest.mark.parametrize("content", [None, [], "x", {}, {NAME: {}, "other": {}}, {"other": {}}, {NAME: None}])
def test_content_is_one_object_under_the_name_of_the_resource(content):
    with pytest.raises(MessageError, match="not one JSON object under 'sec:skr'"):
        SymmetricKeyRegistration.decode_request(content)


@pytest.mark.parametrize(
    ("attribute", "value", "named"),
    [
        ("et", "soon", "expirationTime"),
        ("et", 5, "expirationTime"),
        ("lbl", "one", "labels"),
        ("lbl", ["x"] * (MAX_LABELS + 1), "labels"),
        ("lbl", ["x" * 129], "labels"),
        ("lbl", [""], "labels"),
        ("lbl", ["\ud800"], "labels"),
        ("adfq", "not a name", "adminFQDN"),
        ("adfq", "x" * 256, "adminFQDN"),
        ("suid", True, "SUID"),
        ("suid", 32.0, "SUID"),
        ("suid", 99, "SUID"),
        ("tgis", ["/a"] * (MAX_TARGETS + 1), "targetIDs"),
        ("tgis", ["//"], "targetIDs"),
        ("kv", "?", "keyValue"),
        ("kv", "", "keyValue"),
        ("kv", base64.b64encode(bytes(257)).decode(), "keyValue"),
    ],
)
def test_an_attribute_that_is_wrong_is_named(attribute, value, named):
    with pytest.raises(MessageError, match=named) as caught:
        SymmetricKeyRegistration.decode_request({NAME: {attribute: value}})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("attribute", ["rkid", "src", "cid", "unknown", ""])
def test_an_attribute_that_a_client_may_not_set_is_refused(attribute):
    with pytest.raises(MessageError, match="no attribute"):
        SymmetricKeyRegistration.decode_request({NAME: {attribute: "x"}})


def test_a_key_that_is_refused_is_not_in_the_message():
    almost = base64.b64encode(b"a very secret key").decode()[:-1] + "?"
    with pytest.raises(MessageError) as caught:
        SymmetricKeyRegistration.decode_request({NAME: {"kv": almost}})
    assert almost[:10] not in str(caught.value)


def test_targets_that_are_named_twice_count_once():
    decoded = SymmetricKeyRegistration.decode_request(
        {NAME: {"tgis": ["//SP.example/cse", "//sp.example/cse"]}}
    )
    assert decoded.target_ids == (EntityId("//sp.example/cse"),)


def test_what_is_absent_is_left_out():
    assert SymmetricKeyRegistration(suid=Suid.MAF_SAEF).encode() == {NAME: {"suid": 32}}


@given(MOMENTS)
def test_a_timestamp_parses_back(moment):
    assert parse_timestamp(timestamp(moment)) == moment


@pytest.mark.parametrize("text", ["20300102T030405Z", "20300102T030405,678", "20300102T030405"])
def test_both_forms_of_an_absolute_time_are_read(text):
    assert parse_timestamp(text) == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2030-01-02T03:04:05",
        "20301302T030405",
        "x" * 100,
        None,
        20300102,
        "+5000",
        "2030112T030405",
        "20300102T030405,soon",
    ],
)
def test_another_time_is_refused(text):
    with pytest.raises(MessageError, match="timestamp of the form"):
        parse_timestamp(text)

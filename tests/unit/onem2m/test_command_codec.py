"""MEF Client Commands as JSON: a round trip for every class, and what becomes of what cannot be read."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import MessageError
from onem2m_security.identifiers import EntityId, Suid
from onem2m_security.onem2m.commands import (
    ARGUMENTS,
    CertificateProvisioning,
    CertProvProtocol,
    CertSubjectType,
    CommandClass,
    CommandDescription,
    CommandStatus,
    DeviceConfiguration,
    DeviceConfigUri,
    DevMgmt,
    ManagedObjectNode,
    NoMoreCommands,
    ObjectType,
    ServerUri,
    read_duration,
)
from onem2m_security.onem2m.resources import MefClientCommand
from places import ROOT

URIS = st.sampled_from(
    ["https://mef.example.com", "https://mef.example.com:8443/.well-known/est", "coaps://m.example/a?b=c"]
).map(ServerUri.parse)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
ARGUMENTS_OF_ALL_CLASSES = st.one_of(
    st.builds(NoMoreCommands, st.integers(0, 10**8).map(lambda seconds: timedelta(seconds=seconds))),
    st.builds(
        CertificateProvisioning,
        st.sampled_from(CertProvProtocol),
        URIS,
        st.sampled_from(CertSubjectType),
        TEXTS,
    ),
    st.builds(DeviceConfiguration, st.builds(DeviceConfigUri, st.sampled_from(DevMgmt), URIS)),
    st.builds(ManagedObjectNode.of, TEXTS, st.sampled_from(ObjectType), st.none() | st.sampled_from(Suid)),
)
TARGETS = st.none() | st.sampled_from([EntityId("//sp.example/cse/Cae"), EntityId("/cse")])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@given(ARGUMENTS_OF_ALL_CLASSES, TARGETS, st.sampled_from(CommandStatus), TEXTS)
def test_a_command_of_any_class_is_read_as_what_was_written(arguments, target, status, cmd_id):
    described = CommandDescription.of(arguments, target)
    command = MefClientCommand(cmd_id=cmd_id, cmd_status=status, cmd_description=described)
    read = MefClientCommand.decode_answer(command.encode())
    assert read == command
    assert read.cmd_description.parsed() == arguments


@given(JSON, st.integers(0, 3), st.sampled_from(["nmca", "cpca", "dcca", "moca", "x"]), JSON)
def test_any_json_is_read_or_refused_by_the_one_error(content, command_class, element, body):
    for read in (
        lambda: CommandDescription.decode(content),
        lambda: CommandDescription.decode({"ccid": command_class, "carg": {element: body}}).parsed(),
    ):
        try:
            read()
        except MessageError as error:
            assert len(str(error)) < 300  # noqa: PT017 - not everything is refused


@given(st.integers().filter(lambda number: number not in ARGUMENTS), st.dictionaries(TEXTS, JSON, max_size=3))
def test_a_class_of_a_newer_release_is_read_as_one_that_is_not_known(command_class, arguments):
    read = CommandDescription.decode({"ccid": command_class, "carg": arguments})
    assert read.command_class == command_class
    assert read.parsed() is None


CERT_PROV = {"cpp": 1, "uri": "https://mef.example.com/est", "cst": 3, "csid": "//sp.example/cse/Cae"}


@pytest.mark.parametrize(
    ("element", "value", "named"),
    [
        ("cpp", 3, "certProvProtocolID"),
        ("cpp", True, "certProvProtocolID"),
        ("cst", "3", "certSubjectType"),
        ("csid", "", "certSubjectID"),
        ("csid", "x" * 256, "certSubjectID"),
        ("uri", "mef.example.com", "URI"),
        ("uri", "https://mef.example.com@evil.example/", "URI"),
        ("uri", "https://evil.example\\@mef.example.com/", "URI"),
        ("uri", "https://mef.example.com/#there", "URI"),
        ("uri", "https://mef.example.com/\n", "URI"),
        ("uri", "https://" + "a" * 1024, "URI"),
        ("uri", "https://-/", "URI"),
        ("uri", None, "URI"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused_by_the_name_of_the_element(element, value, named):
    CertificateProvisioning.decode({"cpca": CERT_PROV})
    with pytest.raises(MessageError, match=named):
        CertificateProvisioning.decode({"cpca": CERT_PROV | {element: value}})
    with pytest.raises(MessageError, match="is missing"):
        CertificateProvisioning.decode({"cpca": {k: v for k, v in CERT_PROV.items() if k != element}})


@pytest.mark.parametrize(
    "text", ["3", "5:coaps://m.example", ":coaps://m.example", "03:coaps://m.example", "3:x"]
)
def test_a_device_config_uri_has_a_known_protocol_and_an_absolute_uri(text):
    assert str(DeviceConfigUri.parse("3:coaps://m.example")) == "3:coaps://m.example"
    with pytest.raises(MessageError):
        DeviceConfigUri.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT0S", 0), ("PT90M", 5400), ("P1DT1.9S", 86_401), ("P1Y1M", 395 * 86_400)]
)
def test_a_duration_is_read_in_every_form_of_xml_schema(text, seconds):
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "-PT1S", "PT1", "1S", "P99Y", "PT\u0661S", 5, None])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="a duration"):
        read_duration(text)


@pytest.mark.parametrize("specific", [None, {}, {"suid": 99}, {"suid": "21"}, [], 5])
def test_a_suid_that_cannot_be_read_is_known_only_when_it_is_asked_for(specific):
    content = {"moca": {"obp": "./a", "obt": 1} | ({} if specific is None else {"otsa": specific})}
    node = ManagedObjectNode.decode(content)
    with pytest.raises(MessageError, match="SUID"):
        _ = node.suid


def test_the_numbers_are_those_of_clause_12():
    assert [int(one) for one in CommandClass] == [0, 1, 2, 3]
    assert [int(one) for one in CommandStatus] == [
        10, 11, 20, 40, 41, 42, 43, 100, 101, 201, 202, 300, 301, 302, 303, 304, 305,
    ]  # fmt: skip
    assert ARGUMENTS.keys() == {int(one) for one in CommandClass}


def test_a_client_says_of_a_command_only_what_belongs_to_its_class():
    """Table 8.3.9.5.1-1."""
    may_be_said = {
        one: {int(status) for status in CommandStatus if status.is_outcome_of(one)} for one in CommandClass
    }
    of_any = {20, 40, 41, 42}
    assert may_be_said == {
        CommandClass.NO_MORE_COMMANDS: of_any,
        CommandClass.CERT_PROV: of_any | {43, 100, 101},
        CommandClass.DEV_CFG: of_any | {43, 201, 202},
        CommandClass.MO_NODE: of_any | {43, 300, 301, 302, 303, 304, 305},
    }


def test_the_manual_lists_the_elements_and_their_short_names():
    page = (ROOT / "docs" / "ours.md").read_text(encoding="utf-8")
    _, *lines = page[page.index("| element of cmdDescription") :].partition("|---")[2].splitlines()
    table = itertools.takewhile(lambda line: line.startswith("|"), lines)
    shown = {line.split("|")[2].strip(" `") for line in table}
    elements = {e.short_name for arguments in ARGUMENTS.values() for e in arguments.elements.values()}
    assert shown == elements | {one.element for one in ARGUMENTS.values()} | {"ccid", "carg", "tgid"}

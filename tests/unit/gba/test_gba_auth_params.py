"""The directives of HTTP authentication headers: strict, bounded, and nothing but our errors comes out."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onem2m_security.errors import MessageError
from onem2m_security.gba.auth_params import (
    DIRECTIVES_MAX,
    HEADER_MAX_OCTETS,
    parse_directives,
    write_directives,
)

names = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=12)
quotable = st.text([chr(code) for code in range(0x20, 0x7F)] + ["\t"], max_size=40)
tokens = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=20)


def test_quoted_strings_and_tokens_are_read():
    header = 'Digest realm="a, b=\\"c\\" \\\\", algorithm=AKAv1-MD5 ,\tNC = 00000001,empty=""'
    assert parse_directives(header, scheme="Digest") == {
        "realm": 'a, b="c" \\',
        "algorithm": "AKAv1-MD5",
        "nc": "00000001",
        "empty": "",
    }


def test_the_scheme_counts_in_any_case_and_octets_are_read_too():
    assert parse_directives(b"dIgEsT a=b", scheme="Digest") == {"a": "b"}
    assert parse_directives("a=b", scheme=None) == {"a": "b"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Digest",
        "Digest ",
        "Basic a=b",
        "a=b",
        "Digest a",
        "Digest a=",
        "Digest =b",
        "Digest a=b,",
        "Digest ,a=b",
        "Digest a=b,,c=d",
        "Digest a=b c=d",
        'Digest a="b',
        'Digest a="b\\"',
        'Digest a="b"c',
        "Digest a=b=c",
        "Digest a=b, Basic c=d",
        'Digest a="b\nc"',
        'Digest a="b\0"',
        'Digest a="é"',
        b'Digest a="\xff"',
    ],
)
def test_what_is_not_well_formed_is_refused(header):
    with pytest.raises(MessageError):
        parse_directives(header, scheme="Digest")


def test_a_repeated_directive_is_refused_in_any_case():
    with pytest.raises(MessageError, match="twice"):
        parse_directives('Digest nonce="a", NONCE="b"', scheme="Digest")


def test_length_and_number_are_bounded():
    longest = "a=" + "b" * (HEADER_MAX_OCTETS - 2)
    assert parse_directives(longest, scheme=None)
    with pytest.raises(MessageError, match="at most 4096"):
        parse_directives(longest + "b", scheme=None)
    most = ",".join(f"a{number}=b" for number in range(DIRECTIVES_MAX))
    assert len(parse_directives(most, scheme=None)) == DIRECTIVES_MAX
    with pytest.raises(MessageError, match="at most 24"):
        parse_directives(most + ",z=b", scheme=None)


def test_what_cannot_be_written_is_refused():
    for value, is_quoted in (("a\r\nSet-Cookie: b", True), ("é", True), ("a b", False), ("", False)):
        with pytest.raises(MessageError, match="nonce"):
            write_directives([("nonce", value, is_quoted)], scheme="Digest")


def test_none_is_left_out():
    written = write_directives([("a", None, True), ("b", "c", False), ("d", 'e"', True)], scheme="Digest")
    assert written == 'Digest b=c, d="e\\""'


@given(
    st.dictionaries(
        names, st.tuples(quotable, st.just(value=True)) | st.tuples(tokens, st.booleans()), min_size=1
    )
)
def test_round_trip(directives):
    directives = dict(list(directives.items())[:DIRECTIVES_MAX])
    written = write_directives([(name, *value) for name, value in directives.items()], scheme="Digest")
    assert parse_directives(written, scheme="Digest") == {
        name: text for name, (text, _) in directives.items()
    }


@given(st.text(max_size=200) | st.binary(max_size=200), st.sampled_from(["Digest", None]))
@example("Digest " + '"\\' * 2000, "Digest")
@example("Digest a=" + " " * 4000, "Digest")
@example('Digest a="' + "\\" * 4000, "Digest")
def test_any_input_gives_directives_or_our_error(header, scheme):
    try:
        directives = parse_directives(header, scheme=scheme)
    except MessageError:
        return
    assert 1 <= len(directives) <= DIRECTIVES_MAX


def test_an_error_quotes_little_and_nothing_unprintable():
    with pytest.raises(MessageError) as caught:
        parse_directives("Digest " + "a\t" * 2000, scheme="Digest")
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@given(st.text('aA=",\\ \t-Digestnoc0', max_size=80))
def test_input_near_the_grammar_gives_directives_or_our_error(text):
    try:
        directives = parse_directives("Digest " + text, scheme="Digest")
    except MessageError:
        return
    written = write_directives([(name, value, True) for name, value in directives.items()], scheme="Digest")
    assert parse_directives(written, scheme="Digest") == directives

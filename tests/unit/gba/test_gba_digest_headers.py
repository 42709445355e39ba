"""The headers of Ub as values: what they accept, refuse and write."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import CredentialError, MessageError
from onem2m_security.gba.digest_headers import (
    AkaNonce,
    AuthenticationInfo,
    Challenge,
    Credentials,
    DigestAlgorithm,
    Qop,
)
from onem2m_security.gba.ub_messages import NO_STORE, UbResponse

# RFC 3310 clause 4: the example's messages, as printed there.
RFC3310_NONCE = "CjPk9mRqNuT25eRkajM09uTl9nM09uTl9nMz5OX25PZz=="
RFC3310_CHALLENGE = (
    f'Digest realm="RoamingUsers@mobile.biz", nonce="{RFC3310_NONCE}", qop="auth,auth-int", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41", algorithm=AKAv1-MD5'
)
RFC3310_CREDENTIALS = (
    f'Digest username="jon.dough@mobile.biz", realm="RoamingUsers@mobile.biz", nonce="{RFC3310_NONCE}", '
    'uri="sip:home.mobile.biz", qop=auth-int, nc=00000001, cnonce="0a4f113b", '
    'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
RFC3310_INFO = 'qop=auth-int, rspauth="6629fae49393a05397450978507c4ef1", cnonce="0a4f113b", nc=00000001'

visible = st.text([chr(code) for code in range(0x20, 0x7F)], min_size=1, max_size=30)
hex32 = st.text("0123456789abcdef", min_size=32, max_size=32)
algorithms = st.sampled_from(DigestAlgorithm)
challenges = st.builds(
    Challenge,
    realm=visible,
    nonce=visible,
    algorithm=algorithms,
    qop=st.sampled_from([(Qop.AUTH,), (Qop.AUTH_INT,), (Qop.AUTH, Qop.AUTH_INT)]),
    opaque=st.none() | visible,
    stale=st.booleans(),
)
proofs = st.builds(
    Credentials,
    username=visible,
    realm=visible,
    nonce=visible,
    uri=visible,
    response=hex32,
    qop=st.sampled_from(Qop),
    cnonce=visible,
    nonce_count=st.integers(0, 2**32 - 1),
    algorithm=st.none() | algorithms,
    opaque=st.none() | visible,
    auts=st.none() | st.binary(min_size=14, max_size=14),
)
infos = st.builds(
    AuthenticationInfo,
    rspauth=hex32,
    qop=st.sampled_from(Qop),
    cnonce=visible,
    nonce_count=st.integers(0, 2**32 - 1),
)


def without(header, *names):
    """The header less some directives."""
    scheme, _, rest = header.partition(" ")
    kept = [part for part in rest.split(", ") if part.partition("=")[0] not in names]
    return f"{scheme} {', '.join(kept)}"


class TestNonce:
    @given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.binary(max_size=40))
    def test_round_trip(self, rand, autn, data):
        nonce = AkaNonce(rand, autn, data)
        assert base64.b64decode(str(nonce)) == rand + autn + data
        assert AkaNonce.parse(str(nonce)) == nonce

    @pytest.mark.parametrize(
        "text", ["", "é", "not base64!", "AAAA", "A" * 42 + "B=", base64.b64encode(bytes(31)).decode()]
    )
    def test_what_holds_no_rand_and_autn_is_refused(self, text):
        with pytest.raises(MessageError):
            AkaNonce.parse(text)

    def test_the_nonce_printed_in_rfc_3310_is_no_base64(self):
        # 46 characters: an illustration, so the example gives no vector for the digest either.
        with pytest.raises(MessageError, match="base64"):
            _ = Challenge.parse(RFC3310_CHALLENGE).aka_nonce

    def test_wrong_lengths_are_refused(self):
        with pytest.raises(CredentialError):
            AkaNonce(bytes(15), bytes(16))
        with pytest.raises(CredentialError):
            AkaNonce(bytes(16), bytes(17))


class TestChallenge:
    def test_example_of_rfc_3310(self):
        challenge = Challenge.parse(RFC3310_CHALLENGE)
        assert challenge.realm == "RoamingUsers@mobile.biz"
        assert challenge.qop == (Qop.AUTH, Qop.AUTH_INT)
        assert challenge.algorithm is DigestAlgorithm.AKAV1_MD5
        assert challenge.opaque == "5ccc069c403ebaf9f0171e9517f40e41"
        assert not challenge.stale

    @given(challenges)
    def test_round_trip(self, challenge):
        assert Challenge.parse(str(challenge)) == challenge

    @pytest.mark.parametrize("name", ["realm", "nonce", "algorithm", "qop"])
    def test_each_needed_directive_is_needed(self, name):
        with pytest.raises(MessageError, match=name):
            Challenge.parse(without(RFC3310_CHALLENGE.replace("auth,auth-int", "auth"), name))

    def test_unknown_algorithm_and_qop_are_refused_but_unknown_directives_are_not(self):
        with pytest.raises(MessageError, match="'MD5'"):
            Challenge.parse(RFC3310_CHALLENGE.replace("AKAv1-MD5", "MD5"))
        with pytest.raises(MessageError, match="qop"):
            Challenge.parse(RFC3310_CHALLENGE.replace("auth,auth-int", "auth-conf"))
        assert Challenge.parse(RFC3310_CHALLENGE + ', domain="/"') == Challenge.parse(RFC3310_CHALLENGE)


class TestCredentials:
    def test_example_of_rfc_3310(self):
        credentials = Credentials.parse(RFC3310_CREDENTIALS)
        assert credentials.username == "jon.dough@mobile.biz"
        assert credentials.response == "6629fae49393a05397450978507c4ef1"
        assert credentials.qop is Qop.AUTH_INT
        assert credentials.nonce_count == 1
        assert credentials.algorithm is None
        assert not credentials.is_first_request

    def test_auts_travels_as_base64_of_its_14_octets(self):
        auts = bytes(range(14))
        credentials = Credentials.parse(f'{RFC3310_CREDENTIALS}, auts="{base64.b64encode(auts).decode()}"')
        assert credentials.auts == auts

    def test_first_request_of_ts_24_109(self):
        header = (
            'Digest username="user1_private@home1.net", realm="bsf.home1.net", nonce="", uri="/", response=""'
        )
        credentials = Credentials.parse(header)
        assert credentials.is_first_request
        assert credentials.username == "user1_private@home1.net"
        assert Credentials.parse(str(credentials)) == credentials

    @given(proofs)
    def test_round_trip(self, credentials):
        assert Credentials.parse(str(credentials)) == credentials

    @pytest.mark.parametrize("name", ["username", "realm", "nonce", "uri", "response", "qop", "cnonce", "nc"])
    def test_each_needed_directive_is_needed(self, name):
        with pytest.raises(MessageError, match=name):
            Credentials.parse(without(RFC3310_CREDENTIALS, name))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("6629fae49393a05397450978507c4ef1", ""),
            ("6629fae49393a05397450978507c4ef1", "6629FAE49393A05397450978507C4EF1"),
            ("6629fae49393a05397450978507c4ef1", "6629"),
            ("00000001", "1"),
            ("00000001", "0000000G"),
            ("auth-int", "auth-conf"),
            ("0a4f113b", ""),
            (RFC3310_NONCE, ""),
        ],
    )
    def test_malformed_values_are_refused(self, old, new):
        header = RFC3310_CREDENTIALS.replace(f'"{old}"', f'"{new}"').replace(f"={old}", f"={new}")
        if old == RFC3310_NONCE:
            header = header.replace("qop=auth-int, ", "")
        with pytest.raises(MessageError):
            Credentials.parse(header)

    @pytest.mark.parametrize("auts", ["", "?", base64.b64encode(bytes(13)).decode()])
    def test_an_auts_of_another_form_is_refused(self, auts):
        with pytest.raises(MessageError):
            Credentials.parse(f'{RFC3310_CREDENTIALS}, auts="{auts}"')


class TestAuthenticationInfo:
    def test_example_of_rfc_3310(self):
        info = AuthenticationInfo.parse(RFC3310_INFO)
        assert info == AuthenticationInfo(
            rspauth="6629fae49393a05397450978507c4ef1", qop=Qop.AUTH_INT, cnonce="0a4f113b", nonce_count=1
        )

    @given(infos)
    def test_round_trip(self, info):
        assert AuthenticationInfo.parse(str(info)) == info

    def test_a_directive_missing_or_twice_is_refused(self):
        for header in (RFC3310_INFO.replace(", nc=00000001", ""), RFC3310_INFO + ", nc=00000002"):
            with pytest.raises(MessageError, match="nc"):
                AuthenticationInfo.parse(header)


@given(st.text(max_size=300) | st.binary(max_size=300))
@pytest.mark.parametrize("kind", [Challenge, Credentials, AuthenticationInfo])
def test_any_input_is_read_or_refused_by_our_error(kind, header):
    with pytest.raises(MessageError):
        kind.parse(header)


@given(st.data())
@pytest.mark.parametrize("kind", [Challenge, Credentials])
def test_damaged_headers_are_read_or_refused_by_our_error(kind, data):
    header = RFC3310_CHALLENGE if kind is Challenge else RFC3310_CREDENTIALS
    position = data.draw(st.integers(0, len(header) - 1))
    damaged = header[:position] + data.draw(st.text(max_size=3)) + header[position + 1 :]
    try:
        parsed = kind.parse(damaged)
    except MessageError:
        return
    assert kind.parse(str(parsed)) == parsed


@given(st.lists(challenges, max_size=3))
def test_the_challenges_of_a_response_of_ub_come_back_in_order(offered):
    response = UbResponse.challenging(offered)
    assert response.challenges == tuple(offered)
    assert response.authentication_info is None
    assert NO_STORE in response.headers


@given(infos, st.binary(max_size=40))
def test_the_proof_of_a_response_of_ub_comes_back(info, body):
    response = UbResponse.finishing(info, body)
    assert (response.authentication_info, response.challenges, response.body) == (info, (), body)
    assert NO_STORE in response.headers


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["WWW-Authenticate", "www-authenticate", "Authentication-Info", "X"]),
            st.text(max_size=60) | challenges.map(str) | infos.map(str),
        ),
        max_size=4,
    )
)
def test_any_headers_of_ub_are_read_or_refused_by_the_one_error(headers):
    response = UbResponse(401, tuple(headers))
    for read in (lambda: response.challenges, lambda: response.authentication_info):
        with contextlib.suppress(MessageError):
            read()


def test_a_proof_that_is_there_twice_is_none():
    twice = (("Authentication-Info", "x"), ("authentication-info", "x"))
    with pytest.raises(MessageError, match="twice"):
        _ = UbResponse(200, twice).authentication_info

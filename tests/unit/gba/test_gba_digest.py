"""The proofs of Digest AKA: published numbers, and both sides against each other."""

import base64
import hashlib
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError, MessageError
from onem2m_security.gba.aka import (
    SequenceNumber,
    Success,
    SynchronisationFailure,
    Usim,
    authentication_vector,
)
from onem2m_security.gba.algorithm import AkaOutputs, xor
from onem2m_security.gba.digest import (
    AkaNonce,
    AuthenticationInfo,
    Challenge,
    Credentials,
    DigestAlgorithm,
    Qop,
    answer,
    authentication_info,
    digest,
    first_request,
    report_synchronisation_failure,
    verify,
    verify_server,
)
from onem2m_security.gba.keys import Impi
from onem2m_security.gba.milenage import Milenage

IMPI = Impi.parse("001010000000001@ims.mnc001.mcc001.3gppnetwork.org")
FUNCTIONS = Milenage(Secret(b"k" * 16), Secret(b"o" * 16))
BODY = b"<BootstrappingInfo/>"


@dataclass(frozen=True)
class TestAlgorithm34108:
    """The test algorithm of TS 34.108 clause 8.1.2, for 128-bit RES: everything is made of K xor RAND."""

    __test__ = False
    k: bytes

    def f1(self, rand, sqn, amf):
        return xor(xor(self.k, rand)[:8], sqn + amf)

    f1_star = f1

    def f2345(self, rand):
        x = xor(self.k, rand)
        return AkaOutputs(Secret(x), Secret(x[1:] + x[:1]), Secret(x[2:] + x[:2]), x[3:9])

    def f5_star(self, rand):
        return xor(self.k, rand)[3:9]


def bootstrapping(algorithm=DigestAlgorithm.AKAV1_MD5, qop=(Qop.AUTH_INT,)):
    vector = authentication_vector(FUNCTIONS, sqn=SequenceNumber.from_parts(1, 0), amf=b"\0\0")
    nonce = str(AkaNonce(vector.rand, vector.autn))
    return vector, Challenge(realm="bsf.example.com", nonce=nonce, algorithm=algorithm, qop=qop, opaque="o")


def test_rfc_2617_clause_3_5():
    credentials = Credentials(
        username="Mufasa",
        realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        uri="/dir/index.html",
        qop=Qop.AUTH,
        cnonce="0a4f113b",
        nonce_count=1,
    )
    response = digest(credentials, password=Secret(b"Circle Of Life"), method="GET", body=b"")
    assert response == "6629fae49393a05397450978507c4ef1"


@pytest.mark.parametrize(
    ("rand", "network", "imsi", "cnonce", "response"),
    [
        (bytes(16), "ims.mnc005.mcc466.3gppnetwork.org", "466058041131504", "YD05duxy",
         "c76c2c281a21c0d6131e667d61a6bdf5"),
        (bytes(range(16)), "ims.mnc005.mcc450.3gppnetwork.org", "450050020150513", "v0KBLdbU",
         "c0c4c5a9cfc885bb697aa61a2a2c5466"),
    ],
)  # fmt: skip
def test_published_akav1_md5_registrations(rand, network, imsi, cnonce, response):
    """Two AKAv1-MD5 registrations of test subscribers, K = 00…0f.

    Source: frankurcrazy/helloworld, ims/akav1-md5/test_vector_1.h and test_vector_2.h (public).
    """
    functions = TestAlgorithm34108(bytes(range(16)))
    vector = authentication_vector(functions, sqn=SequenceNumber(), amf=b"\0\0", rand=rand)
    challenge = Challenge(realm=network, nonce=str(AkaNonce(vector.rand, vector.autn)), qop=(Qop.AUTH,))
    sent = answer(
        challenge,
        impi=Impi.parse(f"{imsi}@{network}"),
        password=DigestAlgorithm.AKAV1_MD5.password(res=vector.xres, ck=vector.ck, ik=vector.ik),
        cnonce=cnonce,
        method="REGISTER",
        uri=f"sip:{network}",
    )
    assert sent.response == response


def test_akav2_password_is_base64_of_hmac_md5_under_res_ik_ck():
    """No official vector is public: the formula of RFC 4169 clause 3, HMAC spelled out from RFC 2104."""
    res, ck, ik = b"r" * 8, b"c" * 16, b"i" * 16
    key = (res + ik + ck).ljust(64, b"\0")
    inner = hashlib.md5(bytes(octet ^ 0x36 for octet in key) + b"http-digest-akav2-password").digest()
    outer = hashlib.md5(bytes(octet ^ 0x5C for octet in key) + inner).digest()
    made = DigestAlgorithm.AKAV2_MD5.password(res=Secret(res), ck=Secret(ck), ik=Secret(ik))
    assert made.reveal() == base64.b64encode(outer)


@given(
    st.sampled_from(DigestAlgorithm),
    st.sampled_from([(Qop.AUTH,), (Qop.AUTH_INT,), (Qop.AUTH, Qop.AUTH_INT)]),
    st.binary(max_size=60),
    st.text("abcdefghij0123456789", min_size=1, max_size=20),
)
def test_ue_and_bsf_prove_themselves_to_each_other_over_the_wire(algorithm, qop, body, cnonce):
    vector, challenge = bootstrapping(algorithm, qop)
    expected = algorithm.password(res=vector.xres, ck=vector.ck, ik=vector.ik)

    received = Challenge.parse(str(challenge))
    verdict = Usim(FUNCTIONS).authenticate(received.aka_nonce.rand, received.aka_nonce.autn)
    assert isinstance(verdict, Success)
    password = received.algorithm.password(res=verdict.res, ck=verdict.ck, ik=verdict.ik)
    sent = answer(received, impi=IMPI, password=password, cnonce=cnonce)

    arrived = Credentials.parse(str(sent))
    assert verify(challenge, arrived, password=expected, method="GET", uri="/")
    proof = AuthenticationInfo.parse(str(authentication_info(arrived, password=expected, body=body)))
    assert verify_server(proof, sent, password=password, body=body)


class TestVerify:
    vector, challenge = bootstrapping()
    password = DigestAlgorithm.AKAV1_MD5.password(res=vector.xres, ck=vector.ck, ik=vector.ik)
    sent = answer(challenge, impi=IMPI, password=password, cnonce="c", method="POST", uri="/x", body=BODY)

    def verified(self, sent=None, challenge=None, **changes):
        request = {"password": self.password, "method": "POST", "uri": "/x", "body": BODY} | changes
        return verify(challenge or self.challenge, sent or self.sent, **request)

    def test_the_right_answer_verifies(self):
        assert self.verified()
        assert self.verified(sent=replace(self.sent, algorithm=None))

    @pytest.mark.parametrize(
        "change",
        [{"password": Secret(b"wrong")}, {"method": "GET"}, {"uri": "/y"}, {"body": b"altered"}],
    )
    def test_another_request_or_password_does_not(self, change):
        assert not self.verified(**change)

    @pytest.mark.parametrize(
        "change",
        [
            {"response": "0" * 32},
            {"username": "someone@else.example"},
            {"realm": "other"},
            {"nonce": "other"},
            {"uri": "/y"},
            {"cnonce": "d"},
            {"nonce_count": 2},
            {"opaque": None},
            {"algorithm": DigestAlgorithm.AKAV2_MD5},
            {"qop": Qop.AUTH},
        ],
    )
    def test_altered_credentials_do_not(self, change):
        assert not self.verified(sent=replace(self.sent, **change))

    def test_a_consistent_answer_to_another_challenge_does_not(self):
        for change in ({"nonce": "other"}, {"realm": "other"}, {"opaque": "p"}, {"qop": (Qop.AUTH,)}):
            other = replace(self.challenge, **change)
            sent = answer(
                other, impi=IMPI, password=self.password, cnonce="c", method="POST", uri="/x", body=BODY
            )
            assert self.verified(sent=sent, challenge=other)
            assert not self.verified(sent=sent)

    def test_a_first_request_proves_nothing(self):
        first = first_request(impi=IMPI, realm="bsf.example.com")
        assert first.is_first_request
        assert not self.verified(sent=first)
        with pytest.raises(MessageError):
            authentication_info(first, password=self.password)

    def test_rspauth_covers_the_body_and_is_bound_to_the_request(self):
        info = authentication_info(self.sent, password=self.password, body=BODY)
        assert verify_server(info, self.sent, password=self.password, body=BODY)
        assert not verify_server(info, self.sent, password=self.password, body=b"altered")
        assert not verify_server(info, self.sent, password=Secret(b"wrong"), body=BODY)
        for change in ({"rspauth": "0" * 32}, {"cnonce": "d"}, {"nonce_count": 2}, {"qop": Qop.AUTH}):
            assert not verify_server(replace(info, **change), self.sent, password=self.password, body=BODY)

    def test_rspauth_is_the_digest_of_rfc_2617_without_a_method(self):
        def h(text):
            return hashlib.md5(text).hexdigest().encode()

        a1 = h(f"{IMPI}:bsf.example.com:".encode() + self.password.reveal())
        a2 = h(b":/x:" + h(BODY))
        expected = h(a1 + f":{self.challenge.nonce}:00000001:c:auth-int:".encode() + a2)
        info = authentication_info(self.sent, password=self.password, body=BODY)
        assert info.rspauth.encode() == expected

    def test_the_client_response_is_no_server_proof(self):
        info = authentication_info(self.sent, password=self.password, body=BODY)
        reflected = replace(info, rspauth=self.sent.response)
        assert not verify_server(reflected, self.sent, password=self.password, body=BODY)


class TestSynchronisationFailure:
    def test_auts_travels_under_the_empty_password_and_never_verifies(self):
        vector, challenge = bootstrapping()
        usim = Usim(FUNCTIONS)
        assert isinstance(usim.authenticate(vector.rand, vector.autn), Success)
        refused = usim.authenticate(vector.rand, vector.autn)
        assert isinstance(refused, SynchronisationFailure)
        sent = report_synchronisation_failure(challenge, impi=IMPI, auts=refused.auts, cnonce="c")
        arrived = Credentials.parse(str(sent))
        assert arrived.auts == refused.auts
        assert arrived.response == digest(arrived, password=None, method="GET", body=b"")
        password = DigestAlgorithm.AKAV1_MD5.password(res=vector.xres, ck=vector.ck, ik=vector.ik)
        assert not verify(challenge, arrived, password=password, method="GET", uri="/")

    def test_auts_beside_a_right_response_does_not_verify_either(self):
        vector, challenge = bootstrapping()
        sent = replace(answer(challenge, impi=IMPI, password=vector.xres, cnonce="c"), auts=bytes(14))
        assert not verify(challenge, sent, password=vector.xres, method="GET", uri="/")

    def test_an_auts_of_another_length_is_refused(self):
        _, challenge = bootstrapping()
        with pytest.raises(CredentialError, match="AUTS"):
            report_synchronisation_failure(challenge, impi=IMPI, auts=bytes(13), cnonce="c")

"""What a BSF, a NAF and a UE of another make said to each other, from a public capture: GBA_ME, unencrypted.

Source: bga_me_without_TLS.pcapng in an early commit of the public Go implementation fkgi/bag.
"""

from __future__ import annotations

import base64

from onem2m_security.credentials import Secret
from onem2m_security.gba.digest import AkaNonce, Challenge, Credentials, DigestAlgorithm, Qop, answer, digest
from onem2m_security.gba.keys import Impi, KeyChoice, ks_of, naf_id, naf_key
from onem2m_security.identifiers import Fqdn

IMPI = Impi.parse("999991122220001@ims.mnc99.mcc999.3gppnetwork.org")
BSF = "bsf.mnc99.mcc999.3gppnetwork.org"
NAF = "naf.mnc99.mcc999.3gppnetwork.org"
RAND = bytes.fromhex("9a4b0c6bccf7b80b4331994b853ce271")
AUTN = bytes.fromhex("a15d1bfa1d2b930157f1bb8dfa99be26")
XRES, CK, IK = (
    Secret.parse(f"hex:{text}")
    for text in (
        "6725cd039cf8974d630f82c52049a088",
        "60715b7aaeececd92fccd2c8d78d3b6b",
        "59c2fb00e8bf6739dd03a25e50199dd9",
    )
)


def key_of_the_naf() -> Secret:
    name = naf_id(Fqdn.parse(NAF), bytes.fromhex("0100000002"))
    return naf_key(KeyChoice.KS_NAF, ks_of(CK, IK), rand=RAND, impi=IMPI, naf_id=name)


def test_the_ue_proves_itself_on_ub_as_it_did_there():
    challenge = Challenge(realm=BSF, nonce=str(AkaNonce(RAND, AUTN)), qop=(Qop.AUTH_INT,))
    password = DigestAlgorithm.AKAV1_MD5.password(res=XRES, ck=CK, ik=IK)
    sent = answer(challenge, impi=IMPI, password=password, cnonce="NjvuuwEAMP+qvRYu3Iv9rw==")
    assert sent.response == "348a04a21ad5309a89f0ab32697b089d"


def test_ks_naf_is_the_one_that_the_bsf_gave_to_the_naf():
    expected = "ca3658be122710aaba3e15e881b8653962dc6545f1d4fd671eae5d70ee0a7c94"
    assert key_of_the_naf().reveal().hex() == expected


def test_ks_naf_in_base64_is_the_password_of_the_ue_at_the_naf():
    shown = Credentials(
        username=f"ySyardi+QSO5ESwLCdaFo3jaZ84j6GqtoVk+npPT7xc=@{BSF}",
        realm=f"3GPP-bootstrapping@{NAF}",
        nonce="n0t1cSuROApPz2RWfBOA1A==",
        uri="/path",
        qop=Qop.AUTH_INT,
        cnonce="M3g8XqF4AcbfODix3jFcWQ==",
        nonce_count=1,
    )
    password = Secret(base64.b64encode(key_of_the_naf().reveal()))
    response = digest(shown, password=password, method="GET", body=b"")
    assert response == "57e139a26872e82ce7297953a86b8cdc"

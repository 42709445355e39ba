"""Whom we trust by certificate, as one value."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certificate_support import CA, FOR_A, FOR_B, ID_B, OTHER_ROOT, B, flavoured
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.flavours import Flavour
from onem2m_security.certificates.trust import Trust
from onem2m_security.errors import CertificateRejectedError, ConfigurationError
from onem2m_security.release import Release


def test_who_initiates_means_one_peer_however_many_forms_its_certificate_may_have():
    of_release_3 = flavoured(Flavour.FQDN, "b.sp.example", peer=ID_B)
    assert Trust((FOR_B, of_release_3)).peer == ID_B


@pytest.mark.parametrize("configurations", [(), (FOR_A, FOR_B), (flavoured(Flavour.CSE_ID),)])
def test_nobody_or_several_are_no_peer_to_initiate_with(configurations):
    with pytest.raises(ConfigurationError, match="whom it means to reach"):
        _ = Trust(configurations).peer


def test_its_verifier_goes_by_its_rules(tmp_path):
    path = tmp_path / "ca.crl"
    chain = B.local().certificate_chain
    assert Trust((FOR_A, FOR_B)).verifier().verify(chain).peer == ID_B
    with pytest.raises(CertificateRejectedError):
        Trust((FOR_A,)).verifier().verify(chain)
    path.write_bytes(CA.crl([B.certificate]).public_bytes(Encoding.PEM))
    with pytest.raises(CertificateRejectedError) as refused:
        Trust((FOR_B,), Release.R1, CrlSource(path)).verifier().verify(chain)
    assert refused.value.alert == "certificate_revoked"
    path.write_bytes(OTHER_ROOT.crl().public_bytes(Encoding.PEM))
    assert Trust((FOR_B,), Release.R1, CrlSource(path)).verifier().verify(chain).peer == ID_B
    with pytest.raises(CertificateRejectedError) as refused:
        Trust((FOR_B,), Release.R1, CrlSource(path), require_crl=True).verifier().verify(chain)
    assert refused.value.alert == "certificate_unknown"
    with pytest.raises(ConfigurationError, match="require_crl needs crls"):
        Trust((FOR_B,), require_crl=True).verifier()


def test_a_trust_without_configurations_makes_no_verifier():
    with pytest.raises(ConfigurationError, match="at least one"):
        Trust(()).verifier()

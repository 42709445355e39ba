"""CRLs from files: read again when they change, and failing closed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certs import Authority, Flavour
from onem2m_security.certificates.crl import CRL_MAX_OCTETS, CrlSource
from onem2m_security.errors import CertificateRejectedError, ConfigurationError

CA = Authority.root()
ISSUED = CA.issue(Flavour.FQDN, "mef.example").certificate
NOW = datetime.now(UTC)


def write(path, crl, encoding=Encoding.PEM):
    path.write_bytes(crl.public_bytes(encoding))
    return path


def alert(source, now=NOW):
    with pytest.raises(CertificateRejectedError) as refused:
        source.check(ISSUED, CA.certificate, now)
    return refused.value.alert.name


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_list_is_read_in_pem_and_in_der(tmp_path, encoding):
    before = NOW - timedelta(minutes=1)
    source = CrlSource(write(tmp_path / "a.crl", CA.crl(this_update=before), encoding))
    source.check(ISSUED, CA.certificate, NOW)
    assert source.covers(CA.certificate)
    assert not source.covers(Authority.root("another").certificate)


def test_a_changed_file_and_a_new_file_are_read_again(tmp_path):
    before = NOW - timedelta(minutes=2)
    source = CrlSource(tmp_path / write(tmp_path / "a.crl", CA.crl(this_update=before)).name)
    source.check(ISSUED, CA.certificate, NOW)
    write(tmp_path / "a.crl", CA.crl([ISSUED], this_update=before))
    assert alert(source) == "certificate_revoked"
    directory = CrlSource(tmp_path)
    newer = CA.crl(this_update=NOW - timedelta(minutes=1))
    write(tmp_path / "b.crl", newer)
    directory.check(ISSUED, CA.certificate, NOW)  # of two lists the newer counts


@pytest.mark.parametrize("names", [("a.crl", "b.crl"), ("b.crl", "a.crl")])
def test_of_two_lists_of_one_second_the_one_of_the_higher_number_counts(tmp_path, names):
    first = CA.crl(this_update=NOW - timedelta(minutes=1))
    second = CA.crl([ISSUED], previous=first, this_update=NOW - timedelta(minutes=1))
    for name, crl in zip(names, (first, second), strict=True):
        write(tmp_path / name, crl)
    with pytest.raises(CertificateRejectedError, match="revoked"):
        CrlSource(tmp_path).check(ISSUED, CA.certificate, NOW)


def test_a_file_that_breaks_refuses_and_mends(tmp_path):
    path = write(tmp_path / "a.crl", CA.crl(this_update=NOW - timedelta(minutes=1)))
    source = CrlSource(path)
    path.write_bytes(b"nothing")
    assert alert(source) == "certificate_unknown"
    with pytest.raises(CertificateRejectedError):
        source.covers(CA.certificate)
    path.unlink()
    assert alert(source) == "certificate_unknown"
    write(path, CA.crl(this_update=NOW - timedelta(minutes=1)))
    source.check(ISSUED, CA.certificate, NOW)


def test_a_list_by_the_same_name_and_another_key_does_not_count(tmp_path):
    impostor = Authority.root()
    source = CrlSource(write(tmp_path / "a.crl", impostor.crl(this_update=NOW)))
    assert impostor.certificate.subject == CA.certificate.subject
    assert alert(source) == "certificate_unknown"


@pytest.mark.parametrize("days", [-30, 30])
def test_a_list_counts_only_between_its_updates(tmp_path, days):
    source = CrlSource(write(tmp_path / "a.crl", CA.crl(this_update=NOW)))
    assert alert(source, NOW + timedelta(days=days)) == "certificate_unknown"


def test_a_partial_list_is_refused_when_read(tmp_path):
    builder = x509.CertificateRevocationListBuilder().issuer_name(CA.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=1))
    builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    path = write(tmp_path / "a.crl", builder.sign(CA.issued.private_key, hashes.SHA256()))
    with pytest.raises(ConfigurationError, match="only full CRLs"):
        CrlSource(path)


def test_what_is_no_list_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        CrlSource(tmp_path / "none.crl")
    with pytest.raises(ConfigurationError, match="1 to 256 files"):
        CrlSource(tmp_path)
    for octets in (b"", b"-----BEGIN X509 CRL-----\n", ISSUED.public_bytes(Encoding.PEM)):
        (tmp_path / "a.crl").write_bytes(octets)
        with pytest.raises(ConfigurationError, match="no CRL"):
            CrlSource(tmp_path)
    with (tmp_path / "a.crl").open("wb") as file:
        os.truncate(file.fileno(), CRL_MAX_OCTETS + 1)
    with pytest.raises(ConfigurationError, match="larger"):
        CrlSource(tmp_path)


def test_the_next_list_keeps_what_was_revoked_and_counts_on():
    first = CA.crl([ISSUED])
    second = CA.crl([5], previous=first)
    assert {entry.serial_number for entry in second} == {ISSUED.serial_number, 5}
    numbers = [
        crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (first, second)
    ]
    assert numbers == [1, 2]

"""Key export and derivations, against values of another implementation.

The known answers were computed with OpenSSL 3.0.19 on its command line, from the octets that the clause
prescribes, for example

    printf '%s' 'oneM2M Enrolment Key to Master Credential derivationmaf.example.com' |
        openssl mac -digest SHA256 -macopt hexkey:000102…1e1f HMAC
"""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError
from onem2m_security.identifiers import EntityId, Fqdn, Suid
from onem2m_security.keys import (
    PROVISIONED_SUIDS,
    ExportedKey,
    ExportLabel,
    derive_km,
    derive_kpsa,
    derive_usage_constrained_key,
    km_for,
    km_id_of,
    kpsa_for,
    provisioned_key_for,
)
from onem2m_security.release import Release

KE = Secret(bytes(range(32)))
MAF = Fqdn.parse("maf.example.com")


def in_hex(key: Secret) -> str:
    return key.reveal().hex()


def test_km_is_the_value_that_openssl_computes():
    assert in_hex(derive_km(KE, MAF)) == "3055bf32dd9c95586aaffa2ae2e165dfeffd0803566e16bdd343171457da8a5e"


@pytest.mark.parametrize(
    "spelling", ["maf.bücher.example", "maf.xn--bcher-kva.example", "MAF.BÜCHER.example."]
)
def test_km_takes_the_unicode_form_of_the_maf_id_however_it_is_spelled(spelling):
    km = derive_km(KE, Fqdn.parse(spelling))
    assert in_hex(km) == "afd66f738b5f12fde7540fcbabdd3d8cb43ac59b17261f9b479032edb9d49032"


def test_kpsa_is_the_value_that_openssl_computes():
    kpsa = derive_kpsa(KE, EntityId.parse("/in-cse"))
    assert in_hex(kpsa) == "0387ca5926ab0e2b706a1778f15c5175ed6c96dd77400378cd8909dae6acb749"
    kpsa = derive_kpsa(KE, EntityId.parse("//sp.example/in-cse/Csensor"))
    assert in_hex(kpsa) == "f32368c89f0efa8a004147ad7b78a6ea346ff79ec101eb155d7206b8aa5dc3af"


def test_usage_constrained_keys_are_the_values_that_openssl_computes():
    for_maf = derive_usage_constrained_key(KE, Suid.PROVISIONED_MAF, MAF)
    assert in_hex(for_maf) == "f8610e4d1a428f72308e2941f53a1a0fdc1afa7b1dde3ec59fc52381dcbeb66a"
    for_saef = derive_usage_constrained_key(KE, Suid.PROVISIONED_SAEF, Fqdn.parse("in-cse.sp.example"))
    assert in_hex(for_saef) == "0b2f4cf183d559cf955af5bdd49c661dba74e5ed2ca53c708151f0516acdace2"


def test_km_id_is_the_value_that_openssl_computes():
    km_id = km_id_of(derive_km(KE, MAF), MAF)
    assert str(km_id) == "d23bee60a3ebfa6bceab9b2a8c41f5c1@maf.example.com"


def test_each_release_derives_its_own_km_and_kpsa():
    cse = EntityId.parse("//sp.example/in-cse")
    assert km_for(Release.R1, KE, MAF) == derive_km(KE, MAF)
    assert km_for(Release.R3, KE, MAF) == derive_usage_constrained_key(KE, Suid.PROVISIONED_MAF, MAF)
    assert kpsa_for(Release.R1, KE, cse) == derive_kpsa(KE, cse)
    by_name = derive_usage_constrained_key(KE, Suid.PROVISIONED_SAEF, Fqdn.parse("in-cse.sp.example"))
    assert kpsa_for(Release.R3, KE, cse) == by_name


def test_release_3_derives_no_kpsa_for_an_identity_without_a_domain_name():
    with pytest.raises(CredentialError, match="absolute CSE-ID or AE-ID"):
        kpsa_for(Release.R3, KE, EntityId.parse("/in-cse"))


@pytest.mark.parametrize("suid", PROVISIONED_SUIDS)
def test_release_3_derives_a_key_for_each_usage_by_its_suid(suid):
    cse = EntityId.parse("//sp.example/in-cse")
    derived = provisioned_key_for(Release.R3, KE, cse, suid)
    # TS-0003 clause 10.3.7, computed here from its text
    constant = "oneM2M Enrolment Key to Usage-Constrained Symmetric Key derivation"
    text = f"{constant}{int(suid)}in-cse.sp.example"
    assert derived.reveal() == hmac.new(KE.reveal(), text.encode(), hashlib.sha256).digest()


@pytest.mark.parametrize("suid", [suid for suid in Suid if suid is not Suid.PROVISIONED_SAEF])
def test_release_1_derives_kpsa_only_and_nobody_derives_for_other_usages(suid):
    cse = EntityId.parse("//sp.example/in-cse")
    with pytest.raises(CredentialError, match=f"SUID {int(suid)}"):
        provisioned_key_for(Release.R1, KE, cse, suid)
    if suid not in PROVISIONED_SUIDS:
        with pytest.raises(CredentialError, match=f"SUID {int(suid)}"):
            provisioned_key_for(Release.R3, KE, cse, suid)


@given(st.binary(min_size=48, max_size=48))
def test_an_export_is_split_into_16_octets_of_identifier_and_32_of_key(material):
    exported = ExportedKey.split(material)
    assert exported.relative + exported.key.reveal() == material
    assert exported.key_id(MAF).octets == material[:16]
    assert exported.key_id(MAF).fqdn == MAF


@pytest.mark.parametrize("octets", [0, 47, 49])
def test_an_export_of_another_length_is_refused(octets):
    with pytest.raises(CredentialError, match="48 octets"):
        ExportedKey.split(bytes(octets))


def test_an_exported_key_does_not_print_itself():
    material = bytes(range(48))
    assert material[16:].hex() not in repr(ExportedKey.split(material))


def test_the_labels_are_those_of_clause_10_3_1():
    assert [label.value for label in ExportLabel] == [
        b"EXPORTER-oneM2M-Bootstrap",
        b"EXPORTER-oneM2M-Connection",
        b"EXPORTER-oneM2M-ESCertKE",
    ]


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64))
def test_different_enrolment_keys_give_different_keys(one, other):
    # HMAC pads short keys with zeros (RFC 2104): those are one key to it.
    same = one.ljust(64, b"\0") == other.ljust(64, b"\0")
    assert (derive_km(Secret(one), MAF) == derive_km(Secret(other), MAF)) is same

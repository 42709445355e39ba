"""The framework without sockets: two sessions face each other, and both ends derive the same keys."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from maf_support import MAF, key_of
from mef_support import CSE, DEVICE, MEF, THE_MAF
from onem2m_security.credentials import Framework, Secret
from onem2m_security.errors import CredentialError
from onem2m_security.frameworks import bootstrap_psk, mef_handshake
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey, export_enrolment_key
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from onem2m_security.release import Release
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.session import Session
from tls_support import Pair

KEY = EnrolmentKey(KeyIdentifier("00112233445566778899aabbccddeeff", MEF), key_of("Ke"))


def bootstrap():
    """Both ends of a finished Bootstrap Security Handshake."""
    initiator = DEVICE.initiator
    key = bootstrap_psk.credential(DEVICE.kpm_id, DEVICE.kpm, enrolee=DEVICE.entity, targets=DEVICE.targets)
    acceptor = Acceptor(EntityId(str(MEF)), Endpoint(server=True), ProvisionedKeys([key]))
    pair = Pair(initiator.session(), Session(acceptor.endpoint), answer=DEVICE.kpm).run()
    assert pair.a_completed
    assert pair.b_completed
    assert pair.identities == [str(DEVICE.kpm_id).encode()]
    return initiator.establish(pair.a), acceptor.establish(pair.b, key)


def test_enrolee_and_mef_export_the_same_ke_and_ke_id():
    enrolee, mef = bootstrap()
    exported = export_enrolment_key(enrolee, MEF)
    assert exported == export_enrolment_key(mef, MEF)
    assert len(exported.ke) == 32
    assert exported.ke_id.fqdn == MEF
    assert enrolee.session.export(b"EXPORTER-oneM2M-Bootstrap", 48) == (
        exported.ke_id.octets + exported.ke.reveal()
    )


def test_every_bootstrap_gives_another_ke():
    first, second = (export_enrolment_key(bootstrap()[0], MEF) for _ in range(2))
    assert first.ke_id != second.ke_id
    assert first.ke != second.ke


def test_both_ends_know_whom_they_met_and_by_what():
    enrolee, mef = bootstrap()
    assert enrolee.association.peer == EntityId(str(MEF))
    assert mef.association.peer == DEVICE.entity
    for association in (enrolee.association, mef.association):
        assert association.framework is Framework.BOOTSTRAP_PSK
        assert str(association.credential_id) == f"10-{DEVICE.kpm_id}"
    assert mef.association.server_name == str(MEF)


def test_an_enrolment_target_meets_the_mef_by_another_framework():
    initiator = mef_handshake.initiate(THE_MAF.entity, MEF, THE_MAF.key)
    assert initiator.framework is Framework.MEF_HANDSHAKE
    assert THE_MAF.key.targets == ()


def hmac_sha256(message: str) -> bytes:
    return hmac.new(KEY.ke.reveal(), message.encode(), hashlib.sha256).digest()


def test_km_is_derived_as_clause_10_3_2_says():
    km = KEY.master_credential(Release.R1, Fqdn.parse("MAF.Bücher.example."))
    expected = hmac_sha256("oneM2M Enrolment Key to Master Credential derivationmaf.bücher.example")
    assert km.key == Secret(expected)
    assert km.key_id == KEY.ke_id
    assert km.suid is Suid.PROVISIONED_MAF
    assert km.credential is not None
    assert km.credential.fqdn == Fqdn.parse("maf.bücher.example")


def test_kpsa_is_derived_as_clause_10_3_3_says():
    kpsa = KEY.provisioned_key(Release.R1, CSE)
    constant = "oneM2M Enrolment Key to Provisioned Secure Connection Key derivation"
    assert kpsa.key == Secret(hmac_sha256(f"{constant}{CSE}"))
    assert kpsa.peer == CSE
    assert kpsa.suid is Suid.PROVISIONED_SAEF


def test_release_3_derives_both_as_clause_10_3_7_says():
    constant = "oneM2M Enrolment Key to Usage-Constrained Symmetric Key derivation"
    km = KEY.master_credential(Release.R3, MAF)
    assert km.key == Secret(hmac_sha256(f"{constant}21{MAF}"))
    kpsa = KEY.provisioned_key(Release.R3, CSE)
    assert kpsa.key == Secret(hmac_sha256(f"{constant}22in-cse.sp.example"))


def test_release_3_has_no_kpsa_for_a_relative_identifier():
    with pytest.raises(CredentialError, match="absolute"):
        KEY.provisioned_key(Release.R3, EntityId("/in-cse"))


def test_nothing_shows_ke():
    assert KEY.ke.reveal().hex() not in repr(KEY)
    assert base64.b64encode(KEY.ke.reveal()).decode() not in repr(KEY)

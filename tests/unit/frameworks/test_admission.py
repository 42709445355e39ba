"""Whose word counts for whom: the keys of functions, and certificates that match several configurations."""

from __future__ import annotations

import pytest

from certificate_support import CA, ROOT
from certs import Flavour, chain_of
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.trust import Trust, by_rules
from onem2m_security.credentials import ResolvedKey, Secret
from onem2m_security.errors import CertificateRejectedError
from onem2m_security.frameworks import saef_maf
from onem2m_security.frameworks.admission import Admission, AdmittedCertificates, AdmittedKeys
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.release import Release
from onem2m_security.tls.suites import PSK_SUITES

MAF, OTHER = Fqdn("maf.example.com"), Fqdn("other.example.com")
PUMP, LAMP = EntityId("/pump"), EntityId("/lamp")
GATEWAY = "//sp.example/cse2"


class Said:
    """A MAF that says of every identifier whose key it is."""

    def __init__(self, peer: EntityId | None) -> None:
        self.peer = peer

    async def resolve(self, identity: bytes, suite: object) -> ResolvedKey | None:
        if identity == b"unknown":
            return None
        return saef_maf.credential(KeyIdentifier.parse(identity), Secret(b"k" * 32), peer=self.peer)


async def is_admitted(admission: Admission, maf: Fqdn, peer: EntityId | None) -> bool:
    keys = AdmittedKeys(Said(peer), admission)
    return await keys.resolve(f"{'00' * 16}@{maf}".encode(), PSK_SUITES[0]) is not None


async def test_who_is_described_is_believed_by_those_words_alone_and_everybody_else_by_the_general_ones():
    admission = Admission(frozenset({MAF}), {PUMP: frozenset({OTHER})})
    assert not await is_admitted(admission, MAF, PUMP)
    assert await is_admitted(admission, OTHER, PUMP)
    assert await is_admitted(admission, MAF, LAMP)
    assert not await is_admitted(admission, OTHER, LAMP)
    assert await is_admitted(admission, MAF, None)
    assert not await is_admitted(admission, OTHER, None)


async def test_nobody_is_believed_unless_it_is_said():
    assert not await is_admitted(Admission(), MAF, LAMP)
    keys = AdmittedKeys(Said(LAMP), Admission(frozenset({MAF})))
    assert await keys.resolve(b"unknown", PSK_SUITES[0]) is None


def configuration(peer_id: str | None, name: str) -> AssociationConfiguration:
    return AssociationConfiguration.release3(
        flavour=Flavour.CSE_ID, trust_anchors=ROOT.trust_anchor_pem, peer_id=peer_id, name=name
    )


def test_a_certificate_does_not_do_for_a_peer_that_must_prove_something_else():
    """Any CSE of the authority is taken, but not the one that has a description of its own."""
    chain = chain_of(CA.issue(Flavour.CSE_ID, GATEWAY), with_root=True)
    anybody = configuration(None, "anybody")
    verifiers = [Trust((anybody,), Release.R3).verifier()]
    peer = EntityId.parse(GATEWAY)
    free = AdmittedCertificates(verifiers, Admission(frozenset({anybody})))
    assert free.verify(chain, server=False).peer == peer
    described = AdmittedCertificates(verifiers, Admission(frozenset({anybody}), {peer: frozenset({MAF})}))
    with pytest.raises(CertificateRejectedError, match="must prove something else"):
        described.verify(chain, server=False)


def test_verifiers_are_asked_in_turn_and_the_first_refusal_is_told():
    chain = chain_of(CA.issue(Flavour.CSE_ID, GATEWAY), with_root=True)
    other, own = configuration("//sp.example/cse9", "other"), configuration(GATEWAY, "own")
    verifiers = [Trust((one,), Release.R3).verifier() for one in (other, own)]
    both = AdmittedCertificates(verifiers, Admission(frozenset({other, own})))
    assert both.verify(chain, server=False).configuration.name == "own"
    assert both.revision == (None, None)
    with pytest.raises(CertificateRejectedError) as alone:
        verifiers[0].verify(chain, server=False)
    stranger = chain_of(CA.issue(Flavour.CSE_ID, "//sp.example/cse3"), with_root=True)
    with pytest.raises(CertificateRejectedError) as refused:
        both.verify(stranger, server=False)
    assert (refused.value.alert, str(refused.value)) == (alone.value.alert, str(alone.value))


def test_trusts_with_the_same_rules_become_one_and_others_stay_apart():
    one, two = configuration(GATEWAY, "one"), configuration(None, "two")
    merged = by_rules([Trust((one,), Release.R3), Trust((two,), Release.R1), Trust((two,), Release.R3)])
    assert [trust.configurations for trust in merged] == [(one, two), (two,)]

"""SA2: Entity B begins, by the credential of SA1, and meets the Entity A that began SA1 (8.2.1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import certificate_support as certificates
from maf_support import ID_A, ID_B, MAF, key_of
from onem2m_security.association import Role
from onem2m_security.clock import Clock
from onem2m_security.credentials import Framework
from onem2m_security.errors import CredentialError
from onem2m_security.frameworks import request_reachable, saef_gba, saef_maf, saef_psk
from onem2m_security.frameworks.maf_handshake import ConnectionKey
from onem2m_security.frameworks.steps import Acceptor, Authorities, Established
from onem2m_security.gba.context import BootstrappedContext
from onem2m_security.gba.keys import Impi
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.release import Release
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.framing import DatagramFraming
from tls_support import Pair

KPSA_ID = KeyIdentifier.parse("k@issuer.example")
KC = ConnectionKey(
    KeyIdentifier.from_octets(bytes(16), MAF), key_of("kc"), datetime.now(UTC) + timedelta(hours=1)
)
NAF = Fqdn("in-cse.sp.example")
CONTEXT = BootstrappedContext(
    KeyIdentifier.from_octets(bytes(16), Fqdn("bsf.example")),
    key_of("ks"),
    Impi.parse("999991122220001@ims.mnc99.mcc999.3gppnetwork.org"),
    datetime.now(UTC),
    datetime.now(UTC) + timedelta(hours=1),
    gba_u=False,
)

WAYS = {
    "kpsa": saef_psk.initiate(ID_A, ID_B, saef_psk.credential(KPSA_ID, key_of("kpsa"), peer=ID_B)),
    "maf-1": saef_maf.initiate(ID_A, ID_B, KC, release=Release.R1),
    "maf-3": saef_maf.initiate(ID_A, ID_B, KC, release=Release.R3),
    "gba": saef_gba.initiate(ID_A, ID_B, CONTEXT, naf=NAF),
    "certificates": certificates.initiator_a(),
}


class OneKey:
    """A resolver that has the initiator's key, as whoever provides it would say whose it is."""

    def __init__(self, way) -> None:
        self.way = way

    async def resolve(self, identity, suite):
        return replace(self.way.credential, peer=ID_A)


def met(way, acceptor, framing=lambda: None) -> tuple[Established, Established] | None:
    """What both ends see of a handshake; None when it comes to nothing."""
    pair = Pair(
        way.session(framing=framing()),
        Authorities({}, default=acceptor).session(framing()),
        answer=lambda identity: None if (key := now(acceptor, identity)) is None else key.key,
    ).run()
    if not (pair.a_completed and pair.b_completed):
        return None
    return way.establish(pair.a), acceptor.establish(pair.b, now(acceptor, pair.b.psk_identity))


def now(acceptor: Acceptor, identity):
    """A resolver's answer; none of these waits for anybody."""
    if identity is None:
        return None
    try:
        acceptor.resolver.resolve(identity, None).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waits")


def entity_b(way) -> Acceptor:
    own = certificates.endpoint_b() if way.credential is None else Endpoint(server=True)
    return Acceptor(way.peer, own, OneKey(way))


def reversed_(way, clock=None):
    keys = request_reachable.KeysOfSa1(**({} if clock is None else {"clock": clock}))
    keys.add(way)
    return keys, request_reachable.acceptor(way, keys)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_credential_of_sa1_makes_sa2_with_the_roles_reversed(way):
    _, at_b = met(way, entity_b(way))
    _, as_server = reversed_(way)
    b_sees, a_sees = (one.association for one in met(request_reachable.initiator(at_b), as_server))
    assert (b_sees.local, b_sees.peer) == (way.peer, way.local)
    assert (a_sees.local, a_sees.peer) == (way.local, way.peer)
    assert (b_sees.role, a_sees.role) == (Role.ENTITY_A, Role.ENTITY_B)
    assert b_sees.framework is a_sees.framework is at_b.association.framework
    assert a_sees.cipher_suite == at_b.association.cipher_suite
    if way.credential is not None:
        assert a_sees.credential_id == b_sees.credential_id == at_b.association.credential_id
        assert a_sees.expires == way.credential.expires


def test_whoever_shows_another_key_or_identity_meets_nobody():
    way = WAYS["maf-1"]
    _, at_b = met(way, entity_b(way))
    back = request_reachable.initiator(at_b)
    _, as_server = reversed_(way)
    for wrong in (
        replace(back, credential=replace(back.credential, key=key_of("another"))),
        replace(back, identity=b"another@maf.example.com"),
    ):
        assert met(wrong, as_server) is None


def test_a_key_that_has_ended_is_taken_no_more():
    way, later = WAYS["maf-1"], datetime.now(UTC) + timedelta(hours=2)
    _, at_b = met(way, entity_b(way))
    _, as_server = reversed_(way, Clock(now=lambda: later))
    assert met(request_reachable.initiator(at_b), as_server) is None


def test_a_renewed_key_and_the_one_before_both_count_and_no_more_than_a_few():
    def way(number: int):
        key = ConnectionKey(
            KeyIdentifier.from_octets(bytes([number] * 16), MAF), key_of(str(number)), KC.expires
        )
        return saef_maf.initiate(ID_A, ID_B, key, release=Release.R1)

    ways = [way(number) for number in range(6)]
    keys, as_server = reversed_(ways[0])
    for one in ways:
        keys.add(one)
    answers = [now(as_server, one.identity) for one in ways]
    assert answers[:2] == [None, None]
    assert all(answer is not None for answer in answers[2:])


def test_an_association_without_an_identity_leads_nobody_back_unless_somebody_knows_it():
    way = WAYS["kpsa"]
    _, at_b = met(way, entity_b(way))
    nameless = replace(at_b, association=replace(at_b.association, peer=None))
    with pytest.raises(CredentialError, match="nobody to associate with"):
        request_reachable.initiator(nameless)
    assert request_reachable.initiator(nameless, ID_A).peer == ID_A


def test_it_goes_over_dtls_too():
    way = WAYS["maf-3"]
    framing = lambda: DatagramFraming(1232)  # noqa: E731
    _, at_b = met(way, entity_b(way), framing)
    _, as_server = reversed_(way)
    b_sees, a_sees = met(request_reachable.initiator(at_b), as_server, framing)
    assert a_sees.association.protocol == b_sees.association.protocol == "DTLSv1.2"
    assert a_sees.association.framework is Framework.SAEF_MAF

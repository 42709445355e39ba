"""ESCertKE exchanges of both end-points together, in memory, by the package of whatever tree this is run in.

    python -m benchmarks.exchanges SECONDS returning|new A.crt A.key B.crt B.key

Prints the number of exchanges and the processor seconds that they took, as ``c/escertke.c`` does. Those that
return are the two of the files; those that are new have met nobody, and their making is not counted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from cryptography import x509

from onem2m_security.certificates.authority import self_signed
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.escertke.end_points import InitiatingEndPoint, TerminatingEndPoint, acceptor, initiator
from onem2m_security.frameworks.steps import Acceptor, Initiator
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release

A, B = EntityId.parse("/cse1/Ca"), EntityId.parse("/cse2/Cb")
Ends = tuple[Initiator, Acceptor]


def recognises(peer: EntityId, local: LocalCertificate) -> PeerVerifier:
    digest = key_hash(x509.load_der_x509_certificate(local.certificate_chain[0]))
    configuration = AssociationConfiguration.release1(
        certificate_name=digest.hex(), root_of_trust=digest, peer=peer
    )
    return PeerVerifier([configuration], release=Release.R1)


def ends(a: LocalCertificate, b: LocalCertificate) -> Ends:
    return (
        initiator(A, B, certificate=a, verifier=recognises(B, b)),
        acceptor(B, certificate=b, verifier=recognises(A, a)),
    )


def new_ends() -> Ends:
    """Two who have seen no certificate of each other; half an exchange made their engines ready, as in C."""
    a, b = self_signed(), self_signed()
    made = ends(*(LocalCertificate.from_octets(one.full_chain_pem, one.key_pem) for one in (a, b)))
    TerminatingEndPoint(made[1]).process(InitiatingEndPoint(made[0]).start())
    return made


def exchange(initiating: Initiator, terminating: Acceptor) -> None:
    one, other = InitiatingEndPoint(initiating), TerminatingEndPoint(terminating)
    message_3 = one.process(other.process(one.start()).message).message
    done = other.process(message_3)
    key = one.process(done.message).key
    if key is None or done.key is None or key.key != done.key.key:
        raise SystemExit("the keys differ")


def main() -> None:
    seconds, kind, *files = sys.argv[1:]
    kept = ends(*(LocalCertificate.load(*map(Path, pair)) for pair in (files[:2], files[2:])))
    exchange(*kept)
    exchanges, took = 0, 0.0
    while took < float(seconds):
        pair = kept if kind == "returning" else new_ends()
        begin = time.process_time()
        exchange(*pair)
        took += time.process_time() - begin
        exchanges += 1
    print(exchanges, took)


if __name__ == "__main__":
    main()

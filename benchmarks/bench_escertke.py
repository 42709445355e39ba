"""ESCertKE exchanges per processor second, both end-points together, against the same handshake in C.

    python -m benchmarks.bench_escertke [--seconds 1] [--rounds 9]

Both do the same: one thread, octets in memory, TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256 and self-signed
P-256 certificates verified at either end, 48 octets exported at either end. The C program
(``escertke_reference.c``) uses OpenSSL and nothing else, as the system brings it; it is compiled here, which
needs a C compiler and OpenSSL's headers (Debian: gcc and libssl-dev). The two run in turns, in one run: the
ratio outlives the machine that it was measured on.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from onem2m_security.certificates.authority import Issued, self_signed
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.escertke.end_points import InitiatingEndPoint, TerminatingEndPoint, acceptor, initiator
from onem2m_security.frameworks.steps import Acceptor, Initiator
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release

SOURCE = Path(__file__).with_name("escertke_reference.c")

A, B = EntityId.parse("/cse1/Ca"), EntityId.parse("/cse2/Cb")


def compiled(directory: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("no C compiler is installed (Debian: apt-get install gcc libssl-dev)")
    program = directory / "escertke_reference"
    done = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(SOURCE), "-lssl", "-lcrypto"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{SOURCE.name} does not compile (Debian: libssl-dev): {done.stderr[:500]}")
    return program


def write_files(directory: Path, name: str, issued: Issued) -> list[str]:
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    certificate.write_bytes(issued.full_chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    return [str(certificate), str(key)]


def recognises(peer: EntityId, issued: Issued) -> PeerVerifier:
    digest = key_hash(issued.certificate)
    configuration = AssociationConfiguration.release1(
        certificate_name=digest.hex(), root_of_trust=digest, peer=peer
    )
    return PeerVerifier([configuration], release=Release.R1)


def exchange(initiating: Initiator, terminating: Acceptor) -> None:
    one, other = InitiatingEndPoint(initiating), TerminatingEndPoint(terminating)
    message_3 = one.process(other.process(one.start()).message).message
    done = other.process(message_3)
    key = one.process(done.message).key
    if key is None or done.key is None or key.key != done.key.key:
        raise SystemExit("the keys differ")


def ours(initiating: Initiator, terminating: Acceptor, seconds: float) -> float:
    """Exchanges per processor second."""
    exchanges, start = 0, time.process_time()
    while (took := time.process_time() - start) < seconds:
        exchange(initiating, terminating)
        exchanges += 1
    return exchanges / took


def reference(program: Path, files: list[str], seconds: float) -> float:
    """The same, of the C program."""
    done = subprocess.run(
        [str(program), *files, str(seconds)], capture_output=True, text=True, check=True
    ).stdout.split()
    return int(done[0]) / float(done[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="processor seconds for each in each round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    a, b = self_signed(), self_signed()
    local = [LocalCertificate.from_octets(one.full_chain_pem, one.key_pem) for one in (a, b)]
    initiating = initiator(A, B, certificate=local[0], verifier=recognises(B, b))
    terminating = acceptor(B, certificate=local[1], verifier=recognises(A, a))
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        program = compiled(directory)
        files = write_files(directory, "a", a) + write_files(directory, "b", b)
        ours(initiating, terminating, options.seconds)
        rounds = [
            (ours(initiating, terminating, options.seconds), reference(program, files, options.seconds))
            for _ in range(options.rounds)
        ]
    ratio = statistics.median(one / other for one, other in rounds)
    print(f"ESCertKE: {statistics.median(one for one, _ in rounds):.0f} exchanges per processor second")
    print(f"C, OpenSSL alone: {statistics.median(other for _, other in rounds):.0f}")
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()

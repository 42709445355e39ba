"""Entity B as a server of its own: its first line of output is its port, and it runs until its input ends.

    python -m benchmarks.entity_b dtls
    python -m benchmarks.entity_b certificates DIRECTORY

It holds one pre-shared key in memory, or shows the certificate of a directory (``certificates.py``) and asks
for one of the same domain.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.trust import Trust
from onem2m_security.cli.common import log_to_stderr
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.frameworks import saef_certificate, saef_psk
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import Channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.loop import run
from onem2m_security.peer_quotas import PeerQuotas

from .provision import KM, identity_of

MANY = Limits(idle_seconds=3600, quotas=PeerQuotas(connections=1_000_000))
"""One client does here what many do elsewhere."""
NAME_A, NAME_B = "a.sp.example", "b.sp.example"


def with_key() -> EntityB:
    kpsa = saef_psk.credential(KeyIdentifier.parse(identity_of(0)), KM, peer=EntityId("/a"))
    return EntityB(EntityId("/b"), keys=[kpsa], limits=MANY)


def with_certificate(directory: Path) -> EntityB:
    configuration = AssociationConfiguration.release1(
        certificate_name=NAME_A, root_of_trust=(directory / "root-of-trust").read_text(), peer="/a"
    )
    certificate = LocalCertificate.load(directory / "b.pem", directory / "b.key")
    endpoint = saef_certificate.accept(certificate, Trust((configuration,)), psk=False)
    return EntityB(EntityId("/b"), endpoint=endpoint, limits=MANY)


async def serve(entity_b: EntityB, transport: Transport) -> None:
    async def accepted(channel: Channel) -> None:
        while await channel.read():
            pass

    async with entity_b as listening:
        bound = await listening.listen(Address("127.0.0.1", 0), accepted, transport=transport)
        print(bound.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def main() -> None:
    match sys.argv[1:]:
        case ["dtls"]:
            await serve(with_key(), Transport.DTLS)
        case ["certificates", directory]:
            await serve(with_certificate(Path(directory)), Transport.TLS)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    log_to_stderr(verbose=False)  # as the command line does; standard output is for the port
    run(main())

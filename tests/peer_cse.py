"""Entity B as a process of its own: a CSE that registers AEs, with keys from a MAF or an MEF."""

import asyncio
import sys

from onem2m_security import (
    Address,
    EntityB,
    EntityId,
    Fqdn,
    KeyIdentifier,
    Link,
    MafClient,
    MefClient,
    Response,
    Rsc,
    Secret,
    maf_handshake,
    mef_handshake,
)


async def main(cse_id: str, maf: str, mef: str) -> None:
    """Keys come from standard input: Km at the MAF, then the key at the MEF."""
    km, at_mef = (Secret.parse(sys.stdin.readline()) for _ in range(2))
    local = EntityId.parse(cse_id)
    maf_id, mef_id = Fqdn("maf.example.com"), Fqdn("mef.example.com")
    maf_client = MafClient(
        maf_id,
        Link(Address.parse(maf)),
        maf_handshake.initiate(local, maf_id, maf_handshake.credential(KeyIdentifier("b", maf_id), km)),
    )
    mef_client = MefClient(
        mef_id,
        Link(Address.parse(mef)),
        mef_handshake.initiate(local, mef_id, mef_handshake.credential(KeyIdentifier("cse", mef_id), at_mef)),
    )

    async def handle(request, established):
        association = established.association
        if not association.authenticates(request.originator):
            return Response(Rsc.ORIGINATOR_NOT_AUTHENTICATED)
        told = {"aei": request.originator, "framework": association.framework.value}
        return Response(Rsc.CREATED, {"m2m:ae": request.content["m2m:ae"] | told})

    async with EntityB(local, mafs=[maf_client], mefs=[mef_client]) as entity_b:
        address = await entity_b.listen_requests(Address("127.0.0.1", 0), handle)
        print(f"CSE listening on {address}", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))

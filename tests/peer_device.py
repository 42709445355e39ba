"""Entity A as a process of its own: it enrols, then registers as an AE, directly and through the MAF."""

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

from onem2m_security import (
    Address,
    BootstrapInstruction,
    Enrolee,
    EntityId,
    Fqdn,
    KeyIdentifier,
    Link,
    Operation,
    Release,
    Secret,
    Store,
    request_client,
    saef_maf,
    saef_psk,
)

MAF_ID = Fqdn("maf.example.com")


async def register(initiator, address: str, originator: str | None = None) -> list:
    if originator is not None:
        initiator = dataclasses.replace(initiator, local=EntityId.parse(originator))
    client = request_client(Link(Address.parse(address)), initiator)
    content = {"m2m:ae": {"api": "Ntest", "rr": False, "srv": ["3"]}}
    response = await client.request(Operation.CREATE, ("in-cse",), content=content, resource_type=2)
    await client.close()
    return [int(response.rsc), response.content]


async def main(data: str, release: str, own_id: str, cse_id: str, mef: str, maf: str, cse: str) -> None:
    """The factory key comes from standard input."""
    kpm = Secret.parse(sys.stdin.readline())
    peer = EntityId.parse(cse_id)
    instruction = BootstrapInstruction(
        EntityId.parse(own_id), (EntityId(str(MAF_ID)), peer), release=Release.parse(release)
    )
    async with await Store.open(Path(data)) as store:
        enrolee = await Enrolee.configure(
            store,
            kpm_id=KeyIdentifier.parse("device@mef.example.com"),
            kpm=kpm,
            instruction=instruction,
            link=Link(Address.parse(mef)),
        )
        direct = saef_psk.initiate(enrolee.local, peer, await enrolee.provisioned_key(peer))
        client = enrolee.maf_client(MAF_ID, Link(Address.parse(maf)))
        kc = await client.connection_key(peer, release=enrolee.release)
        through_maf = saef_maf.initiate(enrolee.local, peer, kc, release=enrolee.release)
        answers = {
            "direct": await register(direct, cse),
            "through_maf": await register(through_maf, cse),
            "as_somebody_else": await register(through_maf, cse, f"{cse_id}/Cintruder"),
        }
        await client.close()
    print(json.dumps(answers))


asyncio.run(main(*sys.argv[1:]))

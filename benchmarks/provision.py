"""Fill a store with clients, by the package of whatever tree this is run in.

    python provision.py maf DATA CLIENTS
    python provision.py mef DATA ENROLEES

One key for all, so that servers with a single key can be driven with the same identities.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

from onem2m_security.credentials import Secret
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.store import KeyKind, KeyRecord, Store

try:
    instructions = import_module("onem2m_security.frameworks.instructions")
except ModuleNotFoundError:  # a tree of before it had this room
    instructions = import_module("onem2m_security.functions.instructions")

KM = Secret(bytes(range(1, 33)))
MAF, MEF = Fqdn("maf.example.com"), Fqdn("mef.example.com")
TARGET = EntityId("/in-cse")
TARGET_KM_ID = KeyIdentifier("target", MAF)
MAF_KEY_ID = KeyIdentifier("maf", MEF)
IDENTITY = "client-%07ld@maf.example.com"
"""The KmId of a numbered client, as ``printf`` in C and ``%`` in Python read it."""


def identity_of(number: int) -> bytes:
    """The KmId of a client."""
    return (IDENTITY % number).encode()


def client(number: int) -> EntityId:
    return EntityId(f"Cclient{number}")


def enrolee(number: int) -> tuple[EntityId, KeyIdentifier]:
    """Enrolee-ID and KpmId of one device among many."""
    return EntityId(f"/in-cse/Cdevice{number}"), KeyIdentifier(f"device{number}", MEF)


def at_maf(clients: int) -> Iterator[KeyRecord]:
    """Clients with one target, and the target, which may retrieve their keys."""
    issued = datetime.now(UTC)
    yield KeyRecord(KeyKind.KM, TARGET_KM_ID, KM, issued, TARGET, (TARGET,))
    for number in range(clients):
        key_id = KeyIdentifier.parse_km_id(identity_of(number))
        yield KeyRecord(KeyKind.KM, key_id, KM, issued, client(number), (TARGET,))


def at_mef(enrolees: int) -> Iterator[KeyRecord]:
    """The MAF as Enrolment Target, and those who bootstrap for it."""
    yield instructions.target_record(MAF_KEY_ID, KM, EntityId(str(MAF)))
    for number in range(enrolees):
        entity, kpm_id = enrolee(number)
        instruction = instructions.BootstrapInstruction(entity, (EntityId(str(MAF)),), timedelta(days=1))
        yield instructions.enrolee_record(kpm_id, KM, instruction)


async def provision(data: Path, records: Iterator[KeyRecord]) -> float:
    """The seconds that it took."""
    begin = time.perf_counter()
    async with await Store.open(data) as store:
        await store.add_many(records)
    return time.perf_counter() - begin


def main() -> None:
    function, data, count = sys.argv[1:]
    records = {"maf": at_maf, "mef": at_mef}[function](int(count))
    print(f"{asyncio.run(provision(Path(data), records)):.1f}")


if __name__ == "__main__":
    main()

"""The demonstration: real server processes on loopback, and one story told step by step, clause by clause.

A device with a key in common with a MAF obtains Kc, associates with a CSE and registers there; somebody else
who writes his own name into a request is refused (TS-0003 clauses 8.2.2.3, 8.8.2, 7.2.1). The servers
are processes of their own; Entity A and Entity B run here, through the library that a developer imports.
Nothing outlives the demonstration, and nothing in it is replayed: every identifier is new.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .association import Association
from .credentials import ResolvedKey, Secret
from .entities.entity_a import obtain_connection_key
from .entities.entity_b import EntityB
from .entities.maf_client import MafClient
from .errors import ConfigurationError, SecurityFrameworkError
from .frameworks import saef_maf
from .frameworks.base import Established
from .frameworks.saef_maf import ConnectionKey, master_credential
from .functions.primitives import Operation, Request, Response, Rsc
from .identifiers import EntityId, Fqdn, KeyIdentifier
from .net.address import Address
from .net.http import HttpClient
from .release import DEFAULT_RELEASE, Release
from .store.records import KeyKind, KeyRecord
from .store.store import Store

MAF_ID = Fqdn("maf.example.com")
ENTITY_A = EntityId("/in-cse/Cthermometer")
ENTITY_B = EntityId("/in-cse")
INTRUDER = EntityId("/in-cse/Cintruder")
LOOPBACK = Address("127.0.0.1", 0)

A, MAF, B = "Entity A", "MAF", "Entity B"
LIFELINES = (A, MAF, B)

START_SECONDS = 20.0
_LISTENING = re.compile(r"listening on (\S+) ")
_AE_TYPE = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow of the sequence diagram.

    Attributes:
        clause: Where the standard has it.
        sender: The lifeline it starts from.
        receiver: The lifeline it leads to; the sender itself for what happens inside.
        text: What happens.
        facts: What is to be seen: identifiers, suites, fingerprints; keys themselves only when revealed.
    """

    clause: str
    sender: str
    receiver: str
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)


Reporter = Callable[[Step], None]


class Demo:
    """One run of the demonstration."""

    def __init__(self, report: Reporter, *, release: Release = DEFAULT_RELEASE, reveal: bool = False) -> None:
        """Tell the story to a reporter.

        Args:
            report: Called with each step as it happens.
            release: Whose messages and identifiers to use.
            reveal: Show keys instead of fingerprints.
        """
        self._report = report
        self._release = release
        self._reveal = reveal

    async def run(self) -> Association:
        """Tell the whole story; returns the association that Entity B ended with.

        Raises:
            ConfigurationError: A server process does not start.
            SecurityFrameworkError: A step failed.
        """
        with tempfile.TemporaryDirectory(prefix="m2msec-demo-") as directory:
            return await self._story(Path(directory))

    async def _story(self, directory: Path) -> Association:
        km_a, km_b = await self._provision(directory / "maf")
        arguments = ("maf", "serve", "--data", str(directory / "maf"), "--fqdn", str(MAF_ID))
        async with server(*arguments, errors=directory / "maf.log") as maf:
            entity_a = MafClient(MAF_ID, maf, local=ENTITY_A, km=km_a)
            entity_b = _Witness(MAF_ID, maf, local=ENTITY_B, km=km_b)
            entity_b.report, entity_b.show = self._report, self._shown
            try:
                kc = await self._obtain_kc(entity_a, directory / "maf")
                return await self._associate(kc, entity_b)
            finally:
                await entity_a.close()

    async def _provision(self, maf_data: Path) -> tuple[ResolvedKey, ResolvedKey]:
        km_a, km_b = (_random_km() for _ in range(2))
        async with await Store.open(maf_data) as store:
            await store.add(_client_record(km_a, ENTITY_A, (ENTITY_B,)))
            await store.add(_client_record(km_b, ENTITY_B, ()))
        self._tell(
            "8.2.2.3", A, MAF, "share a Master Credential", KmId=str(km_a.key_id), Km=self._shown(km_a.key)
        )
        return km_a, km_b

    async def _obtain_kc(self, entity_a: MafClient, maf_data: Path) -> ConnectionKey:
        self._tell("8.8.2.2", A, MAF, "MAF Handshake: TLS-PSK with KmId and Km")
        kc = await obtain_connection_key(entity_a, ENTITY_B, release=self._release)
        self._tell(
            "10.3.1", A, A, "export Kc and KcId", KcId=self._release.wire(kc.kc_id), Kc=self._shown(kc.kc)
        )
        async with await Store.open(maf_data) as store:
            record = await store.find(KeyKind.KC, kc.kc_id)
        if record is None or record.key != kc.kc:
            raise SecurityFrameworkError("the MAF does not hold the Kc that Entity A exported")
        self._tell("10.3.5", MAF, MAF, f"holds the same Kc, for {ENTITY_B} only", Kc=self._shown(record.key))
        return kc

    async def _associate(self, kc: ConnectionKey, maf_of_b: MafClient) -> Association:
        associations: list[Association] = []

        async def handle(request: Request, established: Established) -> Response:
            association = established.association
            if not associations:
                associations.append(association)
                self._tell_of(association)
            self._tell(
                "TS-0009",
                A,
                B,
                f"{request.operation.name} an AE (op={int(request.operation)}, ty={_AE_TYPE})",
                From=request.originator,
            )
            if not association.authenticates(request.originator):
                return Response(Rsc.ORIGINATOR_NOT_AUTHENTICATED)
            return Response(Rsc.CREATED, {"m2m:ae": {"aei": request.originator, **request.content["m2m:ae"]}})

        async with EntityB(ENTITY_B, mafs=[maf_of_b]) as entity_b:
            address = await entity_b.listen_requests(LOOPBACK, handle)
            self._tell("8.2.2.3", A, B, "TLS-PSK with KcId and Kc", psk_identity=self._release.wire(kc.kc_id))
            for originator, expected in (
                (ENTITY_A, Rsc.CREATED),
                (INTRUDER, Rsc.ORIGINATOR_NOT_AUTHENTICATED),
            ):
                rsc = await self._request(kc, address, originator)
                self._tell("7.2.1", B, A, rsc.name, RSC=str(int(rsc)))
                if rsc is not expected:
                    raise SecurityFrameworkError(f"{originator} was answered with {rsc.name}")
        return associations[0]

    async def _request(self, kc: ConnectionKey, address: Address, originator: EntityId) -> Rsc:
        """Ask Entity B to register an AE of this name, over a session that A's Kc made."""
        initiator = saef_maf.initiate(ENTITY_A, ENTITY_B, kc, release=self._release)
        client = HttpClient(dataclasses.replace(initiator, local=originator), address)
        content = {"m2m:ae": {"api": "N.demo.example.com", "rr": False, "srv": ["3"]}}
        try:
            response = await client.request(
                Operation.CREATE, (ENTITY_B.text.strip("/"),), content=content, resource_type=_AE_TYPE
            )
        finally:
            await client.close()
        return response.rsc

    def _tell_of(self, association: Association) -> None:
        expires = "" if association.expires is None else f"{association.expires:%Y-%m-%d %H:%M} UTC"
        self._tell(
            "8.2.1",
            B,
            A,
            "associated: each has proven itself to the other",
            peer=str(association.peer),
            suite=association.cipher_suite,
            until=expires,
        )

    def _tell(self, clause: str, sender: str, receiver: str, text: str, **facts: str) -> None:
        self._report(Step(clause, sender, receiver, text, facts))

    def _shown(self, key: Secret) -> str:
        return key.reveal().hex() if self._reveal else f"fingerprint {key.fingerprint}"


class _Witness(MafClient):
    """Entity B's client of the MAF, which tells when it is asked in the middle of a handshake."""

    report: Reporter
    show: Callable[[Secret], str]

    async def retrieve(self, kc_id: KeyIdentifier) -> ResolvedKey | None:
        self.report(
            Step("8.8.2.8", B, MAF, "in the middle of it: whose key is this?", {"KcId": kc_id.base64})
        )
        found = await super().retrieve(kc_id)
        if found is not None:
            facts = {"Kc": self.show(found.key), "IdA": str(found.peer)}
            self.report(Step("8.8.2.8", MAF, B, "Kc, its lifetime and IdA", facts))
        return found


def _random_km() -> ResolvedKey:
    km_id = KeyIdentifier.parse_km_id(f"demo-{secrets.token_hex(4)}@{MAF_ID}")
    return master_credential(km_id, Secret.generate())


def _client_record(km: ResolvedKey, client: EntityId, targets: tuple[EntityId, ...]) -> KeyRecord:
    return KeyRecord(KeyKind.KM, km.key_id, km.key, issued=datetime.now(UTC), source=client, targets=targets)


@contextlib.asynccontextmanager
async def server(*arguments: str, errors: Path, seconds: float = START_SECONDS) -> AsyncIterator[Address]:
    """Run one of our servers as a process of its own, on a free port of loopback; it ends with the block.

    Args:
        arguments: The ``m2msec`` command line, without ``--listen``.
        errors: Where its standard error goes.
        seconds: How long it may take to start.

    Yields:
        The address on which it listens.

    Raises:
        ConfigurationError: It did not start.
    """
    with errors.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "onem2m_security.cli",
            *arguments,
            "--listen",
            str(LOOPBACK),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield await _address_of(process, errors, seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _address_of(process: asyncio.subprocess.Process, errors: Path, seconds: float) -> Address:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    line = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
    listening = _LISTENING.search(line.decode(errors="replace"))
    if listening is None:
        told = errors.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigurationError(f"a server process did not start: {told[0][:300]}")
    return Address.parse(listening[1])

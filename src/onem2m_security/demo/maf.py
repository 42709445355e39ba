"""The demonstration: real server processes on loopback, and one story told step by step, clause by clause.

A device leaves the factory with one key, Kpm. With it it bootstraps at an MEF; a MAF fetches its Master
Credential from there in the middle of a handshake; through the MAF it obtains Kc, associates with a CSE and
registers there; somebody else who writes his own name into a request is refused (TS-0003 clauses 8.3.2.1,
8.2.2.3, 8.8.2, 7.2.1). MEF and MAF are processes of their own; Entity A and Entity B run here, through the
library that a developer imports. Nothing outlives the demonstration, and nothing in it is replayed.
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
from pathlib import Path

from ..association import Association
from ..clients.enrolee import Enrolee
from ..clients.entity_b import EntityB
from ..clients.maf import MafClient
from ..clock import CLOCK
from ..credentials import ResolvedKey, Secret
from ..errors import ConfigurationError, SecurityFrameworkError
from ..files import create
from ..frameworks import bootstrap_psk, maf_handshake, mef_handshake, saef_maf
from ..frameworks.instructions import BootstrapInstruction, enrolee_record, target_record
from ..frameworks.maf_handshake import ConnectionKey
from ..frameworks.steps import Established
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..net.address import Address
from ..net.http_client import HttpClient
from ..net.link import Link
from ..onem2m.paths import FETCH_CREDENTIALS
from ..onem2m.primitives import Operation, Request, Response, Rsc
from ..release import DEFAULT_RELEASE, Release
from ..store.records import KeyKind, KeyRecord
from ..store.store import Store

MEF_ID = Fqdn("mef.example.com")
MAF_ID = Fqdn("maf.example.com")
ENTITY_A = EntityId("//sp.example/in-cse/Cthermometer")
ENTITY_B = EntityId("//sp.example/in-cse")
INTRUDER = EntityId("//sp.example/in-cse/Cintruder")
LOOPBACK = Address("127.0.0.1", 0)

A, MEF, MAF, B = "Entity A", "MEF", "MAF", "Entity B"
LIFELINES = (A, MEF, MAF, B)

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
        self._instruction = BootstrapInstruction(ENTITY_A, (EntityId(str(MAF_ID)),), release=release)

    async def run(self) -> Association:
        """Tell the whole story; returns the association that Entity B ended with.

        Raises:
            ConfigurationError: A server process does not start.
            SecurityFrameworkError: A step failed.
        """
        with tempfile.TemporaryDirectory(prefix="m2msec-demo-") as directory:
            return await self._story(Path(directory))

    async def _story(self, directory: Path) -> Association:
        mef_data, maf_data = directory / "mef", directory / "maf"
        kpm, maf_key = await self._configure_mef(mef_data)
        km_b = await self._configure_maf(maf_data)
        key_file = directory / "maf-key"
        _write_secret(key_file, maf_key.key)
        async with contextlib.AsyncExitStack() as running:
            mef = await running.enter_async_context(
                server(*_arguments("mef", mef_data, MEF_ID), errors=directory / "mef.log")
            )
            at_mef = ("--mef", f"{MEF_ID}={mef}", "--mef-key-id", str(maf_key.key_id))
            policy = ("--mef-key-file", str(key_file), "--enrolee-target", str(ENTITY_B))
            maf = await running.enter_async_context(
                server(*_arguments("maf", maf_data, MAF_ID), *at_mef, *policy, errors=directory / "maf.log")
            )
            store = await running.enter_async_context(await Store.open(directory / "device"))
            enrolee = await self._bootstrap(store, kpm, mef, mef_data)
            entity_a = enrolee.maf_client(MAF_ID, Link(maf))
            running.push_async_callback(entity_a.close)
            kc = await self._obtain_kc(enrolee, entity_a, maf_data)
            entity_b = _Witness(MAF_ID, Link(maf), maf_handshake.initiate(ENTITY_B, MAF_ID, km_b))
            entity_b.report, entity_b.show = self._report, self._shown
            return await self._associate(kc, entity_b)

    async def _configure_mef(self, data: Path) -> tuple[ResolvedKey, ResolvedKey]:
        kpm = bootstrap_psk.credential(_new_id("device", MEF_ID), Secret.generate())
        maf_key = mef_handshake.credential(_new_id("maf", MEF_ID), Secret.generate())
        async with await Store.open(data) as store:
            await store.add(enrolee_record(kpm.key_id, kpm.key, self._instruction))
            await store.add(target_record(maf_key.key_id, maf_key.key, EntityId(str(MAF_ID))))
        self._tell(
            "8.3.2.1", A, MEF, "share a key from the factory", KpmId=str(kpm.key_id), Kpm=self._shown(kpm.key)
        )
        self._tell(
            "8.3.2.1",
            MEF,
            MEF,
            "is instructed what to provision the device for",
            **{"Enrolee-ID": str(ENTITY_A), "Enrolment Target": str(MAF_ID)},
        )
        return kpm, maf_key

    async def _configure_maf(self, data: Path) -> ResolvedKey:
        km_b = maf_handshake.credential(_new_id("cse", MAF_ID), Secret.generate())
        record = KeyRecord(KeyKind.KM, km_b.key_id, km_b.key, issued=CLOCK.now(), source=ENTITY_B)
        async with await Store.open(data) as store:
            await store.add(record)
        self._tell(
            "8.2.2.3", B, MAF, "share a Master Credential", KmId=str(km_b.key_id), Km=self._shown(km_b.key)
        )
        return km_b

    async def _bootstrap(self, store: Store, kpm: ResolvedKey, mef: Address, mef_data: Path) -> Enrolee:
        enrolee = await Enrolee.configure(
            store, kpm_id=kpm.key_id, kpm=kpm.key, instruction=self._instruction, link=Link(mef)
        )
        self._tell("8.3.2.1", A, MEF, "Bootstrap Security Handshake: TLS-PSK with KpmId and Kpm")
        key = await enrolee.enrol()
        self._tell(
            "10.3.1", A, A, "export Ke and KeId", KeId=self._release.wire(key.ke_id), Ke=self._shown(key.ke)
        )
        record = await _found(mef_data, KeyKind.KE, key.ke_id)
        if record is None or record.key != key.ke:
            raise SecurityFrameworkError("the MEF does not hold the Ke that the Enrolee exported")
        self._tell("10.3.4", MEF, MEF, "holds the same Ke", Ke=self._shown(record.key))
        return enrolee

    async def _obtain_kc(self, enrolee: Enrolee, entity_a: MafClient, maf_data: Path) -> ConnectionKey:
        km = await enrolee.master_credential(MAF_ID)
        derivation = "10.3.2" if self._release is Release.R1 else "10.3.7"
        self._tell(
            derivation, A, A, f"derive Km for {MAF_ID}", KmId=str(km.credential), Km=self._shown(km.key)
        )
        self._tell(
            "8.3.1.2",
            A,
            MAF,
            "MAF Handshake: TLS-PSK with KeId and Km",
            psk_identity=self._release.wire(km.key_id),
        )
        kc = await entity_a.connection_key(ENTITY_B, release=self._release)
        fetched = await _found(maf_data, KeyKind.KM, km.key_id)
        if fetched is None or fetched.key != km.key or fetched.key_id != km.credential:
            raise SecurityFrameworkError("the MAF did not fetch the Km that the Enrolee derived")
        path = "/" + "/".join((*FETCH_CREDENTIALS, "<KeID>", str(int(Suid.PROVISIONED_MAF))))
        self._tell("8.3.2.1", MAF, MEF, "in the middle of it: whose is this KeId?", GET=path)
        facts = {
            "KmId": str(fetched.key_id),
            "Km": self._shown(fetched.key),
            "Enrolee-ID": str(fetched.source),
        }
        self._tell("8.3.2.1", MEF, MAF, "Km, its lifetime and the Enrolee-ID", **facts)
        self._tell(
            "10.3.1", A, A, "export Kc and KcId", KcId=self._release.wire(kc.kc_id), Kc=self._shown(kc.kc)
        )
        record = await _found(maf_data, KeyKind.KC, kc.kc_id)
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
        client = HttpClient(Link(address), dataclasses.replace(initiator, local=originator))
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


def _new_id(name: str, issuer: Fqdn) -> KeyIdentifier:
    return KeyIdentifier(f"{name}-{secrets.token_hex(4)}", issuer)


def _write_secret(path: Path, key: Secret) -> None:
    create(path, key.reveal().hex().encode())


def _arguments(function: str, data: Path, fqdn: Fqdn) -> tuple[str, ...]:
    return (function, "serve", "--data", str(data), "--fqdn", str(fqdn))


async def _found(data: Path, kind: KeyKind, key_id: KeyIdentifier) -> KeyRecord | None:
    """What a server process has made durable."""
    async with await Store.open(data) as store:
        return await store.find(kind, key_id)


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
    async with process(*arguments, "--listen", str(LOOPBACK), errors=errors, seconds=seconds) as [address]:
        yield address


@contextlib.asynccontextmanager
async def process(
    *arguments: str, errors: Path, ports: int = 1, seconds: float = START_SECONDS
) -> AsyncIterator[list[Address]]:
    """Run a command that listens on so many ports as a process of its own; it ends with the block.

    Args:
        arguments: The ``m2msec`` command line.
        errors: Where its standard error goes.
        ports: On how many ports it listens.
        seconds: How long it may take to start.

    Yields:
        The addresses on which it listens, in the order in which it names them.

    Raises:
        ConfigurationError: It did not start.
    """
    with errors.open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "onem2m_security.cli",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield [await _address_of(started, errors, seconds) for _ in range(ports)]
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.send_signal(signal.SIGTERM)
        await started.wait()


async def _address_of(process: asyncio.subprocess.Process, errors: Path, seconds: float) -> Address:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    line = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
    listening = _LISTENING.search(line.decode(errors="replace"))
    if listening is None:
        raise ConfigurationError(f"a server process did not start: {_last_line(errors)}")
    return Address.parse(listening[1])


def _last_line(file: Path) -> str:
    return next(iter(file.read_text(errors="replace").strip().splitlines()[-1:]), "it said nothing")[:300]

"""``m2msec connect`` and ``m2msec listen``: to the frameworks what s_client and s_server are to TLS."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import operator
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..association import Association, PeerProof
from ..certificates.verified_peer import VerifiedPeer
from ..clients.entity_a import associate
from ..clients.entity_b import EntityB
from ..errors import ConfigurationError
from ..frameworks.resolvers import REMEMBERED
from ..frameworks.steps import Established
from ..identifiers import EntityId, Fqdn
from ..net.address import Address
from ..net.channel import Channel
from ..net.descriptors import raise_open_files
from ..net.link import Link
from ..release import DEFAULT_RELEASE
from ..servers.run import run, until_signalled
from .common import (
    ListenOption,
    ReleaseOption,
    RememberOption,
    entity_parser,
    log_to_stderr,
    parsed,
)
from .options.certificates import AcceptingCertificateOptions, CertificateOptions
from .options.credentials import (
    Aim,
    Being,
    CredentialOptions,
    MafOptions,
    PartOptions,
    Parts,
    ReportOptions,
    SessionOptions,
    the_given,
)
from .options.enrolled import EnrolledOptions
from .options.gba import GbaOptions, NafOptions
from .options.grouping import OptionGroup, grouped, without
from .options.keys import KEYS, KmOptions, KpsaOptions
from .options.mefs import MefOptions
from .standard_input import standard_input


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoOptions(OptionGroup):
    """Who Entity A is, and how it proves it."""

    entity: Annotated[
        EntityId | None,
        parsed(
            entity_parser,
            "--entity",
            metavar="IDA",
            help="Our own CSE-ID or AE-ID; default: from KmId or KpsaId.",
        ),
    ] = None
    maf: MafOptions
    km: KmOptions
    kpsa: Annotated[KpsaOptions, without("kpsa_peer")]
    enrolled: EnrolledOptions
    certificates: Annotated[CertificateOptions, without("associations")]
    gba: GbaOptions
    server_name: Annotated[
        Fqdn | None,
        parsed(Fqdn.parse, "--server-name", metavar="FQDN", help="SNI host name to send to Entity B."),
    ] = None
    release: ReleaseOption = DEFAULT_RELEASE

    @property
    def kinds(self) -> tuple[CredentialOptions, ...]:
        """By what it may prove it."""
        return (self.enrolled, self.gba, self.certificates, self.km, self.kpsa)

    @property
    def given(self) -> bool:
        """Whether anything was said about it."""
        return self.maf.maf is not None or any(kind.are_given for kind in self.kinds)

    async def associate(self, peer: EntityId, link: Link) -> Channel:
        """Associate with Entity B by the one credential that was given.

        Raises:
            ConfigurationError: None was given, or several, or its options cannot be used.
            HandshakeError: Somebody cannot be reached, or refuses us.
        """
        credential = the_given(self.kinds, nothing=KEYS)
        async with contextlib.AsyncExitStack() as running:
            aim = Aim(peer, self.entity, link, self.maf, self.release, self.server_name, running)
            return await associate(link, await credential.how(aim))


def _as_described(config: Path, peer: str, others: object) -> Awaitable[Channel]:
    """The association with a peer of a configuration file."""
    # pydantic takes long to load: only who has such a file waits for it.
    from ..configuration.description import Description  # noqa: PLC0415

    if others:
        raise ConfigurationError("--config says whom we meet and how: leave out the others")
    return Description.read(config).associate(EntityId.parse(peer))


def _named(address: str, peer: EntityId | None, session: SessionOptions) -> tuple[EntityId, Link]:
    """Who Entity B is and the way to it, without a configuration file."""
    if peer is None:
        raise ConfigurationError("give --peer IDB: whom we mean to reach; or --config FILE with this peer")
    return peer, session.link(Address.parse(address))


@grouped
def connect(
    where: Annotated[
        str, typer.Argument(metavar="HOST:PORT|IDB", help="Entity B; with --config, by its identity.")
    ],
    who: WhoOptions,
    session: SessionOptions,
    report: ReportOptions,
    peer: Annotated[
        EntityId | None, parsed(entity_parser, "--peer", metavar="IDB", help="Entity B's CSE-ID.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The configuration, in TOML, that has this peer."),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for answers after input ends.")
    ] = 1.0,
) -> None:
    """Be Entity A: associate with Entity B, then carry standard input and output through the session.

    With --config the file says where Entity B is and how we prove ourselves: m2msec connect /in-cse --config
    device.toml. Without it
    give --maf, --km-id and --km-file for the MAF-based framework, --kpsa-id and --kpsa-file for a provisioned
    key, --credentials for what m2msec enrol keeps, or --entity, --cert, --key and what Entity B's certificate
    must prove: --peer-name and --root-of-trust, or --flavour, --peer-id and --trust-anchor, or --entity,
    --card and --bsf for GBA (with --maf and --maf-id: through a MAF). With --json the first line of output is
    the association; otherwise it goes to standard error.
    """
    log_to_stderr(verbose=report.verbose)

    async def main() -> None:
        if config is None:
            channel = await who.associate(*_named(where, peer, session))
        else:
            channel = await _as_described(config, where, peer or who.entity or who.given)
        _report(channel.established, as_json=report.as_json)
        await _carry(channel, wait)

    run(main())


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions(OptionGroup):
    """By what an Entity B lets others prove themselves."""

    maf: MafOptions
    certificates: AcceptingCertificateOptions
    kpsa: KpsaOptions
    km: KmOptions
    mefs: MefOptions
    bsfs: NafOptions

    def parts(self, local: EntityId, link: Link) -> Parts:
        """All that was given.

        Raises:
            ConfigurationError: Nothing was, or options of it are missing.
        """
        being = Being(local, self.maf, link)
        kinds: tuple[PartOptions, ...] = (self.certificates, self.kpsa, self.km, self.mefs, self.bsfs)
        parts = functools.reduce(operator.or_, (kind.parts(being) for kind in kinds))
        if not parts.accept_somebody:
            raise ConfigurationError(
                "nobody could associate: give --maf, --km-id, --km-file, or --kpsa-id, --kpsa-file, or --mef "
                "or --bsf with its options, or --cert, --key and whose certificates to accept"
            )
        return parts


@grouped
def listen(
    listen: ListenOption,
    cse_id: Annotated[EntityId, parsed(entity_parser, "--cse-id", metavar="IDB", help="Our own CSE-ID.")],
    sources: SourceOptions,
    session: SessionOptions,
    report: ReportOptions,
    remember: RememberOption = REMEMBERED,
    once: Annotated[bool, typer.Option("--once", help="End after the first association.")] = False,
) -> None:
    """Be Entity B: accept associations, and carry standard input and output through the newest session.

    Give --maf, --km-id and --km-file to retrieve Kc from a MAF, --mef, --mef-key-id and --mef-key-file to
    fetch Kpsa of an Enrolee from an MEF, --bsf, --bsf-key-id and --bsf-key-file (and --naf) to fetch keys of
    subscribers from a BSF, --kpsa-id and --kpsa-file for a provisioned key, --cert and --key
    with whose certificates to accept (one peer by options, many by --associations), or several of these: one
    port serves all. Prints one line to standard error when it accepts clients. With --json each association
    is a line of output; otherwise it goes to standard error.
    """
    log_to_stderr(verbose=report.verbose)
    link = session.link(listen)
    parts = sources.parts(cse_id, link)
    raise_open_files()
    entity_b = EntityB(
        cse_id,
        keys=parts.keys,
        mafs=parts.mafs,
        mefs=parts.mefs,
        bsfs=parts.bsfs,
        endpoint=parts.endpoint,
        remembered=remember,
        limits=session.limits,
    )
    run(_accept(entity_b, link, once=once, as_json=report.as_json))


async def _accept(entity_b: EntityB, link: Link, *, once: bool, as_json: bool) -> None:
    """Accept and carry until a signal or, if only one association is wanted, until its end."""
    finished = asyncio.Event()
    newest: list[Channel] = []

    async def accepted(channel: Channel) -> None:
        _report(channel.established, as_json=as_json)
        newest[:] = [channel]
        with contextlib.suppress(OSError):
            while data := await channel.read():
                _write(data)
        finished.set()

    async with entity_b:
        bound = await entity_b.listen(link.address, accepted, transport=link.transport)
        over = link.transport.value.upper()
        print(f"{entity_b.acceptor.local} listening on {bound} ({over})", file=sys.stderr, flush=True)
        forwarding = asyncio.create_task(_forward_to(newest))
        signalled = asyncio.create_task(until_signalled())
        ends = [signalled, asyncio.create_task(finished.wait())] if once else [signalled]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (forwarding, *ends):
            task.cancel()


def _report(established: Established, *, as_json: bool) -> None:
    association, proven = established.association, established.credential
    matched = {}
    if isinstance(proven, VerifiedPeer):
        matched = {"configuration": proven.configuration.description, "certificate": proven.fingerprint}
    if as_json:
        print(json.dumps(association.as_dict() | matched), flush=True)
        return
    until = "" if association.expires is None else f", until {association.expires.isoformat()}"
    print(
        f"associated with {_peer(association)} by {association.framework.value} "
        f"({association.protocol}, {association.cipher_suite}){until}"
        + "".join(f", {name}: {value}" for name, value in matched.items())
        + _allowed(association.allowed_ae_ids),
        file=sys.stderr,
        flush=True,
    )


def _peer(association: Association) -> str:
    if association.peer is None:
        return str(association.credential_id)
    proven = association.peer_proof is PeerProof.AUTHENTICATED
    return f"{association.peer}{'' if proven else ' (as configured: the MAF did not say so)'}"


def _allowed(ae_ids: tuple[EntityId, ...]) -> str:
    return f", for {' '.join(map(str, ae_ids))}" if ae_ids else ""


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def _carry(channel: Channel, wait: float) -> None:
    """Standard input to the peer, the peer to standard output, until either ends."""

    async def outward() -> None:
        source = await standard_input()
        while data := await source.read(channel.max_write):
            await channel.write(data)

    async def inward() -> None:
        while data := await channel.read():
            _write(data)

    sending, receiving = asyncio.create_task(outward()), asyncio.create_task(inward())
    await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
    if not receiving.done():
        await asyncio.wait([receiving], timeout=wait)
    for task in (sending, receiving):
        task.cancel()
    await channel.close()
    for task in (sending, receiving):
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _forward_to(newest: list[Channel]) -> None:
    source = await standard_input()
    while data := await source.read(newest[0].max_write if newest else 1024):
        if newest and not newest[0].closing:
            for start in range(0, len(data), newest[0].max_write):
                await newest[0].write(data[start : start + newest[0].max_write])

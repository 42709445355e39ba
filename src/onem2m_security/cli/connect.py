"""``m2msec connect`` and ``m2msec listen``: to the frameworks what s_client and s_server are to TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

import typer

from ..association import Association, PeerProof
from ..certificates.verification import VerifiedPeer
from ..clients.entity_a import associate
from ..clients.entity_b import EntityB
from ..clients.maf import MafClient
from ..configuration.key_files import read_key
from ..credentials import ResolvedKey
from ..errors import ConfigurationError
from ..frameworks import maf_handshake, saef_certificate, saef_psk
from ..frameworks.steps import REMEMBERED, Established
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.channel import Channel
from ..net.descriptors import raise_open_files
from ..net.limits import Limits
from ..net.link import Link
from ..release import DEFAULT_RELEASE
from ..servers.run import run, until_signalled
from ..tls.framing import DEFAULT_MTU
from .bsf_options import (
    BsfDiameterOption,
    BsfKeyFilesOption,
    BsfKeyIdsOption,
    BsfOption,
    BsfsOption,
    CardOption,
    GbaKpsaOption,
    GbaOptions,
    NafKeyOption,
    NafOption,
    SuiteOption,
    naf_clients,
)
from .certificate_options import (
    AssociationsOption,
    CertificateOptions,
    CertOption,
    CrlOption,
    FlavourOption,
    KeyOption,
    MafIdOption,
    MafTrustAnchorOption,
    PeerIdOption,
    PeerNameOption,
    RequireCrlOption,
    RootCertificateOption,
    RootOfTrustOption,
    TrustAnchorOption,
)
from .common import (
    JsonOption,
    KmFileOption,
    KmIdOption,
    KpsaFileOption,
    KpsaIdOption,
    ListenOption,
    MafOption,
    MtuOption,
    ReleaseOption,
    RememberOption,
    TransportOption,
    VerboseOption,
    entity_parser,
    log_to_stderr,
    parsed,
)
from .enrol import CredentialsOption, associate_enrolled, check_alone
from .mef_options import MefKeyFilesOption, MefKeyIdsOption, MefsOption, mef_clients

TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for a handshake.")]


def _as_described(config: Path, peer: str, *others: object) -> Awaitable[Channel]:
    """The association with a peer of a configuration file."""
    # pydantic takes long to load: only who has such a file waits for it.
    from ..configuration.description import Description  # noqa: PLC0415

    if any(others):
        raise ConfigurationError("--config says whom we meet and how: leave out the others")
    return Description.read(config).associate(EntityId.parse(peer))


def _shown_by_certificate(entity: EntityId | None, *keys: object) -> EntityId:
    """The identity that we assume with a certificate."""
    if any(keys):
        raise ConfigurationError("give a certificate or a key to authenticate us by, not both")
    if entity is None:
        raise ConfigurationError("--entity ID is missing: which identity we assume")
    return entity


def _named(address: str, peer: EntityId | None) -> tuple[Address, EntityId]:
    """Where Entity B is and who it is, without a configuration file."""
    if peer is None:
        raise ConfigurationError("give --peer IDB: whom we mean to reach; or --config FILE with this peer")
    return Address.parse(address), peer


def connect(
    where: Annotated[
        str, typer.Argument(metavar="HOST:PORT|IDB", help="Entity B; with --config, by its identity.")
    ],
    peer: Annotated[
        EntityId | None, parsed(entity_parser, "--peer", metavar="IDB", help="Entity B's CSE-ID.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The configuration, in TOML, that has this peer."),
    ] = None,
    entity: Annotated[
        EntityId | None,
        parsed(
            entity_parser,
            "--entity",
            metavar="IDA",
            help="Our own CSE-ID or AE-ID; default: from KmId or KpsaId.",
        ),
    ] = None,
    maf: MafOption = None,
    km_id: KmIdOption = None,
    km_file: KmFileOption = None,
    kpsa_id: KpsaIdOption = None,
    kpsa_file: KpsaFileOption = None,
    credentials: CredentialsOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    peer_name: PeerNameOption = None,
    root_of_trust: RootOfTrustOption = None,
    root_certificate: RootCertificateOption = None,
    flavour: FlavourOption = None,
    peer_id: PeerIdOption = None,
    trust_anchor: TrustAnchorOption = None,
    crl: CrlOption = None,
    require_crl: RequireCrlOption = False,
    maf_id: MafIdOption = None,
    maf_trust_anchor: MafTrustAnchorOption = None,
    card: CardOption = None,
    bsf: BsfOption = None,
    naf: NafOption = None,
    naf_key: NafKeyOption = None,
    suite: SuiteOption = None,
    gba_kpsa: GbaKpsaOption = False,
    server_name: Annotated[
        Fqdn | None,
        parsed(Fqdn.parse, "--server-name", metavar="FQDN", help="SNI host name to send to Entity B."),
    ] = None,
    release: ReleaseOption = DEFAULT_RELEASE,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for answers after input ends.")
    ] = 1.0,
    timeout: TimeoutOption = 10.0,
    transport: TransportOption = Transport.TLS,
    mtu: MtuOption = DEFAULT_MTU,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
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
    log_to_stderr(verbose=verbose)
    if config is not None:
        others = (peer, entity, maf, km_id, kpsa_id, credentials, cert, card, bsf)
        run(_associate_and_carry(_as_described(config, where, *others), wait, as_json=as_json))
        return
    address, peer = _named(where, peer)
    limits = Limits(handshake_seconds=timeout, datagram_octets=mtu)
    certificates = CertificateOptions(
        cert=cert,
        key=key,
        peer_name=peer_name,
        root_of_trust=root_of_trust,
        root_certificate=root_certificate,
        flavour=flavour,
        peer_id=peer_id,
        trust_anchor=trust_anchor,
        crl=crl,
        require_crl=require_crl,
    )
    link = Link(address, transport, limits)
    if credentials is not None:
        check_alone(km_id, km_file, kpsa_id, kpsa_file, entity, cert, key)
        enrolled = associate_enrolled(
            link, credentials, peer=peer, maf=maf, maf_id=maf_id, server_name=server_name
        )
        run(_associate_and_carry(enrolled, wait, as_json=as_json))
        return
    gba = GbaOptions(card, bsf, naf, naf_key, suite, gba_kpsa)
    if gba.are_given:
        by_gba = gba.associate(
            link,
            local=gba.local(entity, km_id, km_file, kpsa_id, kpsa_file, cert, key),
            peer=peer,
            maf=maf,
            maf_id=maf_id,
            release=release,
            server_name=server_name,
        )
        run(_associate_and_carry(by_gba, wait, as_json=as_json))
        return
    if certificates.are_given:
        local = _shown_by_certificate(entity, km_id, km_file, kpsa_id, kpsa_file)
    else:
        key_id, shared = _credential(km_id, km_file, kpsa_id, kpsa_file)
        local = entity or EntityId.parse(key_id.relative)

    async def main() -> None:
        if certificates.are_given and maf is None:
            channel = await associate(
                link,
                saef_certificate.initiate(
                    local,
                    certificates.certificate(),
                    certificates.configuration(peer),
                    release=release,
                    crls=certificates.crls(),
                    require_crl=require_crl,
                    server_name=server_name,
                ),
            )
        elif kpsa_id is not None:
            kpsa = saef_psk.credential(key_id, shared.key, peer=peer)
            channel = await associate(link, saef_psk.initiate(local, peer, kpsa, server_name=server_name))
        else:
            if certificates.are_given:
                client = certificates.maf_client(
                    maf, maf_id, maf_trust_anchor, local=local, transport=transport, limits=limits
                )
            else:
                client = _maf_client(maf, shared, local, transport, limits)
            how = client.initiator(peer, release=release, server_name=server_name)
            channel = await associate(link, how)
            await client.close()
        _report(channel.established, as_json=as_json)
        await _carry(channel, wait)

    run(main())


async def _associate_and_carry(associating: Awaitable[Channel], wait: float, *, as_json: bool) -> None:
    channel = await associating
    _report(channel.established, as_json=as_json)
    await _carry(channel, wait)


def listen(
    listen: ListenOption,
    cse_id: Annotated[EntityId, parsed(entity_parser, "--cse-id", metavar="IDB", help="Our own CSE-ID.")],
    maf: MafOption = None,
    km_id: KmIdOption = None,
    km_file: KmFileOption = None,
    kpsa_id: KpsaIdOption = None,
    kpsa_file: KpsaFileOption = None,
    kpsa_peer: Annotated[
        EntityId | None,
        parsed(entity_parser, "--kpsa-peer", metavar="IDA", help="Whom the provisioned key authenticates."),
    ] = None,
    peer: Annotated[
        EntityId | None,
        parsed(entity_parser, "--peer", metavar="IDA", help="Whom the peer's certificate authenticates."),
    ] = None,
    mef: MefsOption = None,
    mef_key_id: MefKeyIdsOption = None,
    mef_key_file: MefKeyFilesOption = None,
    associations: AssociationsOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    peer_name: PeerNameOption = None,
    root_of_trust: RootOfTrustOption = None,
    root_certificate: RootCertificateOption = None,
    flavour: FlavourOption = None,
    peer_id: PeerIdOption = None,
    trust_anchor: TrustAnchorOption = None,
    crl: CrlOption = None,
    require_crl: RequireCrlOption = False,
    maf_id: MafIdOption = None,
    maf_trust_anchor: MafTrustAnchorOption = None,
    bsf: BsfsOption = None,
    bsf_key_id: BsfKeyIdsOption = None,
    bsf_key_file: BsfKeyFilesOption = None,
    bsf_diameter: BsfDiameterOption = False,
    naf: NafOption = None,
    remember: RememberOption = REMEMBERED,
    once: Annotated[bool, typer.Option("--once", help="End after the first association.")] = False,
    timeout: TimeoutOption = 10.0,
    transport: TransportOption = Transport.TLS,
    mtu: MtuOption = DEFAULT_MTU,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Be Entity B: accept associations, and carry standard input and output through the newest session.

    Give --maf, --km-id and --km-file to retrieve Kc from a MAF, --mef, --mef-key-id and --mef-key-file to
    fetch Kpsa of an Enrolee from an MEF, --bsf, --bsf-key-id and --bsf-key-file (and --naf) to fetch keys of
    subscribers from a BSF, --kpsa-id and --kpsa-file for a provisioned key, --cert and --key
    with whose certificates to accept (one peer by options, many by --associations), or several of these: one
    port serves all. Prints one line to standard error when it accepts clients. With --json each association
    is a line of output; otherwise it goes to standard error.
    """
    log_to_stderr(verbose=verbose)
    limits = Limits(handshake_seconds=timeout, datagram_octets=mtu)
    keys, mafs = [], []
    certificates = CertificateOptions(
        cert=cert,
        key=key,
        peer_name=peer_name,
        root_of_trust=root_of_trust,
        root_certificate=root_certificate,
        flavour=flavour,
        peer_id=peer_id,
        trust_anchor=trust_anchor,
        associations=associations,
        crl=crl,
        require_crl=require_crl,
    )
    endpoint = certificates.accepting_endpoint(peer) if certificates.describe_peer or maf_id is None else None
    if maf_id is not None or maf_trust_anchor is not None:
        mafs.append(
            certificates.maf_client(
                maf, maf_id, maf_trust_anchor, local=cse_id, transport=transport, limits=limits
            )
        )
    if kpsa_id is not None or kpsa_file is not None:
        key_id, shared = _credential(None, None, kpsa_id, kpsa_file)
        keys.append(saef_psk.credential(key_id, shared.key, peer=kpsa_peer))
    if km_id is not None or km_file is not None:
        mafs.append(_maf_client(maf, _credential(km_id, km_file, None, None)[1], cse_id, transport, limits))
    mefs = mef_clients(cse_id, mef, mef_key_id, mef_key_file, transport=transport, limits=limits)
    bsfs = naf_clients(
        cse_id,
        naf,
        bsf,
        bsf_key_id,
        bsf_key_file,
        diameter=bsf_diameter,
        transport=transport,
        limits=limits,
    )
    if not keys and not mafs and not mefs and not bsfs and endpoint is None:
        raise ConfigurationError(
            "nobody could associate: give --maf, --km-id, --km-file, or --kpsa-id, --kpsa-file, or --mef "
            "or --bsf with its options, or --cert, --key and whose certificates to accept"
        )

    raise_open_files()

    async def main() -> None:
        finished = asyncio.Event()
        newest: list[Channel] = []

        async def accepted(channel: Channel) -> None:
            _report(channel.established, as_json=as_json)
            newest[:] = [channel]
            with contextlib.suppress(OSError):
                while data := await channel.read():
                    _write(data)
            finished.set()

        async with EntityB(
            cse_id,
            keys=keys,
            mafs=mafs,
            mefs=mefs,
            bsfs=bsfs,
            endpoint=endpoint,
            remembered=remember,
            limits=limits,
        ) as entity_b:
            bound = await entity_b.listen(listen, accepted, transport=transport)
            print(f"{cse_id} listening on {bound} ({transport.value.upper()})", file=sys.stderr, flush=True)
            forwarding = asyncio.create_task(_forward_to(newest))
            signalled = asyncio.create_task(until_signalled())
            ends = [signalled, asyncio.create_task(finished.wait())] if once else [signalled]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (forwarding, *ends):
                task.cancel()

    run(main())


def _credential(
    km_id: KeyIdentifier | None, km_file: str | None, kpsa_id: KeyIdentifier | None, kpsa_file: str | None
) -> tuple[KeyIdentifier, ResolvedKey]:
    """The one key that the options name."""
    if kpsa_id is not None and kpsa_file is not None and km_id is None:
        return kpsa_id, saef_psk.credential(kpsa_id, read_key(kpsa_file))
    if km_id is not None and km_file is not None and kpsa_id is None:
        return km_id, maf_handshake.credential(km_id, read_key(km_file))
    raise ConfigurationError("give --km-id with --km-file (and --maf), or --kpsa-id with --kpsa-file")


def _maf_client(
    maf: Address | None, km: ResolvedKey, local: EntityId, transport: Transport, limits: Limits
) -> MafClient:
    """The MAF that the KmId names, at the address of --maf."""
    if maf is None:
        raise ConfigurationError("--maf HOST:PORT is missing: where the MAF of --km-id listens")
    how = maf_handshake.initiate(local, km.key_id.fqdn, km)
    return MafClient(km.key_id.fqdn, Link(maf, transport, limits), how)


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


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or sys.stdin.isatty():
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin.buffer)
    else:  # a plain file cannot be waited for: it is there already
        reader.feed_data(await asyncio.to_thread(sys.stdin.buffer.read))
        reader.feed_eof()
    return reader


async def _carry(channel: Channel, wait: float) -> None:
    """Standard input to the peer, the peer to standard output, until either ends."""

    async def outward() -> None:
        source = await _standard_input()
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
    source = await _standard_input()
    while data := await source.read(newest[0].max_write if newest else 1024):
        if newest and not newest[0].closing:
            for start in range(0, len(data), newest[0].max_write):
                await newest[0].write(data[start : start + newest[0].max_write])

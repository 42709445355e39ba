"""``m2msec enrol``: be an Enrolee, and keep its credentials for ``m2msec connect --credentials``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..certificates.flavours import Flavour
from ..clients.enrolee import Enrolee
from ..clients.entity_a import associate
from ..configuration.key_files import KEY_FORMAT, read_key
from ..errors import ConfigurationError
from ..frameworks import bootstrap_certificate
from ..frameworks.bootstrap_psk import EnrolmentKey
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY, BootstrapInstruction
from ..identifiers import EntityId, EntityKind, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.channel import Channel
from ..net.limits import Limits
from ..net.link import Link
from ..release import DEFAULT_RELEASE
from ..servers.run import run
from ..tls.framing import DEFAULT_MTU
from .certificate_options import (
    CertificateOptions,
    CertOption,
    CrlOption,
    KeyOption,
    PeerNameOption,
    RequireCrlOption,
    RootCertificateOption,
    RootOfTrustOption,
    TrustAnchorOption,
)
from .common import (
    DataOption,
    JsonOption,
    MtuOption,
    ReleaseOption,
    RevealOption,
    TransportOption,
    VerboseOption,
    entity_parser,
    log_to_stderr,
    open_store,
    parsed,
)
from .mef import ExpiryOption


def enrol(
    data: DataOption,
    mef: Annotated[
        Address | None, typer.Argument(parser=Address.parse, metavar="HOST:PORT", help="The MEF of --kpm-id.")
    ] = None,
    kpm_id: Annotated[
        KeyIdentifier | None,
        parsed(
            KeyIdentifier.parse,
            "--kpm-id",
            metavar="KPMID",
            help="Pre-Provisioned Symmetric Enrolee Key Identifier: relative@MEF-FQDN.",
        ),
    ] = None,
    kpm_file: Annotated[
        str | None, typer.Option("--kpm-file", metavar="FILE|-", help=f"Kpm: {KEY_FORMAT}.")
    ] = None,
    mef_id: Annotated[
        Fqdn | None,
        parsed(Fqdn.parse, "--mef-id", metavar="FQDN", help="The MEF-ID, to meet the MEF by --cert."),
    ] = None,
    cert: CertOption = None,
    key: KeyOption = None,
    peer_name: PeerNameOption = None,
    root_of_trust: RootOfTrustOption = None,
    root_certificate: RootCertificateOption = None,
    trust_anchor: TrustAnchorOption = None,
    crl: CrlOption = None,
    require_crl: RequireCrlOption = False,
    enrolee_id: Annotated[
        EntityId | None,
        parsed(entity_parser, "--enrolee-id", metavar="ID", help="Our own CSE-ID or AE-ID."),
    ] = None,
    target: Annotated[
        list[EntityId] | None,
        parsed(
            entity_parser,
            "--target",
            metavar="ID",
            help="An Enrolment Target, a MAF-ID, CSE-ID or AE-ID; repeat for several.",
        ),
    ] = None,
    expires_in: ExpiryOption = DEFAULT_ENROLMENT_EXPIRY,
    release: ReleaseOption = DEFAULT_RELEASE,
    transport: TransportOption = Transport.TLS,
    mtu: MtuOption = DEFAULT_MTU,
    as_json: JsonOption = False,
    reveal: RevealOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Be an Enrolee: bootstrap with an MEF and keep Ke, sealed, in the data directory.

    The first time, give HOST:PORT, --kpm-id, --kpm-file, --enrolee-id and --target. Afterwards --data alone
    bootstraps again; the earlier Ke is refused once the new one is used, or a day later. With a certificate,
    give each time HOST:PORT, --mef-id, --cert, --key, --enrolee-id, --target and what the MEF's certificate
    must prove: --trust-anchor (its FQDN certificate, Release 3), or --peer-name and --root-of-trust
    (Release 1).
    """
    log_to_stderr(verbose=verbose)
    certificates = CertificateOptions(
        cert=cert,
        key=key,
        peer_name=peer_name,
        root_of_trust=root_of_trust,
        root_certificate=root_certificate,
        flavour=None if trust_anchor is None else Flavour.FQDN.value,
        peer_id=None if trust_anchor is None or mef_id is None else str(mef_id),
        trust_anchor=trust_anchor,
        crl=crl,
        require_crl=require_crl,
    )
    given = (mef, kpm_id, kpm_file, enrolee_id, target)
    limits = Limits(datagram_octets=mtu)
    kpm = None if kpm_file is None else read_key(kpm_file)

    async def main() -> None:
        async with await open_store(data, make=certificates.are_given or any(given)) as store:
            if certificates.are_given or mef_id is not None:
                if mef is None or mef_id is None or enrolee_id is None or not target or kpm_id or kpm_file:
                    raise ConfigurationError(
                        "to enrol by certificate give HOST:PORT, --mef-id, --cert, --key, --enrolee-id and "
                        "--target, and no Kpm"
                    )
                certificate = certificates.certificate()
                initiator = bootstrap_certificate.initiate(
                    enrolee_id,
                    mef_id,
                    certificate,
                    certificates.configuration(EntityId(str(mef_id))),
                    release=release,
                    crls=certificates.crls(),
                    require_crl=require_crl,
                )
                enrolee = await Enrolee.with_certificate(
                    store,
                    initiator=initiator,
                    instruction=BootstrapInstruction(enrolee_id, tuple(target), expires_in, release),
                    ends=certificate.expires,
                    link=Link(mef, transport, limits),
                )
            elif not any(given):
                enrolee = await Enrolee.load(store, limits=limits)
            elif mef is None or kpm_id is None or kpm is None or enrolee_id is None or not target:
                raise ConfigurationError(
                    "give HOST:PORT, --kpm-id, --kpm-file, --enrolee-id and --target, or --data alone"
                )
            else:
                instruction = BootstrapInstruction(enrolee_id, tuple(target), expires_in, release)
                enrolee = await Enrolee.configure(
                    store,
                    kpm_id=kpm_id,
                    kpm=kpm,
                    instruction=instruction,
                    link=Link(mef, transport, limits),
                )
            _print(enrolee, await enrolee.enrol(), as_json=as_json, reveal=reveal)

    run(main())


def _print(enrolee: Enrolee, key: EnrolmentKey, *, as_json: bool, reveal: bool) -> None:
    shown = enrolee.release.wire(key.ke_id)
    credentials = [_credential(enrolee, key, target, reveal=reveal) for target in enrolee.targets]
    if as_json:
        row: dict[str, Any] = {
            "enrolee": str(enrolee.local),
            "mef": str(enrolee.mef),
            "ke_id": shown,
            "relative_ke_id": key.ke_id.relative,
            "expires": None if key.expires is None else key.expires.isoformat(),
            "fingerprint": key.ke.fingerprint,
            "credentials": credentials,
        }
        if reveal:
            row["ke"] = key.ke.reveal().hex()
        print(json.dumps(row, indent=2))
        return
    until = "" if key.expires is None else f" until {key.expires.isoformat()}"
    print(f"{enrolee.local} is enrolled with {enrolee.mef}{until}")
    print(f"KeId {shown} (fingerprint {key.ke.fingerprint})")
    for credential in credentials:
        print("  " + ", ".join(f"{name} {value}" for name, value in credential.items()))


def _credential(enrolee: Enrolee, key: EnrolmentKey, target: EntityId, *, reveal: bool) -> dict[str, str]:
    """What is derived from Ke for one Enrolment Target."""
    if target.kind is EntityKind.FUNCTION:
        derived = key.master_credential(enrolee.release, Fqdn(target.text))
        row = {
            "target": str(target),
            "km_id": str(derived.credential),
            "fingerprint": derived.key.fingerprint,
        }
    else:
        derived = key.provisioned_key(enrolee.release, target)
        row = {"target": str(target), "fingerprint": derived.key.fingerprint}
    return row | {"key": derived.key.reveal().hex()} if reveal else row


CredentialsOption = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        metavar="DIR",
        help="Use what m2msec enrol keeps in this directory: Kpsa if IdB is an Enrolment Target, else Km.",
    ),
]


def check_alone(*others: object) -> None:
    """Refuse other options that say who we are, beside --credentials.

    Raises:
        ConfigurationError: One is given.
    """
    if any(others):
        raise ConfigurationError("--credentials says who we are and by which key: leave out the others")


async def associate_enrolled(
    link: Link,
    credentials: Path,
    *,
    peer: EntityId,
    maf: Address | None,
    maf_id: Fqdn | None,
    server_name: Fqdn | None,
) -> Channel:
    """Associate by what an Enrolee keeps; Ke is renewed first if it is about to expire.

    Raises:
        ConfigurationError: Nobody is enrolled there, or not for this peer nor for a MAF.
        HandshakeError: The MEF, the MAF or Entity B cannot be reached, or refuses us.
    """
    async with await open_store(credentials) as store:
        enrolee = await Enrolee.load(store, limits=link.limits)
        if peer in enrolee.targets and maf is None:
            return await associate(link, enrolee.initiator(peer, server_name=server_name))
        named = enrolee.maf_ids() if maf_id is None else [maf_id]
        if maf is None or len(named) != 1:
            raise ConfigurationError(
                f"{enrolee.local} is not enrolled for {peer}: give --maf HOST:PORT of a MAF that it is "
                "enrolled for, and --maf-id if there are several"
            )
        client = enrolee.maf_client(named[0], replace(link, address=maf))
        try:
            how = client.initiator(peer, release=enrolee.release, server_name=server_name)
            return await associate(link, how)
        finally:
            await client.close()

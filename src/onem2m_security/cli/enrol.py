"""``m2msec enrol``: be an Enrolee, and keep its credentials for ``m2msec connect --credentials``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..credentials import Secret
from ..defaults import ENROLMENT_EXPIRY
from ..errors import ConfigurationError
from ..identifiers import EntityId, EntityKind, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..release import DEFAULT_RELEASE
from ..tls.framing import DEFAULT_MTU
from .common import (
    EnroleeIdOption,
    KpmFileOption,
    MtuOption,
    ReleaseOption,
    RevealOption,
    TransportOption,
    entity_parser,
    log_to_stderr,
    open_store,
    parsed,
    read_key,
)
from .mef import ExpiryOption
from .options.certificates import CertificateOptions
from .options.credentials import ReportOptions
from .options.described import ConfigOption, described
from .options.grouping import OptionGroup, grouped, without

if TYPE_CHECKING:
    from ..clients.card_enrolee import CardEnrolee
    from ..clients.enrolee import Enrolee
    from ..clients.enrolled import Derived, Enrolled
    from ..frameworks.bootstrap_psk import EnrolmentKey
    from ..frameworks.instructions import BootstrapInstruction
    from ..net.limits import Limits
    from ..store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class EnroleeOptions(OptionGroup):
    """What an Enrolee is configured with, the first time or, with a certificate, each time."""

    kpm_id: Annotated[
        KeyIdentifier | None,
        parsed(
            KeyIdentifier.parse,
            "--kpm-id",
            metavar="KPMID",
            help="Pre-Provisioned Symmetric Enrolee Key Identifier: relative@MEF-FQDN.",
        ),
    ] = None
    kpm_file: KpmFileOption = None
    mef_id: Annotated[
        Fqdn | None,
        parsed(
            Fqdn.parse, "--mef-id", metavar="FQDN", help="The MEF-ID, to meet the MEF by --cert or --card."
        ),
    ] = None
    card: Annotated[
        Path | None,
        typer.Option(
            "--card",
            metavar="FILE",
            help="GBA: our software card (see m2msec usim make); HOST:PORT is the MEF's Ub, as a BSF.",
        ),
    ] = None
    certificates: Annotated[CertificateOptions, without("flavour", "peer_id", "associations")]
    enrolee_id: EnroleeIdOption = None
    target: Annotated[
        list[EntityId] | None,
        parsed(
            entity_parser,
            "--target",
            metavar="ID",
            help="An Enrolment Target, a MAF-ID, CSE-ID or AE-ID; repeat for several.",
        ),
    ] = None
    expires_in: ExpiryOption = ENROLMENT_EXPIRY
    release: ReleaseOption = DEFAULT_RELEASE
    transport: TransportOption = Transport.TLS
    mtu: MtuOption = DEFAULT_MTU

    @property
    def are_given(self) -> bool:
        """Whether anything was said of an Enrolee; else the one that is kept is meant."""
        said = (self.kpm_id, self.kpm_file, self.card, self.enrolee_id, self.target)
        return self.certificates.are_given or any(said)

    @property
    def by_certificate(self) -> bool:
        """Whether the MEF is met by certificate."""
        return self.certificates.are_given or self.mef_id is not None

    @property
    def _limits(self) -> Limits:
        from ..net.limits import Limits

        return Limits(datagram_octets=self.mtu)

    async def enrolee(self, store: Store, mef: Address | None, kpm: Secret | None) -> Enrolled:
        """The Enrolee, configured in its store, or the one that is kept there.

        Args:
            store: Its store.
            mef: Where the MEF listens, if it was said.
            kpm: Kpm, if it was said.

        Raises:
            ConfigurationError: Something is missing; or nobody is kept there.
            StoreError: The store could not be written.
        """
        from ..clients.card_enrolee import load_enrolee
        from ..clients.enrolee import Enrolee
        from ..net.link import Link

        if self.card is not None:
            return await self._with_card(store, mef, self.card)
        if self.by_certificate:
            return await self._with_certificate(store, mef)
        if mef is None and not self.are_given:
            return await load_enrolee(store, limits=self._limits)
        if mef is None or self.kpm_id is None or kpm is None or (being := self._being()) is None:
            raise ConfigurationError(
                "give HOST:PORT, --kpm-id, --kpm-file, --enrolee-id and --target, or --data alone"
            )
        link = Link(mef, self.transport, self._limits)
        return await Enrolee.configure(store, kpm_id=self.kpm_id, kpm=kpm, instruction=being, link=link)

    async def _with_card(self, store: Store, mef: Address | None, card: Path) -> CardEnrolee:
        from ..clients.card import SoftwareCard
        from ..clients.card_enrolee import CardEnrolee
        from ..net.link import Link

        mef_id, being = self.mef_id, self._being()
        others = self.certificates.are_given or self.kpm_id or self.kpm_file
        if mef is None or mef_id is None or being is None or others:
            raise ConfigurationError(
                "to enrol by card give HOST:PORT, --mef-id, --card, --enrolee-id and --target; no other key"
            )
        return await CardEnrolee.configure(
            store,
            card=SoftwareCard.load(card),
            instruction=being,
            bsf=mef_id,
            link=Link(mef, limits=self._limits),
        )

    async def _with_certificate(self, store: Store, mef: Address | None) -> Enrolee:
        from ..certificates.flavours import Flavour
        from ..clients.enrolee import Enrolee
        from ..frameworks import bootstrap_certificate
        from ..net.link import Link

        mef_id, being = self.mef_id, self._being()
        if mef is None or mef_id is None or being is None or self.kpm_id or self.kpm_file:
            raise ConfigurationError(
                "to enrol by certificate give HOST:PORT, --mef-id, --cert, --key, --enrolee-id and "
                "--target, and no Kpm"
            )
        certificate = self.certificates.certificate()
        described = self.certificates
        if described.trust_anchor is not None:
            described = replace(described, flavour=Flavour.FQDN.value, peer_id=str(mef_id))
        trust = described.trust(EntityId(str(mef_id)), self.release)
        return await Enrolee.with_certificate(
            store,
            initiator=bootstrap_certificate.initiate(being.enrolee, mef_id, certificate, trust),
            instruction=being,
            ends=certificate.expires,
            link=Link(mef, self.transport, self._limits),
        )

    def _being(self) -> BootstrapInstruction | None:
        from ..frameworks.instructions import BootstrapInstruction

        if self.enrolee_id is None or not self.target:
            return None
        return BootstrapInstruction(self.enrolee_id, tuple(self.target), self.expires_in, self.release)


@grouped
def enrol(
    given: EnroleeOptions,
    report: ReportOptions,
    mef: Annotated[
        str | None,
        typer.Argument(metavar="HOST:PORT|MEF-ID", help="The MEF of --kpm-id; with --config, by its FQDN."),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Data directory; mode 0700.")] = None,
    config: ConfigOption = None,
    reveal: RevealOption = False,
) -> None:
    """Be an Enrolee: bootstrap with an MEF and keep Ke, sealed, in the data directory.

    With --config the file says with which MEF, how we prove ourselves, and for whom we enrol: m2msec enrol
    --config device.toml; where it has several MEFs, name one. An MEF URI does in the place of HOST:PORT:
    https://mef.example.com (TLS), coaps://mef.example.com (DTLS), or the host alone. Without a file, the
    first time, give HOST:PORT, --data, --kpm-id, --kpm-file, --enrolee-id and --target. Afterwards --data
    alone bootstraps again; the earlier Ke is refused once the new one is used, or a day later. With a
    certificate, give each time HOST:PORT, --data, --mef-id, --cert, --key, --enrolee-id, --target and what
    the MEF's certificate must prove: --trust-anchor (its FQDN certificate, Release 3), or --peer-name and
    --root-of-trust (Release 1). With a SIM, where the MEF is a BSF (GBA): HOST:PORT of its Ub, --data,
    --mef-id, --card, --enrolee-id and --target; afterwards --data alone.
    """
    from ..net.loop import run

    log_to_stderr(verbose=report.verbose)

    async def main() -> None:
        if config is None:
            running = _by_options(data, given, mef)
        else:
            running = described(config, data, given).enrolee(None if mef is None else Fqdn.parse(mef))
        async with running as enrolee:
            await _print(enrolee, await enrolee.enrol(), as_json=report.as_json, reveal=reveal)

    run(main())


@contextlib.asynccontextmanager
async def _by_options(data: Path | None, given: EnroleeOptions, mef: str | None) -> AsyncIterator[Enrolled]:
    """The Enrolee that the options say, in its store."""
    where = None
    if mef is not None:
        where, transport = Address.located(mef, given.transport)
        given = replace(given, transport=transport)
    if data is None:
        raise ConfigurationError("give --data DIR, where the enrolment is kept; or --config FILE")
    kpm = None if given.kpm_file is None else read_key(given.kpm_file)
    async with await open_store(data, make=mef is not None or given.are_given) as store:
        yield await given.enrolee(store, where, kpm)


async def _print(enrolee: Enrolled, key: EnrolmentKey, *, as_json: bool, reveal: bool) -> None:
    shown = enrolee.release.wire(key.ke_id)
    credentials = [
        _credential(target, derived, reveal=reveal)
        for target in enrolee.targets
        for derived in await enrolee.credentials(target)
    ]
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


def _credential(target: EntityId, derived: Derived, *, reveal: bool) -> dict[str, str]:
    """What is derived from Ke for one Enrolment Target; by GBA, for one cipher suite."""
    row = {"target": str(target)}
    if derived.suite is not None:
        row["cipher_suite"] = derived.suite.name
    if target.kind is EntityKind.FUNCTION:
        row["km_id"] = str(derived.key.credential or derived.key.key_id)
    row["fingerprint"] = derived.key.key.fingerprint
    return row | {"key": derived.key.key.reveal().hex()} if reveal else row

"""``[[maf]]``, ``[[mef]]``, ``[[bsf]]``: what is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ..certificates.local import LocalCertificate
from ..errors import ConfigurationError
from ..frameworks import bootstrap_certificate, saef_certificate
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY
from ..frameworks.resolvers import REMEMBERED
from ..identifiers import Fqdn
from ..net.address import Transport
from ..release import DEFAULT_RELEASE
from ..servers.commands import DEFAULT_RETRY
from ..servers.maf import DEFAULT_KC_LIFETIME
from ..servers.ub import DEFAULT_LIFETIME, DEFAULT_REQUESTS_PER_SECOND
from ..tls.endpoint import Endpoint
from .certified import CertifiedSettings
from .est import EstSettings
from .peers import MefPeerSettings
from .values import (
    AddressSetting,
    DeviceConfigSetting,
    DurationSetting,
    FileSetting,
    FqdnSetting,
    ReleaseSetting,
    RuleSetting,
    StakeholderSetting,
    Table,
)

if TYPE_CHECKING:
    from ..clients.hss import NafOfOperator

UbRateSetting = Annotated[float, Field(ge=0.1)]


class FunctionSettings(CertifiedSettings):
    """What every function has.

    Attributes:
        fqdn: Its FQDN.
        data: Its data directory; needed where there is no ``[store]``.
        transports: ``tls``, ``dtls`` or both.
    """

    fqdn: FqdnSetting
    data: FileSetting
    transports: Annotated[tuple[Transport, ...], Field(min_length=1)] = (Transport.TLS, Transport.DTLS)

    def own_certificate(self, here: Path) -> LocalCertificate | None:
        """Its certificate; None when it has none.

        Raises:
            ConfigurationError: Only a part of what certificates take is given, or a file cannot be read.
            CredentialError: They cannot be used.
        """
        parts = (self.certificate, self.private_key, self.associations, self.crl)
        if not self.require_crl and not any(parts):
            return None
        if self.private_key is None or self.associations is None:
            raise ConfigurationError(
                f"{self.fqdn}: certificates take certificate, private-key and associations, all three; "
                "a raw public key takes the last two"
            )
        return super().own_certificate(here)

    def endpoint(self, here: Path) -> Endpoint | None:
        """Its (D)TLS configuration for clients with certificates; None when it has no certificate.

        Raises:
            ConfigurationError: As for ``own_certificate`` and ``trust``.
            CredentialError: Its certificate cannot be used.
        """
        certificate = self.own_certificate(here)
        if certificate is None:
            return None
        return saef_certificate.accept(certificate, self.trust(here))


def _name_or_table(value: object) -> str:
    return "as table" if isinstance(value, dict | MefPeerSettings) else "as name"


MefSetting = Annotated[
    Annotated[FqdnSetting, Tag("as name")] | Annotated[MefPeerSettings, Tag("as table")],
    Discriminator(_name_or_table),
]


class MafSettings(FunctionSettings):
    """``[maf]``, or ``[[maf]]`` for several: M2M Authentication Functions.

    Attributes:
        listen: Where it listens; functions that name the same address and port share it by SNI.
        kc_lifetime: How long Kc may be used.
        mefs: MEFs that it asks for the Master Credentials of its Enrolees, by FQDN: they are peers.
        bsfs: BSFs that it asks for those of their subscribers, by FQDN: they are peers.
        enrolee_targets: ``IDB`` or ``ENROLEE=IDB``: whom clients of these may have keys for.
        remember: How long what these said of a client counts, before they are asked again.
        stakeholders: ``FQDN`` or ``FQDN=SUID,SUID``: who may be named as adminFQDN, beside the MAF itself.
    """

    listen: AddressSetting
    kc_lifetime: DurationSetting = DEFAULT_KC_LIFETIME
    mefs: tuple[MefSetting, ...] = ()
    bsfs: tuple[FqdnSetting, ...] = ()
    enrolee_targets: tuple[RuleSetting, ...] = ()
    remember: DurationSetting = REMEMBERED
    stakeholders: tuple[StakeholderSetting, ...] = ()


class HssNafSettings(Table):
    """``[[bsf.hss-nafs]]`` or ``[[mef.hss-nafs]]``: a NAF, as the operator's HSS means it.

    Attributes:
        naf: The NAF's FQDN.
        gsid: The GAA Service Identifier of its application: a subscriber needs settings for it that allow
            authentication. Default: it may have keys of every subscriber.
        naf_group: The NAF group that it is in; settings for another group are not for it.
        on_uicc: With GBA_U, whether its key is the one that never leaves the card (Ks_int_NAF).
        lifetime: How long its keys may live at most; default: as long as Ks.
    """

    naf: FqdnSetting
    gsid: str | None = None
    naf_group: str | None = None
    on_uicc: bool = False
    lifetime: DurationSetting | None = None

    def naf_of_operator(self) -> NafOfOperator:
        """The same as the client of an HSS takes it."""
        # Diameter's dictionary takes long to load: only who asks an HSS waits for it.
        from ..clients.hss import NafOfOperator  # noqa: PLC0415

        return NafOfOperator(self.naf, self.gsid, self.naf_group, self.on_uicc, self.lifetime)


class GbaSettings(Table):
    """What a BSF has, alone or as a part of an MEF.

    Attributes:
        listen_diameter: Where NAFs ask that speak Diameter (TS 29.109), over TLS.
        lifetime: How long a bootstrapping lives at most.
        hss: The HSS to ask for vectors and user security settings (Zh), by FQDN: it is a peer. Default: the
            subscribers in the data directory.
        hss_nafs: The NAFs that may have keys of the HSS's subscribers.
        ub_rate: Requests a second on Ub from one address (of IPv6: one /64); ten times as many at once.
    """

    listen_diameter: AddressSetting | None = None
    lifetime: DurationSetting = DEFAULT_LIFETIME
    hss: FqdnSetting | None = None
    hss_nafs: tuple[HssNafSettings, ...] = ()
    ub_rate: UbRateSetting = DEFAULT_REQUESTS_PER_SECOND

    @property
    def further_keys(self) -> tuple[object, ...]:
        """What is told of a BSF beyond its defaults."""
        return tuple(
            told
            for name, field in GbaSettings.model_fields.items()
            if (told := getattr(self, name)) != field.default
        )


class MefSettings(GbaSettings, FunctionSettings):
    """``[mef]``, or ``[[mef]]`` for several: M2M Enrolment Functions.

    Attributes:
        listen: Where it listens; functions that name the same address and port share it by SNI.
        enrolment_expiry: How long Ke may be used by an Enrolee whose instructions do not say it.
        release: By which release keys are derived for Enrolees with certificates: ``"1"`` or ``"3"``.
        command_retry: After what time an Enrolee without commands asks for some again.
        device_config_uri: Where devices are configured: ``1`` (OMA DM 1.3), ``2`` (OMA DM 2.0), ``3`` (LwM2M)
            or ``4`` (TR-069), a colon, and the server's URI.
        stakeholders: ``FQDN`` or ``FQDN=SUID,SUID``: who may be named as adminFQDN, beside the MEF itself.
        est: Certificates for its clients, by EST.
        gba: Whether it is a BSF too (8.3.2.3): NAFs ask it where its other clients do.
        listen_ub: Where UEs bootstrap, over plain HTTP; it goes with ``gba``.
    """

    listen: AddressSetting
    enrolment_expiry: DurationSetting = DEFAULT_ENROLMENT_EXPIRY
    release: ReleaseSetting = DEFAULT_RELEASE
    command_retry: DurationSetting = DEFAULT_RETRY
    device_config_uri: DeviceConfigSetting | None = None
    stakeholders: tuple[StakeholderSetting, ...] = ()
    est: EstSettings | None = None
    gba: bool = False
    listen_ub: AddressSetting | None = None

    @model_validator(mode="after")
    def _with_ub(self) -> Self:
        if self.gba != (self.listen_ub is not None):
            raise ValueError("an MEF that is a BSF takes gba = true and listen-ub, both")
        if not self.gba and self.further_keys:
            raise ValueError("listen-diameter, lifetime, hss, hss-nafs and ub-rate go with gba = true")
        return self

    @property
    def est_server(self) -> Fqdn | None:
        """The EST server outside that it asks; None for none."""
        return None if self.est is None else self.est.server

    def endpoint(self, here: Path) -> Endpoint | None:
        """The same for an MEF, which must know who each of its clients is."""
        certificate = self.own_certificate(here)
        if certificate is None:
            return None
        return bootstrap_certificate.accept(certificate, replace(self.trust(here), release=self.release))


class BsfSettings(GbaSettings, FunctionSettings):
    """``[bsf]``, or ``[[bsf]]`` for several: Bootstrapping Server Functions of GBA.

    Attributes:
        listen_ub: Where UEs bootstrap, over plain HTTP.
        listen_zn: Where NAFs ask for keys.
    """

    listen_ub: AddressSetting
    listen_zn: AddressSetting

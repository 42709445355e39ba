"""``[entity-b]``: how we accept associations, and whose word about peers counts (8.2.2)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust
from ..errors import ConfigurationError
from ..frameworks.resolvers import REMEMBERED
from ..net.address import Transport
from ..release import DEFAULT_RELEASE
from .accepting import Accepted
from .certified import CertifiedSettings
from .values import AddressSetting, DurationSetting, FqdnSetting, ReleaseSetting


class EntityBSettings(CertifiedSettings):
    """``[entity-b]``: where we accept associations, as whom, and by whose word.

    Whom ``trust`` of a peer describes is taken by that and nothing else; what stands here is for all others.

    Attributes:
        listen: Where we listen; all frameworks share it.
        transports: ``tls``, ``dtls`` or both.
        associations: Whose certificates we accept beside those of our peers: TOML, ``[[association]]``.
        crl: For these: a CRL, or a directory of them; read again when they change.
        require_crl: For these: refuse a certificate for which there is no valid CRL.
        release: For these: whose rules to hold certificates to: ``"1"`` or ``"3"``.
        mafs: MAFs that are believed about all their clients, by FQDN: they are peers.
        mefs: MEFs that are believed about all their Enrolees, by FQDN: they are peers.
        bsfs: BSFs that are believed about all their subscribers, by FQDN: they are peers.
        naf: Our FQDN as a NAF; default: the domain name of an absolute CSE-ID.
        remember: How long what these said of a key counts, before they are asked again.
    """

    table: ClassVar[str] = "entity-b"

    listen: AddressSetting
    transports: Annotated[tuple[Transport, ...], Field(min_length=1)] = (Transport.TLS, Transport.DTLS)
    release: ReleaseSetting = DEFAULT_RELEASE
    mafs: tuple[FqdnSetting, ...] = ()
    mefs: tuple[FqdnSetting, ...] = ()
    bsfs: tuple[FqdnSetting, ...] = ()
    naf: FqdnSetting | None = None
    remember: DurationSetting = REMEMBERED

    def own_certificate(self, here: Path) -> LocalCertificate | None:
        """The same, as an error names it."""
        try:
            return super().own_certificate(here)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.table}: {error}") from None

    def accepted(self, here: Path) -> Accepted:
        """By what those may prove themselves whom no ``trust`` describes.

        Raises:
            ConfigurationError: A file cannot be used.
        """
        return Accepted(trusts=self._trusts(here), mafs=self.mafs, mefs=self.mefs, bsfs=self.bsfs)

    def _trusts(self, here: Path) -> tuple[Trust, ...]:
        if self.associations is None:
            if self.crl is not None or self.require_crl:
                raise ConfigurationError(
                    f"{self.table}: crl and require-crl are for associations; those of a peer stand in its "
                    "trust"
                )
            return ()
        return (replace(self.trust(here), release=self.release),)

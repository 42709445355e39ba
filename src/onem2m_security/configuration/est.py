"""``[mef.est]``: who provisions certificates to the clients of an MEF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..clients.est import EST_PATH, EstClient
from ..errors import ConfigurationError
from ..identifiers import Fqdn
from ..servers.est import EstPolicy, EstTerms
from ..servers.issuing import (
    DEFAULT_CERTIFICATE_LIFETIME,
    IssuingAuthority,
    OutsideAuthority,
    OwnAuthority,
)
from .values import DurationSetting, FileSetting, FqdnSetting, NameRuleSetting, Table

ClientOf = Callable[[Fqdn, str], EstClient]
"""Our client of an EST server, by its FQDN and the path of its base URI."""


class EstSettings(Table):
    """``[mef.est]``: certificates for the clients of an MEF by EST (TS-0003 clause 8.3.6.2).

    Attributes:
        authority: The certificate of the authority that issues, then its issuers up to the root, PEM.
        authority_key: Its private key, PEM or DER; mode 0600.
        lifetime: How long what it issues is valid, in whole days.
        server: The EST server that issues instead, by FQDN: it is a peer.
        server_path: The path of its base URI.
        names: ``CLIENT=FLAVOUR:IDENTIFIER``: the names that a client may have, one in a certificate, instead
            of its own CSE-ID or AE-ID; it is told to ask for the first.
        live_certificates: How many one client may have at once.
    """

    authority: FileSetting | None = None
    authority_key: FileSetting | None = None
    lifetime: DurationSetting = DEFAULT_CERTIFICATE_LIFETIME
    server: FqdnSetting | None = None
    server_path: str = EST_PATH
    names: tuple[NameRuleSetting, ...] = ()
    live_certificates: Annotated[int, Field(ge=1)] = 20

    def terms(self, here: Path, client_of: ClientOf) -> EstTerms:
        """The same as an MEF takes it.

        Raises:
            ConfigurationError: Neither an authority of ours nor a server is given, or both; or a file cannot
                be used.
            CredentialError: The authority's certificate or key cannot be used.
        """
        policy = EstPolicy.of(self.names, live_certificates=self.live_certificates)
        return EstTerms(self._authority(here, client_of), policy)

    def _authority(self, here: Path, client_of: ClientOf) -> IssuingAuthority:
        match self.authority, self.authority_key, self.server:
            case Path() as certificate, Path() as key, None:
                return OwnAuthority.load(here / certificate, here / key, lifetime=self.lifetime)
            case None, None, Fqdn() as server:
                return OutsideAuthority(client_of(server, self.server_path))
        raise ConfigurationError(
            "mef.est: say who issues: authority and authority-key, or server (an EST server, which is a peer)"
        )

"""Our clients of the MAFs, MEFs and BSFs that we ask about others: each is a peer, met as its entry says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..clients.bsf import BsfClient, naf_client
from ..clients.maf import MafClient
from ..clients.mef import MefClient
from ..errors import ConfigurationError
from ..frameworks.steps import How
from ..identifiers import Fqdn
from .functions import HssNafSettings
from .meeting import Meeting

if TYPE_CHECKING:
    from ..clients.hss import HssClient


def maf_client(meeting: Meeting, how: How) -> MafClient:
    """Of a MAF, to be asked for Kc."""
    return MafClient(meeting.fqdn, meeting.link, how)


def mef_client(meeting: Meeting, how: How) -> MefClient:
    """Of an MEF, to be asked for what it provided to its Enrolees."""
    return MefClient(meeting.fqdn, meeting.link, how)


def bsf_client(meeting: Meeting, how: How, naf: Fqdn | None) -> BsfClient:
    """Of a BSF, to be asked for the keys of its subscribers.

    Args:
        meeting: With the BSF.
        how: How we prove ourselves to it.
        naf: Our name as a NAF.

    Raises:
        ConfigurationError: We have no name as a NAF.
    """
    if naf is None:
        raise ConfigurationError(f"{meeting.local} has no domain name: give naf, our FQDN as a NAF")
    return naf_client(meeting.fqdn, meeting.link, how, naf=naf, diameter=meeting.diameter)


def hss_client(meeting: Meeting, how: How, hss_nafs: Iterable[HssNafSettings]) -> HssClient:
    """Of the HSS of a BSF, which is ``meeting.local``.

    Raises:
        ConfigurationError: No NAF could have a key.
    """
    # Diameter's dictionary takes long to load: only who asks an HSS waits for it.
    from ..clients.hss import HssClient  # noqa: PLC0415

    nafs = [naf.naf_of_operator() for naf in hss_nafs]
    if not nafs:
        raise ConfigurationError(f"{meeting.local}: nobody could have a key: name a NAF in hss-nafs")
    return HssClient(meeting.fqdn, meeting.link, how, bsf=Fqdn.parse(str(meeting.local)), nafs=nafs)

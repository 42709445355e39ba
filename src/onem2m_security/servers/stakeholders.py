"""Administrating stakeholders: in whose name a MAF or an MEF serves clients (TS-0003 clauses 8.8.1, 8.3.5).

A stakeholder authorises the function to provide its services, and oversees what is distributed in its name.
Who may be named as adminFQDN, and for which usages keys may be registered in that name, is the operator's
word: the function itself may always be named, everybody else only when configured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from ..errors import ConfigurationError
from ..identifiers import Fqdn, Suid
from ..onem2m.primitives import RefusedError, Rsc
from ..texts import shown

ALL_SUIDS: Final = frozenset(Suid)


@dataclass(frozen=True, slots=True)
class Stakeholder:
    """``FQDN`` or ``FQDN=SUID,SUID``: who may be named, and for what.

    Attributes:
        fqdn: Its adminFQDN.
        suids: The usages for which clients may have keys distributed in its name.
    """

    fqdn: Fqdn
    suids: frozenset[Suid] = ALL_SUIDS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``admin.example.com`` or ``admin.example.com=32,33``.

        Raises:
            IdentifierError: It does not begin with an FQDN.
            ConfigurationError: What follows is not a list of Security Usage Identifiers.
        """
        fqdn, has_suids, suids = text.partition("=")
        if not has_suids:
            return cls(Fqdn.parse(fqdn))
        try:
            return cls(Fqdn.parse(fqdn), frozenset(Suid(int(suid)) for suid in suids.split(",")))
        except ValueError:
            raise ConfigurationError(
                f"{shown(suids)} is not a list of Security Usage Identifiers: 32,33 for example"
            ) from None

    def __str__(self) -> str:
        suids = (
            "" if self.suids == ALL_SUIDS else "=" + ",".join(str(int(suid)) for suid in sorted(self.suids))
        )
        return f"{self.fqdn}{suids}"


class Stakeholders:
    """The administrating stakeholders of one MAF or MEF."""

    def __init__(self, function: Fqdn, others: Iterable[Stakeholder] = ()) -> None:
        """The function itself, for every usage unless it is named too, and these others."""
        self._by_fqdn = {one.fqdn: one for one in (Stakeholder(function), *others)}

    def require(self, admin: Fqdn, suid: Suid | None = None) -> None:
        """Refuse whom this function does not serve, or not for this usage.

        Raises:
            RefusedError: ORIGINATOR_HAS_NO_PRIVILEGE.
        """
        found = self._by_fqdn.get(admin)
        if found is None:
            raise RefusedError(
                Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, "the adminFQDN is no administrating stakeholder here"
            )
        if suid is not None and suid not in found.suids:
            raise RefusedError(
                Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, "the administrating stakeholder has no keys for this SUID"
            )

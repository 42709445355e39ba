"""Whose requests an agent carries: what it does about their From parameter."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from ..errors import ConfigurationError, IdentifierError
from ..identifiers import EntityId
from ..onem2m.carried import CarriedRequest
from ..onem2m.primitives import Operation, RefusedError, Rsc

_AE: Final = 2
_OF_A_REGISTRATION: Final = frozenset({"", "C", "S"})
"""What stands for an AE-ID that the registrar is to assign (TS-0001 clause 10.2.2.2)."""


class OriginatorRule(enum.Enum):
    """What is done about From."""

    PASS = "pass"  # noqa: S105 - a word of the configuration
    """Nothing."""
    FILL = "fill"
    """Where it is missing, we are the originator."""
    INSIST = "insist"
    """The same, and a request of anybody else is refused here already."""


@dataclass(frozen=True, slots=True)
class Originators:
    """The rule for the requests of one entity at one registrar.

    Attributes:
        rule: What is done.
        local: IdA.
        registrar: IdB.
    """

    rule: OriginatorRule
    local: EntityId
    registrar: EntityId

    @classmethod
    def of(cls, rule: OriginatorRule | None, local: EntityId, registrar: EntityId) -> Originators:
        """The rule that was chosen or, where none was, the usual one: an AE's From is filled in, a CSE's not.

        Raises:
            ConfigurationError: It insists on the From of a CSE, which forwards the requests of others.
        """
        if rule is None:
            rule = OriginatorRule.PASS if local.is_surely_cse else OriginatorRule.FILL
        if rule is OriginatorRule.INSIST and local.is_surely_cse:
            raise ConfigurationError(
                f"{local} is a CSE, which forwards the requests of others: pass From as it is"
            )
        return cls(rule, local, registrar)

    def applied(self, request: CarriedRequest) -> CarriedRequest:
        """The request as it is carried on.

        Raises:
            RefusedError: ORIGINATOR_NOT_AUTHENTICATED: it is somebody else's.
        """
        if self.rule is OriginatorRule.PASS:
            return request
        if not request.originator:
            return replace(request, originator=self.name)
        if self.rule is OriginatorRule.INSIST and not self._is_ours(request):
            raise RefusedError(
                Rsc.ORIGINATOR_NOT_AUTHENTICATED, "From is not the identity that is associated here"
            )
        return request

    @property
    def name(self) -> str:
        """How we are called at the registrar: an AE of its own by the AE-ID-Stem (TS-0001 clause 7.2)."""
        whole, home = self.local.seen_from(self.registrar).text, self.registrar.text
        if whole.startswith(f"{home}/"):
            return whole.removeprefix(f"{home}/")
        return self.local.text

    def _is_ours(self, request: CarriedRequest) -> bool:
        if request.originator in _OF_A_REGISTRATION:
            return request.operation is Operation.CREATE and request.resource_type == _AE
        try:
            said = EntityId.parse(request.originator)
        except IdentifierError:
            return False
        is_canonical = said.text == request.originator
        return is_canonical and said.seen_from(self.registrar) == self.local.seen_from(self.registrar)

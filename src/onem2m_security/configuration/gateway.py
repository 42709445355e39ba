"""``[[gateway]]``: the registrar's door, Entity B in front of a CSE that knows nothing of it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PlainValidator

from ..errors import ConfigurationError
from ..gateway.upstream_terms import UpstreamAddress, UpstreamTerms
from .entity_b import EntityBSettings
from .values import AddressSetting, EntitySetting, FileSetting

_TERMS = UpstreamTerms()


def _upstream(value: object) -> UpstreamAddress:
    if not isinstance(value, str):
        raise ValueError("a text is expected")  # noqa: TRY004 - pydantic turns it into its own error
    try:
        return UpstreamAddress.parse(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


UpstreamSetting = Annotated[UpstreamAddress, PlainValidator(_upstream, json_schema_input_type=str)]


class GatewaySettings(EntityBSettings):
    """``[gateway]``, or ``[[gateway]]`` for several: a CSE that is secured without knowing it.

    Where it listens, and whom it accepts, is said as under ``[entity-b]``; how long a body may be, and what
    one peer may do, by ``body-octets`` under ``[limits]`` and by ``[quotas]``.

    Attributes:
        to: The CSE, in the clear: ``http://HOST:PORT``, ``coap://HOST:PORT`` or ``unix:PATH`` (HTTP).
        cse_id: Its CSE-ID; default: ``id`` under ``[identity]``.
        data: Where the AE-IDs are remembered that it assigns; default: ``data`` under ``[store]``.
        tell: Tell the CSE in ``X-Association-…`` headers of HTTP what each association has proven.
        answer_seconds: How long it may take for an answer.
        under_way: How many requests are under way there at once.
        waiting: How many more wait for that; further ones are refused.
        each: How many of one peer are under way or wait.
        back: Reach registrees at the pointOfAccess that they register with (``https`` or ``coaps``), over a
            second association (8.2.1): the CSE is told a plain address here instead, ``HOST:PORT`` of
            loopback.
    """

    table: ClassVar[str] = "gateway"

    to: UpstreamSetting
    cse_id: EntitySetting | None = None
    data: FileSetting
    tell: bool = False
    answer_seconds: Annotated[float, Field(gt=0, le=3600)] = _TERMS.answer_seconds
    under_way: Annotated[int, Field(gt=0, le=1000)] = _TERMS.under_way
    waiting: Annotated[int, Field(ge=0)] = _TERMS.waiting
    each: Annotated[int, Field(gt=0)] = _TERMS.each
    back: AddressSetting | None = None

    @property
    def terms(self) -> UpstreamTerms:
        """What the CSE is asked at most."""
        return UpstreamTerms(self.answer_seconds, self.under_way, self.waiting, self.each)

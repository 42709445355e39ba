"""``[[agent]]``: Entity A beside an AE or a CSE of this machine that knows nothing of security."""

from __future__ import annotations

from typing import Annotated

from ..defaults import AGENT_ANSWER
from ..gateway.originators import OriginatorRule
from .gateway import UpstreamSetting
from .values import (
    ONE_OR_MORE_TEXTS,
    AddressSetting,
    DurationSetting,
    EntitySetting,
    LocalAddressSetting,
    Table,
)


class AgentSettings(Table):
    """``[[agent]]``: a port on this machine, and the association with the registrar that it leads to.

    Whoever may open the port acts as the identity under ``[identity]``: give it to nobody else.

    Attributes:
        peer: The registrar, by its CSE-ID: it is a peer, and its entry says where it is and how we prove
            ourselves.
        listen: Where an AE or a CSE asks over HTTP, in the clear: ``HOST:PORT`` of loopback, or
            ``unix:PATH``, which nobody but our own user may open; one, or an array of several.
        listen_coap: The same over CoAP: ``HOST:PORT``.
        originator: What is done about From: ``pass`` it as it is; ``fill`` it in where it is missing;
            ``insist`` on it, which refuses everybody else here already. Default: ``fill`` for an AE, ``pass``
            for a CSE.
        at_start: Whether to associate at the start, and not at the first request.
        answer: How long an answer of the registrar is waited for.
        beyond_loopback: Whether other machines may ask too, in the clear.
        back_to: Where the AE or CSE listens itself, in the clear: ``http://HOST:PORT``. In a pointOfAccess
            that it registers with, this becomes where the registrar reaches us (8.2.1), and what the
            registrar sends goes there.
        back_listen: Where we listen for the registrar then.
        back_at: Where the registrar finds that; default: the same.
    """

    peer: EntitySetting
    listen: Annotated[tuple[LocalAddressSetting, ...], ONE_OR_MORE_TEXTS] = ()
    listen_coap: Annotated[tuple[AddressSetting, ...], ONE_OR_MORE_TEXTS] = ()
    originator: OriginatorRule | None = None
    at_start: bool = True
    answer: DurationSetting = AGENT_ANSWER
    beyond_loopback: bool = False
    back_to: UpstreamSetting | None = None
    back_listen: AddressSetting | None = None
    back_at: AddressSetting | None = None

"""Entity A: the initiating side of an association (TS-0003 clause 8.2.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ..errors import HandshakeError
from ..frameworks.steps import How, Initiator, Renewing, initiator_of
from ..net.channel import Channel, open_channel
from ..net.link import Link
from ..net.reach import require_answer

Session = TypeVar("Session")


async def associate(link: Link, how: How) -> Channel:
    """Associate with Entity B, by any framework.

    Whoever else must be met for our credential is met when Entity B answers, and not before. A credential of
    before that Entity B refuses is replaced once, where the way can do that.

    Args:
        link: Where Entity B listens, over what, within which bounds.
        how: How we prove ourselves, and to whom: ``saef_psk.initiate`` (8.2.2.1),
            ``saef_certificate.initiate`` (8.2.2.2), ``MafClient.initiator`` (8.2.2.3), ``saef_gba.initiate``
            or ``Ue.initiator`` (8.2.3.2), ``Enrolee.initiator`` (8.3.2).

    Raises:
        HandshakeError: Whoever provides our credential, or Entity B, cannot be reached or refuses us, or
            Entity B does not prove itself.
        PeerRefusedError: Release 3: the MAF does not allow us this peer.
        ResolverUnavailableError: Whoever provides our credential gave no usable answer.
    """
    return await meet(link, how, partial(open_channel, link))


async def meet(link: Link, how: How, open_session: Callable[[Initiator], Awaitable[Session]]) -> Session:
    """The same, with a session that is opened otherwise than as a channel; raises as ``associate`` does.

    Args:
        link: Where Entity B listens.
        how: How we prove ourselves, and to whom.
        open_session: Opens one there; raises HandshakeError when that fails.
    """
    if not isinstance(how, Renewing):
        return await open_session(await initiator_of(how))
    if not await how.is_at_hand():
        await require_answer(link)
    initiator = await how()
    try:
        session = await open_session(initiator)
    except HandshakeError as error:
        if not await how.failed(initiator, error):
            raise how.explained(initiator, error) from error
        await require_answer(link)
        initiator = await how.renewed(initiator)
        session = await _once_more(how, initiator, open_session)
    await how.served(initiator)
    return session


async def _once_more(
    how: Renewing, initiator: Initiator, open_session: Callable[[Initiator], Awaitable[Session]]
) -> Session:
    """With a credential that was just made."""
    try:
        return await open_session(initiator)
    except HandshakeError as error:
        await how.failed(initiator, error)
        raise how.explained(initiator, error) from error

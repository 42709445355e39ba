"""Where a session stands, and what leads from where to where: everything that affects it is in this table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.Enum):
    """Where a session stands."""

    HANDSHAKE = "handshake"
    RESOLVING = "resolving"
    WITHHOLDING = "withholding"
    OPEN = "open"
    ENDED = "ended"

    __hash__ = object.__hash__  # each is one object; its name need not be hashed at every step


class Cause(enum.Enum):
    """What moves a session on."""

    IDENTITY_OFFERED = "the client showed a psk_identity"
    ANSWERED = "the owner said which key that is"
    SERVER_DONE = "our side is the server, and the client has proven itself"
    CLIENT_DONE = "our side is the client, and the server has proven itself"
    RELEASED = "the owner made durable what was agreed on"
    ABORTED = "the owner, or our own rules, refused it with an alert"
    OVER = "either side closed it, or the engine gave up"

    __hash__ = object.__hash__


TRANSITIONS: Final[Mapping[State, Mapping[Cause, State]]] = {
    State.HANDSHAKE: {
        Cause.IDENTITY_OFFERED: State.RESOLVING,
        Cause.SERVER_DONE: State.WITHHOLDING,
        Cause.CLIENT_DONE: State.OPEN,
        Cause.ABORTED: State.ENDED,
        Cause.OVER: State.ENDED,
    },
    State.RESOLVING: {
        Cause.ANSWERED: State.HANDSHAKE,
        Cause.ABORTED: State.ENDED,
        Cause.OVER: State.ENDED,
    },
    State.WITHHOLDING: {
        Cause.RELEASED: State.OPEN,
        Cause.ABORTED: State.ENDED,
        Cause.OVER: State.ENDED,
    },
    State.OPEN: {Cause.OVER: State.ENDED},
    State.ENDED: {},
}

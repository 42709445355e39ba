"""What it means to people that an engine has ended a session."""

from __future__ import annotations

from ..alerts import Alert
from ..errors import HandshakeError
from .engine import EngineError
from .framing import Framing


def explained(error: EngineError, framing: Framing) -> HandshakeError:
    """What happened, by what the peer said, or else by what was last written to it."""
    if error.alert is not None:
        told = error.alert.described(datagram=framing.datagram)
        return HandshakeError(f"the peer answered with {told}", alert=error.alert)
    if not error.reason:
        return HandshakeError("the peer closed the connection during the handshake")
    reason, sent = error.reason, framing.alert_sent()
    if sent in {Alert.bad_record_mac, Alert.decrypt_error}:
        reason = "the peer holds another key for the identity, or the identity is unknown here"
    return HandshakeError(f"the handshake failed: {reason}", alert=sent)

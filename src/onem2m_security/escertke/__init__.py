"""End-to-end keys by certificates (TS-0003 clause 8.7), all of it: what its users need is here."""

from .end_points import InitiatingEndPoint, PairwiseE2EKey, TerminatingEndPoint, acceptor, initiator
from .exchanges import TerminatingExchanges
from .notifications import EscertkeNotifications, NotificationForm, establish

__all__ = [
    "EscertkeNotifications",
    "InitiatingEndPoint",
    "NotificationForm",
    "PairwiseE2EKey",
    "TerminatingEndPoint",
    "TerminatingExchanges",
    "acceptor",
    "establish",
    "initiator",
]

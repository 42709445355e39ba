"""ESCertKE over oneM2M primitives (TS-0001 clause 11.4.3, TS-0004 clause 7.5.1.2.12).

Two sequential NOTIFY procedures carry the four messages: message 1 in a request, message 2 in its response,
messages 3 and 4 in the next. The Content is a ``m2m:securityInfo`` (``seci``) with securityInfoType
(``sit``) 6, ESCertKE Message, and escertkeMessage (``eckm``) in base64. The From parameter tells exchanges
apart; it proves nothing: who the initiator is, its certificate says.

An end-point that refuses answers with its TLS alert in the place of the next message (OURS: the standard has
no word on failure), so that the other end knows why. Nothing here opens a socket: primitives in, primitives
out, and a function of the caller's that carries a NOTIFY to the peer, over as many CSEs as there are.
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from ..errors import KeyEstablishmentError, PeerRefusedError, SecurityFrameworkError, StoreError
from ..frameworks.steps import Established
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from ..telemetry import LOG
from .end_points import InitiatingEndPoint, PairwiseE2EKey, Step
from .exchanges import TerminatingExchanges
from .messages import MESSAGE_MAX_OCTETS

ESCERTKE_MESSAGE: Final = 6
"""m2m:securityInfoType (TS-0004 clause 6.3.4.2.35)."""

_BASE64_MAX: Final = MESSAGE_MAX_OCTETS * 4 // 3 + 1024
"""The longest text decoded: a message, with some line breaks as xs:base64Binary allows."""

_RESOURCE_UPDATED: Final = 1
"""m2m:notificationEventType, which a representation must come with."""


class NotificationForm(enum.Enum):
    """How the Content of a NOTIFY request holds the securityInfo."""

    SECURITY_INFO = "security-info"
    """By itself, as TS-0004 clause 7.5.1.2.12 has it."""

    SINGLE_NOTIFICATION = "single-notification"
    """As the representation in a notification event (OURS): for CSEs that forward nothing else."""


Notify = Callable[[Mapping[str, Any]], Awaitable[Response]]
"""Sends a NOTIFY request with this Content to the Terminating End-Point, and gives its response."""


def security_info(message: bytes) -> dict[str, Any]:
    """The Content of a response primitive: a securityInfo with an ESCertKE message."""
    return {"m2m:seci": {"sit": ESCERTKE_MESSAGE, "eckm": base64.b64encode(message).decode("ascii")}}


def notification(message: bytes, form: NotificationForm = NotificationForm.SECURITY_INFO) -> dict[str, Any]:
    """The Content of a NOTIFY request primitive."""
    info = security_info(message)
    if form is NotificationForm.SECURITY_INFO:
        return info
    # CSEs ask for a subscriptionReference; there is no subscription behind it.
    return {"m2m:sgn": {"nev": {"net": _RESOURCE_UPDATED, "rep": info}, "sur": "escertke"}}


def escertke_message(content: object) -> bytes:
    """The ESCertKE message in a Content, in either form.

    Raises:
        RefusedError: There is none (BAD_REQUEST); the text may go to the peer.
    """
    info = _member(content, "m2m:seci") or _member(content, "m2m:sgn", "nev", "rep", "m2m:seci")
    kind, text = _member(info, "sit"), _member(info, "eckm")
    if type(kind) is not int or kind != ESCERTKE_MESSAGE or not isinstance(text, str):
        raise RefusedError(Rsc.BAD_REQUEST, "no securityInfo of type 6 with an escertkeMessage is found")
    if len(text) > _BASE64_MAX:
        raise RefusedError(Rsc.BAD_REQUEST, f"the escertkeMessage is longer than {MESSAGE_MAX_OCTETS} octets")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise RefusedError(Rsc.BAD_REQUEST, "the escertkeMessage is not base64") from None


def _member(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


async def establish(
    end_point: InitiatingEndPoint,
    notify: Notify,
    *,
    form: NotificationForm = NotificationForm.SECURITY_INFO,
) -> PairwiseE2EKey:
    """Be the Initiating End-Point: run a whole exchange.

    Args:
        end_point: A new one.
        notify: Carries each NOTIFY to the Terminating End-Point.
        form: What the CSEs on the way forward.

    Raises:
        KeyEstablishmentError: The exchange has ended without a key.
        PeerRefusedError: A CSE on the way, or the peer, answered a NOTIFY with an error.
    """
    try:
        step = Step(message=end_point.start())
        while step.key is None:
            step = end_point.process(_answer(await notify(notification(step.message, form))))
    except KeyEstablishmentError as error:
        if error.reply:
            await _tell(notify, notification(error.reply, form))
        raise
    else:
        return step.key
    finally:
        end_point.discard()


async def _tell(notify: Notify, content: Mapping[str, Any]) -> None:
    """Let the peer know that we refused; that it cannot be delivered changes nothing for us."""
    try:
        await notify(content)
    except SecurityFrameworkError as error:
        LOG.info("the peer could not be told of a refusal", reason=str(error))


def _answer(response: Response) -> bytes:
    if response.rsc is not Rsc.OK:
        said = _member(response.content, "m2m:dbg")
        reason = f": {said[:200]}" if isinstance(said, str) else ""
        raise PeerRefusedError(
            f"the NOTIFY was answered with {int(response.rsc)}{reason}", rsc=int(response.rsc)
        )
    try:
        return escertke_message(response.content)
    except RefusedError as refused:
        raise PeerRefusedError(f"in the response, {refused}", rsc=int(Rsc.BAD_REQUEST)) from None


class EscertkeNotifications:
    """The Terminating End-Point as an answer to NOTIFY requests."""

    def __init__(
        self,
        exchanges: TerminatingExchanges,
        established: Callable[[PairwiseE2EKey], Awaitable[None]],
    ) -> None:
        """Answer by these exchanges.

        Args:
            exchanges: The half-finished ones.
            established: Awaited with each key before message 4 leaves: what it makes durable, the initiator
                may believe in. If it raises a StoreError, message 4 is not sent.
        """
        self._exchanges = exchanges
        self._established = established

    async def handle(self, request: Request, established: Established | None = None) -> Response:
        """Answer a NOTIFY request.

        The session over which it came, if any, is the last CSE's and says nothing of the initiator.
        """
        del established
        try:
            return await self._answer(request)
        except RefusedError as refused:
            return refused.response
        except KeyEstablishmentError as error:
            if error.reply:
                return Response(Rsc.OK, security_info(error.reply))
            return RefusedError(Rsc.BAD_REQUEST, "nothing follows from this message").response
        except StoreError as error:
            LOG.error("an end-to-end key could not be kept", error=str(error))
            return RefusedError(Rsc.INTERNAL_SERVER_ERROR, "the request could not be carried out").response

    async def _answer(self, request: Request) -> Response:
        if request.operation is not Operation.NOTIFY:
            raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "only NOTIFY is offered here")
        if not request.originator:
            raise RefusedError(Rsc.BAD_REQUEST, "From is missing: it tells exchanges apart")
        step = self._exchanges.process(request.originator, escertke_message(request.content))
        if step.key is not None:
            await self._established(step.key)
        return Response(Rsc.OK, security_info(step.message))

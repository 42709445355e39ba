"""End-to-End Certificate-based Key Establishment, ESCertKE (TS-0003 clause 8.7; key export: 10.3.1).

A TLS 1.2 handshake with certificates at both ends, cut into exactly four messages that the application
carries any way it likes, so that two end-points that never share a connection agree on a key that nobody
between them learns:

    initiating = InitiatingEndPoint(initiator(…))       terminating = TerminatingEndPoint(acceptor(…))
    message_1 = initiating.start()                      message_2 = terminating.process(message_1).message
    message_3 = initiating.process(message_2).message   done = terminating.process(message_3)
    initiating.process(done.message).key                done.key

Octets in, octets out: nothing here opens a socket or a file. An end-point serves one exchange; its handshake
state is discarded at success, at the first thing that is wrong, and at its time limit, and never used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from ..alerts import Alert
from ..association import Association
from ..clock import CLOCK
from ..credentials import Framework, Secret
from ..errors import CertificateRejectedError, CredentialError, HandshakeError, KeyEstablishmentError
from ..frameworks.resolvers import ProvisionedKeys
from ..frameworks.steps import Acceptor, Established, Initiator
from ..identifiers import EntityId
from ..keys import ExportLabel
from ..telemetry import HANDSHAKES
from ..tls.endpoint import Endpoint, PeerIdentity, Verifier
from ..tls.engine import CertificateType, LocalCredential
from ..tls.events import Event, HandshakeCompleted, SessionEnded
from ..tls.session import Party, Session
from ..tls.states import State
from ..tls.suites import CERTIFICATE_SUITES
from .messages import alert_in, begins_exchange, check_message

DEFAULT_SECONDS: Final = 60.0
"""How long a half-finished exchange is kept, in seconds."""

_PROOF_ALERTS: Final = (Alert.bad_record_mac, Alert.decrypt_error)


@dataclass(frozen=True, slots=True)
class PairwiseE2EKey:
    """What both end-points hold at the end.

    Attributes:
        key_id: pairwiseE2EKeyID, 16 octets.
        key: pairwiseE2EKey, 32 octets.
        association: With whom, by which certificate and suite, until when.
    """

    key_id: bytes
    key: Secret = field(repr=False)
    association: Association

    @property
    def peer(self) -> EntityId | None:
        """The authenticated other end-point; None when only its credential is known."""
        return self.association.peer

    @property
    def expires(self) -> datetime | None:
        """When the key ends (UTC): with the certificate that authenticated it."""
        return self.association.expires


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a message.

    Attributes:
        message: The next ESCertKE message, for the peer; empty when there is none.
        key: The result; None while the exchange goes on.
    """

    message: bytes = b""
    key: PairwiseE2EKey | None = None


def initiator(
    local: EntityId, peer: EntityId, *, certificate: LocalCredential, verifier: Verifier
) -> Initiator:
    """What the Initiating End-Point is commanded with (8.7.2.2 step B), for any number of exchanges.

    Args:
        local: Our identity.
        peer: The Terminating End-Point's identity; another peer's certificate is refused in the handshake.
        certificate: Our certificate, its chain and private key.
        verifier: Judges the Terminating End-Point's certificate by what was configured for it.
    """
    endpoint = _endpoint(certificate, _Commanded(verifier, peer), server=False)
    return Initiator(Framework.ESCERTKE, local, peer, endpoint)


def acceptor(local: EntityId, *, certificate: LocalCredential, verifier: Verifier) -> Acceptor:
    """What the Terminating End-Point is configured with (8.7.2.2 step B), for any number of exchanges.

    Args:
        local: Our identity.
        certificate: Our certificate, its chain and private key.
        verifier: Judges the certificates of those who may initiate, by what was configured for each.
    """
    endpoint = _endpoint(certificate, verifier, server=True)
    return Acceptor(local, endpoint, ProvisionedKeys(()), certificate_framework=Framework.ESCERTKE)


class InitiatingEndPoint:
    """The end that begins: sends messages 1 and 3 of one exchange."""

    def __init__(
        self,
        configured: Initiator,
        *,
        seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = CLOCK.monotonic,
    ) -> None:
        """An exchange to be started.

        Args:
            configured: See ``initiator``.
            seconds: Time limit from ``start`` to the end.
            clock: Gives seconds that never go back.
        """
        self._configured = configured
        self._seconds = seconds
        self._clock = clock
        self._exchange: _Exchange | None = None

    def start(self) -> bytes:
        """ESCertKE message 1.

        Raises:
            KeyEstablishmentError: It was started before.
        """
        if self._exchange is not None:
            raise KeyEstablishmentError("an end-point serves one exchange: make a new one")
        session = self._configured.session()
        self._exchange = _Exchange(session, self._configured.local, self._seconds, self._clock)
        return session.data_to_send()

    def process(self, message: bytes) -> Step:
        """Take message 2 and give message 3, or take message 4 and give the key.

        Raises:
            KeyEstablishmentError: The exchange has ended without a key.
        """
        if self._exchange is None:
            raise KeyEstablishmentError("the exchange has not begun: start it")
        return self._exchange.process(message, {2: self._message_3, 4: self._key})

    def discard(self) -> None:
        """Give the exchange up."""
        if self._exchange is not None:
            self._exchange.session = None

    def _message_3(self, session: Session[Party], events: Sequence[Event]) -> Step:
        _expect(events, [])
        message = session.data_to_send()
        check_message(3, message)
        return Step(message=message)

    def _key(self, session: Session[Party], events: Sequence[Event]) -> Step:
        if events != [HandshakeCompleted()]:
            # Its form was checked: what remains to fail is the Finished, and our alert is encrypted by now.
            raise _proof_fails(_PROOF_ALERTS[0])
        key = _export(self._configured.establish(session))
        # What the certificate proves was compared with it in the handshake (8.7.2.2 step B).
        return Step(key=replace(key, association=replace(key.association, peer=self._configured.peer)))


class TerminatingEndPoint:
    """The end that answers: sends messages 2 and 4 of one exchange."""

    def __init__(
        self,
        configured: Acceptor,
        *,
        seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = CLOCK.monotonic,
    ) -> None:
        """An exchange that waits for message 1.

        Args:
            configured: See ``acceptor``.
            seconds: Time limit from now to the end.
            clock: Gives seconds that never go back.
        """
        self._configured = configured
        session = Session(configured)
        self._exchange = _Exchange(session, configured.local, seconds, clock)

    def process(self, message: bytes) -> Step:
        """Take message 1 and give message 2, or take message 3 and give message 4 and the key.

        The key is proven to be shared: its holder proved so with message 3. The initiator has it only once
        message 4 arrives unaltered.

        Raises:
            KeyEstablishmentError: The exchange has ended without a key.
        """
        return self._exchange.process(message, {1: self._message_2, 3: self._message_4})

    def discard(self) -> None:
        """Give the exchange up."""
        self._exchange.session = None

    @property
    def expired(self) -> bool:
        """Is its time over?"""
        return self._exchange.expired

    def _message_2(self, session: Session[Party], events: Sequence[Event]) -> Step:
        _expect(events, [])
        message = session.data_to_send()
        check_message(2, message)
        return Step(message=message)

    def _message_4(self, session: Session[Party], events: Sequence[Event]) -> Step:
        _expect(events, [HandshakeCompleted()])
        key = _export(self._configured.establish(session, None))
        _expect(session.release(), [])
        message = session.data_to_send()
        check_message(4, message)
        return Step(message=message, key=key)


Action = Callable[[Session[Party], Sequence[Event]], Step]


class _Exchange:
    """One end of one exchange: its handshake state, and which message comes next."""

    def __init__(
        self, session: Session[Party], local: EntityId, seconds: float, clock: Callable[[], float]
    ) -> None:
        self.session: Session[Party] | None = session
        self._local = str(local)
        self._clock = clock
        self._deadline = clock() + seconds
        self._done = 0

    @property
    def expired(self) -> bool:
        return self._clock() >= self._deadline

    def process(self, message: bytes, actions: Mapping[int, Action]) -> Step:
        """Take a message; ``actions`` says what follows from each that is taken here, in ascending order."""
        # Taken out first and put back last: whatever happens in between, it is not used twice.
        session, self.session = self.session, None
        if session is None:
            raise KeyEstablishmentError("this exchange is over: begin a new one with message 1")
        number = min(n for n in actions if n > self._done)
        try:
            self._look_at(session, number, message)
            step = actions[number](session, session.receive(message))
        except HandshakeError as error:
            HANDSHAKES.labels(self._local, Framework.ESCERTKE.value, error.outcome).inc()
            raise KeyEstablishmentError(
                str(error), alert=error.alert, reply=_alert_for_peer(session, error)
            ) from None
        if step.key is None:
            self._done, self.session = number, session
        else:
            HANDSHAKES.labels(self._local, Framework.ESCERTKE.value, "established").inc()
        return step

    def _look_at(self, session: Session[Party], number: int, message: bytes) -> None:
        if self.expired:
            raise HandshakeError("the exchange took too long: begin a new one", alert=Alert.user_canceled)
        ended_with = alert_in(message)
        if ended_with is not None:
            session.connection_lost()  # so that an alert is not answered with an alert
            raise HandshakeError(
                f"the peer ended the exchange with {ended_with.described()}", alert=ended_with
            )
        if number > 1 and begins_exchange(message):
            raise HandshakeError(
                f"message 1 came where message {number} is expected: the exchange under way is over, "
                "begin again",
                alert=Alert.unexpected_message,
            )
        check_message(number, message)


def _expect(events: Sequence[Event], expected: Sequence[Event]) -> None:
    """The engine must be exactly where the table has it."""
    for event in events:
        if isinstance(event, SessionEnded) and event.error is not None:
            alert = event.error.alert
            raise _proof_fails(alert) if alert in _PROOF_ALERTS else event.error
    if list(events) != list(expected):
        raise HandshakeError(
            "the handshake does not lead where ESCertKE leads", alert=Alert.unexpected_message
        )


def _proof_fails(alert: Alert) -> HandshakeError:
    return HandshakeError(
        "the proof over all messages fails: one was altered on its way or is another exchange's, or the peer "
        "does not hold the key of its certificate",
        alert=alert,
    )


def _export(established: Established) -> PairwiseE2EKey:
    try:
        exported = established.export(ExportLabel.ESCERTKE)
    except CredentialError as error:
        raise HandshakeError(str(error), alert=Alert.handshake_failure) from error
    return PairwiseE2EKey(exported.relative, exported.key, established.association)


def _alert_for_peer(session: Session[Party], error: HandshakeError) -> bytes:
    """What the engine says of the failure, or what we say in its place."""
    if session.state is not State.ENDED:
        session.abort(error.alert or Alert.internal_error)
    return session.data_to_send() if session.state is State.ENDED else b""


@dataclass(frozen=True, slots=True)
class _Commanded:
    """A verifier that accepts the commanded peer only, whoever else is configured."""

    verifier: Verifier
    peer: EntityId

    @property
    def certificate_types(self) -> frozenset[CertificateType]:
        return self.verifier.certificate_types

    def verify(self, chain: Sequence[bytes], *, server: bool) -> PeerIdentity:
        verified = self.verifier.verify(chain, server=server)
        if verified.peer != self.peer and self.peer not in verified.allowed_ae_ids:
            proven = verified.peer or verified.credential_id
            raise CertificateRejectedError(
                f"it is the certificate of {proven}, not of {self.peer}", alert=Alert.bad_certificate
            )
        return verified


def _endpoint(certificate: LocalCredential, verifier: Verifier, *, server: bool) -> Endpoint:
    return Endpoint(
        server=server,
        psk=False,
        certificate=certificate,
        verifier=verifier,
        suites=CERTIFICATE_SUITES,
        requires_extended_master_secret=True,
    )

"""The engine by GnuTLS, for what OpenSSL does not show: raw public keys (RFC 7250), at either end or at both.

It does all that an endpoint may ask, since one port also serves clients with pre-shared keys or certificates.

What GnuTLS gets of ours stays in its place for as long as it may look, and a session is released before the
credentials that it was made with: in one place, ``gnutls_library.owned``. The callbacks are made once and
live as long as the process. They run inside a call of an engine only, find it by the pointer of its session,
and let no exception out into C.
"""

from __future__ import annotations

import errno
import time
from typing import Final

from ..alerts import Alert
from ..telemetry import LOG
from .engine import CallbackTarget, CertificateType, Context, EngineError, Terms
from .gnutls_library import CData, allocated, ffi, given, load, octets_of, owned, reason_of, require
from .gnutls_terms import certificate, priorities
from .inbox import MESSAGE_MAX_OCTETS, Inbox
from .records import message_sequence_of, sequence_of, server_hello_code
from .suites import BY_CODE, Suite

_AGAIN, _INTERRUPTED, _WARNING_ALERT, _FATAL_ALERT = -28, -52, -16, -12
_REFUSED, _REHANDSHAKE, _NO_CERTIFICATE, _TOO_LARGE = -43, -37, -49, -210
_ALERTS: Final = {_REHANDSHAKE: Alert.no_renegotiation, _NO_CERTIFICATE: Alert.handshake_failure}
_GOES_ON: Final = {_AGAIN, _INTERRUPTED, _WARNING_ALERT}

_SERVER, _CLIENT, _DATAGRAM, _NONBLOCK = 1, 2, 1 << 2, 1 << 3
_NO_SIGNAL, _NO_TICKETS, _ENABLE_RAWPK = 1 << 6, 1 << 10, 1 << 18
_CERTIFICATE, _PSK, _REQUIRE = 1, 4, 2
_PEERS: Final = 3
_TYPES: Final = {1: CertificateType.X509, 3: CertificateType.RAW_PUBLIC_KEY}
_AFTER, _SERVER_HELLO, _FATAL, _SHUT_WRITE, _DNS = 1, 2, 2, 1, 1

_RECORD: Final = 1 << 14
_MTU_MAX: Final = 1 << 14
"""GnuTLS takes no greater one: 16,347 octets of data or less, by the suite."""

_UNANSWERED_MAX_OCTETS: Final = 64 * 1024
"""What is taken of a stream with nothing to show for it: GnuTLS weighs a message only when it is complete."""

_RETRANSMIT_MS: Final = 1000
_GIVE_UP_MS: Final = 600_000
"""RFC 6347 clause 4.2.4.1 for the first; how long a handshake may take in all is the owner's affair."""

_running: dict[int, GnuTlsEngine] = {}


def _pointer(of: CData) -> int:
    return int(ffi.cast("uintptr_t", of))


def _mistaken(kind: type[BaseException], error: BaseException, traceback: object) -> None:
    """Ours, since nothing here is meant to raise: the library is told that it failed, the operator what."""
    del kind, traceback
    LOG.error("the TLS library was not answered", error=repr(error))


@ffi.callback("gnutls_push_func", error=-1, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _push(session: CData, data: CData, length: int) -> int:
    _running[_pointer(session)].pushed(bytes(ffi.buffer(data, length)))
    return length


@ffi.callback("gnutls_pull_func", error=-1, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _pull(session: CData, data: CData, room: int) -> int:
    octets = _running[_pointer(session)].inbox.take(room)
    if not octets:
        load().gnutls_transport_set_errno(ffi.cast("gnutls_session_t", session), errno.EAGAIN)
        return -1
    ffi.memmove(data, octets, len(octets))
    return len(octets)


@ffi.callback("gnutls_pull_timeout_func", error=-1, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _pull_timeout(session: CData, milliseconds: int) -> int:
    del milliseconds  # nobody waits here: what will come later is fed later
    return 1 if _running[_pointer(session)].inbox else 0


@ffi.callback("simple_hook", error=_REFUSED, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _client_hello_read(session: CData) -> int:
    target = _running[_pointer(session)].target
    if target is None:
        return _REFUSED
    target.server_name_received()
    return 0


@ffi.callback("message_hook", error=_REFUSED, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _server_hello_read(session: CData, kind: int, when: int, incoming: int, message: CData) -> int:
    del kind, when, incoming
    _running[_pointer(session)].server_hello_seen(octets_of(message))
    return 0


@ffi.callback("keylog", error=_REFUSED, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _keep_secrets(session: CData, label: CData, secret: CData) -> int:
    """In the place of what GnuTLS does by itself: write every master secret to the file SSLKEYLOGFILE."""
    del session, label, secret
    return 0


@ffi.callback("simple_hook", error=_REFUSED, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _verify(session: CData) -> int:
    return 0 if _running[_pointer(session)].accepts_peer() else _REFUSED


@ffi.callback("server_psk", error=_REFUSED, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _server_psk(session: CData, identity: CData, key_out: CData) -> int:
    key = _running[_pointer(session)].key_for(octets_of(identity))
    return _REFUSED if key is None else given(key, key_out)


@ffi.callback("client_psk", error=_REFUSED, onerror=_mistaken)  # type: ignore[untyped-decorator]
def _client_psk(session: CData, identity_out: CData, key_out: CData) -> int:
    target = _running[_pointer(session)].target
    offer = None if target is None else target.client_psk()
    if offer is None:
        return _REFUSED
    return given(offer[0], identity_out) or given(offer[1], key_out)


class GnuTlsContext:
    """(D)TLS 1.2 only; no tickets, resumption, renegotiation or compression; exact suites and signatures."""

    def __init__(self, terms: Terms) -> None:
        """A context by these terms.

        Raises:
            ConfigurationError: GnuTLS is not installed, or lacks something that is needed.
            CredentialError: The private key cannot be handed over.
        """
        self.terms, self.library = terms, load()
        self.priority = priorities(self, terms)
        self.credentials: list[tuple[int, CData]] = []
        if terms.credential is not None:
            self.credentials.append((_CERTIFICATE, certificate(self, terms.credential)))
        if any(suite.key_exchange.uses_psk for suite in terms.suites):
            self.credentials.append((_PSK, self._psk()))

    def engine(self, *, server_name: str | None = None) -> GnuTlsEngine:
        """An engine whose handshake is about to begin."""
        return GnuTlsEngine(self, server_name)

    def _psk(self) -> CData:
        library, end = self.library, "server" if self.terms.server else "client"
        made = allocated(
            self,
            f"gnutls_psk_{end}_credentials_t",
            getattr(library, f"gnutls_psk_allocate_{end}_credentials"),
            getattr(library, f"gnutls_psk_free_{end}_credentials"),
        )
        if self.terms.server:
            library.gnutls_psk_set_server_credentials_function2(made, _server_psk)
        else:
            library.gnutls_psk_set_client_credentials_function2(made, _client_psk)
        return made


class GnuTlsEngine:
    """One end of one session (see ``engine.Engine``).

    Attributes:
        target: Whose handshake goes on at this moment.
        inbox: What the peer sent.
        outbox: What is for the peer.
    """

    def __init__(self, context: GnuTlsContext, server_name: str | None) -> None:
        """An engine whose handshake is about to begin."""
        library, terms = context.library, context.terms
        self._library, self._terms, self._contexts = library, terms, [context]
        self.target: CallbackTarget | None = None
        self.inbox, self.outbox = Inbox(datagram=terms.datagram), list[bytes]()
        self._alert: int | None = None
        self._unanswered = 0
        self._suite: Suite | None = None
        self._complete = self._has_spoken = False
        self._not_before = 0.0
        flags = _NONBLOCK | _NO_SIGNAL | _NO_TICKETS | _ENABLE_RAWPK
        flags |= (_SERVER if terms.server else _CLIENT) | (_DATAGRAM if terms.datagram else 0)
        out = ffi.new("gnutls_session_t *")
        require(library.gnutls_init(out, flags), "makes no session")
        self._session = session = owned(self, out[0], library.gnutls_deinit, self._contexts)
        self.use(context)
        library.gnutls_transport_set_ptr(session, session)
        library.gnutls_transport_set_push_function(session, _push)
        library.gnutls_transport_set_pull_function(session, _pull)
        library.gnutls_transport_set_pull_timeout_function(session, _pull_timeout)
        library.gnutls_handshake_set_max_packet_length(session, MESSAGE_MAX_OCTETS)
        library.gnutls_handshake_set_hook_function(session, _SERVER_HELLO, _AFTER, _server_hello_read)
        library.gnutls_session_set_verify_function(session, _verify)
        library.gnutls_session_set_keylog_function(session, _keep_secrets)
        if terms.server:
            library.gnutls_handshake_set_post_client_hello_function(session, _client_hello_read)
        elif server_name is not None:
            name = server_name.encode("ascii")
            require(library.gnutls_server_name_set(session, _DNS, name, len(name)), "refuses the host name")
        if terms.datagram:
            library.gnutls_dtls_set_timeouts(session, _RETRANSMIT_MS, _GIVE_UP_MS)

    def use(self, context: Context) -> bool:
        """Go on with this context, if it is one of this library."""
        if not isinstance(context, GnuTlsContext):
            return False
        self._contexts.append(context)
        self._terms = context.terms
        require(self._library.gnutls_priority_set(self._session, context.priority), "refuses its priorities")
        for kind, credentials in context.credentials:
            require(self._library.gnutls_credentials_set(self._session, kind, credentials), "refuses a key")
        if context.terms.server and context.terms.accepts:
            self._library.gnutls_certificate_server_set_request(self._session, _REQUIRE)
        return True

    # --- octets -------------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Octets of the peer."""
        self.inbox.add(octets)

    def drain(self) -> bytes:
        """Octets for the peer."""
        drained = b"".join(self.outbox)
        self.outbox.clear()
        return drained

    def handshake(self, target: CallbackTarget) -> bool:
        """Go on with the handshake."""
        self.target = target
        try:
            self._complete = self._until_waiting(self._library.gnutls_handshake) == 0
        finally:
            self.target = None
        if self._complete and self._terms.datagram:
            self.limit_datagrams(_MTU_MAX)  # of what follows, who sends it says how long it is
        return self._complete

    def read(self) -> bytes | None:
        """Application data, the end, or nothing yet."""
        room = ffi.new("char[]", _RECORD)
        count = self._until_waiting(self._library.gnutls_record_recv, room, _RECORD)
        return None if count is None else bytes(ffi.buffer(room, count))

    def write(self, data: bytes) -> None:
        """Protect application data."""
        view = memoryview(data)
        while view:
            # Over DTLS what is too long for a record is refused: its parts could be lost or change places.
            part = view if self._terms.datagram else view[:_RECORD]
            sent = self._call(self._library.gnutls_record_send, ffi.from_buffer(part), len(part))
            if sent < 0:
                raise EngineError(reason_of(sent))
            view = view[sent:]

    def close(self) -> None:
        """Say close_notify."""
        self._call(self._library.gnutls_bye, _SHUT_WRITE)

    def _call(self, function: CData, *arguments: CData) -> int:
        """Call what may call back."""
        number = _pointer(self._session)
        _running[number] = self
        try:
            return int(function(self._session, *arguments))
        finally:
            del _running[number]

    def _until_waiting(self, function: CData, *arguments: CData) -> int | None:
        """What it returns once it is through with what was fed; None when it waits for more."""
        while True:
            taken = self.inbox.taken
            result = self._call(function, *arguments)
            self._unanswered += self.inbox.taken - taken
            if result >= 0:
                self._unanswered = 0
                return result
            if result not in _GOES_ON:
                raise self._ended(result)
            if self._unanswered > _UNANSWERED_MAX_OCTETS and not self._terms.datagram:
                raise self._ended(_TOO_LARGE)
            if self.inbox.taken == taken:
                return None  # it waits; as long as it takes something, some of that may be left with it

    def _ended(self, result: int) -> EngineError:
        """What to say of it, here and to the peer."""
        reason = reason_of(result)
        told = self._library.gnutls_alert_get(self._session)
        # An alert that comes where a certificate was expected is called a missing one.
        if result == _FATAL_ALERT or (result == _NO_CERTIFICATE and told):
            return EngineError(reason, Alert.known(told))
        if self._alert is None:
            self._alert = _ALERTS.get(result) or self._library.gnutls_error_to_alert(result, ffi.new("int *"))
        self._call(self._library.gnutls_alert_send, _FATAL, self._alert)
        return EngineError(reason)

    # --- what the callbacks ask ---------------------------------------------------------------------------

    def pushed(self, octets: bytes) -> None:
        """The library has made these octets for the peer."""
        self._has_spoken = True
        self.outbox.append(octets)

    def server_hello_seen(self, body: bytes) -> None:
        """Take note of a ServerHello, without its header."""
        self._suite = BY_CODE.get(server_hello_code(body) or 0)
        if (target := self.target) is not None:
            target.server_hello_seen(body)

    def key_for(self, identity: bytes) -> bytes | None:
        """The pre-shared key for what the client showed."""
        target = self.target
        key = None if target is None else target.server_psk(identity)
        if key is None:
            self._alert = Alert.unknown_psk_identity
        return key

    def accepts_peer(self) -> bool:
        """Have the peer's certificates judged."""
        target, count = self.target, ffi.new("unsigned int *")
        shown = _TYPES.get(self._library.gnutls_certificate_type_get2(self._session, _PEERS))
        if target is None or shown not in self._terms.accepts:
            self._alert = Alert.unsupported_certificate
            return False
        listed = self._library.gnutls_certificate_get_peers(self._session, count)
        total = 0 if listed == ffi.NULL else count[0]
        target.peer_certificates_received([octets_of(listed[number]) for number in range(total)])
        self._alert = target.verify_peer()
        return self._alert is None

    # --- DTLS ---------------------------------------------------------------------------------------------

    def limit_datagrams(self, octets: int) -> None:
        """Make no record that is longer than a datagram of so many octets."""
        self._library.gnutls_dtls_set_mtu(self._session, octets)

    def listen(self, datagram: bytes, cookie: bytes) -> bool:
        """Begin with the ClientHello that carries this cookie, which was looked at already."""
        del cookie
        state = {
            "record_seq": sequence_of(datagram) & 0xFFFFFFFF,
            "hsk_read_seq": message_sequence_of(datagram),
            "hsk_write_seq": 0,
        }
        self._library.gnutls_dtls_prestate_set(self._session, ffi.new("gnutls_dtls_prestate_st *", state))
        return True

    def retransmit_in(self) -> float | None:
        """After how many seconds ``retransmit`` is due."""
        if self._complete or not self._has_spoken:
            return None
        due: float = self._library.gnutls_dtls_get_timeout(self._session) / 1000
        # What a flight that came in part waits for is the peer's repetition: then nothing is made again here.
        return max(due, min(self._not_before - time.time(), _RETRANSMIT_MS / 1000))

    def retransmit(self) -> None:
        """Make the last flight again."""
        made = len(self.outbox)
        self._until_waiting(self._library.gnutls_handshake)
        if len(self.outbox) == made:
            self._not_before = time.time() + _RETRANSMIT_MS / 1000  # the library's timers are by this clock

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def suite(self) -> Suite | None:
        """The suite that was agreed on."""
        return self._suite

    @property
    def protocol(self) -> str:
        """``TLSv1.2`` or ``DTLSv1.2``."""
        return "DTLSv1.2" if self._terms.datagram else "TLSv1.2"

    @property
    def server_name(self) -> bytes | None:
        """The SNI host name that the client sent."""
        room, length, kind = ffi.new("char[256]"), ffi.new("size_t *", 256), ffi.new("unsigned int *")
        result = self._library.gnutls_server_name_get(self._session, room, length, kind, 0)
        return bytes(ffi.buffer(room, length[0])) if result == 0 else None

    @property
    def has_extended_master_secret(self) -> bool:
        """Was Extended Master Secret negotiated?"""
        return bool(self._library.gnutls_session_ext_master_secret_status(self._session))

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material."""
        room = ffi.new("char[]", length)
        result = self._library.gnutls_prf_rfc5705(self._session, len(label), label, 0, ffi.NULL, length, room)
        require(result, "exports nothing")
        return bytes(ffi.buffer(room, length))

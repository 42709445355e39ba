"""The engine by OpenSSL, called directly: a session is an SSL object between two queues of octets in memory.

Contexts are pyOpenSSL's (openssl_terms.py). It lacks pre-shared keys and a verify callback that chooses the
alert, and its connections allocate for each call, so sessions are ours. What the library says is a return
code; only the end of a session is an exception.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from .engine import CallbackTarget, Context, EngineError, Terms
from .openssl_callbacks import running
from .openssl_library import ended, ffi, lib
from .openssl_terms import context_by
from .suites import BY_OPENSSL_NAME, Suite

_CHUNK: Final = 1 << 16


class _Scratch(threading.local):
    """Where a thread's calls put what they return: several threads may be inside the library at once."""

    def __init__(self) -> None:
        self.room = ffi.new("unsigned char[]", _CHUNK)
        self.octets = ffi.buffer(self.room)
        self.seconds, self.microseconds = ffi.new("time_t *"), ffi.new("long *")
        self.address = ffi.gc(lib.BIO_ADDR_new(), lib.BIO_ADDR_free)


_scratch: Final = _Scratch()


class OpenSslContext:
    """A context of this library (see ``engine.Context``)."""

    def __init__(self, terms: Terms) -> None:
        """A context by these terms.

        Raises:
            ConfigurationError: The installed libraries lack something that is needed.
        """
        self.context = context_by(terms)
        self._server = terms.server

    def engine(self, *, server_name: str | None = None) -> OpenSslEngine:
        """An engine whose handshake is about to begin."""
        return OpenSslEngine(self.context._context, server=self._server, server_name=server_name)


class OpenSslEngine:
    """One end of one session (see ``engine.Engine``).

    Attributes:
        target: Whose handshake goes on at this moment.
        cookie: DTLS: what the client must have sent back.
        ssl: The SSL object.
    """

    __slots__ = ("_incoming", "_outgoing", "cookie", "ssl", "target")

    def __init__(self, context: Any, *, server: bool, server_name: str | None) -> None:
        """An engine whose handshake is about to begin."""
        self.target: CallbackTarget | None = None
        self.cookie = b""
        self.ssl = ffi.gc(lib.SSL_new(context), lib.SSL_free)
        self._incoming, self._outgoing = lib.BIO_new(lib.BIO_s_mem()), lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self.ssl, self._incoming, self._outgoing)  # and frees them in the end
        if server:
            lib.SSL_set_accept_state(self.ssl)
        else:
            lib.SSL_set_connect_state(self.ssl)
            if server_name is not None:
                lib.SSL_set_tlsext_host_name(self.ssl, server_name.encode("ascii"))

    def use(self, context: Context) -> bool:
        """Go on with this context, if it is one of this library."""
        if not isinstance(context, OpenSslContext):
            return False
        lib.SSL_set_SSL_CTX(self.ssl, context.context._context)
        return True

    # --- octets -------------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Octets of the peer."""
        lib.BIO_write(self._incoming, octets, len(octets))

    def drain(self) -> bytes:
        """Octets for the peer."""
        drained = b""
        while (count := lib.BIO_read(self._outgoing, _scratch.room, _CHUNK)) > 0:
            drained += _scratch.octets[:count]
            if count < _CHUNK:
                break
        return drained

    def handshake(self, target: CallbackTarget) -> bool:
        """Go on with the handshake."""
        lib.ERR_clear_error()  # lest an old entry be taken for one of this call
        self.target = target
        running[self.ssl] = self
        try:
            result = lib.SSL_do_handshake(self.ssl)
        finally:
            del running[self.ssl]
            self.target = None
        return result == 1 or self._waits(result)

    def read(self) -> bytes | None:
        """Application data, the end, or nothing yet."""
        lib.ERR_clear_error()
        count = lib.SSL_read(self.ssl, _scratch.room, _CHUNK)
        if count > 0:
            data: bytes = _scratch.octets[:count]
            return data
        if lib.SSL_get_error(self.ssl, count) == lib.SSL_ERROR_ZERO_RETURN:
            return b""
        self._waits(count)
        return None

    def write(self, data: bytes) -> None:
        """Protect application data."""
        lib.ERR_clear_error()
        view = memoryview(data)
        while view:
            part = view[:_CHUNK]
            sent = lib.SSL_write(self.ssl, ffi.from_buffer(part), len(part))
            if sent <= 0:
                raise ended(self.ssl, sent) or EngineError("nothing can be sent")
            view = view[sent:]

    def close(self) -> None:
        """Say close_notify."""
        lib.SSL_shutdown(self.ssl)

    def _waits(self, result: int) -> bool:
        """False: it waits for more; anything else that is no success is raised."""
        error = ended(self.ssl, result)
        if error is not None:
            raise error
        return False

    # --- DTLS ---------------------------------------------------------------------------------------------

    def limit_datagrams(self, octets: int) -> None:
        """Make no record that is longer than a datagram of so many octets."""
        lib.SSL_set_mtu(self.ssl, octets)

    def listen(self, datagram: bytes, cookie: bytes) -> bool:
        """Begin with the ClientHello that carries this cookie, which the handshake will look at again."""
        lib.ERR_clear_error()
        self.cookie = cookie
        self.feed(datagram)
        running[self.ssl] = self
        try:
            result: int = lib.DTLSv1_listen(self.ssl, _scratch.address)
        finally:
            del running[self.ssl]
        return result > 0

    def retransmit_in(self) -> float | None:
        """After how many seconds ``retransmit`` is due."""
        seconds, microseconds = _scratch.seconds, _scratch.microseconds
        if not lib.Cryptography_DTLSv1_get_timeout(self.ssl, seconds, microseconds):
            return None
        due: float = seconds[0] + microseconds[0] / 1_000_000
        return due

    def retransmit(self) -> None:
        """Make the last flight again."""
        lib.ERR_clear_error()
        result = lib.DTLSv1_handle_timeout(self.ssl)
        if result < 0:
            self._waits(result)

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def suite(self) -> Suite | None:
        """The suite that was agreed on."""
        cipher = lib.SSL_get_current_cipher(self.ssl)
        if cipher == ffi.NULL:
            return None
        return BY_OPENSSL_NAME.get(ffi.string(lib.SSL_CIPHER_get_name(cipher)).decode("ascii"))

    @property
    def protocol(self) -> str:
        """``TLSv1.2`` or ``DTLSv1.2``."""
        name: bytes = ffi.string(lib.SSL_get_version(self.ssl))
        return name.decode("ascii")

    @property
    def server_name(self) -> bytes | None:
        """The SNI host name that the client sent."""
        name = lib.SSL_get_servername(self.ssl, lib.TLSEXT_NAMETYPE_host_name)
        return None if name == ffi.NULL else bytes(ffi.string(name))

    @property
    def has_extended_master_secret(self) -> bool:
        """Was Extended Master Secret negotiated?"""
        return bool(lib.SSL_get_extms_support(self.ssl) == 1)

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material."""
        room = ffi.new("unsigned char[]", length)
        done = lib.SSL_export_keying_material(self.ssl, room, length, label, len(label), ffi.NULL, 0, 0)
        if done != 1:
            raise EngineError("nothing is exported")
        exported = bytes(ffi.buffer(room))
        ffi.memmove(room, bytes(length), length)
        return exported

"""GnuTLS as the system's shared library has it, by its binary interface: no compiler is needed.

Declared as in gnutls/gnutls.h and gnutls/dtls.h of GnuTLS 3.7; the library keeps this interface under the
name ``libgnutls.so.30``. Nobody but gnutls.py and gnutls_terms.py calls it.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Final, TypeAlias

from cffi import FFI

from ..errors import ConfigurationError

LIBRARY: Final = "libgnutls.so.30"
NEEDED: Final = "3.7.0"
"""The least version; raw public keys came before, their mistakes went with it."""

MEMORY_ERROR: Final = -25

CData: TypeAlias = Any
"""A value of C: cffi has no types for them."""

ffi: Any = FFI()
ffi.cdef("""
    typedef struct gnutls_session_int *gnutls_session_t;
    typedef struct gnutls_priority_st *gnutls_priority_t;
    typedef struct gnutls_certificate_credentials_st *gnutls_certificate_credentials_t;
    typedef struct gnutls_psk_server_credentials_st *gnutls_psk_server_credentials_t;
    typedef struct gnutls_psk_client_credentials_st *gnutls_psk_client_credentials_t;
    typedef struct { unsigned char *data; unsigned int size; } gnutls_datum_t;
    typedef struct { unsigned int record_seq, hsk_read_seq, hsk_write_seq; } gnutls_dtls_prestate_st;

    typedef ssize_t (*gnutls_pull_func)(void *, void *, size_t);
    typedef ssize_t (*gnutls_push_func)(void *, const void *, size_t);
    typedef int (*gnutls_pull_timeout_func)(void *, unsigned int);
    typedef int (*simple_hook)(gnutls_session_t);
    typedef int (*message_hook)(gnutls_session_t, unsigned int, unsigned int, unsigned int,
                                const gnutls_datum_t *);
    typedef int (*server_psk)(gnutls_session_t, const gnutls_datum_t *, gnutls_datum_t *);
    typedef int (*keylog)(gnutls_session_t, const char *, const gnutls_datum_t *);
    typedef int (*client_psk)(gnutls_session_t, gnutls_datum_t *, gnutls_datum_t *);

    extern void *(*gnutls_malloc)(size_t);
    const char *gnutls_check_version(const char *);
    const char *gnutls_strerror(int);
    void gnutls_global_set_log_level(int);
    int gnutls_error_to_alert(int, int *);

    int gnutls_priority_init(gnutls_priority_t *, const char *, const char **);
    void gnutls_priority_deinit(gnutls_priority_t);
    int gnutls_priority_get_cipher_suite_index(gnutls_priority_t, unsigned int, unsigned int *);
    const char *gnutls_cipher_suite_info(size_t, unsigned char *, int *, int *, int *, int *);

    int gnutls_certificate_allocate_credentials(gnutls_certificate_credentials_t *);
    void gnutls_certificate_free_credentials(gnutls_certificate_credentials_t);
    int gnutls_certificate_set_x509_key_mem2(gnutls_certificate_credentials_t, const gnutls_datum_t *,
                                             const gnutls_datum_t *, int, const char *, unsigned int);
    int gnutls_certificate_set_rawpk_key_mem(gnutls_certificate_credentials_t, const gnutls_datum_t *,
                                             const gnutls_datum_t *, int, const char *, unsigned int,
                                             const char **, unsigned int, unsigned int);
    int gnutls_psk_allocate_server_credentials(gnutls_psk_server_credentials_t *);
    void gnutls_psk_free_server_credentials(gnutls_psk_server_credentials_t);
    void gnutls_psk_set_server_credentials_function2(gnutls_psk_server_credentials_t, server_psk);
    int gnutls_psk_allocate_client_credentials(gnutls_psk_client_credentials_t *);
    void gnutls_psk_free_client_credentials(gnutls_psk_client_credentials_t);
    void gnutls_psk_set_client_credentials_function2(gnutls_psk_client_credentials_t, client_psk);

    int gnutls_init(gnutls_session_t *, unsigned int);
    void gnutls_deinit(gnutls_session_t);
    int gnutls_priority_set(gnutls_session_t, gnutls_priority_t);
    int gnutls_credentials_set(gnutls_session_t, int, void *);
    void gnutls_certificate_server_set_request(gnutls_session_t, int);
    void gnutls_session_set_verify_function(gnutls_session_t, simple_hook);
    void gnutls_session_set_keylog_function(gnutls_session_t, keylog);
    void gnutls_handshake_set_post_client_hello_function(gnutls_session_t, simple_hook);
    void gnutls_handshake_set_hook_function(gnutls_session_t, unsigned int, int, message_hook);
    void gnutls_handshake_set_max_packet_length(gnutls_session_t, size_t);
    int gnutls_server_name_set(gnutls_session_t, int, const void *, size_t);
    int gnutls_server_name_get(gnutls_session_t, void *, size_t *, unsigned int *, unsigned int);
    void gnutls_transport_set_ptr(gnutls_session_t, void *);
    void gnutls_transport_set_push_function(gnutls_session_t, gnutls_push_func);
    void gnutls_transport_set_pull_function(gnutls_session_t, gnutls_pull_func);
    void gnutls_transport_set_pull_timeout_function(gnutls_session_t, gnutls_pull_timeout_func);
    void gnutls_transport_set_errno(gnutls_session_t, int);

    void gnutls_dtls_prestate_set(gnutls_session_t, gnutls_dtls_prestate_st *);
    void gnutls_dtls_set_mtu(gnutls_session_t, unsigned int);
    void gnutls_dtls_set_timeouts(gnutls_session_t, unsigned int, unsigned int);
    unsigned int gnutls_dtls_get_timeout(gnutls_session_t);

    int gnutls_handshake(gnutls_session_t);
    ssize_t gnutls_record_recv(gnutls_session_t, void *, size_t);
    ssize_t gnutls_record_send(gnutls_session_t, const void *, size_t);
    int gnutls_bye(gnutls_session_t, int);
    int gnutls_alert_get(gnutls_session_t);
    int gnutls_alert_send(gnutls_session_t, int, int);
    int gnutls_certificate_type_get2(gnutls_session_t, int);
    const gnutls_datum_t *gnutls_certificate_get_peers(gnutls_session_t, unsigned int *);
    unsigned int gnutls_session_ext_master_secret_status(gnutls_session_t);
    int gnutls_prf_rfc5705(gnutls_session_t, size_t, const char *, size_t, const char *, size_t, char *);
""")


@functools.cache
def load() -> CData:
    """The library, once found.

    Raises:
        ConfigurationError: It is not installed, or is too old.
    """
    try:
        library = ffi.dlopen(LIBRARY)
    except OSError:
        library = None
    if library is None or library.gnutls_check_version(NEEDED.encode()) == ffi.NULL:
        raise ConfigurationError(
            f"raw public keys (RFC 7250) take GnuTLS {NEEDED} or later ({LIBRARY}, Debian's libgnutls30), "
            f"which is {'not installed' if library is None else 'older here'}"
        )
    library.gnutls_global_set_log_level(0)  # GNUTLS_DEBUG_LEVEL would have it print keys
    return library


def version() -> str:
    """What is installed, for a message.

    Raises:
        ConfigurationError: It is not installed, or is too old.
    """
    found: bytes = ffi.string(load().gnutls_check_version(ffi.NULL))
    return f"GnuTLS {found.decode('ascii')}"


def reason_of(result: int) -> str:
    """The library's words for an error."""
    found: bytes = ffi.string(load().gnutls_strerror(result))
    return found.decode("ascii", "replace")


def require(result: int, what: str) -> None:
    """Go on after a call that is not about a peer.

    Raises:
        ConfigurationError: It has failed.
    """
    if result < 0:
        raise ConfigurationError(f"{version()} {what}: {reason_of(result)}")


def octets_of(datum: CData) -> bytes:
    """What a ``gnutls_datum_t`` points to."""
    return bytes(ffi.buffer(datum.data, datum.size)) if datum.size else b""


def datum(octets: bytes) -> CData:
    """What the library reads during one call; it points into the octets, which the caller keeps."""
    return ffi.new(
        "gnutls_datum_t *", {"data": ffi.from_buffer("unsigned char[]", octets), "size": len(octets)}
    )


def owned(owner: object, pointer: CData, release: CData, *kept: object) -> CData:
    """Have this released when its owner goes; what it was made with stays until after that."""
    # Not at the end of the process, when owners go in no order: then all of it goes at once.
    weakref.finalize(owner, lambda *_: release(pointer), *kept).atexit = False
    return pointer


def allocated(owner: object, kind: str, allocate: CData, release: CData) -> CData:
    """A new object of this kind, released when its owner goes."""
    out = ffi.new(f"{kind} *")
    require(allocate(out), "cannot be used")
    return owned(owner, out[0], release)


def given(octets: bytes, to: CData) -> int:
    """Make a ``gnutls_datum_t`` a copy that belongs to the library from now on.

    Returns:
        0, or the error for a callback to return.
    """
    memory = load().gnutls_malloc(len(octets))
    if memory == ffi.NULL:
        return MEMORY_ERROR
    ffi.memmove(memory, octets, len(octets))
    to.data, to.size = ffi.cast("unsigned char *", memory), len(octets)
    return 0

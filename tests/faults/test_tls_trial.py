"""The TLS engine is tried before a port is opened: if a part that we lean on has moved, no server starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maf_support import LOOPBACK
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import EntityId
from onem2m_security.tls import gnutls, openssl, openssl_callbacks, openssl_library, openssl_terms, trial
from onem2m_security.tls.engine import CertificateType
from onem2m_security.tls.session import Session
from programs import PATIENCE
from requirements import needs


@pytest.fixture(autouse=True)
def _tried_anew():
    """The verdict is kept for the process: it must be neither taken from nor left to other tests."""
    trial.check_engine.cache_clear()
    yield
    trial.check_engine.cache_clear()


class Engine:
    """The engine's functions, but for one."""

    def __init__(self, name, replacement=None):
        self._own, self._name, self._replacement = openssl_library.lib, name, replacement

    def __getattr__(self, name):
        if name == self._name and self._replacement is None:
            raise AttributeError(name)
        return self._replacement if name == self._name else getattr(self._own, name)


def install(monkeypatch, name, replacement=None):
    """As if the library had another function of this name, or none."""
    engine = Engine(name, replacement)
    for module in (openssl, openssl_callbacks, openssl_library, openssl_terms):
        monkeypatch.setattr(module, "lib", engine)


def test_the_engine_that_is_installed_passes():
    trial.check_engine()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("SSL_CTX_set_psk_server_callback", "complete a handshake with a pre-shared key"),
        ("SSL_CTX_set_psk_client_callback", "complete a handshake with a pre-shared key"),
        ("SSL_CTX_set_verify", "complete a handshake with certificates"),
        ("SSL_CTX_set_msg_callback", "complete a handshake with certificates"),
        ("X509_STORE_CTX_set_error", "refuse a certificate that the verifier refuses"),
        ("SSL_CTX_set1_sigalgs_list", "refuse to sign with SHA-1"),
        ("SSL_get_extms_support", "tell of Extended Master Secret"),
    ],
)
def test_a_function_that_does_nothing_any_more_is_noticed(monkeypatch, name, what):
    install(monkeypatch, name, lambda *_: 1 if "sigalgs" in name else 0)
    with pytest.raises(ConfigurationError, match=f"does not {what}"):
        trial.check_engine()


@pytest.mark.parametrize("name", [*openssl_library.NEEDED, "SSL_CTX_set1_curves_list", "ERR_clear_error"])
def test_a_function_that_is_gone_is_noticed(monkeypatch, name):
    install(monkeypatch, name)
    with pytest.raises(ConfigurationError, match=name):
        trial.check_engine()


def test_a_verifier_that_nobody_asks_is_noticed(monkeypatch):
    """The worst that could happen: every certificate is accepted, and every handshake completes."""

    def accept(session):
        session.verified_peer = object()

    monkeypatch.setattr(Session, "verify_peer", accept)
    with pytest.raises(ConfigurationError, match="refuse a certificate that the verifier refuses"):
        trial.check_engine()


@pytest.fixture
def _gnutls():
    needs("libgnutls.so.30")


class GnuTls:
    """The functions of the other library, but for one."""

    def __init__(self, name, replacement):
        self._own, self._name, self._replacement = gnutls.load(), name, replacement

    def __getattr__(self, name):
        return self._replacement if name == self._name else getattr(self._own, name)


@pytest.mark.usefixtures("_gnutls")
def test_the_library_for_raw_public_keys_that_is_installed_passes():
    trial.check_engine(CertificateType.RAW_PUBLIC_KEY)


@pytest.mark.usefixtures("_gnutls")
@pytest.mark.parametrize(
    ("name", "result", "what"),
    [
        ("gnutls_psk_set_server_credentials_function2", None, "complete a handshake with a pre-shared key"),
        ("gnutls_session_set_verify_function", None, "complete a handshake with certificates"),
        ("gnutls_handshake_set_hook_function", None, "complete a handshake with certificates"),
        ("gnutls_session_ext_master_secret_status", 0, "tell of Extended Master Secret"),
    ],
)
def test_a_function_of_the_library_for_raw_public_keys_that_does_nothing_is_noticed(
    monkeypatch, name, result, what
):
    library = GnuTls(name, lambda *_: result)
    monkeypatch.setattr(gnutls, "load", lambda: library)
    with pytest.raises(ConfigurationError, match=f"the installed GnuTLS .* does not {what}"):
        trial.check_engine(CertificateType.RAW_PUBLIC_KEY)


async def test_nobody_listens_over_an_engine_that_has_changed(monkeypatch):
    install(monkeypatch, "SSL_CTX_set_verify", lambda *_: None)
    with pytest.raises(ConfigurationError, match="install versions within the bounds"):
        async with EntityB(EntityId("/in-cse")) as b:
            await b.listen(LOOPBACK, lambda channel: None)


MOVED = """
import sys
from OpenSSL import SSL
from onem2m_security.cli import main

class Moved(SSL.Context):
    def __getattribute__(self, name):
        asking = sys._getframe(1).f_globals["__name__"]
        if name == "_context" and asking.startswith("onem2m_security.tls.openssl"):
            raise AttributeError("'Context' object has no attribute '_context'")
        return super().__getattribute__(name)

SSL.Context = Moved
main()
"""


def test_a_server_says_what_has_moved_and_does_not_start(tmp_path):
    """As if another pyOpenSSL had other private parts."""
    done = subprocess.run(
        [sys.executable, "-c", MOVED, "maf", "serve", "--data", tmp_path / "data",
         "--fqdn", "maf.example.com", "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "there is no store in" not in line]
    assert "no attribute '_context'" in line
    assert "install versions within the bounds" in line
    assert "listening" not in done.stdout

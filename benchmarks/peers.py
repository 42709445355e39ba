"""Servers that this project did not write, each with what is needed to meet the same client."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from .load import ECDSA, PSK_DTLS, PSK_TLS
from .provision import KM, identity_of
from .running import Server, at, free_port, told

Running = contextlib.AbstractContextManager[Server]
PACKAGES = {
    "stunnel": "stunnel4",
    "gnutls-serv": "gnutls-bin",
    "nginx": "nginx-light",
    "coap-server-openssl": "libcoap3-bin",
}


def program(name: str) -> str | None:
    """Where a program is; system daemons are where no user's PATH leads."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        print(f"not measured: {name} is not installed (Debian: apt-get install {PACKAGES[name]})")
    return found


def s_server() -> Running:
    """``openssl s_server`` with the one key; it stores nothing, and serves one client at a time."""
    port = free_port()
    return at(port, _s_server(port, "-tls1_2", "-quiet", *_with_key(PSK_TLS)))


def s_server_dtls() -> Running:
    """The same over DTLS with cookies; it stays connected to the first address that it meets."""
    return _accepting(_s_server(0, "-dtls1_2", "-listen", *_with_key(PSK_DTLS)), Path.cwd())


def s_server_certificates(directory: Path) -> Running:
    """The same with certificates at both ends."""
    shown = ("-cert", "b.pem", "-key", "b.key", "-cert_chain", "issuers.pem", "-CAfile", "root.pem")
    asked = ("-Verify", "5", "-verify_return_error", "-cipher", ECDSA, "-no_cache")
    return _accepting(_s_server(0, "-tls1_2", *shown, *asked), directory)


def _s_server(port: int, *options: str) -> list[str]:
    address = ("-accept", f"127.0.0.1:{port}", "-naccept", "100000000", "-no_ticket")
    return [shutil.which("openssl") or "openssl", "s_server", *address, *options]


def _with_key(suite: str) -> tuple[str, ...]:
    key = ("-psk", KM.reveal().hex(), "-psk_identity", identity_of(0).decode())
    return ("-nocert", *key, "-cipher", f"{suite}@SECLEVEL=0")


def _accepting(command: list[str], directory: Path) -> Running:
    return told(command, environment={}, cwd=directory, pattern=r"ACCEPT .*:(\d+)")


@contextlib.contextmanager
def stunnel(directory: Path, clients: int) -> Iterator[Server]:
    """stunnel with all keys in a file; it connects to a backend for each client, and stores nothing."""
    secrets = _key_file(directory / "stunnel.psk", clients)
    port = free_port()
    with _backend() as backend:
        config = directory / "stunnel.conf"
        config.write_text(
            f"foreground = yes\npid =\ndebug = 0\n[psk]\naccept = 127.0.0.1:{port}\n"
            f"connect = 127.0.0.1:{backend}\nciphers = {PSK_TLS}\nsslVersion = TLSv1.2\n"
            f"options = NO_TICKET\nPSKsecrets = {secrets}\n"
        )
        with at(port, [program("stunnel"), str(config)]) as server:
            yield server


@contextlib.contextmanager
def _backend() -> Iterator[int]:
    """Accepts, and reads until the other end is done."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def gnutls_serv(directory: Path, clients: int) -> Running:
    """gnutls-serv with all keys in a file; it stores nothing."""
    port = free_port()
    keys = _key_file(directory / "gnutls.psk", clients)
    priority = "NONE:+VERS-TLS1.2:+PSK:+AES-128-GCM:+AEAD:+SIGN-ALL:+GROUP-ALL:+COMP-NULL"
    command = [program("gnutls-serv"), "--echo", "--quiet", "--noticket", "--nodb", "-p", str(port)]
    return at(port, [*command, "--pskpasswd", str(keys), "--priority", priority])


def nginx(directory: Path) -> Running:
    """One worker of nginx with certificates at both ends."""
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log /dev/null;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;\n"
        f"fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;\n"
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {directory}/b.pem;\n"
        f"ssl_certificate_key {directory}/b.key; ssl_client_certificate {directory}/root.pem;\n"
        f"ssl_verify_client on; ssl_verify_depth 5; ssl_protocols TLSv1.2; ssl_ciphers {ECDSA};\n"
        "ssl_session_tickets off; ssl_session_cache off; return 204; } }\n"
    )
    return at(port, [program("nginx"), "-c", str(config), "-p", str(directory)])


def coap_server() -> Running:
    """libcoap's server over OpenSSL with the one key, over DTLS."""
    port = free_port()
    key = KM.reveal().decode("latin-1")
    command = [program("coap-server-openssl"), "-A", "127.0.0.1", "-p", str(port - 1), "-k", key]
    return at(port, command, udp=True)


def _key_file(path: Path, clients: int) -> Path:
    path.touch(mode=0o600)
    key = KM.reveal().hex()
    path.write_text("".join(f"{identity_of(number).decode()}:{key}\n" for number in range(clients)))
    return path

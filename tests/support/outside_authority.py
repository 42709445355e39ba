"""An EST server that this project did not write: Python's http.server and ssl, and ``openssl`` that signs.

It is what stands behind an MEF that is a registration authority only. It accepts whoever has a certificate of
its own root, and signs what it is asked for, as it was asked for.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from certs import Authority, Issued, key_pem
from onem2m_security.net.address import Address
from programs import PATIENCE, openssl

NAME = "est.example.org"


def run(*arguments: object, given: bytes = b"") -> bytes:
    """``openssl`` with these arguments; what it wrote."""
    command = [openssl(), *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE, check=True).stdout


@dataclass
class OutsideAuthority:
    """The server.

    Attributes:
        directory: Its files.
        address: Where it listens.
        asked: The paths that were asked for, each with the Subject of who asked.
        status: What it answers to a request for a certificate, instead of one.
        signs: The request that it signs, instead of the one that came.
    """

    directory: Path
    address: Address
    asked: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    signs: bytes | None = None

    def certificates(self) -> bytes:
        files = ["-certfile", self.directory / "ca.pem"]
        return run("crl2pkcs7", "-nocrl", "-outform", "DER", *files)

    def issue(self, body: bytes) -> bytes:
        """Sign a request, with all extensions that it asks for."""
        request = self.signs or base64.b64decode(body)
        (self.directory / "extensions").write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        )
        signed = run(
            "x509", "-req", "-inform", "DER", "-days", 30, "-sha256", "-copy_extensions", "copyall",
            "-CA", self.directory / "ca.pem", "-CAkey", self.directory / "ca.key", "-CAcreateserial",
            "-extfile", self.directory / "extensions", given=request,
        )  # fmt: skip
        (self.directory / "issued.pem").write_bytes(signed)
        return run("crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", self.directory / "issued.pem")


class _Handler(http.server.BaseHTTPRequestHandler):
    authority: OutsideAuthority
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"" if self.path.endswith("csrattrs") else self.authority.certificates())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.authority.status == 200:
            self._answer(self.authority.issue(body))
        else:
            self.send_response(self.authority.status)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _answer(self, der: bytes) -> None:
        subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])["commonName"]
        self.authority.asked.append((self.path, subject))
        body = base64.encodebytes(der)
        self.send_response(200)
        self.send_header("Content-Type", "application/pkcs7-mime")
        self.send_header("Content-Transfer-Encoding", "base64")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing is printed."""


@contextlib.contextmanager
def outside_authority(directory: Path, ca: Authority, server: Issued) -> Iterator[OutsideAuthority]:
    """An EST server with this authority's key, which accepts clients with certificates of its root."""
    directory.mkdir()
    files = {
        "ca.pem": ca.issued.full_chain_pem,
        "ca.key": ca.issued.key_pem,
        "server.pem": server.full_chain_pem,
        "server.key": key_pem(server.private_key),
    }
    for name, octets in files.items():
        (directory / name).write_bytes(octets)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    context.load_verify_locations(cadata=ca.trust_anchor_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(_Handler):
        """For this server alone."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        Handler.authority = OutsideAuthority(directory, Address("127.0.0.1", listening.server_address[1]))
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield Handler.authority
        finally:
            listening.shutdown()
            thread.join(PATIENCE)

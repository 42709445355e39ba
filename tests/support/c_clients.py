"""Clients in C of libraries that devices have: compiled once, run as programs of their own."""

from __future__ import annotations

import asyncio
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from certs import Issued
from onem2m_security.net.address import Transport
from places import TESTS
from programs import PATIENCE, key_file
from requirements import needs

SOURCES = TESTS / "interop" / "clients"


@dataclass(frozen=True)
class Library:
    """How to build a client of a library, and what it calls suites.

    Attributes:
        header: What it needs of the machine, of those in ``requirements``.
        link: Options for the linker.
        suites: The suites that TLS and DTLS must do, with a key (10.2.2) and with a certificate (10.2.3).
    """

    header: str
    link: tuple[str, ...]
    suites: dict[tuple[Transport, str], str]


TLS, DTLS = Transport.TLS, Transport.DTLS
LIBRARIES = {
    "gnutls": Library(
        "gnutls/gnutls.h",
        ("-lgnutls",),
        {
            (TLS, "psk"): "+PSK:+AES-128-CBC:+SHA256",
            (DTLS, "psk"): "+PSK:+AES-128-CCM-8:+AEAD",
            (TLS, "cert"): "+ECDHE-ECDSA:+AES-128-CBC:+SHA256",
            (DTLS, "cert"): "+ECDHE-ECDSA:+AES-128-CCM-8:+AEAD",
        },
    ),
    "wolfssl": Library(
        "wolfssl/ssl.h",
        ("-lwolfssl",),
        {
            # As Debian builds it, of the suites with a key it has those with ECDHE alone.
            (TLS, "cert"): "ECDHE-ECDSA-AES128-SHA256",
            (DTLS, "cert"): "ECDHE-ECDSA-AES128-CCM-8",
        },
    ),
    "mbedtls": Library(
        "mbedtls/ssl.h",
        ("-lmbedtls", "-lmbedx509", "-lmbedcrypto"),
        {
            (TLS, "psk"): "TLS-PSK-WITH-AES-128-CBC-SHA256",
            (DTLS, "psk"): "TLS-PSK-WITH-AES-128-CCM-8",
            (TLS, "cert"): "TLS-ECDHE-ECDSA-WITH-AES-128-CBC-SHA256",
            (DTLS, "cert"): "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8",
        },
    ),
}


def build(name: str, directory: Path) -> Path:
    """Compile the client of a library; a warning fails."""
    library, program = LIBRARIES[name], directory / name
    command = [needs("gcc"), "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program]
    needs("stdio.h")
    needs(library.header)
    done = subprocess.run(
        [*command, SOURCES / f"{name}_client.c", *library.link], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


@dataclass(frozen=True)
class Run:
    """What a client did.

    Attributes:
        completed: Whether it completed the handshake.
        output: Everything that it printed.
    """

    completed: bool
    output: str

    def said(self, what: str) -> str | None:
        """What follows ``what:`` in its output."""
        found = re.search(rf"^{what}: (.*)$", self.output, re.MULTILINE)
        return found and found[1]

    @property
    def exported(self) -> bytes:
        """The 48 octets."""
        return bytes.fromhex(self.said("exported") or "")

    @property
    def alert(self) -> int | None:
        """The number of the alert that it received."""
        number = self.said("alert")
        return None if number is None else int(number)


class Client:
    """A compiled client, with files in a directory of the test's own."""

    def __init__(self, name: str, program: Path, directory: Path) -> None:
        self.name = name
        self._program = program
        self._directory = directory

    def mandatory(self, transport: Transport, credential: str) -> str:
        """The suite that the transport must do, for ``suites=``."""
        return f"suites={LIBRARIES[self.name].suites[transport, credential]}"

    def key(self, identity: str, octets: bytes) -> tuple[str, ...]:
        """Arguments to show a pre-shared key."""
        return f"psk={identity}", f"key={key_file(self._directory, 'psk', octets)}"

    def certificate(self, issued: Issued, anchor: bytes, *, with_root: bool = True) -> tuple[str, ...]:
        """Arguments to show a certificate, and to trust an anchor (PEM)."""
        chain, key, anchors = (self._directory / f"client.{kind}" for kind in ("crt", "key", "anchor"))
        chain.write_bytes(issued.full_chain_pem if with_root else issued.chain_pem)
        key.touch(mode=0o600)
        key.write_bytes(issued.key_pem)
        anchors.write_bytes(anchor)
        return f"cert={chain}", f"key={key}", f"ca={anchors}"

    async def meet(self, port: int, transport: Transport, *arguments: str) -> Run:
        """Be a client of the server at this port of 127.0.0.1."""
        command = [self._program, str(port), transport.value, *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode in (0, 1), (command, done)
        return Run(done.returncode == 0, done.stdout)

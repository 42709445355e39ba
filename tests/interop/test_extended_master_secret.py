"""Peers without Extended Master Secret (RFC 7627), where keys are exported from a session by certificate.

They get handshake_failure, nothing is kept, and the log says why; where nothing is exported they are welcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from certificate_support import CA, A, endpoint_b
from certs import Flavour
from logged import capture_logs
from onem2m_security.errors import HandshakeError
from onem2m_security.net.address import Address
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.store import KeyKind
from programs import PATIENCE
from test_bootstrap_certificate import THE_ENROLEE, THE_MEF, certificate_mef, initiator, kes
from test_interop_certificates import (
    SUITES,
    TLSConnection,
    TlsliteServer,
    TLSRemoteAlert,
    b_in_this_process,
    tlslite_credential,
    tlslite_settings,
)
from test_saef_certificate import CLIENTS, SENSOR, certificate_maf

SAYS_SO = "Extended Master Secret (RFC 7627)"


def without_it():
    settings = tlslite_settings(SUITES[0])
    settings.useExtendedMasterSecret = False
    return settings


def tlslite_without_it(port, issued):
    """Be a client; gives the alert that it got, or None once a complete handshake was answered or closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        connection = TLSConnection(plain)
        try:
            connection.handshakeClientCert(*tlslite_credential(issued), settings=without_it())
        except TLSRemoteAlert as refused:
            return str(refused)
        return None


@contextlib.contextmanager
def one_line_of_the_log():
    """Exactly one handshake fails inside, and its line says why."""
    with capture_logs() as lines:
        yield
    [failed] = [line for line in lines if line["event"] == "handshake failed"]
    assert SAYS_SO in failed["error"]
    assert failed["alert"] == "handshake_failure"


async def test_an_enrolee_without_it_gets_handshake_failure_from_the_mef_and_no_ke(tmp_path):
    async with certificate_mef(tmp_path) as (address, store):
        with one_line_of_the_log():
            assert await asyncio.to_thread(tlslite_without_it, address.port, THE_ENROLEE) == (
                "handshake_failure"
            )
        assert await kes(store) == {}


async def test_a_client_without_it_gets_handshake_failure_from_the_maf_and_no_kc(tmp_path):
    async with certificate_maf(tmp_path, *CLIENTS) as (address, store):
        with one_line_of_the_log():
            shown = CA.issue(Flavour.AE_ID, SENSOR.text)
            assert await asyncio.to_thread(tlslite_without_it, address.port, shown) == "handshake_failure"
        assert await store.records(KeyKind.KC) == []


async def test_an_mef_without_it_gets_handshake_failure_from_the_enrolee(monkeypatch):
    monkeypatch.setattr("test_interop_certificates.tlslite_settings", lambda suite: without_it())
    server = TlsliteServer(SUITES[0], THE_MEF)
    server.start()
    with one_line_of_the_log(), pytest.raises(HandshakeError, match="Extended Master Secret"):
        await open_channel(Link(Address("127.0.0.1", server.port)), initiator())
    await asyncio.to_thread(server.join, PATIENCE)
    assert str(server.error) == "handshake_failure"


async def test_an_entity_a_without_it_associates_with_b_which_exports_nothing():
    async with b_in_this_process(endpoint_b()) as (port, accepted):
        assert await asyncio.to_thread(tlslite_without_it, port, A) is None
    assert len(accepted) == 1

"""Export vectors: openssl computes them from their inputs, and our sessions export by the same formula."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from onem2m_security.cli.known_answers import known_answers, prf
from onem2m_security.keys import EXPORT_OCTETS, ExportLabel
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.framing import DatagramFraming, StreamFraming
from onem2m_security.tls.openssl_library import ffi, lib
from onem2m_security.tls.session import Session
from programs import openssl
from tls_support import IDENTITY, KEY, ONLY_PSK, Pair

EXPORTS = known_answers()["exports"]
NO_EXTENDED_MASTER_SECRET = 1
"""SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3."""


def openssl_prf(secret: str, label: str, seed: str) -> str:
    """48 octets of the PRF of TLS 1.2; ``seed`` in hex."""
    options = ["digest:SHA256", f"hexsecret:{secret}", f"hexseed:{label.encode().hex()}{seed}"]
    kdf = [part for option in options for part in ("-kdfopt", option)]
    command = [openssl(), "kdf", "-keylen", "48", *kdf, "TLS1-PRF"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().replace(":", "").lower()


@pytest.mark.parametrize(
    "vector", EXPORTS, ids=lambda v: f"{v['label']}-{v['protocol']}-{v['extended_master_secret']}"
)
def test_openssl_computes_the_same_export(vector):
    inputs = vector["inputs"]
    psk = bytes.fromhex(inputs["psk"])
    premaster = (len(psk).to_bytes(2) + bytes(len(psk)) + len(psk).to_bytes(2) + psk).hex()
    assert inputs["premaster_secret"] == premaster  # RFC 4279 clause 2
    randoms = inputs["client_random"] + inputs["server_random"]
    if vector["extended_master_secret"]:
        master = openssl_prf(premaster, "extended master secret", inputs["session_hash"])
    else:
        master = openssl_prf(premaster, "master secret", randoms)
    assert inputs["master_secret"] == master
    assert vector["exported"] == openssl_prf(master, vector["label"], randoms)


def test_every_label_is_there_for_tls_and_dtls_with_extended_master_secret_and_without():
    there = {(v["label"], v["protocol"], v["extended_master_secret"]) for v in EXPORTS}
    assert there == {
        (label.value.decode(), protocol, extended)
        for label in ExportLabel
        for protocol in ("TLS 1.2", "DTLS 1.2")
        for extended in (True, False)
    }
    assert len({v["exported"] for v in EXPORTS}) == len(EXPORTS)


def read_of(function, source):
    """What a function of the library that copies octets has to copy."""
    room = ffi.new("unsigned char[]", function(source, ffi.NULL, 0))
    function(source, room, len(room))
    return bytes(ffi.buffer(room))


@pytest.mark.parametrize("extended", [True, False], ids=["extended", "classic"])
@pytest.mark.parametrize("framing", [StreamFraming, DatagramFraming])
def test_sessions_export_by_the_formula_of_the_vectors(framing, extended):
    ends = [Endpoint(server=server, suites=ONLY_PSK) for server in (False, True)]
    if not extended:
        context: Any = ends[0].context(datagram=framing is DatagramFraming)
        context.context.set_options(NO_EXTENDED_MASTER_SECRET)
    client = Session(ends[0], offer=PskOffer(IDENTITY, KEY), framing=framing())
    pair = Pair(client, Session(ends[1], framing=framing())).run()
    assert pair.a_completed
    assert client.has_extended_master_secret is extended
    engine: Any = client._engine  # what no session hands out
    session = lib.SSL_get_session(engine.ssl)
    randoms = read_of(lib.SSL_get_client_random, engine.ssl) + read_of(lib.SSL_get_server_random, engine.ssl)
    master = read_of(lib.SSL_SESSION_get_master_key, session)
    if not extended:
        psk = KEY.reveal()
        premaster = len(psk).to_bytes(2) + bytes(len(psk)) + len(psk).to_bytes(2) + psk
        assert master == prf(premaster, b"master secret", randoms, 48)
    for label in ExportLabel:
        made = client.export(label.value, EXPORT_OCTETS)
        assert made == prf(master, label.value, randoms, EXPORT_OCTETS)
        assert made == pair.b.export(label.value, EXPORT_OCTETS)

"""The target of ``make fuzz`` that takes GnuTLS: what strangers send an end with a raw public key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.flavours import Flavour
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import CertificateRejectedError
from onem2m_security.release import DEFAULT_RELEASE
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.framing import DatagramFraming, Framing, StreamFraming
from onem2m_security.tls.session import Session
from onem2m_security.tls.states import State

KEY_PAIR = LocalCertificate.raw_public_key(
    ec.derive_private_key(0x6F6E654D324D, ec.SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
)
BY_KEY = PeerVerifier(
    [
        AssociationConfiguration.release3(
            flavour=Flavour.RAW_PUBLIC_KEY, peer_id=str(KEY_PAIR.public_key_id), peer="/a"
        )
    ],
    release=DEFAULT_RELEASE,
)
OF_KEY = Endpoint(server=True, certificate=KEY_PAIR, verifier=BY_KEY)
TO_KEY = Endpoint(server=False, psk=False, certificate=KEY_PAIR, verifier=BY_KEY)


def raw_public_keys(octets: bytes) -> None:
    """A whole session at either end, over TLS and DTLS: no exception, no handshake; and a key as shown."""
    for server in (True, False):
        for framing in (StreamFraming(), DatagramFraming()):
            end = Session(OF_KEY if server else TO_KEY, framing=framing)
            for start in range(0, len(octets), 300):
                end.receive(octets[start : start + 300])
                end.datagrams_to_send()
            assert end.state not in {State.WITHHOLDING, State.OPEN}
    with contextlib.suppress(CertificateRejectedError):
        BY_KEY.verify((octets,), server=False)
        assert octets == KEY_PAIR.certificate_chain[0]


def _flights(framing: type[Framing]) -> list[bytes]:
    """What either end of a handshake with raw public keys sends first."""
    client, server = Session(TO_KEY, framing=framing()), Session(OF_KEY, framing=framing())
    hello = client.data_to_send()
    server.receive(hello)
    return [hello, server.data_to_send()]


TARGETS: dict[str, Callable[[bytes], None]] = {"raw_public_keys": raw_public_keys}
SEEDS: dict[str, list[bytes]] = {
    "raw_public_keys": [
        *_flights(StreamFraming),
        *_flights(DatagramFraming),
        KEY_PAIR.certificate_chain[0],
    ]
}

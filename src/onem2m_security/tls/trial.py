"""Whether the TLS engine does what is built on it, tried once before a port is opened.

openssl.py reaches what pyOpenSSL does not show: a context by its underscored name, and the library itself
past it; gnutls.py calls whatever library the system has. Another version may have moved something, and then a
server would run whose handshakes all fail or, far worse, that asks nobody about certificates. So handshakes
are done in memory, most of which must be refused.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ..alerts import Alert
from ..credentials import Secret
from ..errors import CertificateRejectedError, ConfigurationError
from ..identifiers import CredentialId, EntityId
from ..user_settings import Uss
from .endpoint import Endpoint, PeerIdentity, PskOffer, Verifier
from .engine import CertificateType
from .events import Event, HandshakeCompleted, PskIdentityOffered, SessionEnded
from .framing import DatagramFraming, Framing, StreamFraming
from .openssl_library import LIBRARIES
from .session import Session
from .states import State

_IDENTITY: Final = b"trial@example.com"
_EXPORT: Final = (b"EXPORTER-oneM2M-Connection", 48)
_SIGNED_WITH_SHA_1: Final = bytes.fromhex("000d 0008 0006 0203 0203 0203")
_SIGNED_AS_OURS: Final = bytes.fromhex("000d 0008 0006 0403 0503 0603")
_EXTENDED_MASTER_SECRET: Final = bytes.fromhex("0017 0000")
_UNKNOWN_EXTENSION: Final = bytes.fromhex("ff17 0000")


def check_port(endpoints: Collection[Endpoint]) -> None:
    """Whether one port can serve these, over an engine that does its part.

    Raises:
        ConfigurationError: It cannot.
    """
    taken = {endpoint.takes_raw_public_keys for endpoint in endpoints}
    if len(taken) > 1:
        raise ConfigurationError(
            "one port cannot serve who takes raw public keys beside who does not, which are different TLS "
            "libraries' affair: give them different ports"
        )
    for takes_raw_public_keys in taken:
        check_engine(CertificateType.RAW_PUBLIC_KEY if takes_raw_public_keys else CertificateType.X509)


@functools.cache
def check_engine(shown: CertificateType = CertificateType.X509) -> None:
    """Do the trial handshakes with the engine for this, unless they were done in this process.

    Raises:
        ConfigurationError: One of them did not end as it must.
    """
    library, advice = _library(shown)
    try:
        own = _Credential.generate(shown)
        for framing in (StreamFraming, DatagramFraming):
            _try_keys(framing, None if shown is CertificateType.X509 else own)
            _try_certificates(framing, own)
            _try_hellos(framing, own)
    except (AttributeError, TypeError, LookupError) as error:
        what = f"have the parts that the engine is built on ({error})"
        raise ConfigurationError(f"the installed {library} does not {what}: {advice}") from error
    except _MovedError as moved:
        raise ConfigurationError(f"the installed {library} does not {moved}: {advice}") from None


def _library(shown: CertificateType) -> tuple[str, str]:
    """What is tried, and what to do if it has moved."""
    if shown is CertificateType.X509:
        return LIBRARIES, "install versions within the bounds of this package's dependencies"
    from .gnutls_library import version  # noqa: PLC0415 - a library of the system, which need not be there

    return version(), "raw public keys take another version of it"


def _try_keys(framing: type[Framing], own: _Credential | None) -> None:
    key, other = Secret.generate(), Secret.generate()
    verifier = None if own is None else _Judge(own.certificate_chain, own.certificate_type)
    server = Endpoint(server=True, certificate=own, verifier=verifier)

    def run(known: Secret) -> _Run:
        client = Session(Endpoint(server=False), offer=PskOffer(_IDENTITY, key), framing=framing())
        return _Run(client, Session(server, framing=framing()), known)

    _require(run(key).is_complete, "complete a handshake with a pre-shared key")
    _require(not run(other).is_complete, "refuse another pre-shared key")


def _try_certificates(framing: type[Framing], own: _Credential) -> None:
    def run(client: Verifier, server: Verifier) -> _Run:
        def end(verifier: Verifier, *, server: bool) -> Session[Endpoint]:
            endpoint = Endpoint(
                server=server,
                psk=False,
                certificate=own,
                verifier=verifier,
                requires_extended_master_secret=True,
            )
            return Session(endpoint, framing=framing())

        return _Run(end(client, server=False), end(server, server=True))

    accepts, refuses = _Judge(own.certificate_chain, own.certificate_type), _Judge((), own.certificate_type)
    done = run(accepts, accepts)
    _require(done.is_complete, "complete a handshake with certificates that the verifier accepts")
    _require(done.client.has_extended_master_secret, "tell of Extended Master Secret")
    for ended in (run(accepts, refuses), run(refuses, accepts)):
        _require(ended.alerts == [_Judge.alert] * 2, "refuse a certificate that the verifier refuses")


def _try_hellos(framing: type[Framing], own: _Credential) -> None:
    accepts = _Judge(own.certificate_chain, own.certificate_type)
    server = Endpoint(server=True, certificate=own, verifier=accepts, requires_extended_master_secret=True)
    client = Endpoint(server=False, psk=False, certificate=own, verifier=accepts)
    for what, was, becomes in (
        ("refuse to sign with SHA-1", _SIGNED_AS_OURS, _SIGNED_WITH_SHA_1),
        ("tell that Extended Master Secret is missing", _EXTENDED_MASTER_SECRET, _UNKNOWN_EXTENSION),
    ):
        ended = _Run(
            Session(client, framing=framing()), Session(server, framing=framing()), altered=(was, becomes)
        )
        _require(ended.alerts[1] is Alert.handshake_failure, what)


class _Run:
    """A handshake in memory, carried on until nothing moves."""

    def __init__(
        self,
        client: Session[Endpoint],
        server: Session[Endpoint],
        key: Secret | None = None,
        *,
        altered: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        """Carry it on.

        Args:
            client: The client, whose ClientHello waits to be sent.
            server: The server.
            key: What the server knows for the identity that it is shown.
            altered: Octets of the ClientHello, and what comes in their place.
        """
        self.client, self.server, self._key = client, server, key
        self._events: dict[Session[Endpoint], list[Event]] = {client: [], server: []}
        flight = [datagram.replace(*altered) for datagram in client.datagrams_to_send()]
        while flight:
            self._deliver(flight, server)
            flight = server.datagrams_to_send()
            self._deliver(flight, client)
            flight = client.datagrams_to_send()

    def _deliver(self, flight: Sequence[bytes], to: Session[Endpoint]) -> None:
        for datagram in flight:
            self._take(to, to.receive(datagram))

    def _take(self, session: Session[Endpoint], events: list[Event]) -> None:
        self._events[session] += events
        for event in events:
            if isinstance(event, PskIdentityOffered) and event.identity == _IDENTITY:
                self._take(session, session.answer(self._key))
            elif isinstance(event, HandshakeCompleted) and session is self.server:
                self._take(session, session.release())

    @property
    def is_complete(self) -> bool:
        """Whether both ends are open and export the same."""
        both = (self.client, self.server)
        return (
            all(end.state is State.OPEN for end in both) and len({end.export(*_EXPORT) for end in both}) == 1
        )

    @property
    def alerts(self) -> list[Alert | None]:
        """With which alert it ended at the client and at the server; None where it did not."""
        return [
            next((e.error.alert for e in events if isinstance(e, SessionEnded) and e.error), None)
            for events in self._events.values()
        ]


@dataclass(frozen=True, slots=True)
class _Somebody:
    """Whose certificate it is does not matter here."""

    peer: EntityId | None = None
    credential_id: CredentialId | None = None
    expires: datetime | None = None
    allowed_ae_ids: tuple[EntityId, ...] = ()
    targets: tuple[EntityId, ...] = ()
    user_settings: tuple[Uss, ...] = ()


@dataclass(frozen=True, slots=True)
class _Judge:
    """Accepts exactly one chain, or one key."""

    accepted: tuple[bytes, ...] = field(repr=False)
    shown: CertificateType
    alert = Alert.certificate_revoked

    @property
    def certificate_types(self) -> frozenset[CertificateType]:
        return frozenset({self.shown})

    def verify(self, chain: Sequence[bytes], *, server: bool) -> PeerIdentity:
        del server
        if tuple(chain) != self.accepted:
            raise CertificateRejectedError("it is a trial", alert=self.alert)
        return _Somebody()


@dataclass(frozen=True, slots=True)
class _Credential:
    """A self-signed certificate, or a raw public key, for the trial alone."""

    certificate_chain: tuple[bytes, ...] = field(repr=False)
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate_type: CertificateType

    @classmethod
    def generate(cls, shown: CertificateType) -> _Credential:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        if shown is CertificateType.RAW_PUBLIC_KEY:
            spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return cls((spki,), key, shown)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trial")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        return cls((certificate.public_bytes(Encoding.DER),), key, shown)


def _require(done: bool, what: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not done:
        raise _MovedError(what)


class _MovedError(Exception):
    """The engine does not do this any more."""

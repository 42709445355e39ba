"""The Bootstrapping Server Function (TS 33.220): Ub for UEs, Zn for NAFs; the MEF of TS-0003 clause 8.3.2.3.

Zn is here in a form of our own over oneM2M primitives and mutually authenticated (D)TLS; ``zn_diameter`` has
the form of TS 29.109. Whichever the form, a NAF gets keys for its own FQDNs only, and only of subscribers
whose user security settings name it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ..clock import CLOCK, Clock
from ..credentials import Framework, ResolvedKey
from ..errors import CredentialError, IdentifierError
from ..frameworks import saef_psk
from ..frameworks.resolvers import parse_identity
from ..frameworks.steps import PENDING, Acceptor, Established, Pending
from ..gba.context import NafKey
from ..gba.keys import UA_SECURITY_PROTOCOL_OCTETS
from ..gba.subscriber import Hss
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from ..onem2m.resources import BootstrappingInfo
from ..store.records import KeyKind, KeyRecord, Later
from ..telemetry import LOG
from ..tls.endpoint import Endpoint
from ..tls.suites import Suite
from .function import Function
from .ub import DEFAULT_LIFETIME, DEFAULT_REQUESTS_PER_SECOND, Ub

if TYPE_CHECKING:
    from ..store.store import Store

_OF_NAFS = frozenset({Framework.SAEF_PSK, Framework.SAEF_CERTIFICATE})
"""What makes the session of a NAF: a key of Zn, or a certificate at a BSF that is no MEF."""

_OF_MEF_CLIENTS = frozenset({Framework.MEF_HANDSHAKE, Framework.BOOTSTRAP_CERTIFICATE})
"""What makes the session of an Enrolment Target, where the BSF is an MEF."""


class Bsf(Function):
    """A BSF over a store.

    Attributes:
        ub: What UEs meet.
    """

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        *,
        hss: Hss | None = None,
        lifetime: timedelta = DEFAULT_LIFETIME,
        requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND,
        endpoint: Endpoint | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """A BSF at this FQDN.

        Args:
            store: Where the keys of NAFs, the subscribers and the bootstrappings are kept.
            fqdn: The BSF's FQDN.
            hss: Whom to ask for vectors (Zh); by default the subscribers in the store.
            lifetime: How long a bootstrapping lives at most.
            requests_per_second: How often one address may ask on Ub; see ``Ub``.
            endpoint: The (D)TLS configuration of Zn; by default pre-shared keys only.
            clock: From when lifetimes count.
        """
        super().__init__(fqdn)
        self._store = store
        self.ub = Ub(
            hss or store.subscribers,
            store,
            fqdn,
            lifetime=lifetime,
            requests_per_second=requests_per_second,
            clock=clock,
        )
        self._clock = clock
        self.acceptor = Acceptor(
            local=EntityId(str(fqdn)),
            endpoint=endpoint or Endpoint(server=True),
            resolver=self,
            revision=store.trust.revision,
        )
        self.routes[Operation.RETRIEVE, BootstrappingInfo.path, 3] = self._bootstrapping_info

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The key of a NAF, by its identifier."""
        found = self.resolve_now(identity, suite)
        if not isinstance(found, Pending):
            return found
        key_id = parse_identity(identity)
        record = None if key_id is None else await self._store.find(KeyKind.ZN, key_id)
        return None if record is None else _as_credential(record)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same, unless the store's thread has to be asked."""
        del suite
        key_id = parse_identity(identity)
        record = None if key_id is None else self._store.find_now(KeyKind.ZN, key_id)
        if isinstance(record, Later):
            return PENDING
        return None if record is None else _as_credential(record)

    async def _bootstrapping_info(self, request: Request, established: Established) -> Response:
        """Ks_(ext/int)_NAF, lifetime, bootstrap time and user security settings (TS 33.220 clause 4.5.3)."""
        *_, b_tid, naf, ua_id = request.to
        try:
            found = await self.naf_key(
                established, KeyIdentifier.parse(b_tid), Fqdn.parse(naf), bytes.fromhex(ua_id)
            )
        except IdentifierError as error:
            raise RefusedError(Rsc.BAD_REQUEST, str(error)) from None
        except ValueError:
            raise RefusedError(Rsc.BAD_REQUEST, "the Ua security protocol is not in hex") from None
        info = BootstrappingInfo(
            key_value=found.key,
            key_type=found.choice,
            expiration_time=found.expires,
            bootstrap_time=found.issued,
            source_id=found.entity,
            user_security_settings=found.uss or None,
        )
        return Response(Rsc.OK, info.encode())

    async def naf_key(
        self, established: Established, b_tid: KeyIdentifier, naf: Fqdn, ua_security_protocol_id: bytes
    ) -> NafKey:
        """The key of one NAF for one bootstrapping.

        Args:
            established: The session of the NAF that asks.
            b_tid: The bootstrapping.
            naf: The FQDN that the UE knows the NAF by.
            ua_security_protocol_id: 5 octets.

        Raises:
            RefusedError: ORIGINATOR_HAS_NO_PRIVILEGE: the FQDN is not the NAF's, or the subscriber's settings
                do not allow it. NOT_FOUND: no such bootstrapping, or it has ended.
            StoreError: The store could not be read.
        """
        if len(ua_security_protocol_id) != UA_SECURITY_PROTOCOL_OCTETS:
            raise RefusedError(Rsc.BAD_REQUEST, "a Ua security protocol identifier has 5 octets")
        if not _is_own(naf, established):
            raise RefusedError(Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, "this NAF-FQDN is not the originator's")
        bootstrapping = await self._store.bootstrappings.find(b_tid)
        if bootstrapping is None:
            raise RefusedError(Rsc.NOT_FOUND, "no such bootstrapping: let the UE bootstrap again")
        settings = bootstrapping.guss.for_naf(naf)
        if settings is None:
            raise RefusedError(
                Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, "the subscriber's settings do not allow this NAF"
            )
        context = bootstrapping.context
        expires = context.expires
        if settings.lifetime is not None:
            expires = min(expires, context.issued + settings.lifetime)
        if expires <= self._clock.now():
            raise RefusedError(Rsc.NOT_FOUND, "the key for this NAF has ended: let the UE bootstrap again")
        try:
            key = context.naf_key(naf, ua_security_protocol_id, settings.key_choice)
        except CredentialError as error:
            raise RefusedError(Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, str(error)) from None
        LOG.info(
            "key handed out",
            b_tid=b_tid.base64,
            naf=str(naf),
            peer=str(established.association.peer),
            fingerprint=key.fingerprint,
        )
        return NafKey(
            b_tid,
            key,
            settings.key_choice,
            context.issued,
            expires,
            bootstrapping.entity,
            settings.uss,
        )


def _as_credential(record: KeyRecord) -> ResolvedKey:
    found = saef_psk.credential(record.key_id, record.key, peer=record.source, expires=record.expires)
    return replace(found, targets=record.targets)


def _is_own(naf: Fqdn, established: Established) -> bool:
    """Whether the originator may have keys as this NAF.

    What made the session says what its targets are: the names of a NAF or, at an MEF that is a BSF, the
    Enrolment Targets of an Enrolee, which may have nobody's keys. An Enrolment Target has its own FQDN's.
    """
    credential = established.credential
    if credential is None or credential.peer is None:
        return False
    if established.association.framework in _OF_NAFS:
        return EntityId(str(naf)) in credential.targets
    is_client = established.association.framework in _OF_MEF_CLIENTS
    return is_client and not credential.targets and credential.peer.domain_name == naf

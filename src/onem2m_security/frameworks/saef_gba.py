"""GBA-based security association (TS-0003 clause 8.2.3.2; TS 33.222 clause 5.4, TS 24.109 annex F).

1. Entity A, the UE, bootstraps with the BSF: both then hold Ks under B-TID.
2. Entity A derives Ks_(ext/int)_NAF for the NAF that Entity B is, and does a (D)TLS-PSK handshake with it,
   showing a hint, ``;`` and B-TID.
3. Entity B, in the middle of that handshake, asks the BSF that B-TID names for the same key (Zn).
4. Both associate the session with each other's identity.

NAF_Id holds the cipher suite (TS 33.220 annex H), so Entity A offers one suite: it must know its key before
it knows what Entity B would choose.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache, partial

from ..credentials import Framework, ResolvedKey, Secret
from ..errors import CredentialError
from ..gba.context import BootstrappedContext, NafKey
from ..gba.keys import KeyChoice, ua_security_protocol
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..tasks import together
from ..tls.endpoint import Endpoint
from ..tls.suites import BY_CODE, Suite
from . import saef_psk
from .resolvers import REMEMBERED, RemoteKeys
from .steps import Initiator, Pending

HINT = b"3GPP-bootstrapping"
"""Before B-TID: the key is one of the ME, Ks_NAF or Ks_ext_NAF."""

HINT_UICC = b"3GPP-bootstrapping-uicc"
"""Before B-TID: the key is the one of the UICC, Ks_int_NAF."""

_SEPARATOR = b";"
_KEPT = 20_000

TLS_SUITE = BY_CODE[0x00AE]
"""What Entity A offers over TLS unless told otherwise: TLS_PSK_WITH_AES_128_CBC_SHA256 (10.2.2)."""

DTLS_SUITE = BY_CODE[0xC0A8]
"""The same over DTLS: TLS_PSK_WITH_AES_128_CCM_8 (10.2.2)."""


def psk_identity(b_tid: KeyIdentifier, choice: KeyChoice) -> bytes:
    """What the UE shows in the handshake (TS 33.222 clause 5.4)."""
    hint = HINT_UICC if choice is KeyChoice.KS_INT_NAF else HINT
    return hint + _SEPARATOR + b_tid.base64.encode("ascii")


def split_psk_identity(identity: bytes) -> tuple[bytes | None, bytes]:
    """The hint, or None for a bare B-TID, and the rest; an unknown hint stays part of the rest."""
    hint, separator, b_tid = identity.partition(_SEPARATOR)
    return (hint, b_tid) if separator and hint in {HINT, HINT_UICC} else (None, identity)


@lru_cache(maxsize=len(BY_CODE))
def endpoint_for(suite: Suite) -> Endpoint:
    """A client's configuration that offers this one suite.

    Raises:
        CredentialError: The suite is none for pre-shared keys.
    """
    if not suite.key_exchange.uses_psk:
        raise CredentialError(f"{suite.name} takes no pre-shared key")
    return Endpoint(server=False, suites=(suite,))


def naf_of(peer: EntityId, naf: Fqdn | None) -> Fqdn:
    """The FQDN that the key is derived for: as given, or the public domain name of the peer (8.3.2.3).

    Raises:
        CredentialError: None is given, and the peer's identity has no domain name.
    """
    name = naf or peer.domain_name
    if name is None:
        raise CredentialError(f"{peer} has no public domain name: give the FQDN that it has as a NAF")
    return name


def credential(b_tid: KeyIdentifier, key: Secret, *, peer: EntityId | None, expires: datetime) -> ResolvedKey:
    """Ks_(ext/int)_NAF as A derived it, or as B obtained it from the BSF.

    Args:
        b_tid: B-TID, which names the bootstrapping.
        key: The NAF key.
        peer: The identity to associate with the session: IdB at A, IdA at B.
        expires: When the bootstrapping ends (UTC).
    """
    return ResolvedKey(
        key_id=b_tid,
        key=key,
        framework=Framework.SAEF_GBA,
        credential_type=CredentialType.KPSA_ID,
        peer=peer,
        expires=expires,
        suid=Suid.PROVISIONED_SAEF,
    )


def initiate(
    local: EntityId,
    peer: EntityId,
    context: BootstrappedContext,
    *,
    suite: Suite = TLS_SUITE,
    naf: Fqdn | None = None,
    choice: KeyChoice | None = None,
    server_name: Fqdn | None = None,
) -> Initiator:
    """Entity A's side: show B-TID, prove the NAF key.

    Args:
        local: IdA.
        peer: IdB.
        context: Our bootstrapping.
        suite: The one cipher suite that is offered.
        naf: Entity B's FQDN as a NAF; by default the public domain name of IdB.
        choice: Which NAF key; by default Ks_NAF, or Ks_ext_NAF with GBA_U.
        server_name: SNI host name; by default the NAF's FQDN.

    Raises:
        CredentialError: IdB has no domain name, or the choice does not fit the bootstrapping.
    """
    naf = naf_of(peer, naf)
    choice = choice or context.default_choice
    key = context.naf_key(naf, ua_security_protocol(suite.code), choice)
    shown = credential(context.b_tid, key, peer=peer, expires=context.expires)
    return Initiator(
        Framework.SAEF_GBA,
        local,
        peer,
        endpoint_for(suite),
        shown,
        psk_identity(context.b_tid, choice),
        server_name=server_name or naf,
    )


def initiate_zn(naf: EntityId, bsf: Fqdn, key: ResolvedKey) -> Initiator:
    """A NAF's side of the handshake in which it asks for keys, by a key that the BSF and it share.

    Args:
        naf: Our identity, as the BSF knows it.
        bsf: The BSF's FQDN; also the SNI host name.
        key: The key (``saef_psk.credential``).
    """
    return saef_psk.initiate_with_function(Framework.SAEF_PSK, naf, bsf, key)


FetchNafKey = Callable[[KeyIdentifier, bytes], Awaitable[NafKey | None]]
"""Asks a BSF for the NAF key of a B-TID and a Ua security protocol identifier (5 octets)."""


class NafKeys:
    """A resolver: asks the BSF that a B-TID names, in the middle of the handshake.

    Only configured BSFs are asked; what they said counts for a while, for each cipher suite by itself. Where
    the identity has a hint, the key must be of the kind that the hint names.
    """

    def __init__(
        self,
        bsfs: Mapping[Fqdn, FetchNafKey],
        as_credential: Callable[[NafKey], ResolvedKey],
        *,
        timeout: float = 5.0,
        remembered: timedelta = REMEMBERED,
    ) -> None:
        """Ask these BSFs.

        Args:
            bsfs: FQDN to the function that asks.
            as_credential: What a NAF key means in the framework.
            timeout: Seconds to wait for an answer.
            remembered: How long an answer counts.
        """
        self._bsfs = dict(bsfs)
        self._as_credential = as_credential
        self._timeout = timeout
        self._remembered = remembered
        self._kept: dict[tuple[bytes | None, int], RemoteKeys] = {}

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The key for ``hint;B-TID`` or a bare B-TID, under this suite."""
        keys, b_tid = self._keys_for(identity, suite)
        return await keys.resolve(b_tid, suite)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same from memory."""
        keys, b_tid = self._keys_for(identity, suite)
        return keys.resolve_now(b_tid, suite)

    def _keys_for(self, identity: bytes, suite: Suite) -> tuple[RemoteKeys, bytes]:
        """What is kept for such keys, and the B-TID as it is asked for."""
        hint, b_tid = split_psk_identity(identity)
        keys = self._kept.get((hint, suite.code))
        if keys is None:
            sources = {
                bsf: partial(self._ask, fetch, hint, ua_security_protocol(suite.code))
                for bsf, fetch in self._bsfs.items()
            }
            keys = RemoteKeys(sources, timeout=self._timeout, remembered=self._remembered, capacity=_KEPT)
            self._kept[hint, suite.code] = keys
        return keys, b_tid

    async def stop(self) -> None:
        """Wait for nobody's answer any more; who waits for one gets none."""
        await together(*(keys.stop() for keys in self._kept.values()))

    async def _ask(
        self, fetch: FetchNafKey, hint: bytes | None, ua_id: bytes, b_tid: KeyIdentifier
    ) -> ResolvedKey | None:
        if b_tid.octets is None:
            return None
        found = await fetch(b_tid, ua_id)
        if found is None or (hint is not None and (hint == HINT_UICC) is not found.choice.is_of_uicc):
            return None
        return self._as_credential(found)


def accept(
    bsfs: Mapping[Fqdn, FetchNafKey], *, timeout: float = 5.0, remembered: timedelta = REMEMBERED
) -> NafKeys:
    """Entity B's side: the BSF at the FQDN of a B-TID is asked for the NAF key, and again after a while."""
    return NafKeys(bsfs, _as_credential, timeout=timeout, remembered=remembered)


def _as_credential(found: NafKey) -> ResolvedKey:
    resolved = credential(found.b_tid, found.key, peer=found.entity, expires=found.expires)
    return replace(resolved, user_settings=found.uss)

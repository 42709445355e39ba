"""The demonstration of GBA: a SIM is the factory key (TS-0003 clauses 8.1.3, 8.2.3.2; TS 33.220).

A device with a card bootstraps at its operator's BSF by HTTP Digest AKA; both then hold Ks. It associates
with a CSE by a key that comes from Ks; the CSE, a NAF, asks the BSF for that key in the middle of the
handshake. The subscriber is then barred, and refused. The BSF is a process of its own.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..association import Association
from ..clients.bsf import NafClient
from ..clients.card import SoftwareCard
from ..clients.entity_a import associate
from ..clients.entity_b import EntityB
from ..clients.ue import Ue
from ..clock import CLOCK
from ..credentials import Secret
from ..errors import AuthenticationError, SecurityFrameworkError
from ..frameworks import saef_gba, saef_psk
from ..frameworks.saef_gba import psk_identity
from ..gba.aka import AkaResult, Success
from ..gba.context import BootstrappedContext, NafKey
from ..gba.keys import Impi
from ..gba.subscriber import Guss, NafSettings, Subscriber
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address
from ..net.channel import Channel
from ..net.link import Link
from ..store.records import KeyKind, KeyRecord, Subscription
from ..store.store import Store
from .maf import LOOPBACK, Reporter, Step, process

BSF_ID = Fqdn("bsf.operator.example")
NAF_FQDN = Fqdn("in-cse.sp.example")
ENTITY_A = EntityId("//sp.example/in-cse/Cmeter")
ENTITY_B = EntityId("//sp.example/in-cse")
IMPI = Impi("001010000000001@operator.example")
NAF_KEY_ID = KeyIdentifier("in-cse", BSF_ID)

CARD, A, BSF, B = "Card", "Entity A", "BSF", "Entity B"
LIFELINES = (CARD, A, BSF, B)

Tell = Callable[..., None]
"""Clause, sender, receiver, text, and facts by name: one step."""


class GbaDemo:
    """One run of the demonstration."""

    def __init__(self, report: Reporter, *, reveal: bool = False) -> None:
        """Tell the story to a reporter; keys are shown as fingerprints unless they are to be revealed."""
        self._report = report
        self._reveal = reveal

    async def run(self) -> Association:
        """Tell the whole story; returns the association that Entity B ended with.

        Raises:
            ConfigurationError: The BSF does not start.
            SecurityFrameworkError: A step failed.
        """
        with tempfile.TemporaryDirectory(prefix="m2msec-demo-") as directory:
            return await self._story(Path(directory))

    async def _story(self, directory: Path) -> Association:
        data = directory / "bsf"
        card, naf_key = await self._configure(directory / "card", data)
        arguments = ("bsf", "serve", "--data", str(data), "--fqdn", str(BSF_ID))
        ports = ("--listen-zn", str(LOOPBACK), "--listen-ub", str(LOOPBACK))
        async with process(*arguments, *ports, errors=directory / "bsf.log", ports=2) as (zn, ub):
            told = _TellingCard(card, self._tell)
            ue = Ue(told, BSF_ID, Link(ub))
            context = await self._bootstrap(ue, data)
            association = await self._associate(context, zn, naf_key)
            await self._bar(ue, data)
        return association

    async def _configure(self, card_file: Path, data: Path) -> tuple[SoftwareCard, Secret]:
        subscriber = Subscriber(IMPI, Secret.generate(16), Secret.generate(16))
        naf_key = Secret.generate()
        card = SoftwareCard.create(card_file, subscriber)
        async with await Store.open(data) as store:
            subscription = Subscription(subscriber, Guss((NafSettings(NAF_FQDN),)), ENTITY_A)
            await store.subscribers.add(subscription)
            target = (EntityId(str(NAF_FQDN)),)
            await store.add(KeyRecord(KeyKind.ZN, NAF_KEY_ID, naf_key, CLOCK.now(), ENTITY_B, target))
        self._tell(
            "TS 33.102", CARD, BSF, "share the subscriber key K", IMPI=str(IMPI), K=self._shown(subscriber.k)
        )
        self._tell(
            "8.3.2.3",
            BSF,
            BSF,
            "is told who may have keys of this subscriber",
            GUSS=f"{NAF_FQDN}: Ks_NAF",
            **{"Enrolee-ID": str(ENTITY_A)},
        )
        self._tell("TS 33.220 4.4.6", B, BSF, "share a key for Zn", NAF=str(NAF_FQDN))
        return card, naf_key

    async def _bootstrap(self, ue: Ue, data: Path) -> BootstrappedContext:
        self._tell("TS 24.109 4.2", A, BSF, "GET /, Digest username=IMPI", realm=str(BSF_ID))
        context = await ue.bootstrap()
        self._tell(
            "TS 24.109 4.2",
            BSF,
            A,
            "200: B-TID and lifetime, proven by rspauth",
            **{"B-TID": context.b_tid.base64, "lifetime": f"{context.expires:%Y-%m-%d %H:%M} UTC"},
        )
        self._tell("TS 33.220 4.5.2", A, A, "Ks = CK || IK", Ks=self._shown(context.ks))
        async with await Store.open(data) as store:
            kept = await store.bootstrappings.find(context.b_tid)
        if kept is None or kept.context.ks != context.ks:
            raise SecurityFrameworkError("the BSF does not hold the Ks that the UE derived")
        self._tell("TS 33.220 4.5.2", BSF, BSF, "holds the same Ks", Ks=self._shown(kept.context.ks))
        return context

    async def _associate(self, context: BootstrappedContext, zn: Address, key: Secret) -> Association:
        associations: list[Association] = []

        async def accepted(channel: Channel) -> None:
            associations.append(channel.association)
            await channel.write(await channel.read())

        naf = _TellingNaf(
            BSF_ID,
            Link(zn),
            saef_gba.initiate_zn(ENTITY_B, BSF_ID, saef_psk.credential(NAF_KEY_ID, key)),
            naf=NAF_FQDN,
        )
        naf.tell, naf.show = self._tell, self._shown
        async with EntityB(ENTITY_B, bsfs=[naf]) as entity_b:
            address = await entity_b.listen(LOOPBACK, accepted)
            shown = psk_identity(context.b_tid, context.default_choice).decode("ascii")
            self._tell("8.2.3.2", A, B, "TLS-PSK with B-TID and Ks_NAF", psk_identity=shown)
            async with await associate(
                Link(address), saef_gba.initiate(ENTITY_A, ENTITY_B, context)
            ) as channel:
                await channel.write(b"hello")
                if await channel.read() != b"hello":
                    raise SecurityFrameworkError("Entity B did not answer over the association")
        association = associations[0]
        self._tell(
            "8.2.1",
            B,
            A,
            "associated: each has proven itself to the other",
            peer=str(association.peer),
            suite=association.cipher_suite,
        )
        return association

    async def _bar(self, ue: Ue, data: Path) -> None:
        async with await Store.open(data) as store:
            await store.subscribers.set_barred(IMPI, barred=True)
        self._tell("TS 33.220 4.5.2", BSF, BSF, "bars the subscriber")
        with contextlib.suppress(AuthenticationError):
            await ue.bootstrap()
            raise SecurityFrameworkError("a barred subscriber was bootstrapped")
        self._tell("TS 24.109 4.2", BSF, A, "403: no bootstrapping any more")

    def _tell(self, clause: str, sender: str, receiver: str, text: str, **facts: str) -> None:
        self._report(Step(clause, sender, receiver, text, facts))

    def _shown(self, key: Secret) -> str:
        return key.reveal().hex() if self._reveal else f"fingerprint {key.fingerprint}"


class _TellingCard:
    """The card, which tells when it is asked."""

    def __init__(self, card: SoftwareCard, tell: Tell) -> None:
        self._card = card
        self._tell = tell

    @property
    def impi(self) -> Impi:
        return self._card.impi

    @property
    def gba_u(self) -> bool:
        return self._card.gba_u

    def authenticate(self, rand: bytes, autn: bytes) -> AkaResult:
        self._tell("RFC 3310", BSF, A, "401: nonce = base64(RAND || AUTN)", RAND=rand.hex(), AUTN=autn.hex())
        result = self._card.authenticate(rand, autn)
        if isinstance(result, Success):
            self._tell("TS 33.102 6.3.3", A, CARD, "AUTHENTICATE: is the network authentic and fresh?")
            self._tell("TS 33.102 6.3.3", CARD, A, "it is: RES, CK, IK")
            self._tell("RFC 3310", A, BSF, "GET /, response under RES, qop=auth-int")
        return result


class _TellingNaf(NafClient):
    """Entity B's client of the BSF, which tells when it is asked in the middle of a handshake."""

    tell: Tell
    show: Callable[[Secret], str]

    async def fetch(self, b_tid: KeyIdentifier, ua_security_protocol_id: bytes) -> NafKey | None:
        self.tell(
            "TS 33.220 4.5.3",
            B,
            BSF,
            "in the middle of it: whose is this B-TID?",
            NAF_Id=f"{self.naf} || {ua_security_protocol_id.hex()}",
        )
        found = await super().fetch(b_tid, ua_security_protocol_id)
        if found is not None:
            self.tell(
                "TS 33.220 4.5.3",
                BSF,
                B,
                f"{found.choice.value}, its lifetime and IdA",
                key=self.show(found.key),
                IdA=str(found.entity),
            )
        return found

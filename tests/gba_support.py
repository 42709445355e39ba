"""A BSF in the test's own process, its subscribers, and UEs with software cards."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maf_support import LOOPBACK, key_of
from onem2m_security.clients.bsf import NafClient
from onem2m_security.clients.ue import Ue
from onem2m_security.credentials import Secret
from onem2m_security.frameworks import saef_gba, saef_psk
from onem2m_security.gba import digest
from onem2m_security.gba.aka import AkaResult, Success, Usim
from onem2m_security.gba.digest_headers import Challenge, DigestAlgorithm
from onem2m_security.gba.keys import Impi, KeyChoice
from onem2m_security.gba.subscriber import Guss, NafSettings, Subscriber
from onem2m_security.gba.ub_messages import UbRequest, UbResponse
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ub import UbListener
from onem2m_security.servers.bsf import Bsf
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, KeyRecord, Store
from onem2m_security.store.gba_rows import Subscription

BSF = Fqdn("bsf.operator.example")
CSE = EntityId("//sp.example/in-cse")
NAF = Fqdn("in-cse.sp.example")
OTHER_NAF = Fqdn("other.sp.example")
MAF = Fqdn("maf.sp.example")
AE = EntityId("//sp.example/in-cse/Cmeter")


def an_impi(number: int = 1) -> Impi:
    return Impi.parse(f"{1010000000000 + number:015d}@operator.example")


def a_subscriber(number: int = 1, **changes) -> Subscriber:
    k, opc = (Secret(key_of(f"{name} {number}").reveal()[:16]) for name in ("k", "opc"))
    return Subscriber(an_impi(number), k, opc, **changes)


def a_subscription(number: int = 1, *, nafs: Iterable[Fqdn] = (NAF, MAF), **changes) -> Subscription:
    given = {"guss": Guss(tuple(map(NafSettings, nafs))), "entity": AE}
    return Subscription(**({"subscriber": a_subscriber(number)} | given | changes))


def gba_u_subscription(choice: KeyChoice = KeyChoice.KS_EXT_NAF, number: int = 1) -> Subscription:
    return a_subscription(number, guss=Guss((NafSettings(NAF, key_choice=choice),), gba_u=True))


@dataclass(eq=False)
class Card:
    """A card in memory, with the functions of the subscriber that it is given."""

    subscriber: Subscriber
    gba_u: bool = False

    def __post_init__(self) -> None:
        self.usim = Usim(self.subscriber.functions)
        self.challenges: list[tuple[bytes, bytes]] = []

    @property
    def impi(self) -> Impi:
        return self.subscriber.impi

    def authenticate(self, rand: bytes, autn: bytes) -> AkaResult:
        self.challenges.append((rand, autn))
        return self.usim.authenticate(rand, autn, gba_u=self.gba_u)


@dataclass(frozen=True, slots=True)
class Naf:
    """A NAF as the BSF knows it."""

    name: str
    entity: EntityId
    fqdns: tuple[Fqdn, ...]

    @property
    def key_id(self) -> KeyIdentifier:
        return KeyIdentifier.parse(f"{self.name}@{BSF}")

    @property
    def record(self) -> KeyRecord:
        targets = tuple(EntityId(str(fqdn)) for fqdn in self.fqdns)
        return KeyRecord(KeyKind.ZN, self.key_id, key_of(self.name), datetime.now(UTC), self.entity, targets)

    def client(self, address: Address, *, naf: Fqdn | None = None, transport=Transport.TLS) -> NafClient:
        return NafClient(
            BSF,
            Link(address, transport),
            saef_gba.initiate_zn(self.entity, BSF, saef_psk.credential(self.key_id, key_of(self.name))),
            naf=naf or self.fqdns[0],
        )


CSE_NAF = Naf("cse", CSE, (NAF,))
OTHER = Naf("other", EntityId("//sp.example/other"), (OTHER_NAF,))
MAF_NAF = Naf("maf", EntityId(str(MAF)), (MAF,))


@dataclass(frozen=True, slots=True)
class RunningBsf:
    """A BSF that listens on both of its reference points."""

    store: Store
    bsf: Bsf
    ub: Address
    zn: Address

    def ue(self, card: Card | None = None, limits: Limits | None = None) -> Ue:
        return Ue(card or Card(a_subscriber()), BSF, Link(self.ub, limits=limits))


async def provision(store: Store, subscriptions: Iterable[Subscription] | None = None) -> None:
    for subscription in [a_subscription()] if subscriptions is None else subscriptions:
        await store.gba.add_subscriber(subscription)
    await store.add_many([naf.record for naf in (CSE_NAF, OTHER, MAF_NAF)], replace=True)


@contextlib.asynccontextmanager
async def running_bsf(
    data: Path,
    subscriptions: Iterable[Subscription] | None = None,
    *,
    lifetime=timedelta(hours=1),
    limits=None,
    **settings,
) -> AsyncIterator[RunningBsf]:
    store = await Store.open(data)
    await provision(store, subscriptions)
    bsf = Bsf(store, BSF, lifetime=lifetime, **settings)
    listener = UbListener(bsf.ub.handle, limits=limits)
    async with Server(store, [bsf]) as server:
        try:
            yield RunningBsf(store, bsf, await listener.start(LOOPBACK), await server.start(LOOPBACK))
        finally:
            await listener.stop()


# --- Ub, request by request -------------------------------------------------------------------------------


def get(authorization: object, **changes) -> UbRequest:
    return replace(UbRequest("GET", "/", str(authorization)), **changes)


def first(impi: Impi) -> UbRequest:
    return get(digest.first_request(impi=impi, realm=str(BSF)))


def challenges(response: UbResponse) -> dict[DigestAlgorithm, Challenge]:
    assert response.status == 401
    found = [Challenge.parse(value) for name, value in response.headers if name == "WWW-Authenticate"]
    return {challenge.algorithm: challenge for challenge in found}


def the_challenge(response: UbResponse, algorithm=DigestAlgorithm.AKAV1_MD5) -> Challenge:
    return challenges(response)[algorithm]


def answered(card: Card, challenge: Challenge, **changes) -> digest.Credentials:
    """The card's right answer to a challenge."""
    result = card.authenticate(challenge.aka_nonce.rand, challenge.aka_nonce.autn)
    assert isinstance(result, Success)
    password = challenge.algorithm.password(res=result.res, ck=result.ck, ik=result.ik)
    given = {"impi": card.impi, "password": password, "cnonce": "0a4f113b"} | changes
    return digest.answer(challenge, **given)


async def bootstrap(bsf: Bsf, card: Card) -> UbResponse:
    """A bootstrapping without a network."""
    challenge = the_challenge(await bsf.ub.handle(first(card.impi)))
    return await bsf.ub.handle(get(answered(card, challenge)))

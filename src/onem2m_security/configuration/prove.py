"""``prove``: how we prove ourselves to a peer, one member for each kind of credential.

A framework is a member here and no branch elsewhere: each gives the ``How`` of its framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Discriminator, Tag

from ..certificates.local import LocalCertificate
from ..clients.card import SoftwareCard
from ..clients.card_enrolee import CardEnrolee, load_enrolee
from ..clients.connection_keys import ConnectionKeys, KeysInMemory, KeysInStore
from ..clients.enrolee import Enrolee
from ..clients.maf import KC_LIFETIME, MafClient
from ..clients.ue import NafChoice, Ue, suite_over
from ..credentials import Framework
from ..errors import ConfigurationError
from ..frameworks import saef_certificate
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import How, Initiator
from ..gba.keys import KeyChoice
from ..identifiers import EntityId, Fqdn
from ..net.link import Link
from .key_proofs import AskingKey, EnroleeKey, MasterCredential, ProvisionedKey
from .meeting import Meeting, Role
from .proof import OwnProof, Proving
from .values import (
    DurationSetting,
    FileSetting,
    FqdnSetting,
    SuiteSetting,
    Table,
    member_by_keys,
)

if TYPE_CHECKING:
    from ..store.store import Store

_CERTIFICATE_FRAMEWORKS = {
    Role.MAF: Framework.MAF_HANDSHAKE,
    Role.OWN_MEF: Framework.BOOTSTRAP_CERTIFICATE,
    Role.MEF: Framework.MEF_HANDSHAKE,
}


class Certificate(OwnProof):
    """A certificate, for any peer whose own certificate ``trust`` describes (8.2.2.2, 8.3.2.2, 8.7, 8.8.2.2).

    Attributes:
        certificate: Our certificate, then its issuers, PEM; Release 1 peers need the root too. Without it,
            the key pair of ``private-key`` is a raw public key.
        private_key: Our private signing key, PEM or DER; mode 0600.
    """

    needs_address: ClassVar[bool] = False

    private_key: FileSetting
    certificate: FileSetting | None = None

    def check(self, here: Path) -> None:
        """Load the certificate and its key."""
        self.load(here)

    def load(self, here: Path) -> LocalCertificate:
        """Our certificate, chain and key.

        Raises:
            ConfigurationError: A file cannot be read.
            CredentialError: They cannot be used.
        """
        certificate = None if self.certificate is None else here / self.certificate
        return LocalCertificate.load(certificate, here / self.private_key)

    def initiate(self, meeting: Meeting) -> Initiator:
        """Show our certificate, accept the one that ``trust`` describes."""
        is_function = meeting.role is not Role.ENTITY_B
        return saef_certificate.initiate(
            meeting.local,
            self.load(meeting.here),
            meeting.trusted(),
            server_name=meeting.fqdn if is_function else meeting.server_name,
            framework=_CERTIFICATE_FRAMEWORKS.get(meeting.role, Framework.SAEF_CERTIFICATE),
            exports=meeting.role in _CERTIFICATE_FRAMEWORKS,
        )

    async def enrolee(self, meeting: Meeting, store: Store, instruction: BootstrapInstruction) -> Enrolee:
        """An Enrolee that keeps nothing of its certificate."""
        return await Enrolee.with_certificate(
            store,
            initiator=self.initiate(meeting),
            instruction=instruction,
            ends=self.load(meeting.here).expires,
            link=meeting.link,
        )


class Card(Proving):
    """A software card (USIM), for a BSF, and for an MEF that is one (TS 33.220; TS-0003 8.3.2.3).

    Attributes:
        card: The card (see ``m2msec usim make``).
    """

    card: FileSetting

    def check(self, here: Path) -> None:
        """Load the card."""
        SoftwareCard.load(here / self.card)

    async def how(self, meeting: Meeting) -> How:
        """There is none: a UE meets its BSF over Ub, and others by what comes of it."""
        raise meeting.cannot("a card is for a BSF; to others we prove ourselves by bsf = FQDN")

    async def enrolee(self, meeting: Meeting, store: Store, instruction: BootstrapInstruction) -> CardEnrolee:
        """An Enrolee that bootstraps by GBA; ``address`` of its MEF is where that listens for Ub."""
        return await CardEnrolee.configure(
            store,
            card=SoftwareCard.load(meeting.here / self.card),
            instruction=instruction,
            bsf=meeting.fqdn,
            link=meeting.link,
        )

    def ue(self, meeting: Meeting) -> Ue:
        """The UE that bootstraps with this BSF.

        Raises:
            ConfigurationError: The card cannot be used.
        """
        return self.load_ue(meeting.here, meeting.fqdn, meeting.link)

    def load_ue(self, here: Path, bsf: Fqdn, link: Link) -> Ue:
        """The same for whoever only bootstraps, whose own identity does not matter.

        Raises:
            ConfigurationError: The card cannot be used.
        """
        return Ue(SoftwareCard.load(here / self.card), bsf, link)


class ByGba(Proving):
    """A key of our bootstrapping with a BSF: for Entity B as a NAF, or Km for a MAF (8.2.3.2, 8.3.2.3).

    Attributes:
        bsf: The BSF, a peer to whom we prove ourselves by a card.
        naf: The FQDN that Entity B has as a NAF; default: the domain name of an absolute CSE-ID.
        naf_key: Which key; default: Ks_NAF, or Ks_ext_NAF of a card with GBA_U.
        suite: The one cipher suite to offer; default: the mandatory one of the transport.
        as_kpsa: Show B-TID as the KpsaId of a provisioned key (8.3.2.3).
    """

    bsf: FqdnSetting
    naf: FqdnSetting | None = None
    naf_key: KeyChoice | None = None
    suite: SuiteSetting | None = None
    as_kpsa: bool = False

    async def how(self, meeting: Meeting) -> How:
        """Bootstrap, then show B-TID and prove the key that comes of it."""
        at_bsf = meeting.meet(EntityId(str(self.bsf)), Role.BSF)
        if not isinstance(at_bsf.prove, Card):
            raise ConfigurationError(f"peer {self.bsf}: GBA takes a card: prove = {{ card = FILE }}")
        ue = at_bsf.prove.ue(at_bsf)
        naf = NafChoice(
            self.suite or suite_over(meeting.link.transport),
            self.naf,
            self.naf_key,
            self.as_kpsa,
            meeting.server_name,
        )
        if meeting.role is Role.MAF:
            return ue.at_maf(meeting.local, meeting.fqdn, naf)
        if meeting.role is Role.ENTITY_B:
            return ue.initiator(meeting.local, meeting.peer, naf)
        raise meeting.cannot("a key of GBA is for an Entity B or a MAF")


class ByMaf(Proving):
    """A Connection Key from a MAF, for Entity B (8.2.2.3); it is kept in ``data`` under ``[store]``.

    Attributes:
        maf: The MAF, a peer.
        kc_lifetime: How long we use Kc in Release 1, where no message says when it ends.
    """

    maf: FqdnSetting
    kc_lifetime: DurationSetting = KC_LIFETIME

    async def how(self, meeting: Meeting) -> How:
        """Get Kc from the MAF, then show KcId and prove Kc."""
        if meeting.role is not Role.ENTITY_B:
            raise meeting.cannot("a key from a MAF is for an Entity B")
        at_maf = meeting.meet(EntityId(str(self.maf)), Role.MAF)
        client = MafClient(
            self.maf,
            at_maf.link,
            await at_maf.how(),
            kept=await _connection_keys(meeting),
            kc_lifetime=self.kc_lifetime,
        )
        meeting.closing.push_async_callback(client.close)
        return client.initiator(meeting.peer, release=meeting.release, server_name=meeting.server_name)


async def _connection_keys(meeting: Meeting) -> ConnectionKeys:
    """Where Kc is kept: in the common data directory, or in memory where there is none."""
    if meeting.data is None:
        return KeysInMemory()
    # The database takes long to load: only who keeps something waits for it.
    from ..store.store import Store  # noqa: PLC0415

    return KeysInStore(await meeting.closing.enter_async_context(await Store.open(meeting.data)))


class ByEnrolment(Proving):
    """What came of our bootstrap with an MEF: Kpsa for Entity B, Km for a MAF (8.3.2).

    Attributes:
        enrolment: The MEF; what ``m2msec enrol`` got from it is in ``data`` under ``[store]``.
    """

    enrolment: FqdnSetting

    async def how(self, meeting: Meeting) -> How:
        """Show KeId, prove what is derived from Ke for this peer; Ke is renewed when that is due."""
        from ..store.store import Store  # noqa: PLC0415 - the database's library, for who opens one

        data = meeting.enrolled_at(self.enrolment)
        if not Store.is_at(data):
            raise ConfigurationError(
                f"peer {meeting.peer}: we are not enrolled with {self.enrolment} yet: there is no store in "
                f"{data}: enrol first (m2msec enrol)"
            )
        store = await meeting.closing.enter_async_context(await Store.open(data, existing=True))
        enrolee = await load_enrolee(store, limits=meeting.link.limits, initiator=self._renewing(meeting))
        if enrolee.mef != self.enrolment:
            raise ConfigurationError(
                f"peer {meeting.peer}: the enrolment in {data} is with {enrolee.mef}, "
                f"not with {self.enrolment}: enrol there first (m2msec enrol)"
            )
        if meeting.role is Role.MAF:
            return enrolee.at_maf(meeting.fqdn, meeting.link)
        if meeting.role is Role.ENTITY_B:
            return enrolee.initiator(
                meeting.peer, transport=meeting.link.transport, server_name=meeting.server_name
            )
        raise meeting.cannot("an enrolment is for an Entity B or a MAF")

    def _renewing(self, meeting: Meeting) -> Initiator | None:
        """How we meet the MEF again by certificate, of which the store keeps nothing; None without one."""
        at_mef = meeting.meet(EntityId(str(self.enrolment)), Role.OWN_MEF)
        return at_mef.prove.initiate(at_mef) if isinstance(at_mef.prove, Certificate) else None


PROOFS: dict[str, type[Table]] = {
    "as kpsa": ProvisionedKey,
    "as km": MasterCredential,
    "as kpm": EnroleeKey,
    "as key": AskingKey,
    "as certificate": Certificate,
    "as card": Card,
    "as gba": ByGba,
    "as maf": ByMaf,
    "as enrolment": ByEnrolment,
}
"""The members by their tag; no key of a file looks like a tag."""

ProveSetting = Annotated[
    Annotated[ProvisionedKey, Tag("as kpsa")]
    | Annotated[MasterCredential, Tag("as km")]
    | Annotated[EnroleeKey, Tag("as kpm")]
    | Annotated[AskingKey, Tag("as key")]
    | Annotated[Certificate, Tag("as certificate")]
    | Annotated[Card, Tag("as card")]
    | Annotated[ByGba, Tag("as gba")]
    | Annotated[ByMaf, Tag("as maf")]
    | Annotated[ByEnrolment, Tag("as enrolment")],
    Discriminator(
        member_by_keys(PROOFS),
        custom_error_type="prove",
        custom_error_message="say by what we prove ourselves: kpsa-id and kpsa-file; km-id and km-file; "
        "kpm-id and kpm-file; key-id and key-file; certificate and private-key; card; or through another "
        "peer: maf, enrolment or bsf",
    ),
]

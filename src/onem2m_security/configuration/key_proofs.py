"""The members of ``prove`` that are a key in a file: they differ in the frameworks that begin with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..clients.enrolee import Enrolee
from ..credentials import Secret
from ..frameworks import bootstrap_psk, maf_handshake, mef_handshake, saef_gba, saef_psk
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import Initiator
from ..identifiers import KeyIdentifier
from .key_files import read_key
from .meeting import Meeting, Role
from .proof import OwnProof
from .values import FileSetting, KeyIdSetting, KmIdSetting

if TYPE_CHECKING:
    from ..store.store import Store

Begin = Callable[[Meeting, KeyIdentifier, Secret], Initiator]
"""How a framework begins with a key and its identifier."""


class KeyProof(OwnProof):
    """A key in a file: its identifier is shown, the key is proven. Its two fields are these two.

    Attributes:
        begins: By what framework, for each role that a peer may have.
    """

    begins: ClassVar[Mapping[Role, Begin]]

    @property
    def _key_id(self) -> KeyIdentifier:
        found: KeyIdentifier = next(value for _, value in self)
        return found

    def _key(self, here: Path) -> Secret:
        *_, (_, file) = self
        return read_key(str(here / file))

    def check(self, here: Path) -> None:
        """Read the key."""
        self._key(here)

    def initiate(self, meeting: Meeting) -> Initiator:
        """Show the identifier, prove the key."""
        begin = self.begins.get(meeting.role)
        if begin is None:
            fit = " or ".join(role.value for role in self.begins)
            raise meeting.cannot(f"{self.words()[0]} is for {fit}")
        return begin(meeting, self._key_id, self._key(meeting.here))


def _with_entity_b(meeting: Meeting, kpsa_id: KeyIdentifier, kpsa: Secret) -> Initiator:
    key = saef_psk.credential(kpsa_id, kpsa, peer=meeting.peer)
    return saef_psk.initiate(meeting.local, meeting.peer, key, server_name=meeting.server_name)


def _with_maf(meeting: Meeting, km_id: KeyIdentifier, km: Secret) -> Initiator:
    return maf_handshake.initiate(meeting.local, meeting.fqdn, maf_handshake.credential(km_id, km))


def _as_enrolee(meeting: Meeting, kpm_id: KeyIdentifier, kpm: Secret) -> Initiator:
    key = bootstrap_psk.credential(kpm_id, kpm, enrolee=meeting.local)
    return bootstrap_psk.initiate(meeting.local, meeting.fqdn, key)


def _as_target(meeting: Meeting, key_id: KeyIdentifier, key: Secret) -> Initiator:
    return mef_handshake.initiate(meeting.local, meeting.fqdn, mef_handshake.credential(key_id, key))


def _as_naf(meeting: Meeting, key_id: KeyIdentifier, key: Secret) -> Initiator:
    return saef_gba.initiate_zn(meeting.local, meeting.fqdn, saef_psk.credential(key_id, key))


class ProvisionedKey(KeyProof):
    """A Provisioned Secure Connection Key, for Entity B (8.2.2.1).

    Attributes:
        kpsa_id: Its identifier, relative@issuer-FQDN.
        kpsa_file: The file that holds it.
    """

    begins: ClassVar = {Role.ENTITY_B: _with_entity_b}

    kpsa_id: KeyIdSetting
    kpsa_file: FileSetting


class MasterCredential(KeyProof):
    """A Master Credential, for a MAF (8.8.2.2).

    Attributes:
        km_id: Its identifier, relative@MAF-FQDN.
        km_file: The file that holds it.
    """

    begins: ClassVar = {Role.MAF: _with_maf}

    km_id: KmIdSetting
    km_file: FileSetting


class EnroleeKey(KeyProof):
    """A Pre-Provisioned Symmetric Enrolee Key, for an MEF (8.3.2.1).

    Attributes:
        kpm_id: Its identifier, relative@MEF-FQDN.
        kpm_file: The file that holds it.
    """

    begins: ClassVar = {Role.OWN_MEF: _as_enrolee}

    kpm_id: KeyIdSetting
    kpm_file: FileSetting

    async def enrolee(self, meeting: Meeting, store: Store, instruction: BootstrapInstruction) -> Enrolee:
        """An Enrolee that keeps Kpm in its store."""
        return await Enrolee.configure(
            store,
            kpm_id=self.kpm_id,
            kpm=self._key(meeting.here),
            instruction=instruction,
            link=meeting.link,
        )


class AskingKey(KeyProof):
    """The key by which an Enrolment Target asks its MEF, a NAF its BSF, or a BSF its HSS.

    Attributes:
        key_id: Its identifier, relative@FQDN of the one that is asked.
        key_file: The file that holds it.
    """

    begins: ClassVar = {Role.MEF: _as_target, Role.BSF: _as_naf, Role.HSS: _as_naf}

    key_id: KeyIdSetting
    key_file: FileSetting

"""What all members of ``prove`` have."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..clients.enrolled import Enrolled
from ..errors import ConfigurationError
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import How, Initiator
from .meeting import Meeting
from .values import Table

if TYPE_CHECKING:
    from ..store.store import Store


class Proving(Table, abc.ABC):
    """What all proofs have.

    ``needs_address``: whether it is only ever made to a peer that listens somewhere.
    """

    needs_address: ClassVar[bool] = True

    @abc.abstractmethod
    async def how(self, meeting: Meeting) -> How:
        """How we prove ourselves to this peer; what must be closed afterwards is in ``meeting.closing``.

        Raises:
            ConfigurationError: A file cannot be used, or the proof does not fit the peer.
            SecurityFrameworkError: As the framework says.
        """

    def check(self, here: Path) -> None:
        """Read the files that it names.

        Raises:
            ConfigurationError: A file cannot be used.
            CredentialError: What is in it cannot be used.
        """

    async def enrolee(self, meeting: Meeting, store: Store, instruction: BootstrapInstruction) -> Enrolled:
        """Us as an Enrolee that meets this MEF, configured in its store.

        Raises:
            ConfigurationError: Nobody enrols by this proof, or a file cannot be used.
            CredentialError: The credential cannot be used.
            StoreError: The store could not be written.
        """
        del store, instruction
        raise meeting.cannot("we enrol by kpm-id and kpm-file, by certificate and private-key, or by card")


class OwnProof(Proving):
    """A proof that lies ready in files: nobody else need be met first."""

    @abc.abstractmethod
    def initiate(self, meeting: Meeting) -> Initiator:
        """How we begin a handshake with this peer.

        Raises:
            ConfigurationError: A file cannot be used, or the proof does not fit the peer.
            CredentialError: The credential cannot be used.
        """

    async def how(self, meeting: Meeting) -> How:
        """The same, as every proof has it."""
        return self.initiate(meeting)


def own_initiator(meeting: Meeting) -> Initiator:
    """How a server that is a client of this peer begins: by a proof that needs nobody else.

    Raises:
        ConfigurationError: It is another proof, a file cannot be used, or the proof does not fit the peer.
        CredentialError: The credential cannot be used.
    """
    if isinstance(meeting.prove, OwnProof):
        return meeting.prove.initiate(meeting)
    raise ConfigurationError(
        f"peer {meeting.peer}: a server asks {meeting.role.value} by key-id and key-file, or by certificate "
        "and private-key"
    )

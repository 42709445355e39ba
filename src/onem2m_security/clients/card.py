"""A software card: a USIM in a file that only its owner can read, where no UICC is at hand.

The file holds the keys of the subscription and the sequence numbers that the card accepted (TS 33.102 Annex
C.2). It is replaced as a whole, on the disk, before an answer leaves, and locked meanwhile: a challenge works
once, whatever happens. It protects its keys no better than a file can: a UICC is made for that.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from .. import files
from ..credentials import Secret
from ..errors import ConfigurationError, CredentialError, IdentifierError
from ..gba.aka import ARRAY_SIZE, AkaResult, Usim
from ..gba.keys import Impi
from ..gba.subscriber import AlgorithmSet, Subscriber

FILE_MAX_OCTETS = 8192

_TITLE = "onem2m-security software card 1"


@dataclass(frozen=True, slots=True)
class SoftwareCard:
    """What a card file holds, and where it is.

    Attributes:
        path: The file.
        subscriber: IMPI, K, OPc and algorithm set; AMF and SQN are the network's and not used.
        gba_u: Whether the card bootstraps by itself (GBA_U).
        accepted: The highest SEQ accepted for each of the 32 values of IND.
    """

    path: Path
    subscriber: Subscriber
    gba_u: bool = False
    accepted: tuple[int, ...] = field(default=(0,) * ARRAY_SIZE)

    @classmethod
    def create(cls, path: Path, subscriber: Subscriber, *, gba_u: bool = False) -> Self:
        """Make a new card; on the disk when this returns.

        Raises:
            ConfigurationError: There is a file already, or it cannot be written.
        """
        if path.exists():
            raise ConfigurationError(f"{path} exists already; a card is never overwritten")
        card = cls(path, subscriber, gba_u)
        card._write()
        return card

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a card.

        Raises:
            ConfigurationError: It is missing, damaged, or readable by others than its owner.
        """
        try:
            text = files.read_private(path, FILE_MAX_OCTETS).octets
        except OSError as error:
            raise ConfigurationError(f"the card {path} cannot be read: {error.strerror}") from error
        try:
            return cls._parse(path, text)
        except (ValueError, KeyError, TypeError, IdentifierError, CredentialError):
            raise ConfigurationError(f"{path} is not a software card: make one, or restore it") from None

    @classmethod
    def _parse(cls, path: Path, text: bytes) -> Self:
        value: dict[str, Any] = json.loads(text)
        accepted = tuple(value["accepted"])
        if value["title"] != _TITLE or not all(type(seq) is int for seq in accepted):
            raise ValueError("no card")
        subscriber = Subscriber(
            Impi.parse(value["impi"]),
            Secret(bytes.fromhex(value["k"])),
            Secret(bytes.fromhex(value["opc"])),
            algorithm=AlgorithmSet(value["algorithm"]),
        )
        Usim(subscriber.functions, accepted=accepted)  # checks the array
        return cls(path, subscriber, value["gba_u"] is True, accepted)

    @property
    def impi(self) -> Impi:
        """The private identity."""
        return self.subscriber.impi

    def authenticate(self, rand: bytes, autn: bytes) -> AkaResult:
        """Answer a challenge (TS 33.102 clause 6.3.3); the file holds what was accepted before this returns.

        Args:
            rand: RAND, 16 octets.
            autn: AUTN, 16 octets.

        Raises:
            ConfigurationError: The card cannot be read or written.
            MessageError: RAND or AUTN has the wrong length.
        """
        with self._locked():
            present = SoftwareCard.load(self.path)
            usim = Usim(present.subscriber.functions, accepted=present.accepted)
            result = usim.authenticate(rand, autn, gba_u=present.gba_u)
            if usim.accepted != present.accepted:
                replace(present, accepted=usim.accepted)._write()
            return result

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the card: another process may use it too."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_MODE)
        except OSError as error:
            raise ConfigurationError(f"the card {self.path} cannot be locked: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self) -> None:
        value = {
            "title": _TITLE,
            "impi": self.impi.text,
            "algorithm": self.subscriber.algorithm.value,
            "k": self.subscriber.k.reveal().hex(),
            "opc": self.subscriber.opc.reveal().hex(),
            "gba_u": self.gba_u,
            "accepted": list(self.accepted),
        }
        try:
            files.replace_durably(self.path, json.dumps(value, indent=1).encode("ascii"))
        except OSError as error:
            raise ConfigurationError(f"the card {self.path} cannot be written: {error.strerror}") from error

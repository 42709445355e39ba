"""Whose an AE-ID is that a CSE has assigned: remembered by Credential-ID, across restarts.

The file is a journal: a line for each assignment, on the disk before the AE hears of it. When it is opened it
is written anew, without what later lines have overtaken.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final, Self

from ..errors import ConfigurationError, IdentifierError
from ..files import PRIVATE_MODE, read_bounded, replace_durably
from ..identifiers import CredentialId, EntityId

EACH: Final = 8
"""AE-IDs of one credential; a further one takes the place of the oldest."""
_FILE: Final = "ae-ids"
_LOCK: Final = "ae-ids.lock"
_OCTETS: Final = 256 << 20


class BoundAeIds:
    """AE-IDs by credential, in memory only."""

    def __init__(self) -> None:
        self._holders: dict[str, CredentialId] = {}
        self._of: dict[CredentialId, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def holder_of(self, ae_id: EntityId) -> CredentialId | None:
        """Whose this AE-ID is, in its longest form; None for nobody's."""
        return self._holders.get(str(ae_id))

    async def bind(self, credential_id: CredentialId, ae_id: EntityId) -> None:
        """It is this credential's from now on; a CSE assigns no AE-ID that somebody still has.

        Raises:
            OSError: It cannot be remembered; nothing has changed.
        """
        self._apply(credential_id, str(ae_id))

    def close(self) -> None:
        """Nothing more is bound."""

    def _apply(self, credential_id: CredentialId, ae_id: str) -> None:
        former = self._holders.get(ae_id)
        if former is not None:
            del self._of[former][ae_id]
            if not self._of[former]:
                del self._of[former]
        self._holders[ae_id] = credential_id
        own = self._of.setdefault(credential_id, OrderedDict())
        own[ae_id] = None
        while len(own) > EACH:
            oldest, _ = own.popitem(last=False)
            del self._holders[oldest]


class KeptAeIds(BoundAeIds):
    """The same in a file of a data directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._path = directory / _FILE
        self._journal = self._lock = -1
        self._turn = asyncio.Lock()

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read what is remembered in a data directory, which is made where there is none.

        Raises:
            ConfigurationError: It cannot be used: another gateway does, or the file is not of this form.
        """
        kept = cls(directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
            fcntl.flock(kept._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if kept._path.exists():
                kept._read()
            kept._rewrite()
        except BlockingIOError:
            kept.close()
            raise ConfigurationError(f"{directory} is in use by another gateway") from None
        except OSError as error:
            kept.close()
            raise ConfigurationError(f"{directory} cannot be used: {error.strerror or error}") from error
        return kept

    async def bind(self, credential_id: CredentialId, ae_id: EntityId) -> None:
        """As ``BoundAeIds.bind``; it is on the disk when this returns."""
        async with self._turn:
            if self.holder_of(ae_id) != credential_id:
                await asyncio.to_thread(self._append, f"{credential_id} {ae_id}\n".encode())
                self._apply(credential_id, str(ae_id))

    def _append(self, line: bytes) -> None:
        before = os.fstat(self._journal).st_size
        try:
            written = os.write(self._journal, line)
            os.fsync(self._journal)
        except OSError:
            os.ftruncate(self._journal, before)
            raise
        if written != len(line):
            os.ftruncate(self._journal, before)
            raise OSError("the disk took a part of it")

    def close(self) -> None:
        """Let another gateway have the file."""
        for descriptor in (self._journal, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._journal = self._lock = -1

    def _read(self) -> None:
        *whole, _torn = read_bounded(self._path, _OCTETS).octets.split(b"\n")
        for number, line in enumerate(whole, start=1):
            credential, _, ae_id = line.decode("utf-8", "replace").partition(" ")
            try:
                self._apply(CredentialId.parse(credential), str(EntityId.parse(ae_id)))
            except IdentifierError as error:
                raise ConfigurationError(f"{self._path}, line {number}: {error}") from None

    def _rewrite(self) -> None:
        lines = (f"{credential} {ae_id}\n" for credential, own in self._of.items() for ae_id in own)
        replace_durably(self._path, "".join(lines).encode())
        self._journal = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

"""Sealing at rest: the key ring, and authenticated encryption of what leaves memory for the database.

Every record is sealed with AES-256-GCM under a key-encryption key (KEK) of the ring, and the seal covers the
record's identity and all its columns: a row that was edited, or whose sealed key was swapped with another
row's, does not open. The ring lives in one file beside the database and never in it: a stolen database
alone opens nothing. (TS-0003 leaves the protection of stored keys to the implementation.)

A seal does not tell that a row is missing, nor that a whole database was put back to an earlier state.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .. import files
from ..credentials import SECRET_MAX_OCTETS, Secret
from ..errors import ConfigurationError, CredentialError, RecordCorruptedError, StoreUnavailableError

KEK_OCTETS = 32
KEK_ID_OCTETS = 4
_VERSION = b"\x01"
KEK_ID_AT = len(_VERSION)
"""Where the KEK id begins in a seal, counted from 0."""

_NONCE_OCTETS = 12
_TAG_OCTETS = 16
_HEAD_OCTETS = KEK_ID_AT + KEK_ID_OCTETS
_BODY_AT = _HEAD_OCTETS + _NONCE_OCTETS
_SEALED_MAX_OCTETS = _BODY_AT + SECRET_MAX_OCTETS + _TAG_OCTETS

_TITLE = "onem2m-security keyring 1"
_FILE_MAX_OCTETS = 65_536


def associated_data(columns: Iterable[object]) -> bytes:
    """The columns of a record as octets that no other columns give.

    Each value is ``type tag, length in characters, colon, text``; an absent value is ``-``. A value of a
    type that no column has (a database can be edited by hand) has a tag of its own: it never matches a seal.
    """
    parts = [
        f"s{len(value)}:{value}" if isinstance(value, str) else "-" if value is None else _other(value)
        for value in columns
    ]
    return "".join(parts).encode("utf-8", "surrogatepass")


def _other(value: object) -> str:
    text = str(value) if isinstance(value, int) else repr(value)
    return f"{'i' if isinstance(value, int) else '?'}{len(text)}:{text}"


class KeyRing:
    """The key-encryption keys of one store, in a file that only its owner can read.

    Which of them seals new records is for the database to say, so that several processes agree; the ring
    opens what any of them sealed. A ring that another process changed is read again when an unknown KEK
    turns up. Not safe for use by several threads at once, and changed only by one process at a time: the
    store sees to both.
    """

    def __init__(self, path: Path, keks: dict[bytes, Secret], seen: tuple[int, int, int]) -> None:
        self._path = path
        self._become(keks, seen)

    def _become(self, keks: dict[bytes, Secret], seen: tuple[int, int, int]) -> None:
        self._keks = keks
        self._aeads = {kek_id: AESGCM(kek.reveal()) for kek_id, kek in keks.items()}
        self._seen = seen

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a ring with one new KEK; durable when it returns.

        Raises:
            ConfigurationError: There is a file already, or it cannot be written.
        """
        if path.exists():
            raise ConfigurationError(f"{path} exists already; a key ring is never overwritten")
        kek_id = secrets.token_bytes(KEK_ID_OCTETS)
        _write(path, {kek_id: Secret.generate(KEK_OCTETS)})
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a ring.

        Raises:
            ConfigurationError: It is missing, damaged, or readable by others than its owner.
        """
        return cls(path, *_read(path))

    @property
    def kek_ids(self) -> tuple[bytes, ...]:
        """The identifiers of the KEKs, 4 octets each, oldest first."""
        return tuple(self._keks)

    def knows(self, kek_id: bytes) -> bool:
        """Whether the ring holds this KEK, after reading the file again if it changed."""
        if kek_id not in self._aeads:
            self.refresh()
        return kek_id in self._aeads

    def refresh(self) -> None:
        """Read the file again if another process changed it.

        Raises:
            StoreUnavailableError: The file cannot be read any more.
        """
        try:
            if _signature(self._path.stat()) != self._seen:
                self._become(*_read(self._path))
        except (OSError, ConfigurationError) as error:
            raise StoreUnavailableError(f"the key ring cannot be read: {error}") from error

    def seal(self, kek_id: bytes, octets: bytes, associated: bytes) -> bytes:
        """Encrypt and authenticate: version octet || KEK id || nonce || ciphertext and tag.

        Args:
            kek_id: Which KEK to seal under.
            octets: What to keep secret, 0 to 256 octets.
            associated: What the seal covers besides; see associated_data.

        Raises:
            StoreUnavailableError: The ring does not hold this KEK.
        """
        if not self.knows(kek_id):
            raise StoreUnavailableError(
                f"{self._path} lacks the key {kek_id.hex()} that the database is sealed with: "
                "restore the key ring that belongs to this database"
            )
        head = _VERSION + kek_id
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return head + nonce + self._aeads[kek_id].encrypt(nonce, octets, head + associated)

    def open(self, sealed: object, associated: bytes) -> bytes:
        """The octets that were sealed.

        Raises:
            RecordCorruptedError: Altered, sealed for other columns, or under a KEK that the ring does not
                hold.
            StoreUnavailableError: The ring had to be read again and could not.
        """
        if not isinstance(sealed, bytes) or not _BODY_AT + _TAG_OCTETS <= len(sealed) <= _SEALED_MAX_OCTETS:
            raise RecordCorruptedError("its seal has a wrong length")
        head = sealed[:_HEAD_OCTETS]
        kek_id = head[KEK_ID_AT:]
        if head[:KEK_ID_AT] != _VERSION:
            raise RecordCorruptedError("its seal is of an unknown version")
        if not self.knows(kek_id):
            raise RecordCorruptedError("it is sealed under a key that the key ring does not hold")
        try:
            return self._aeads[kek_id].decrypt(
                sealed[_HEAD_OCTETS:_BODY_AT], sealed[_BODY_AT:], head + associated
            )
        except InvalidTag:
            raise RecordCorruptedError("its seal does not match: it was altered or swapped") from None

    def rotate(self) -> bytes:
        """Add a new KEK, durably, and return its id; the old ones stay until they are retired."""
        kek_id = secrets.token_bytes(KEK_ID_OCTETS)
        while kek_id in self._keks:
            kek_id = secrets.token_bytes(KEK_ID_OCTETS)
        self._rewrite(self._keks | {kek_id: Secret.generate(KEK_OCTETS)})
        return kek_id

    def retire(self, *, keep: Container[bytes]) -> None:
        """Drop the other KEKs, durably: for when nothing is sealed under them any more.

        Raises:
            ConfigurationError: None would be left.
        """
        kept = {kek_id: kek for kek_id, kek in self._keks.items() if kek_id in keep}
        if not kept:
            raise ConfigurationError(f"{self._path} would be left without any key: nothing was dropped")
        if kept.keys() != self._keks.keys():
            self._rewrite(kept)

    def _rewrite(self, keks: dict[bytes, Secret]) -> None:
        _write(self._path, keks)
        self._become(*_read(self._path))


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> tuple[dict[bytes, Secret], tuple[int, int, int]]:
    try:
        content = files.read_private(path, _FILE_MAX_OCTETS, follow=False)
    except FileNotFoundError:
        raise ConfigurationError(f"the key ring {path} is missing: restore it from a backup") from None
    except OSError as error:
        raise ConfigurationError(f"the key ring {path} cannot be read: {error.strerror}") from error
    return _parse(path, content.octets), _signature(content.status)


def _parse(path: Path, text: bytes) -> dict[bytes, Secret]:
    """One title line, then ``KEK id, KEK`` in hex on each line."""
    damaged = ConfigurationError(f"the key ring {path} is damaged: restore it from a backup")
    try:
        title, *lines = text.decode("ascii").splitlines()
        keks = {bytes.fromhex(line[:8]): Secret(bytes.fromhex(line[8:])) for line in lines}
    except (ValueError, CredentialError):
        raise damaged from None
    if title != _TITLE or not keks or len(keks) != len(lines):
        raise damaged
    if any(len(kek_id) != KEK_ID_OCTETS or len(kek) != KEK_OCTETS for kek_id, kek in keks.items()):
        raise damaged
    return keks


def _write(path: Path, keks: dict[bytes, Secret]) -> None:
    """Replace the file as a whole: after a crash at any moment there is the old ring or the new one."""
    lines = [_TITLE, *(f"{kek_id.hex()} {kek.reveal().hex()}" for kek_id, kek in keks.items()), ""]
    try:
        files.replace_durably(path, "\n".join(lines).encode("ascii"))
    except OSError as error:
        raise StoreUnavailableError(f"the key ring {path} cannot be written: {error.strerror}") from error

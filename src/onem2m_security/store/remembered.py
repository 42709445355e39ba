"""What was last read of credentials: all but the key, which stays sealed, and bounded in number.

Nothing here knows whether it still holds: ``hot_connection`` has all forgotten when a credential was changed.
Names that lead nowhere are remembered too, so that an unknown one costs what a known one does, but apart:
strangers make up as many as they like, and those must not drive out what clients need.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from ..credentials import Secret
from .keys import KEYS
from .records import KeyRecord
from .sealing import KeyRing

KNOWN_MAX: Final = 50_000
"""Names of credentials that are remembered: about 2 kB each."""

UNKNOWN_MAX: Final = 5_000

_PROOF_OCTETS: Final = 16
_SEALED_AWAY: Final = Secret(bytes(1))

Name = tuple[str, str]
"""What the key is, and its key_id or alias."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A key that was opened once.

    Attributes:
        record: All that is known of it but the key.
        proof: A tag of the key.
    """

    record: KeyRecord
    proof: bytes = field(repr=False)
    _sealed: bytes = field(repr=False)
    _associated: bytes = field(repr=False)

    @classmethod
    def of(cls, row: Sequence[Any], record: KeyRecord, proof: bytes) -> Kept:
        """What is kept of a row that opened to this record."""
        return cls(record.with_key(_SEALED_AWAY), proof, row[-1], KEYS.associated(row[:-1]))

    def open(self, ring: KeyRing) -> KeyRecord:
        """The record with its key.

        Raises:
            RecordCorruptedError: It is sealed under a KEK that the ring does not hold any more.
        """
        return self.record.with_key(Secret(ring.open(self._sealed, self._associated)))


@dataclass(slots=True, eq=False)
class Answer:
    """What is under a name.

    Attributes:
        rows: The row with this key_id first, if there is one, then those with this alias.
        kept: The first of them, once it was opened; in its place, of an unknown name, what is opened for
            nothing.
    """

    rows: Sequence[Sequence[Any]] = field(repr=False)
    kept: Kept | None = None


class Remembered:
    """Answers by name, the ones that were used last."""

    def __init__(self) -> None:
        self._known: OrderedDict[Name, Answer] = OrderedDict()
        self._unknown: OrderedDict[Name, Answer] = OrderedDict()
        self._tag_key = secrets.token_bytes(_PROOF_OCTETS)

    def find(self, name: Name) -> Answer | None:
        """What was read under this name."""
        for answers in (self._known, self._unknown):
            found = answers.get(name)
            if found is not None:
                answers.move_to_end(name)
                return found
        return None

    def keep(self, name: Name, answer: Answer) -> None:
        """Remember what was read under a name, in the place of what was not used for longest."""
        answers, most = (self._known, KNOWN_MAX) if answer.rows else (self._unknown, UNKNOWN_MAX)
        answers[name] = answer
        if len(answers) > most:
            answers.popitem(last=False)

    def drop(self, name: Name) -> None:
        """Read this name anew."""
        self._known.pop(name, None)
        self._unknown.pop(name, None)

    def forget(self) -> None:
        """Read everything anew."""
        self._known.clear()
        self._unknown.clear()

    def opened(self, row: Sequence[Any], record: KeyRecord) -> Kept:
        """What is kept of a row that opened to this record."""
        return Kept.of(row, record, self.tag(record.key))

    def is_of(self, kept: Kept, key: Secret) -> bool:
        """Whether this is the key of what is kept."""
        return hmac.compare_digest(kept.proof, self.tag(key))

    def tag(self, key: Secret) -> bytes:
        """Under a key of this process: the tag alone tells nothing of a key that could be guessed."""
        return blake2b(key.reveal(), key=self._tag_key, digest_size=_PROOF_OCTETS).digest()

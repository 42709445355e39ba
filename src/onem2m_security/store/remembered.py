"""What was last read of credentials: rows as they are in the database, sealed, and bounded in number.

Nothing here knows whether they still hold: ``hot`` forgets them all when a credential was changed. Names that
lead nowhere are remembered too, so that an unknown one costs what a known one does, but apart: strangers make
up as many as they like, and those must not drive out what clients need.
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

KNOWN_MAX: Final = 50_000
"""Names of credentials that are remembered: about 1 kB each."""

UNKNOWN_MAX: Final = 5_000

_PROOF_OCTETS: Final = 16

Name = tuple[str, str]
"""What the key is, and its key_id or alias."""


@dataclass(slots=True, eq=False)
class Answer:
    """The rows under a name.

    Attributes:
        rows: The one with this key_id first, if there is one, then those with this alias.
        proof: A tag of the key that the first row opened to; empty while nobody has opened it.
    """

    rows: Sequence[Sequence[Any]] = field(repr=False)
    proof: bytes = field(default=b"", repr=False)


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

    def forget(self) -> None:
        """Read everything anew."""
        self._known.clear()
        self._unknown.clear()

    def prove(self, answer: Answer, key: Secret) -> None:
        """Remember that the first row was opened, and that this was the key in it."""
        answer.proof = self._tag(key)

    def is_proven(self, answer: Answer, key: Secret) -> bool:
        """Whether the first row is known to hold this key."""
        return bool(answer.proof) and hmac.compare_digest(answer.proof, self._tag(key))

    def _tag(self, key: Secret) -> bytes:
        """Under a key of this process: the tag alone tells nothing of a key that could be guessed."""
        return blake2b(key.reveal(), key=self._tag_key, digest_size=_PROOF_OCTETS).digest()

"""``m2msec vectors``: known answers for every derivation and identifier, computed by this implementation."""

from __future__ import annotations

import json

from .known_answers import known_answers


def vectors() -> None:
    """Print known-answer vectors for every derivation and identifier, both releases, as JSON."""
    print(json.dumps(known_answers(), indent=2, ensure_ascii=False))

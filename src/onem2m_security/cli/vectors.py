"""``m2msec vectors``: known answers for every derivation and identifier, computed by this implementation."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from .known_answers import known_answers


def vectors(
    text: Annotated[bool, typer.Option("--text", help="Print them for reading, not as JSON.")] = False,
) -> None:
    """Print known answers with their inputs, for every derivation.

    In JSON: both releases and their identifiers, GBA and its algorithm sets, exports from master secret and
    randoms. All octet strings are in hex; the keys are public: never use them.
    """
    answers = known_answers()
    if not text:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
        return
    for section, found in answers.items():
        if isinstance(found, str):
            print(f"{section}: {found}")
            continue
        print(f"\n{section.replace('_', ' ')}")
        for vector in found:
            print()
            _print(vector, "  ")


def _print(vector: dict[str, Any], margin: str) -> None:
    """One value a line, inputs and values further in."""
    for name, value in vector.items():
        if isinstance(value, dict):
            print(f"{margin}{name}:")
            _print(value, margin + "  ")
        else:
            print(f"{margin}{name}: {value}")

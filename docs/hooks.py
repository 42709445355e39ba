"""What the manual's pages get when they are built: drawn diagrams, and the reference of the public names.

A sequence diagram is written as GitHub reads it (mermaid) and drawn as SVG: it shows without internet.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent / "src" / "onem2m_security"
PUBLIC_NAMES = "<!-- public names -->"

_LINE, _GAP, _CHARACTER = 18, 24, 7
_PARTICIPANT = re.compile(r"participant (\w+) as (.+)")
_ARROW = re.compile(r"(\w+)(--?)>>(\w+): (.+)")
_NOTE = re.compile(r"Note over ([\w,]+): (.+)")


def on_config(config: MutableMapping[str, Any]) -> None:
    """Let fences called mermaid be drawn by ``sequence``."""
    fence = {"name": "mermaid", "class": "mermaid", "format": sequence}
    config["mdx_configs"]["pymdownx.superfences"] = {"custom_fences": [fence]}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the reference of every public name where the page asks for it."""
    return markdown.replace(PUBLIC_NAMES, "\n".join(_reference()))


def _reference() -> Iterator[str]:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    [imports] = [node.body for node in tree.body if isinstance(node, ast.If)]
    for node in (node for node in imports if isinstance(node, ast.ImportFrom)):
        for alias in node.names:
            path = ".".join(filter(None, ["onem2m_security", node.module, alias.name]))
            yield f"\n::: {path}\n"


def sequence(source: str, *_: object, **__: object) -> str:
    """A sequence diagram as SVG.

    Raises:
        ValueError: It holds a line that is none of participant, arrow and note over.
    """
    first, *lines = [line.strip() for line in source.splitlines() if line.strip()]
    if first != "sequenceDiagram":
        raise ValueError(f"only sequence diagrams are drawn, not {first}")
    people = {found[1]: found[2] for line in lines if (found := _PARTICIPANT.fullmatch(line))}
    step = _distance(lines, list(people))
    columns = {name: step // 2 + number * step for number, name in enumerate(people)}
    drawn = [_box(columns[name], 10, [text], "participant") for name, text in people.items()]
    y = 50
    for line in lines[len(people) :]:
        rows = line.partition(": ")[2].split("<br/>")
        if found := _ARROW.fullmatch(line):
            y += _LINE * len(rows)
            drawn.append(_arrow(columns[found[1]], columns[found[3]], y, rows, dashed=found[2] == "--"))
        elif found := _NOTE.fullmatch(line):
            over = [columns[name] for name in found[1].split(",")]
            drawn.append(_box(sum(over) // len(over), y, rows, "note"))
            y += _LINE * len(rows) + 6
        else:
            raise ValueError(f"a diagram holds a line that is not known: {line}")
        y += _GAP
    lives = "".join(f'<line class="life" x1="{x}" x2="{x}" y1="32" y2="{y}"/>' for x in columns.values())
    width = step * len(columns)
    return (
        f'<svg class="sequence" role="img" viewBox="0 0 {width} {y}" style="max-width: {width}px" '
        'xmlns="http://www.w3.org/2000/svg"><defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" '
        'markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 10 5 0 10z"/></marker></defs>'
        f"{lives}{''.join(drawn)}</svg>"
    )


def _distance(lines: list[str], names: list[str]) -> int:
    """From one participant to the next, wide enough for every text."""
    needed = [160]
    for line in lines:
        over, _, text = line.partition(": ")
        width = max(map(len, text.split("<br/>"))) * _CHARACTER + 20
        if found := _ARROW.fullmatch(line):
            needed.append(width // abs(names.index(found[1]) - names.index(found[3])))
        elif over.startswith("Note") and "," not in over:
            needed.append(width)
    return max(needed)


def _text(x: int, y: int, rows: list[str]) -> str:
    return "".join(
        f'<text x="{x}" y="{y + number * _LINE}">{html.escape(row)}</text>' for number, row in enumerate(rows)
    )


def _box(x: int, top: int, rows: list[str], kind: str) -> str:
    width, height = max(map(len, rows)) * _CHARACTER + 20, len(rows) * _LINE + 8
    return (
        f'<g class="{kind}"><rect x="{x - width // 2}" y="{top}" width="{width}" height="{height}" rx="3"/>'
        f"{_text(x, top + _LINE, rows)}</g>"
    )


def _arrow(start: int, end: int, y: int, rows: list[str], *, dashed: bool) -> str:
    return (
        f'<line class="arrow{" dashed" if dashed else ""}" x1="{start}" x2="{end}" y1="{y}" y2="{y}" '
        f'marker-end="url(#head)"/>{_text((start + end) // 2, y - 6 - _LINE * (len(rows) - 1), rows)}'
    )

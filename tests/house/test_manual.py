"""The manual as it is built: diagrams are drawn without internet, and every public name has its reference."""

from __future__ import annotations

import importlib.util
import re
from xml.etree import ElementTree as ET

import pytest

import onem2m_security
from places import ROOT

DIAGRAMS = [
    pytest.param(diagram, id=page.name)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for diagram in re.findall(r"```mermaid\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("manual_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("diagram", DIAGRAMS)
def test_each_diagram_is_drawn_with_every_word_of_it(hooks, diagram):
    drawing = ET.fromstring(hooks.sequence(diagram))
    shown = "".join(drawing.itertext())
    for line in diagram.splitlines()[1:]:
        words = re.split(r" as |: ", line.strip(), maxsplit=1)[-1]
        assert all(row in shown for row in words.split("<br/>"))


def test_a_line_that_cannot_be_drawn_ends_the_build(hooks):
    with pytest.raises(ValueError, match="not known: loop forever"):
        hooks.sequence("sequenceDiagram\nparticipant A as Entity A\nloop forever")


def test_every_public_name_has_a_place_in_the_reference(hooks):
    page = hooks.on_page_markdown((ROOT / "docs" / "api.md").read_text("utf-8"))
    shown = {path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    assert shown | {"__version__"} == set(dir(onem2m_security)) | {"__version__"}

"""The frameworks' files: the same verbs everywhere, and a table that names them all."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

from onem2m_security import frameworks

SHARED = {"admission", "checked_way", "request_reachable", "steps", "resolvers", "renewal", "instructions"}
FRAMEWORKS = sorted({module.name for module in pkgutil.iter_modules(frameworks.__path__)} - SHARED)
IN_A_STORE = {"maf_handshake", "mef_handshake", "bootstrap_psk"}
"""Whose accepting side is a server with a store of its own."""


def test_the_table_names_every_framework_with_its_clause():
    rows = re.findall(r"^(\w+) +(8\.[0-9.]+) ", frameworks.__doc__ or "", re.MULTILINE)
    assert sorted(name for name, _ in rows) == FRAMEWORKS
    for name, clause in rows:
        assert clause in (importlib.import_module(f"{frameworks.__name__}.{name}").__doc__ or "")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_offers_its_verbs(name):
    module = importlib.import_module(f"{frameworks.__name__}.{name}")
    assert callable(module.initiate)
    assert callable(getattr(module, "accept", None)) is (name not in IN_A_STORE)
    others = {"bootstrap_certificate", "bootstrap_gba"}  # the credential of another file, or one at the MAF
    assert callable(getattr(module, "credential", None)) is (name not in others)


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_they_share_is_no_framework(name):
    assert not hasattr(importlib.import_module(f"{frameworks.__name__}.{name}"), "initiate")

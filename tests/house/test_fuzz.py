"""`make fuzz` says "every parser": what reads octets of strangers is a target, or is excused here by name."""

from __future__ import annotations

import ast
import re

import pytest

from places import ROOT, TESTS

SOURCE = ROOT / "src" / "onem2m_security"
READS = re.compile(r"parse|decode|read_|split_|take_|client_hello")
REFUSES = re.compile(r"MessageError|IdentifierError|RefusedError|HandshakeError|CertificateRejectedError")

EXCUSED = {
    "servers/stakeholders.py": "the operator writes it",
    "servers/association_policy.py": "the operator writes it",
    "certificates/flavours.py": "the operator writes it",
    "certificates/public_key_id.py": "the operator writes it, in a configuration",
    "clients/registration.py": "the content of an answer of the MAF or MEF that was authenticated",
    "escertke/messages.py": "read by proof.py, which is a target",
    "gateway/assigned.py": "the content of an answer of the CSE behind us; any octets: test_assigned.py",
    "gateway/upstream_terms.py": "the operator writes it",
    "gba/auth_params.py": "read by digest_headers.py, which is a target",
    "gba/keys.py": "a B-TID: read by bootstrap_info.py and as the identity of a key",
    "onem2m/elements.py": "read by resources.py, which is a target",
    "onem2m/fetch_credentials.py": "the content of an answer of the MEF that was authenticated",
    "release.py": "the operator writes it",
    "servers/enrolees.py": "the operator writes it",
    "servers/est.py": "the operator writes it",
}
"""Modules that parse, and are reached by another target or by nobody who is a stranger."""


def parsers() -> set[str]:
    """Modules with a function that reads what it is given, and says which error refuses it."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not READS.match(node.name):
                continue
            if REFUSES.search((ast.get_docstring(node) or "").partition("Raises:")[2]):
                found.add(path.relative_to(SOURCE).as_posix())
    return {module for module in found if not module.startswith("cli/")}  # what the operator types


def fuzzed() -> set[str]:
    """Modules from which the targets import."""
    names = set()
    for path in (TESTS / "fuzz").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onem2m_security."):
                names.add(node.module.removeprefix("onem2m_security.").replace(".", "/") + ".py")
    return names


@pytest.mark.parametrize("module", sorted(parsers()))
def test_a_module_that_reads_what_strangers_send_is_fuzzed(module):
    assert module in fuzzed() | set(EXCUSED), "make it a target of tests/fuzz, or say here why not"


def test_the_parsers_are_found():
    assert {"identifiers.py", "gba/digest_headers.py", "diameter/messages.py"} <= parsers()

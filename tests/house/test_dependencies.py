"""What is installed is what is imported: a device gets what a device needs, and each library has its line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

import pytest
from packaging.utils import canonicalize_name

import onem2m_security
from installed import asked_for, modules_of, owners
from onem2m_security.extras import BRINGS
from places import ROOT
from source import MODULES, PACKAGE, imports, tree_of

ROOMS = {
    "cli.gateway": "server",
    "cli": "cli",
    "configuration": "cli",
    "gateway.assigned": "server",
    "net.loop": "server",  # and without it asyncio's own
    "servers.run": "server",
    "telemetry": "server",  # and without it nothing is counted
}
"""Rooms and modules that may import what an extra brings; all others have what every device has."""


def libraries(module: str, among: Iterable[ast.AST] | None = None) -> set[str]:
    """Top-level modules of others that a module imports, for types only or in a function as well."""
    return {name.partition(".")[0] for name in imports(module, among)} - sys.stdlib_module_names - {PACKAGE}


def at_once(module: str) -> list[ast.stmt]:
    """What runs when a module is imported, and cannot do without what it imports."""
    later = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If | ast.Try
    return [node for node in tree_of(module).body if not isinstance(node, later)]


def room(module: str) -> str | None:
    """The entry of ROOMS that a module belongs to."""
    inside = module.removeprefix(f"{PACKAGE}.")
    return next((name for name in ROOMS if f"{inside}.".startswith(f"{name}.")), None)


def named(extra: str | None) -> set[str]:
    """The modules that pyproject.toml names by what they come in; not what those bring along."""
    return modules_of({canonicalize_name(one.name) for one in asked_for(extra)})


def with_all_they_import(waiting: list[str]) -> set[str]:
    """These modules of ours, with all that they need to be imported."""
    done: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in done:
            continue
        done.add(module)
        parts = module.split(".")
        waiting += [".".join(parts[:length]) for length in range(1, len(parts))]
        waiting += [name for name in imports(module, at_once(module)) if name in MODULES]
    return done


PUBLIC = with_all_they_import(
    [
        f"{PACKAGE}.{name}"
        for name in {*onem2m_security._MODULE_OF.values(), *onem2m_security._MODULES.values()}
    ]
)
"""All that is loaded when everything public is used."""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_room_may(module):
    where = room(module)
    allowed = named(None) | (named(ROOMS[where]) if where else set())
    assert libraries(module) <= allowed


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_its_extra_because_it_needs_it(name):
    used = {library for module in MODULES if room(module) == name for library in libraries(module)}
    assert used & (named(ROOMS[name]) - named(None))


def test_what_is_public_needs_no_extra_to_be_imported():
    used = {library: module for module in PUBLIC for library in libraries(module, at_once(module))}
    assert len(PUBLIC) > 60
    assert {name: module for name, module in used.items() if name not in named(None)} == {}


@pytest.mark.parametrize("extra", [None, *BRINGS])
def test_each_library_that_is_asked_for_is_imported(extra):
    used = {library for module in MODULES for library in libraries(module)}
    for requirement in asked_for(extra):
        assert modules_of({canonicalize_name(requirement.name)}) & used, requirement.name


def test_the_extras_are_told_by_what_they_bring():
    for extra, modules in BRINGS.items():
        more = named(extra) - named(None) - {"uvloop"}  # which is not for every platform, and never needed
        less = named("cli") if extra == "server" else set()
        assert {module for module in more - less if not module.startswith("_")} == set(modules)


def test_whoever_develops_or_tries_it_has_all_of_it():
    names = {canonicalize_name(one.name) for one in asked_for("dev")}
    assert names >= {canonicalize_name(one.name) for one in asked_for("server")}
    assert "$(INSTALL) '.[server]'" in (ROOT / "Makefile").read_text("utf-8")


def test_modules_are_looked_up_by_what_brought_them():
    assert owners()["OpenSSL"] == {"pyopenssl"}
    assert libraries(f"{PACKAGE}.tls.openssl_library") == {"OpenSSL", "cryptography"}

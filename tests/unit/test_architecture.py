"""The floors of the house: what may import what, and who may open a socket."""

from __future__ import annotations

import ast
import re

import pytest

from places import ROOT
from source import MODULES, PACKAGE, imports

FLOORS = (
    {
        "alerts",
        "defaults",
        "errors",
        "telemetry",
        "version",
        "clock",
        "tasks",
        "files",
        "private_memory",
        "extras",
    },
    {"identifiers", "texts", "user_settings", "release", "durations", "quotas", "peer_quotas"},
    {"credentials", "association", "keys"},
    {"tls", "gba"},
    {"certificates", "store", "onem2m", "diameter"},
    {"frameworks"},
    {"escertke"},
    {"net"},
    {"clients"},
    {"servers"},
    {"gateway"},
    {"configuration"},
    {"demo", "cli", "__main__", ""},  # "" is the package itself
)
"""From the ground up. A module imports from floors below its own, or from its own floor without a circle."""

FLOOR_OF = {name: height for height, names in enumerate(FLOORS) for name in names}

ONLY_IN = {
    "OpenSSL": {"tls.openssl_library", "tls.openssl_terms", "certificates.path"},
    "cryptography.hazmat.bindings": {"tls.openssl_library"},
    "cffi": {"tls.gnutls_library"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "typer": {"cli"},
    "pydantic": {"configuration"},
    "diameter": {"diameter"},
    "rich": {"cli"},
}
"""Libraries that one place or module knows, so that the rest never depends on them."""

NETWORK_MODULES = {"socket", "socketserver", "ssl", "selectors", "http", "urllib.request"} | {
    "httpcore", "httptools", "starlette", "uvicorn", "aiocoap", "uvloop"
}  # fmt: skip
NETWORK_FUNCTIONS = {
    "open_connection", "start_server", "open_unix_connection", "start_unix_server",
    "create_connection", "create_server", "create_unix_connection", "create_unix_server",
    "create_datagram_endpoint", "sock_connect", "sock_recv", "sock_sendall", "start_http_server",
}  # fmt: skip


def place(module: str) -> str:
    """The name right below the package: what the table of floors speaks of."""
    return module.partition(".")[2].partition(".")[0]


def own_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name == PACKAGE or name.startswith(PACKAGE + ".")}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, in order; empty when there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if found := walk(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in graph if (found := walk(module, []))), [])


def test_every_module_has_its_floor():
    without = sorted(module for module in MODULES if place(module) not in FLOOR_OF)
    assert not without, "give these a floor in FLOORS"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_from_above(module):
    height = FLOOR_OF[place(module)]
    above = sorted(name for name in own_imports(module) if FLOOR_OF[place(name)] > height)
    assert not above, f"{module} is on floor {height}"


def test_no_imports_go_in_a_circle():
    assert circle({module: own_imports(module) - {module} for module in MODULES}) == []


def test_places_on_one_floor_do_not_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        targets = {place(name) for name in own_imports(module)} - {place(module)}
        graph.setdefault(place(module), set()).update(targets)
    assert circle(graph) == []


@pytest.mark.parametrize("module", [m for m in MODULES if FLOOR_OF[place(m)] < FLOOR_OF["net"]])
def test_below_net_nobody_reaches_the_network(module):
    used = {
        name
        for name in imports(module)
        for banned in NETWORK_MODULES
        if name == banned or name.startswith(banned + ".")
    }
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert not used
    assert not (attributes | names) & NETWORK_FUNCTIONS


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_place(library):
    users = {
        module.partition(".")[2]
        for module in MODULES
        for name in imports(module)
        if name == library or name.startswith(library + ".")
    }
    allowed = ONLY_IN[library]
    assert {user for user in users if user not in allowed and user.partition(".")[0] not in allowed} == set()
    assert {one for one in allowed if not any(f"{user}.".startswith(f"{one}.") for user in users)} == set()


def test_an_engine_is_known_to_what_chooses_it_and_to_nobody_else():
    """What a session, a framing and every floor above need of a TLS library is in tls/engine.py."""
    ours = {"", "_library", "_terms", "_callbacks"}
    own = {f"tls.openssl{part}" for part in ours} | {"tls.gnutls", "tls.gnutls_library", "tls.gnutls_terms"}
    engines = {f"{PACKAGE}.{module}" for module in own}
    users = {module.partition(".")[2] for module in MODULES if own_imports(module) & engines}
    assert users - own == {"tls.endpoint", "tls.trial"}


@pytest.mark.parametrize("module", [module for module in MODULES if place(module) == "tls"])
def test_what_is_built_on_a_tls_library_stays_small(module):
    text = MODULES[module].read_text(encoding="utf-8")
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    assert len(text.splitlines()) <= 400
    assert {name for name, lines in lengths.items() if lines > 50} == set()


def test_the_store_is_known_by_its_records_and_by_its_one_door():
    """Nobody else sees a row, a seal or a query."""
    doors = {f"{PACKAGE}.store{name}" for name in ("", ".records", ".store")}
    seen = {
        (module, name)
        for module in MODULES
        if place(module) != "store"
        for name in own_imports(module)
        if place(name) == "store"
    }
    assert {(module, name) for module, name in seen if name not in doors} == set()
    assert {name for _, name in seen} >= doors - {f"{PACKAGE}.store"}


def test_the_circle_finder_finds_circles():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_the_manual_shows_these_floors():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    shown = [
        {name.removesuffix(".py").rstrip("/") for name in re.findall(r"`([^`]+)`", cell)} for cell in cells
    ]
    names = [{"" if name == "__init__" else name for name in floor} for floor in shown]
    assert tuple(reversed(names)) == FLOORS

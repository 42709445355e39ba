"""What is imported from the package itself: enough, cheap, and all that a device or a CSE needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import onem2m_security
from onem2m_security.cli import COMMANDS, app
from places import ROOT, SUPPORT

HEAVY = {
    "sqlalchemy",
    "alembic",
    "httptools",
    "aiocoap",
    "pydantic",
    "OpenSSL",
    "rich",
}


def imported_from(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Modules of this package that a program imports, with the names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onem2m_security"):
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((a.name, []) for a in node.names if a.name.startswith("onem2m_security"))


def outsiders() -> Iterator[tuple[str, str]]:
    """Programs that stand for a user's: of the manual, of the examples, and the peers that tests run."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, block in enumerate(
            re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        ):
            yield f"{page.name}-{number}", block
    for program in sorted([*SUPPORT.glob("peer_*.py"), *(ROOT / "examples").glob("*.py")]):
        yield program.name, program.read_text("utf-8")


PROGRAMS = dict(outsiders())


def loaded_by(program: str) -> set[str]:
    """The libraries that a fresh process has loaded after this program."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{program}\nprint(*{{m.partition('.')[0] for m in sys.modules}})",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_uses_the_library_imports_nothing_deeper(name):
    found = dict(imported_from(ast.parse(PROGRAMS[name])))
    assert set(found) <= {"onem2m_security"}
    assert set(found.get("onem2m_security", ())) <= set(dir(onem2m_security))


def test_there_are_programs_to_look_at():
    assert {"README.md-0", "README.md-1", "peer_cse.py", "peer_device.py"} <= set(PROGRAMS)


@pytest.mark.parametrize("name", dir(onem2m_security))
def test_every_public_name_is_there(name):
    assert getattr(onem2m_security, name) is not None


def test_type_checkers_see_what_programs_get():
    tree = ast.parse(Path(onem2m_security.__file__).read_text("utf-8"))
    [for_types] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: f"{node.module}.{alias.name}" if node.module else alias.name
        for node in for_types.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    given = {name: f"{module}.{name}" for name, module in onem2m_security._MODULE_OF.items()}
    given |= onem2m_security._MODULES
    given |= {name: f"{module}.{name}" for name, (module, _) in onem2m_security._WITH_EXTRAS.items()}
    assert seen == given


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Foo"):
        _ = onem2m_security.Foo


def test_to_name_an_identifier_loads_no_server_and_no_database():
    program = "import onem2m_security; onem2m_security.EntityId.parse('/in-cse')"
    assert not loaded_by(program) & HEAVY


def test_the_list_of_commands_loads_no_server_and_no_database():
    program = "from onem2m_security.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    assert not loaded_by(program) & (HEAVY - {"rich"})


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_the_help_of_a_command_loads_no_server_and_no_database(name):
    program = f"from onem2m_security.cli import app\ntry: app([{name!r}, '--help'])\nexcept SystemExit: pass"
    assert not loaded_by(program) & {"sqlalchemy", "alembic", "mako"}


def test_a_store_that_is_new_enough_is_opened_without_what_migrates_it(tmp_path):
    opened = "import asyncio; from pathlib import Path; from onem2m_security import Store\n"
    opened += (
        f"async def main(): await (await Store.open(Path({str(tmp_path)!r}))).close()\nasyncio.run(main())"
    )
    assert "alembic" in loaded_by(opened)
    assert "alembic" not in loaded_by(opened)


def test_the_list_names_every_command_with_its_own_first_line():
    listed = CliRunner().invoke(app, ["--help"]).output
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", listed, re.MULTILINE)
        own = CliRunner().invoke(app, [name, "--help"])
        assert own.exit_code == 0
        first = next(line for line in own.output.splitlines()[1:] if line.strip()).strip()
        assert first.startswith(command.summary.rstrip("."))


def test_a_mistyped_command_is_told_the_nearest_one():
    told = CliRunner().invoke(app, ["lisen"])
    assert told.exit_code == 2
    assert "Did you mean 'listen'?" in told.output

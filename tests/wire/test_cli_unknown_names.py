"""Every command that is given a name says in one line, with status 1, that nobody has it.

Which commands these are is read from the tree of commands, so that a new one is tried, or excused here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.main import get_command

from onem2m_security.cli import app
from programs import m2msec

NOBODY = {
    "KMID": "nobody@maf.example.com",
    "KPMID": "nobody@mef.example.com",
    "KPSAID": "nobody@onem2m.com",
    "KEYID": "nobody@bsf.example.com",
    "IMPI": "nobody@operator.example",
    "ID": "/nobody",
    "IDA": "/nobody",
    "IDB": "/nobody",
    "[ENROLEE=]IDB": "/nobody",
    "HOST:PORT|IDB": "/nobody",
    "HOST:PORT|MEF-ID": "nobody.example.com",
    "MEF-ID": "nobody.example.com",
    "CMDID": "nobody",
}
"""What stands for a name in the help, and such a name that nobody has."""

NAMES_NO_RECORD = {
    None, "CLASS", "DIR", "DIRECTORY", "DURATION", "FILE", "FILE|-", "FQDN", "FQDN:USS", "FQDN=HOST:PORT",
    "FQDN[=KEY]", "FQDN[=SUID,…]", "HASH", "HEX", "HOST", "HOST:PORT",
    "HOST:PORT|unix:PATH", "N", "N:URI", "NAME", "OID", "PATH", "PROGRAM",
    "SUID", "TEXT", "URI", "URL", "USS", "1|3", "tls|dtls", "raw-public-key|device|cse-id|ae-id|node-id|fqdn",
}  # fmt: skip

MAKES_IT = "makes what it names"
ASKS_WHOEVER_KNOWS = "shows the name to another party, who refuses it in the handshake"
PROVED_BY_THE_PEER = "says what the peer's certificate must prove"
FOR_WHOEVER_COMES = "is for an Enrolee that, if it has a certificate, is on no record before it comes"
OF_THE_FILE = "takes a directory or a file, and only the file has names: see test_obey_names…"
NOT_ASKED = {
    "mef command add": FOR_WHOEVER_COMES,
    "maf add-client": MAKES_IT,
    "mef add-enrolee": MAKES_IT,
    "mef add-target": MAKES_IT,
    "bsf add-subscriber": MAKES_IT,
    "bsf add-naf": MAKES_IT,
    "usim make": MAKES_IT,
    "agent": ASKS_WHOEVER_KNOWS,
    "gateway": ASKS_WHOEVER_KNOWS,
    "enrol": ASKS_WHOEVER_KNOWS,
    "maf key deregister": ASKS_WHOEVER_KNOWS,
    "maf key register": ASKS_WHOEVER_KNOWS,
    "maf key retrieve": ASKS_WHOEVER_KNOWS,
    "maf key update": ASKS_WHOEVER_KNOWS,
    "listen": ASKS_WHOEVER_KNOWS,
    "obey": OF_THE_FILE,
    "maf serve": ASKS_WHOEVER_KNOWS,
    "escertke initiate": PROVED_BY_THE_PEER,
    "escertke respond": PROVED_BY_THE_PEER,
}
"""Commands that are given names and look none of them up, and why."""


def leaves(command, *path: str) -> Iterator[tuple[str, list]]:
    """Every command with its parameters."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command.params
        return
    for name in inner:
        yield from leaves(inner[name], *path, name)


COMMANDS = dict(leaves(get_command(app)))
NAMING = {name for name, given in COMMANDS.items() if any(one.metavar in NOBODY for one in given)}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A store in which there is one client, and the configuration of an entity that knows one peer."""
    directory = tmp_path_factory.mktemp("house")
    m2msec(
        "maf", "add-client", "--data", directory / "data", "--km-id", "a@maf.example.com", "--entity", "/a"
    )
    (directory / "e.toml").write_text("""\
[identity]
id = "/a"
[peers."/in-cse"]
address = "127.0.0.1:1"
prove = { maf = "maf.example.com" }
[peers."maf.example.com"]
address = "127.0.0.1:2"
prove = { km-id = "a@maf.example.com", km-file = "km" }
""")
    return directory


def given_to(command: str, house) -> Iterator[object]:
    """What the command must be given, with names that nobody has."""
    files = {"--data": house / "data", "--config": house / "e.toml"}
    for parameter in COMMANDS[command]:
        option = parameter.opts[0] if parameter.param_type_name == "option" else None
        if option in files:
            yield from (option, files[option])
        elif parameter.required:
            yield from [NOBODY[parameter.metavar]] if option is None else [option, NOBODY[parameter.metavar]]


@pytest.mark.parametrize("command", sorted(NAMING - set(NOT_ASKED)))
def test_a_name_that_nobody_has_is_one_line_and_status_1(house, command):
    arguments = list(given_to(command, house))
    done = m2msec(*command.split(), *arguments, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert any(name in line for name in set(NOBODY.values()) & set(map(str, arguments)))


def test_obey_names_an_mef_that_is_not_there(tmp_path):
    file = tmp_path / "e.toml"
    file.write_text("""\
[identity]
id = "/a"
[enrolment]
mef = "mef.example.com"
targets = ["/in-cse"]
data = "kept"
[peers."mef.example.com"]
address = "127.0.0.1:1"
prove = { kpm-id = "a@mef.example.com", kpm-file = "kpm" }
""")
    done = m2msec("obey", "nobody.example.com", "--config", file, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "nobody.example.com" in line


def test_what_is_excused_is_given_a_name():
    assert set(NOT_ASKED) <= NAMING


def test_every_word_for_a_value_is_known_as_a_name_or_as_none():
    words = {parameter.metavar for given in COMMANDS.values() for parameter in given}
    assert words == set(NOBODY) | NAMES_NO_RECORD

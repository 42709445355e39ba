"""``m2msec agent``: by flags and by a file, and from a factory key to a working port in one command."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from programs import Programs, Server, kc_rows, key_file, m2msec
from test_end_to_end_bootstrap import CSE, DEVICE, KPM, Domain, start_cse


@dataclass
class World:
    """An MEF, a MAF, a CSE that knows a device, and the files of the device."""

    domain: Domain
    cse: str
    directory: Path

    @property
    def maf(self) -> str:
        return f"127.0.0.1:{self.domain.maf.port}"

    @property
    def mef(self) -> str:
        return f"127.0.0.1:{self.domain.mef.port}"

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    @property
    def described(self) -> str:
        """The device, as a file says it."""
        return f"""\
            [identity]
            id = "{DEVICE}"
            [store]
            data = "by-file"
            [peers."mef.example.com"]
            address = "{self.mef}"
            prove = {{ kpm-id = "device@mef.example.com", kpm-file = "kpm" }}
            [peers."maf.example.com"]
            address = "{self.maf}"
            prove = {{ enrolment = "mef.example.com" }}
            [peers."{CSE}"]
            address = "{self.cse}"
            prove = {{ maf = "maf.example.com" }}
            [enrolment]
            mef = "mef.example.com"
            targets = ["maf.example.com"]
            """


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    programs = Programs(tmp_path_factory.mktemp("agents"))
    domain = Domain(programs)
    key_file(programs.directory, "kpm", KPM)
    cse, address = start_cse(domain)
    with cse:
        yield World(domain, address, programs.directory)
        cse.kill()
    programs.end_all()


class OverUnix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def registered(connection: http.client.HTTPConnection) -> dict[str, Any]:
    """What an AE gets that knows nothing of security, and not even its name."""
    headers = {"X-M2M-RI": "1", "Content-Type": "application/json;ty=2"}
    with contextlib.closing(connection):
        connection.request("POST", "/-", json.dumps({"m2m:ae": {"api": "Nx"}}), headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert (answer.status, answer.headers["X-M2M-RSC"]) == (201, "2001"), body
        return body["m2m:ae"]


def at(agent: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", agent.port)


def factory(world: World, *more: object) -> tuple[object, ...]:
    return (
        "agent", "--enrol", "--mef", world.mef, "--kpm-id", "device@mef.example.com",
        "--kpm-file", world.directory / "kpm", "--enrolee-id", DEVICE, "--listen", "127.0.0.1:0",
        "--peer", CSE, "--to", world.cse, *more,
    )  # fmt: skip


def test_from_a_factory_key_to_a_registration_through_the_maf_in_one_command(world, programs):
    data = programs.directory / "device"
    command = factory(world, "--credentials", data, "--target", "maf.example.com", "--maf", world.maf)
    agent = programs.start(*command)
    assert registered(at(agent)) == {"api": "Nx", "aei": "Cdevice", "framework": "saef-maf"}
    assert "agent for //sp.example/in-cse listening on 127.0.0.1:" in agent.output
    before = len(kc_rows(world.domain.maf_data))
    assert agent.stop() == 0
    again = programs.start(*command)
    assert registered(at(again))["framework"] == "saef-maf"
    assert len(kc_rows(world.domain.maf_data)) == before, "Ke and Kc of before serve again"


def test_without_a_maf_the_registrar_is_the_enrolment_target(world, programs):
    agent = programs.start(*factory(world, "--credentials", programs.directory / "device"))
    assert registered(at(agent))["framework"] == "saef-psk"


def test_a_file_says_it_all_and_a_unix_socket_serves(world, programs):
    places = '["127.0.0.1:0", "unix:agent.sock"]'
    config = world.file("device.toml", f'{world.described}[agent]\npeer = "{CSE}"\nlisten = {places}\n')
    said = f"agent for {CSE}, on 127.0.0.1:0 and unix:{world.directory}/agent.sock"
    assert said in m2msec("config", "check", config).stdout
    agent = programs.start("agent", "--enrol", "--config", config)
    for connection in (at(agent), OverUnix(world.directory / "agent.sock")):
        assert registered(connection)["aei"] == "Cdevice"
    assert agent.stop() == 0
    assert not (world.directory / "agent.sock").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen", "127.0.0.1:0"], "give --listen HOST:PORT, --peer IDB and --to HOST:PORT"),
        (["--listen", "0.0.0.0:0", "--peer", CSE, "--to", "127.0.0.1:1"], "0.0.0.0:0 is not loopback"),
        (["--listen", "nonsense", "--peer", CSE, "--to", "127.0.0.1:1"], "is not an address"),
        (["--listen", "127.0.0.1:0", "--peer", CSE, "--to", "127.0.0.1:1"], "give --km-id with --km-file"),
        (
            ["--enrol", "--listen", "127.0.0.1:0", "--peer", CSE, "--to", "127.0.0.1:1"],
            "to enrol first give --credentials DIR",
        ),
    ],
)
def test_what_is_missing_is_told_in_one_line(arguments, told):
    done = m2msec("agent", *arguments, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ('peer = "//sp.example/nobody"\nlisten = "127.0.0.1:0"', 'there is no [peers."//sp.example/nobody"]'),
        (f'peer = "{CSE}"\nlisten = "192.0.2.1:80"', "is not loopback"),
        (f'peer = "{CSE}"', "an agent listens somewhere"),
        (f'peer = "{CSE}"\nlisten = ["127.0.0.1:0", "x"]', "is not an address"),
        (f'peer = "{CSE}"\nlisten = "127.0.0.1:0"\noriginator = "anybody"', "originator"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(world, agent, told):
    config = world.file("wrong.toml", f"{world.described}[agent]\n{agent}\n")
    done = m2msec("config", "check", config, check=False)
    assert done.returncode == 1
    assert told in done.stderr

"""Two unchanged ACME CSEs: an MN-CSE that registers at an IN-CSE through an agent and a gateway (Mcc)."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acme import Cse
from maf_support import key_of
from programs import Programs, key_file, wait_until

REACHED_BY_THE_AGENT = """
[http]
address=http://127.0.0.1:{port}

[cse.registration]
allowedCSROriginators=/mn-cse
"""
"""The pointOfAccess that the IN-CSE tells the MN-CSE is not its own port, but where the agent listens."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Domain:
    """The two CSEs, and what stands between them."""

    def __init__(self, directory: Path) -> None:
        self.programs, self.cses = Programs(directory), []
        at_agent = free_port()
        kpsa = key_file(directory, "kpsa", key_of("mn").reveal())
        self.infrastructure = self._cse(
            directory / "in", "in-cse", more=REACHED_BY_THE_AGENT.format(port=at_agent)
        )
        shown = ["--kpsa-id", "mn@sp.example", "--kpsa-file", kpsa]
        self.gateway = self.programs.start(
            "gateway", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--to",
            f"http://127.0.0.1:{self.infrastructure.port}", *shown, "--kpsa-peer", "/mn-cse",
            "--data", directory / "data", "--verbose",
        )  # fmt: skip
        self.agent = self.programs.start(
            "agent", "--listen", f"127.0.0.1:{at_agent}", "--peer", "/in-cse",
            "--to", f"127.0.0.1:{self.gateway.port}", "--entity", "/mn-cse", *shown,
        )  # fmt: skip
        self.middle = self._cse(directory / "mn", "mn-cse", registrar=self.agent.port)

    def _cse(self, directory: Path, cse_id: str, **settings) -> Cse:
        directory.mkdir()
        self.cses.append(Cse(directory, cse_id, **settings))
        return self.cses[-1]

    def stop(self) -> None:
        self.programs.end_all()
        for cse in self.cses:
            cse.stop()


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    started = Domain(tmp_path_factory.mktemp("domain"))
    yield started
    started.stop()


def ask(port: int, method: str, path: str, originator: str, content: object = None, ty: int = 0):
    """The Response Status Code and the content of what is answered in the clear at a port of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"X-M2M-Origin": originator, "X-M2M-RI": "1", "X-M2M-RVI": "3"}
    headers |= {"Content-Type": f"application/json;ty={ty}"} if ty else {}
    connection.request(method, path, None if content is None else json.dumps(content), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return int(answer.getheader("X-M2M-RSC") or 0), json.loads(body) if body else None


def test_a_cse_registers_through_agent_and_gateway(domain):
    def is_registered() -> bool:
        return ask(domain.infrastructure.port, "GET", "/cse-in/mn-cse", "CAdmin")[0] == 2000

    wait_until(is_registered, "the registration of the MN-CSE")
    _, content = ask(domain.infrastructure.port, "GET", "/cse-in/mn-cse", "CAdmin")
    assert content["m2m:csr"]["csi"] == "/mn-cse"


def test_an_ae_of_the_one_reads_at_the_other_and_nobody_speaks_for_the_others_aes(domain):
    test_a_cse_registers_through_agent_and_gateway(domain)
    about = {"m2m:ae": {"rn": "far", "api": "Nfar", "rr": False, "srv": ["3"]}}
    assert ask(domain.middle.port, "POST", "/cse-mn", "Cfar", about, 2)[0] == 2001
    acp = {
        "m2m:acp": {
            "rn": "open",
            "pv": {"acr": [{"acor": ["all"], "acop": 63}]},
            "pvs": {"acr": [{"acor": ["CAdmin"], "acop": 63}]},
        }
    }
    rsc, made = ask(domain.infrastructure.port, "POST", "/cse-in", "CAdmin", acp, 1)
    assert rsc == 2001
    box = {"m2m:cnt": {"rn": "box", "acpi": [made["m2m:acp"]["ri"]]}}
    assert ask(domain.infrastructure.port, "POST", "/cse-in", "CAdmin", box, 3)[0] == 2001

    def read() -> Any:
        rsc, content = ask(domain.middle.port, "GET", "/~/in-cse/cse-in/box", "Cfar")
        return rsc == 2000 and content

    assert wait_until(read, "what the other CSE has")["m2m:cnt"]["rn"] == "box"
    domain.gateway.wait_for(
        r"peer='/mn-cse' originator='/mn-cse/Cfar' operation='RETRIEVE' to='[^']*cse-in/box'"
    )
    for originator in ("CAdmin", "/in-cse/CAdmin", "/in-cse"):
        assert ask(domain.agent.port, "GET", "/cse-in/box", originator)[0] == 4106

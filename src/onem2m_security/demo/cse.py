"""The demonstration of agent and gateway: a CSE and an AE that know nothing of security, as they are.

The CSE is ACME, unchanged; the AE's only program is ``curl``, with a web server to be notified at. MEF, MAF,
gateway, agent and CSE are processes of their own on loopback. The agent enrols from a factory key; the AE
registers, writes, reads and is notified; an impostor is refused (TS-0003 clauses 8.3.2.1, 8.2.2.3, 7.2.1,
8.2.1). Nothing outlives the demonstration, and nothing in it is replayed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..clock import CLOCK
from ..credentials import Secret
from ..errors import ConfigurationError
from ..files import create
from ..frameworks.instructions import BootstrapInstruction, enrolee_record, target_record
from ..identifiers import EntityId, KeyIdentifier
from ..net.address import Address
from ..store.records import KeyKind, KeyRecord
from ..store.store import Store
from .maf import ENTITY_A, ENTITY_B, MAF_ID, MEF_ID, Reporter, Step, process, server

AE, AGENT, MEF, MAF, GATEWAY, CSE = "AE", "Agent", "MEF", "MAF", "Gateway", "CSE"
LIFELINES: Final = (AE, AGENT, MEF, MAF, GATEWAY, CSE)
START_SECONDS: Final = 30.0
_TARGET: Final = EntityId(str(MAF_ID))
_ACME: Final = """\
[basic.config]
cseType=IN
cseID=in-cse
cseName=cse-in
serviceProviderID=//sp.example
adminID=CAdmin
networkInterface=127.0.0.1
cseHost=127.0.0.1
httpPort={port}
databaseType=memory
logLevel=info

[logging]
enableFileLogging=true
"""


class CseDemo:
    """One run."""

    def __init__(self, report: Reporter) -> None:
        """Tell the story to a reporter, step by step."""
        self._report = report
        self._curl = shutil.which("curl")
        self._acme = Path(sys.executable).with_name("acmecse")

    async def run(self) -> str:
        """Tell the whole story; the last line of it.

        Raises:
            ConfigurationError: ``curl`` or ACME is not here, or a process does not start.
        """
        if self._curl is None:
            raise ConfigurationError("the AE of this demonstration is curl: apt-get install curl")
        if not self._acme.exists():
            raise ConfigurationError("the CSE of this demonstration is ACME: pip install acmecse")
        with tempfile.TemporaryDirectory(prefix="m2msec-demo-") as directory:
            return await self._story(Path(directory), self._curl)

    def _tell(self, clause: str, sender: str, receiver: str, text: str, **facts: str) -> None:
        self._report(Step(clause, sender, receiver, text, facts))

    async def _story(self, at: Path, curl: str) -> str:
        keys = await self._provision(at)
        async with contextlib.AsyncExitStack() as running:
            web = await running.enter_async_context(_web_server())
            cse = await running.enter_async_context(self._cse(at))
            self._tell("TS-0009", CSE, CSE, "listens in the clear, unchanged", url=cse)
            mef = await running.enter_async_context(server(*_serve("mef", at, MEF_ID), errors=at / "mef.log"))
            maf = await running.enter_async_context(
                server(
                    *_serve("maf", at, MAF_ID),
                    *("--mef", f"{MEF_ID}={mef}", "--mef-key-id", keys["maf-at-mef"]),
                    *("--mef-key-file", str(at / "maf-at-mef"), "--enrolee-target", str(ENTITY_B)),
                    errors=at / "maf.log",
                )
            )
            gateway = await running.enter_async_context(
                server(
                    *("gateway", "--cse-id", str(ENTITY_B), "--to", cse, "--data", str(at / "gateway")),
                    *("--maf", str(maf), "--km-id", keys["km-b"], "--km-file", str(at / "km-b")),
                    *("--back", f"127.0.0.1:{_free_port()}"),
                    errors=at / "gateway.log",
                )
            )
            self._tell("8.2.1", GATEWAY, CSE, "stands before it, with TLS and DTLS", listens=str(gateway))
            [agent] = await running.enter_async_context(
                process(
                    *("agent", "--enrol", "--mef", str(mef), "--kpm-id", keys["kpm"]),
                    *("--kpm-file", str(at / "kpm"), "--enrolee-id", str(ENTITY_A), "--target", str(MAF_ID)),
                    *("--credentials", str(at / "device"), "--maf", str(maf), "--peer", str(ENTITY_B)),
                    *("--to", str(gateway), "--listen", "127.0.0.1:0", "--back-to", web.url),
                    *("--back-listen", f"127.0.0.1:{_free_port()}"),
                    errors=at / "agent.log",
                )
            )
            self._tell("8.3.2.1", AGENT, MEF, "enrols with the factory key", Ke="kept, sealed")
            ae = _Ae(curl, f"http://{agent}")
            await self._registered(ae, web, at, agent)
            await self._used(ae, web)
            return "An AE and a CSE that know nothing of security are secured as they are."

    async def _provision(self, at: Path) -> dict[str, str]:
        """Keys in files, and records for them; the identifiers by the names of the files."""
        names = {"kpm": MEF_ID, "maf-at-mef": MEF_ID, "km-b": MAF_ID}
        key_ids = {
            name: KeyIdentifier(f"{name}-{secrets.token_hex(4)}", fqdn) for name, fqdn in names.items()
        }
        made = {name: Secret.generate() for name in names}
        for name, key in made.items():
            create(at / name, f"{key.reveal().hex()}\n".encode("ascii"))
        async with await Store.open(at / "mef") as store:
            instruction = BootstrapInstruction(ENTITY_A, (_TARGET,))
            await store.add(enrolee_record(key_ids["kpm"], made["kpm"], instruction))
            await store.add(target_record(key_ids["maf-at-mef"], made["maf-at-mef"], _TARGET))
        async with await Store.open(at / "maf") as store:
            record = KeyRecord(KeyKind.KM, key_ids["km-b"], made["km-b"], CLOCK.now(), ENTITY_B)
            await store.add(record)
        self._tell("8.3.2.1", AGENT, MEF, "share a key from the factory", KpmId=str(key_ids["kpm"]))
        return {name: str(key_id) for name, key_id in key_ids.items()}

    # --- the AE -------------------------------------------------------------------------------------------

    async def _registered(self, ae: _Ae, web: _Web, at: Path, agent: Address) -> None:
        about = {"rn": "meter", "api": "Ndemo", "rr": True, "srv": ["3"], "poa": [f"{web.url}/told"]}
        said = await ae.post("cse-in", 2, {"m2m:ae": about})
        async with await Store.open(at / "maf", existing=True) as store:
            [kc] = await store.records(KeyKind.KC)
        self._tell("8.2.2.3", AGENT, MAF, "shows KeId, and both make Kc", KcId=str(kc.key_id))
        self._tell("8.3.5.2.5", MAF, MEF, "asked in the middle of it for Km")
        self._tell("8.2.2.3", AGENT, GATEWAY, "shows KcId, proves Kc", Kc=kc.key.fingerprint)
        self._tell("8.8.2.8", GATEWAY, MAF, "asked in the middle of it for Kc")
        self._tell("TS-0009", AE, AGENT, "curl registers, in the clear, without a name", to=f"http://{agent}")
        self._tell("7.2.1", GATEWAY, CSE, "passes it on: it is who it says", AEI=said["m2m:ae"]["aei"])

    async def _used(self, ae: _Ae, web: _Web) -> None:
        await ae.post("cse-in/meter", 3, {"m2m:cnt": {"rn": "values"}})
        await ae.post("cse-in/meter/values", 4, {"m2m:cin": {"con": "22.5"}})
        self._tell("TS-0009", AE, CSE, "writes a value, through both", con="22.5")
        _, read = await ae.ask("cse-in/meter/values/la")
        self._tell("TS-0009", CSE, AE, "and reads it", con=read["m2m:cin"]["con"])
        subscription = {"rn": "s", "nu": [f"/in-cse/{ENTITY_A.text.rpartition('/')[2]}"], "nct": 1}
        await ae.post("cse-in/meter/values", 23, {"m2m:sub": subscription | {"enc": {"net": [3]}}})
        await ae.post("cse-in/meter/values", 4, {"m2m:cin": {"con": "23.0"}})
        async with asyncio.timeout(START_SECONDS):
            told = await web.heard.get()
        self._tell("8.2.1", GATEWAY, AGENT, "a second association, by the same Kc, with no MAF")
        value = told["m2m:sgn"]["nev"]["rep"]["m2m:cin"]["con"]
        self._tell("8.2.1", CSE, AE, "notifies the AE at its plain address", con=value)
        rsc, _ = await ae.ask("cse-in/meter", "X-M2M-Origin: Cintruder")
        self._tell("7.2.1", GATEWAY, AGENT, "refuses an impostor: the CSE never sees it", RSC=str(rsc))
        if rsc != 4106:
            raise ConfigurationError(f"the impostor was answered with {rsc}")

    # --- the CSE ------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _cse(self, at: Path) -> AsyncIterator[str]:
        """ACME as it comes from PyPI; where it listens."""
        home, port = at / "acme", _free_port()
        home.mkdir()
        (home / "acme.ini").write_text(_ACME.format(port=port), encoding="ascii")
        options = (
            "--config",
            "acme.ini",
            "-dir",
            ".",
            "--headless",
            "--http",
            "--no-mqtt",
            "--no-ws",
            "--no-coap",
        )
        with (home / "out").open("wb") as out:
            acme = await asyncio.create_subprocess_exec(
                *(str(self._acme), *options, "--no-coap", "--no-remote-cse"),
                cwd=home,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ},
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not _has_started(home):  # noqa: ASYNC110 - another process, which tells by its log
                    await asyncio.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        except TimeoutError as error:
            raise ConfigurationError("the CSE did not start") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                acme.send_signal(signal.SIGKILL)
            await acme.wait()


@dataclass(frozen=True, slots=True)
class _Ae:
    """An AE whose only program is curl."""

    curl: str
    at: str

    async def post(self, path: str, ty: int, content: dict[str, Any]) -> dict[str, Any]:
        """Make a resource.

        Raises:
            ConfigurationError: It was not made.
        """
        given = ("-H", f"Content-Type: application/json;ty={ty}", "-d", json.dumps(content))
        rsc, answer = await self._run(path, *given)
        if rsc != 2001:
            raise ConfigurationError(f"{path}: {rsc} {answer}")
        return answer

    async def ask(self, path: str, *headers: str) -> tuple[int, dict[str, Any]]:
        """Read a resource."""
        return await self._run(path, *(part for header in headers for part in ("-H", header)))

    async def _run(self, path: str, *options: str) -> tuple[int, dict[str, Any]]:
        always = ("-sS", "-i", "-m", "30", "-H", "X-M2M-RI: 1", "-H", "X-M2M-RVI: 3")
        running = await asyncio.create_subprocess_exec(
            *(self.curl, *always, *options, f"{self.at}/{path}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await running.communicate()
        head, _, body = out.decode().partition("\r\n\r\n")
        found = [line.split()[1] for line in head.splitlines() if line.lower().startswith("x-m2m-rsc:")]
        if not found:
            raise ConfigurationError(f"curl: {err.decode().strip() or head[:200]}")
        return int(found[0]), json.loads(body) if body else {}


@dataclass(frozen=True, slots=True)
class _Web:
    """The AE's web server, where it is notified."""

    url: str
    heard: asyncio.Queue[dict[str, Any]]


@contextlib.asynccontextmanager
async def _web_server() -> AsyncIterator[_Web]:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            heard.put_nowait(json.loads(await reader.readexactly(int(fields["content-length"]))))
            answer = f"X-M2M-RSC: 2000\r\nX-M2M-RI: {fields['x-m2m-ri']}\r\nContent-Length: 0\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{answer}Connection: close\r\n\r\n".encode())
            await writer.drain()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as listening:
        yield _Web(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heard)


def _has_started(home: Path) -> bool:
    return any("CSE started" in log.read_text() for log in (home / "logs").glob("*"))


def _serve(function: str, at: Path, fqdn: object) -> tuple[str, ...]:
    return (function, "serve", "--data", str(at / function), "--fqdn", str(fqdn))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

"""No secret in any log line, error, process list or repr: a whole scenario is run, then all is searched."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
import sqlite3
import subprocess
from pathlib import Path

import psutil
import pytest

import onem2m_security
from maf_support import ID_B, A, B, key_of, running_maf
from onem2m_security.credentials import Secret
from onem2m_security.keys import ExportedKey
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.link import Link
from onem2m_security.onem2m.resources import SHORT_NAMES
from programs import FRESH, M2MSEC, PATIENCE, Programs, kc_rows, key_file, m2msec


def forms(key: bytes) -> dict[str, re.Pattern[bytes]]:
    """Every way in which a key could stand in a text: each pattern finds it."""
    encoded = base64.b64encode(key).rstrip(b"=")
    return {
        "raw": re.compile(re.escape(key)),
        "hex": re.compile(re.escape(key.hex().encode()), re.IGNORECASE),
        "hex with separators": re.compile(b"[: ]".join(b"%02x" % octet for octet in key), re.IGNORECASE),
        "base64": re.compile(re.escape(encoded)),
        "base64url": re.compile(re.escape(base64.urlsafe_b64encode(key).rstrip(b"="))),
        "repr": re.compile(re.escape(repr(key)[2:-1].encode())),
        "list of numbers": re.compile(re.escape(str(list(key))[1:-1].encode())),
    }


def leaks(haystack: bytes, keys: dict[str, bytes]) -> list[str]:
    """Which keys the haystack shows, and how; also when only the first half of one is there."""
    return [
        f"{name} as {form}"
        for name, key in keys.items()
        for part in (key, key[: len(key) // 2])
        for form, pattern in forms(part).items()
        if pattern.search(haystack)
    ]


@pytest.mark.parametrize("form", ["raw", "hex", "base64", "repr", "list of numbers"])
def test_the_search_finds_a_key_in_every_form(form):
    key = key_of("needle").reveal()
    written = {
        "raw": key,
        "hex": key.hex().upper().encode(),
        "base64": base64.b64encode(key),
        "repr": repr(key).encode(),
        "list of numbers": str(list(key)).encode(),
    }[form]
    assert leaks(b"before " + written + b" after", {"needle": key})
    assert not leaks(b"nothing here", {"needle": key})


class ProcessList:
    """Looks at the arguments and environment of all that we start, again and again, while a scenario runs."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):  # the process has ended meanwhile
                    self.seen.add(Path(f"/proc/{process.pid}/{name}").read_bytes())

    async def watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.1)


async def run(*arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(functools.partial(m2msec, *arguments, given=given, check=False))


async def run_fresh(*arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run it so that the list of processes has its arguments."""
    command = [str(M2MSEC), *map(str, arguments)]
    return await asyncio.to_thread(
        lambda: subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    )


async def test_a_whole_scenario_shows_no_key_to_logs_errors_metrics_or_the_process_list(tmp_path):
    km_a, km_b, wrong, kpsa = (key_of(name).reveal() for name in ("leak a", "leak b", "wrong", "leak kpsa"))
    data = tmp_path / "data"
    texts: list[str] = []
    processes = ProcessList()
    watching = asyncio.create_task(processes.watch())
    programs = Programs(tmp_path)
    files = {
        name: key_file(tmp_path, name, key)
        for name, key in {"a": km_a, "b": km_b, "wrong": wrong, "kpsa": kpsa}.items()
    }

    def add(name: str, entity: str, *options: str):
        km_id = f"{name}@maf.example.com"
        return run_fresh(
            "maf",
            "add-client",
            "--data",
            data,
            "--km-id",
            km_id,
            "--km-file",
            files[name],
            "--entity",
            entity,
            *options,
        )

    texts += [(await add("a", "Csensor", "--target", CSE)).stderr]
    texts += [(await add("b", CSE)).stderr]
    refused = await add("a", "Csensor")  # the second time
    assert refused.returncode == 1
    assert "m2msec: " in refused.stderr
    texts += [refused.stderr, refused.stdout]

    maf = await asyncio.to_thread(programs.start_maf, data, "--verbose", command=FRESH)
    at = f"127.0.0.1:{maf.port}"
    b = await asyncio.to_thread(
        programs.start, "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, "--maf", at, "--verbose",
        "--km-id", "b@maf.example.com", "--km-file", files["b"],
        "--kpsa-id", "kpsa@example.com", "--kpsa-file", files["kpsa"], command=FRESH,
    )  # fmt: skip
    through_maf = (
        "connect",
        f"127.0.0.1:{b.port}",
        "--peer",
        CSE,
        "--maf",
        at,
        "--verbose",
        "--wait",
        "0.2",
    )
    good = ("--km-id", "a@maf.example.com", "--km-file", files["a"], "--entity", "Csensor")
    expectations = [
        (0, (*through_maf, *good)),
        (0, (*through_maf, *good, "--release", "3")),
        (0, ("connect", f"127.0.0.1:{b.port}", "--peer", CSE, "--entity", "Csensor", "--verbose",
             "--wait", "0.2", "--kpsa-id", "kpsa@example.com", "--kpsa-file", files["kpsa"])),
        (1, (*through_maf, *good[:3], files["wrong"], *good[4:])),
        (1, (*through_maf, "--km-id", "nobody@maf.example.com", *good[2:])),
        (1, (*through_maf, *good, "--kpsa-id", "kpsa@example.com", "--kpsa-file", files["kpsa"])),
        (1, ("connect", "127.0.0.1:1", "--peer", CSE, "--maf", at, *good)),
    ]  # fmt: skip
    for number, (status, arguments) in enumerate(expectations):
        start = run if 0 < number < len(expectations) - 1 else run_fresh
        done = await start(*arguments, given="hello\n")
        assert (done.returncode == 0) is (status == 0), done.stderr
        texts += [done.stdout, done.stderr]

    garbled = key_file(tmp_path, "garbled", km_a)
    garbled.write_text(km_a.hex()[:-1] + "x")
    done = await run(*through_maf, "--km-id", "a@maf.example.com", "--km-file", garbled)
    assert done.returncode == 1
    texts += [done.stdout, done.stderr]
    for arguments in (("maf", "clients"), ("maf", "keys"), ("maf", "keys", "--json"), ("store", "rekey")):
        done = await run(*arguments, "--data", data)
        assert done.returncode == 0, done.stderr
        texts += [done.stdout, done.stderr]

    # A row that does not open is an error in the log and on the screen.
    with contextlib.closing(sqlite3.connect(data / "store.db")) as connection, connection:
        connection.execute("UPDATE key_records SET source = 'Cthief' WHERE kind = 'km' AND key_id LIKE 'a@%'")
    texts += [(await run(*through_maf, *good)).stderr, (await run("maf", "clients", "--data", data)).stderr]
    with contextlib.closing(sqlite3.connect(data / "store.db")) as connection, connection:
        connection.execute(
            "UPDATE key_records SET source = 'Csensor' WHERE kind = 'km' AND key_id LIKE 'a@%'"
        )

    kcs = {
        f"Kc {n}": bytes.fromhex(row["kc"]) for n, row in enumerate(await asyncio.to_thread(kc_rows, data))
    }
    assert len(kcs) >= 2
    for server in (b, maf):
        assert await asyncio.to_thread(server.stop) == 0
        assert "event=" in server.errors
        texts += [server.output, server.errors]
    watching.cancel()

    keks = [bytes.fromhex(line[8:]) for line in (data / "keyring").read_text().splitlines()[1:]]
    keys = {"Km of A": km_a, "Km of B": km_b, "wrong key": wrong, "Kpsa": kpsa, "KEK": keks[0], **kcs}
    assert leaks("\n".join(texts).encode(), keys) == []
    assert any(b"add-client" in arguments for arguments in processes.seen)
    assert leaks(b"\n".join(processes.seen), keys) == []
    # The database is sealed: what is stolen with it opens nothing. The key ring alone holds the KEK.
    for path in data.iterdir():
        expected = ["KEK as hex", "KEK as hex"] if path.name == "keyring" else []
        assert leaks(path.read_bytes(), keys) == expected
        assert path.stat().st_mode & 0o077 == 0


def test_a_key_that_is_made_for_a_client_is_printed_once_and_nowhere_else(tmp_path):
    arguments = (
        "maf",
        "add-client",
        "--data",
        tmp_path / "data",
        "--km-id",
        "x@maf.example.com",
        "--entity",
        "Cx",
    )
    made = m2msec(*arguments)
    key = bytes.fromhex(made.stdout.strip())
    assert len(key) == 32
    assert leaks(made.stderr.encode(), {"Km": key}) == []
    listed = m2msec("maf", "clients", "--data", tmp_path / "data", "--json")
    assert leaks(listed.stdout.encode(), {"Km": key}) == []
    assert Secret(key).fingerprint in listed.stdout


# --- repr ---

CSE = "//sp.example/in-cse"
PUBLIC_OCTETS = {
    "AkaNonce.autn",
    "AkaNonce.rand",
    "AkaNonce.server_data",
    "AssociationConfiguration.root_of_trust",
    "AuthenticationVector.autn",
    "AuthenticationVector.rand",
    "BootstrappingInfoRequest.ua_security_protocol_id",
    "ClientHello.cookie",
    "ClientHello.random",
    "ClientHello.record_sequence",
    "Credentials.auts",
    "CsrAttributes.names",
    "DatagramFragment.body",
    "ExportedKey.relative",
    "Initiator.identity",
    "MultimediaAuthRequest.auts",
    "MultimediaAuthRequest.rand",
    "LocalCertificate.certificate_chain",
    "PairwiseE2EKey.key_id",
    "PresentedCertificate.der",
    "PskIdentityOffered.identity",
    "PskOffer.identity",
    "Resolve.identity",
    "PublicKeyIdentifier.digest",
    "Step.message",
    "Subscriber.amf",
    "SynchronisationFailure.auts",
    "UbRequest.body",
    "UbResponse.body",
    "_Ask.auts",
    "_Ask.rand",
}
"""Fields of octets that are public: they travel in the clear, or are made to be shown."""


def fields_of_octets() -> dict[str, tuple[type, dataclasses.Field]]:
    """Every dataclass field of the package whose repr would show octets as they are."""
    found = {}
    for info in pkgutil.walk_packages(onem2m_security.__path__, "onem2m_security."):
        if ".migrations" in info.name or info.name.endswith("__main__"):
            continue
        for name, one in inspect.getmembers(importlib.import_module(info.name), dataclasses.is_dataclass):
            for field in (
                dataclasses.fields(one) if isinstance(one, type) and one.__module__ == info.name else ()
            ):
                if re.search(r"\bbytes\b|\bbytearray\b", str(field.type)) and field.repr:
                    found[f"{name}.{field.name}"] = (one, field)
    return found


def test_only_public_octets_are_printed():
    assert set(fields_of_octets()) <= PUBLIC_OCTETS


async def test_no_object_of_a_running_association_prints_a_key(tmp_path):
    keys = {"Km of A": A.km.reveal(), "Km of B": B.km.reveal()}
    async with running_maf(tmp_path / "data") as running:
        client = A.maf_client(running.address)
        key = await client.handshake()
        keys["Kc"] = key.kc.reveal()
        b = B.maf_client(running.address)
        resolved = await b.retrieve(key.kc_id)
        http = HttpClient(Link(running.address), B.initiator())
        response = await http.request(2, ("maf", "symmKeyReg", key.kc_id.relative))
        established = http.established
        records = [await running.store.find(kind, name) for kind, name in await every_name(running)]
        objects = [
            key, resolved, response, records, client, b, http, A.initiator(), A.record, A.km,
            established, established.association, established.session, established.credential,
            running.store, running.maf, running.server, running.maf.acceptor, running.maf.keys,
            ExportedKey.split(bytes(16) + A.km.reveal()),
        ]  # fmt: skip
        assert (
            response.content["sec:skr"][SHORT_NAMES["keyValue"]] == base64.b64encode(key.kc.reveal()).decode()
        )
        await http.close()
        await b.close()
    printed = "\n".join(f"{one!r} {one}" for one in objects).encode()
    assert str(ID_B).encode() in printed
    assert leaks(printed, keys) == []


async def every_name(running):
    from onem2m_security.store import KeyKind

    return [(kind, record.key_id) for kind in KeyKind for record in await running.store.records(kind)]

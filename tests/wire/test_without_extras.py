"""A device installs the library alone: everything of it works without metrics and a command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from gba_support import AE, BSF, CSE_NAF, NAF, a_subscriber, running_bsf
from gba_support import CSE as CSE_OF_GBA
from installed import without_all_but
from maf_support import key_of
from onem2m_security.cli import COMMANDS
from onem2m_security.clients.card import SoftwareCard
from places import SUPPORT
from programs import PATIENCE, key_file, m2msec
from test_end_to_end_bootstrap import CSE, DEVICE, KPM, Domain, start_cse

ALONE = without_all_but()
RUN = ALONE + "import runpy; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
COMMAND = "from onem2m_security.__main__ import main; sys.argv[0] = 'm2msec'; main()"

EVERY_PAIR = """
import asyncio, json
from onem2m_security import *
from onem2m_security import Transport
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.primitives import Operation, Response, Rsc

A, B = EntityId.parse("/device-7"), EntityId.parse("/in-cse")
MAF, LOOPBACK = Fqdn("maf.example.com"), Address("127.0.0.1", 0)
GIVEN = json.loads(sys.stdin.read())

async def echo(channel):
    while data := await channel.read():
        await channel.write(data)

async def answer(request, established):
    return Response(Rsc.OK)

async def pair(transport, how, **accepting):
    async with EntityB(B, **accepting) as entity_b:
        address = await entity_b.listen(LOOPBACK, echo, transport=transport)
        async with await associate(Link(address, transport), how) as channel:
            await channel.write(b"hello")
            assert await channel.read() == b"hello"
            print(channel.association.framework.value, transport.value)

def at_maf(name, local, transport):
    km = maf_handshake.credential(KeyIdentifier(name, MAF), Secret.parse(GIVEN[name]))
    link = Link(Address.parse(GIVEN["maf"]), transport)
    return MafClient(MAF, link, maf_handshake.initiate(local, MAF, km))

def key(peer):
    return saef_psk.credential(KeyIdentifier.parse("k@b.example.com"), Secret(bytes(32)), peer=peer)

def trusting(peer, name):
    return AssociationConfiguration.release1(
        certificate_name=name, root_of_trust=ROOT.root_of_trust, peer=peer
    )

ROOT = Authority.root(permitted=permitted_names(dns=["sp.example"]))

async def main():
    a, b = ROOT.issue(None, "a.sp.example").local(), ROOT.issue(None, "b.sp.example").local()
    endpoint = saef_certificate.accept(b, Trust((trusting(A, "a.sp.example"),)))
    for transport in Transport:
        await pair(transport, saef_psk.initiate(A, B, key(B)), keys=[key(A)])
        how = saef_certificate.initiate(A, a, Trust((trusting(B, "b.sp.example"),)))
        await pair(transport, how, endpoint=endpoint)
        maf_of_a, maf_of_b = at_maf("a", A, transport), at_maf("b", B, transport)
        await pair(transport, maf_of_a.initiator(B), mafs=[maf_of_b])
    for transport in Transport:
        async with EntityB(B, keys=[key(A)]) as entity_b:
            address = await entity_b.listen_requests(LOOPBACK, answer, transport=transport)
            client = request_client(Link(address, transport), saef_psk.initiate(A, B, key(B)))
            print((await client.request(Operation.RETRIEVE, ("x",))).rsc.name, transport.value)
            await client.close()

asyncio.run(main())
"""

GBA = """
import asyncio, json
from pathlib import Path
from onem2m_security import *
from onem2m_security.clients.bsf import NafClient
from onem2m_security.clients.card import SoftwareCard

async def echo(channel):
    await channel.write(await channel.read())

async def main(card, ub, zn, bsf, naf, ae, cse, key_id, key):
    local, peer, bsf = EntityId(ae), EntityId(cse), Fqdn(bsf)
    credential = saef_psk.credential(KeyIdentifier.parse(key_id), Secret.parse(key))
    how = saef_gba.initiate_zn(peer, bsf, credential)
    at_bsf = NafClient(bsf, Link(Address.parse(zn)), how, naf=Fqdn(naf))
    ue = Ue(SoftwareCard.load(Path(card)), bsf, Link(Address.parse(ub)))
    async with EntityB(peer, bsfs=[at_bsf]) as entity_b:
        for transport in Transport:
            address = await entity_b.listen(Address("127.0.0.1", 0), echo, transport=transport)
            async with await associate(Link(address, transport), ue.initiator(local, peer)) as channel:
                await channel.write(b"hello")
                assert await channel.read() == b"hello"
                print(channel.association.framework.value, transport.value)

asyncio.run(main(*json.loads(sys.stdin.read())))
"""


def alone(program: str, *arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        input=given, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_entities_associate_by_keys_certificates_and_a_maf(programs):
    directory = programs.directory
    keys = {name: key_file(directory, name, key_of(name).reveal()).read_text().strip() for name in "ab"}
    add = ("maf", "add-client", "--data", directory / "maf")
    m2msec(*add, "--km-id", "a@maf.example.com", "--entity", "/device-7", "--target", "/in-cse",
           "--km-file", directory / "a")  # fmt: skip
    m2msec(*add, "--km-id", "b@maf.example.com", "--entity", "/in-cse", "--km-file", directory / "b")
    maf = programs.start_maf(directory / "maf")
    done = alone(ALONE + EVERY_PAIR, given=json.dumps({**keys, "maf": f"127.0.0.1:{maf.port}"}))
    assert done.returncode == 0, done.stderr
    *pairs, over_http, over_coap = done.stdout.splitlines()
    frameworks = ("saef-psk", "saef-certificate", "saef-maf")
    assert pairs == [f"{framework} {transport}" for transport in ("tls", "dtls") for framework in frameworks]
    assert (over_http, over_coap) == ("OK tls", "OK dtls")
    assert done.stderr == ""


async def test_entities_associate_by_a_card_and_a_bsf(tmp_path):
    card = SoftwareCard.create(tmp_path / "card", a_subscriber())
    async with running_bsf(tmp_path / "data") as bsf:
        given = [
            str(card.path), str(bsf.ub), str(bsf.zn), str(BSF), str(NAF), str(AE), str(CSE_OF_GBA),
            str(CSE_NAF.key_id), key_of(CSE_NAF.name).reveal().hex(),
        ]  # fmt: skip
        done = await asyncio.to_thread(alone, ALONE + GBA, given=json.dumps(given))
    assert (done.stdout, done.stderr) == ("saef-gba tls\nsaef-gba dtls\n", "")


def test_a_device_enrols_and_registers_directly_and_through_a_maf(programs):
    domain = Domain(programs)
    cse, address = start_cse(domain)
    with cse:
        try:
            done = alone(
                RUN, SUPPORT / "peer_device.py", programs.directory / "device", 1, DEVICE, CSE,
                f"127.0.0.1:{domain.mef.port}", f"127.0.0.1:{domain.maf.port}", address,
                given=KPM.hex() + "\n",
            )  # fmt: skip
        finally:
            cse.kill()
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [answers[way][0] for way in ("direct", "through_maf", "as_somebody_else")] == [2001, 2001, 4106]
    assert done.stderr == ""


def test_the_command_says_in_one_line_what_it_needs():
    done = alone(ALONE + COMMAND, "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "m2msec: not installed: typer, rich, pydantic. This needs: pip install 'onem2m-security[cli]'\n"
    )


def test_the_description_says_in_one_line_what_it_needs():
    program = (
        "from onem2m_security import *\nimport onem2m_security\n"
        "try: onem2m_security.Description\nexcept ConfigurationError as error: print(error)"
    )
    done = alone(ALONE + program)
    assert done.stderr == ""
    assert done.stdout == (
        "not installed: typer, rich, pydantic. This needs: pip install 'onem2m-security[cli]'\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ("maf", "serve", "--data", "x", "--fqdn", "maf.example.com", "--listen", "127.0.0.1:0"),
        ("mef", "serve", "--data", "x", "--fqdn", "mef.example.com", "--listen", "127.0.0.1:0"),
        ("demo",),
    ],
    ids=lambda command: command[0],
)
def test_a_server_says_in_one_line_what_it_needs_and_makes_no_store(command, tmp_path):
    arguments = [str(tmp_path / "x") if argument == "x" else argument for argument in command]
    done = alone(without_all_but("cli") + COMMAND, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "m2msec: not installed: prometheus_client, cbor2. This needs: pip install 'onem2m-security[server]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_every_command_tells_what_it_does_without_a_server():
    program = (
        "from onem2m_security.cli import COMMANDS, app\n"
        "for name in COMMANDS:\n"
        "    try: app([name, '--help'], prog_name='m2msec')\n"
        "    except SystemExit: pass"
    )
    done = alone(without_all_but("cli") + program)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"Usage: m2msec {name} " in done.stdout for name in COMMANDS)

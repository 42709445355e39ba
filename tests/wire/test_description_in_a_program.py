"""The manual's program that associates by the configuration file, as it is written there."""

from __future__ import annotations

import asyncio
import re
import sys

from onem2m_security import Address, EntityB, EntityId, KeyIdentifier, Secret, saef_psk
from places import ROOT
from programs import PATIENCE

CSE, DEVICE = EntityId.parse("/in-cse"), EntityId.parse("/device-7")
KEY_ID, KEY = KeyIdentifier.parse("k@sp.example"), Secret(bytes(range(32)))


def program() -> str:
    page = (ROOT / "docs" / "library.md").read_text("utf-8")
    section = page.partition("## By the configuration file")[2].partition("\n## ")[0]
    [block] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return block


async def echo(channel):
    while data := await channel.read():
        await channel.write(data)


async def test_a_program_associates_by_the_file(tmp_path):
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(KEY.reveal().hex())
    async with EntityB(CSE, keys=[saef_psk.credential(KEY_ID, KEY, peer=DEVICE)]) as entity_b:
        address = await entity_b.listen(Address("127.0.0.1", 0), echo)
        (tmp_path / "device.toml").write_text(
            f"""
            identity = {{ id = "{DEVICE}" }}
            [peers."{CSE}"]
            address = "{address}"
            prove = {{ kpsa-id = "{KEY_ID}", kpsa-file = "key" }}
            """
        )
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program()),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaints = await asyncio.wait_for(running.communicate(), PATIENCE)
    assert (running.returncode, complaints) == (0, b"")
    assert printed == b"b'hello'\n"

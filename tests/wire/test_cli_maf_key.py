"""``m2msec maf key``: both ends of an end-to-end credential, from the command line."""

from __future__ import annotations

import asyncio
import json

from maf_support import A_OF_TWO, ID_A, ID_B, ID_C, B, C, running_maf
from onem2m_security.store import KeyKind
from programs import key_file, m2msec


async def test_a_key_is_registered_retrieved_updated_and_withdrawn_by_commands(tmp_path):
    async with running_maf(tmp_path / "maf") as maf:

        async def key(command: str, who, entity, *more: object, check: bool = True):
            km = tmp_path / who.name
            if not km.exists():
                key_file(tmp_path, who.name, who.km.reveal())
            return await asyncio.to_thread(
                m2msec, "maf", "key", command, maf.address, *more, "--km-id", who.km_id, "--km-file", km,
                "--entity", entity, check=check,
            )  # fmt: skip

        done = await key(
            "register", A_OF_TWO, ID_A, "--suid", 34, "--target", ID_B, "--target", ID_C, "--reveal",
            "--label", "pump",
        )  # fmt: skip
        made = json.loads(done.stdout)
        assert (made["suid"], made["targets"], made["labels"]) == (34, [str(ID_B), str(ID_C)], ["pump"])
        found = json.loads((await key("retrieve", B, ID_B, made["key_id"], "--reveal")).stdout)
        assert (found["key"], found["source"]) == (made["key"], str(ID_A))
        assert "key" not in json.loads((await key("retrieve", C, ID_C, made["key_id"])).stdout)
        await key("update", A_OF_TWO, ID_A, made["key_id"], "--target", ID_C)
        refused = await key("retrieve", B, ID_B, made["key_id"], check=False)
        assert refused.returncode == 1
        assert "has no such key for" in refused.stderr
        await key("deregister", A_OF_TWO, ID_A, made["key_id"])
        assert await maf.store.records(KeyKind.KC) == []

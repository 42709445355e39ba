"""A name that is not there, in every command that takes one away: one line on standard error, status 1."""

from __future__ import annotations

import asyncio

import pytest

from onem2m_security.store import Store
from programs import m2msec


@pytest.mark.parametrize(
    "command",
    [
        ("maf", "remove-client", "--km-id", "x@maf.example.com"),
        ("mef", "revoke", "--kpm-id", "x@mef.example.com"),
        ("bsf", "remove-subscriber", "--impi", "x@operator.example"),
        ("bsf", "bar", "--impi", "x@operator.example"),
        ("bsf", "unbar", "--impi", "x@operator.example"),
        ("bsf", "remove-naf", "--key-id", "x@bsf.example.com"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_an_unknown_name_is_one_line_and_status_1(tmp_path, command):
    async def make() -> None:
        async with await Store.open(tmp_path / "data"):
            pass

    asyncio.run(make())
    done = m2msec(*command, "--data", tmp_path / "data", check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert command[-1] in line
    assert done.stdout == ""

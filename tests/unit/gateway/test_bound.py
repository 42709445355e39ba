"""Whose an AE-ID is, across restarts and crashes."""

from __future__ import annotations

import os

import pytest

from onem2m_security.errors import ConfigurationError
from onem2m_security.gateway.bound import EACH, KeptAeIds
from onem2m_security.identifiers import CredentialId, EntityId

ONE = CredentialId.parse("12-one@m.example")
TWO = CredentialId.parse("30-ni-two")


def ae(name: str) -> EntityId:
    return EntityId.parse(f"/in-cse/{name}")


async def test_what_was_bound_is_remembered_across_restarts(tmp_path):
    kept = KeptAeIds.open(tmp_path / "gateway")
    await kept.bind(ONE, ae("Ca"))
    await kept.bind(TWO, ae("Cb"))
    await kept.bind(TWO, ae("Ca"))
    kept.close()
    again = KeptAeIds.open(tmp_path / "gateway")
    assert (again.holder_of(ae("Ca")), again.holder_of(ae("Cb")), again.holder_of(ae("Cc"))) == (
        TWO,
        TWO,
        None,
    )
    again.close()
    assert (tmp_path / "gateway" / "ae-ids").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "gateway").stat().st_mode & 0o777 == 0o700


async def test_a_line_that_a_crash_cut_off_is_none(tmp_path):
    kept = KeptAeIds.open(tmp_path)
    await kept.bind(ONE, ae("Ca"))
    kept.close()
    with (tmp_path / "ae-ids").open("ab") as file:
        file.write(b"12-one@m.example /in-cse/Cto")
    again = KeptAeIds.open(tmp_path)
    assert len(again) == 1
    await again.bind(TWO, ae("Cb"))
    again.close()
    assert len(KeptAeIds.open(tmp_path)) == 2


async def test_a_credential_has_so_many_ae_ids_and_the_oldest_gives_way(tmp_path):
    kept = KeptAeIds.open(tmp_path)
    await kept.bind(TWO, ae("Cother"))
    for number in range(EACH + 3):
        await kept.bind(ONE, ae(f"C{number}"))
    for _ in range(2):
        assert [kept.holder_of(ae(f"C{number}")) for number in range(4)] == [None, None, None, ONE]
        assert kept.holder_of(ae("Cother")) == TWO
        assert len(kept) == EACH + 1
        kept.close()
        kept = KeptAeIds.open(tmp_path)
    kept.close()


def test_two_gateways_do_not_share_a_directory(tmp_path):
    first = KeptAeIds.open(tmp_path)
    with pytest.raises(ConfigurationError, match="in use"):
        KeptAeIds.open(tmp_path)
    first.close()
    KeptAeIds.open(tmp_path).close()


@pytest.mark.parametrize(
    "line", [b"12-one@m.example\n", b"x /in-cse/Ca\n", b"12-one@m.example /a/b/c/d\n", b"\xff\n"]
)
def test_a_file_that_is_damaged_is_not_read_as_if_nobody_had_anything(tmp_path, line):
    (tmp_path / "ae-ids").write_bytes(line)
    with pytest.raises(ConfigurationError, match="line 1"):
        KeptAeIds.open(tmp_path)


async def test_what_the_disk_refuses_is_not_bound(tmp_path):
    kept = KeptAeIds.open(tmp_path)
    os.close(kept._journal)
    kept._journal = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match=r".*"):
        await kept.bind(ONE, ae("Ca"))
    assert kept.holder_of(ae("Ca")) is None
    kept.close()

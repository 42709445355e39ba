"""Lists of records: filtered, counted, and as long as they are."""

from __future__ import annotations

import pytest

from onem2m_security.cli.tables import print_rows
from programs import key_file, m2msec


@pytest.fixture
def data(tmp_path):
    km = key_file(tmp_path, "km", b"m" * 32)
    for name, entity in (("a", "/device-7"), ("b", "/device-8"), ("c", "/in-cse")):
        m2msec(
            "maf", "add-client", "--data", tmp_path / "maf", "--km-id", f"{name}@maf.example.com",
            "--entity", entity, "--km-file", km,
        )  # fmt: skip
    return tmp_path / "maf"


def test_clients_are_filtered_and_counted(data):
    shown = m2msec("maf", "clients", "--data", data, "--filter", "/device-").stdout.splitlines()
    assert [line.split()[1] for line in shown] == ["entity", "/device-7", "/device-8"]
    assert m2msec("maf", "clients", "--data", data, "--filter", "/device-", "--count").stdout == "2\n"
    assert m2msec("maf", "clients", "--data", data, "--count").stdout == "3\n"
    assert m2msec("maf", "clients", "--data", data, "--filter", "nobody", "--count").stdout == "0\n"


def test_columns_are_as_wide_as_their_widest_value_and_nothing_is_cut(capsys):
    long = "x" * 300
    print_rows([{"one": "a", "two": None}, {"one": long, "two": ["b", "c"]}], as_json=False)
    header, first, second = capsys.readouterr().out.splitlines()
    assert header == "one".ljust(302) + "two"
    assert first == "a"
    assert second == f"{long}  b c"

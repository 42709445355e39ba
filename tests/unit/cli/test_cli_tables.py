"""Lists of records: printed as they are read, filtered, limited, counted, and as long as they are."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onem2m_security.cli import app
from onem2m_security.cli.options.listing import ListOptions
from onem2m_security.cli.tables import list_keys, show
from onem2m_security.credentials import Secret
from onem2m_security.errors import RecordCorruptedError
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.store.queries import PAGE
from onem2m_security.store.records import KeyKind, KeyRecord
from onem2m_security.store.store import Store
from programs import key_file, m2msec

NOWHERE = Path("/nonexistent")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("lists")
    km = key_file(tmp_path, "km", b"m" * 32)
    for name, entity in (("a", "/device-7"), ("b", "/device-8"), ("c", "/in-cse")):
        m2msec(
            "maf", "add-client", "--data", tmp_path / "maf", "--km-id", f"{name}@maf.example.com",
            "--entity", entity, "--km-file", km,
        )  # fmt: skip
    return tmp_path / "maf"


def test_clients_are_filtered_limited_and_counted(data):
    shown = m2msec("maf", "clients", "--data", data, "--filter", "/device-").stdout.splitlines()
    assert [line.split()[1] for line in shown] == ["entity", "/device-7", "/device-8"]
    assert m2msec("maf", "clients", "--data", data, "--filter", "/device-", "--count").stdout == "2\n"
    assert m2msec("maf", "clients", "--data", data, "--count").stdout == "3\n"
    assert m2msec("maf", "clients", "--data", data, "--filter", "nobody", "--count").stdout == "0\n"
    limited = json.loads(m2msec("maf", "clients", "--data", data, "--limit", "2", "--json").stdout)
    assert [row["entity"] for row in limited] == ["/device-7", "/device-8"]


@pytest.mark.parametrize(
    "command",
    ["maf clients", "maf keys", "mef enrolees", "mef targets", "mef keys", "bsf subscribers", "bsf nafs"],
)
def test_every_list_can_be_filtered_limited_and_counted(data, command):
    options = ["--data", str(data), "--filter", "nobody", "--limit", "1"]
    assert CliRunner().invoke(app, [*command.split(), *options, "--count"]).output == "0\n"
    assert CliRunner().invoke(app, [*command.split(), *options, "--json"]).output == "[]\n"
    assert CliRunner().invoke(app, [*command.split(), *options]).output == "nothing\n"


def wanted(**options) -> ListOptions:
    return ListOptions(data=NOWHERE, **options)


def numbered(number):
    return {"number": str(number), "even": "yes" if number % 2 == 0 else None}


async def pages_that_look(capsys, printed, pages=4):
    """Pages as a store gives them, which note what was printed before each was read."""
    for page in range(pages):
        printed.append(capsys.readouterr().out)
        yield range(page * 10, page * 10 + 10)


@pytest.mark.parametrize(
    ("options", "first"), [({}, "number  even"), ({"as_json": True}, "["), ({"only": "13"}, "")]
)
async def test_rows_are_printed_before_the_next_page_is_read(capsys, options, first):
    printed: list[str] = []
    assert await show(pages_that_look(capsys, printed), numbered, wanted(**options))
    printed.append(capsys.readouterr().out)
    assert printed[0] == ""
    assert printed[1].partition("\n")[0] == first
    assert "13" in printed[2]
    assert not any("13" in text for text in (*printed[:2], *printed[3:]))


async def test_after_the_last_row_that_is_wanted_no_page_is_read(capsys):
    printed: list[str] = []
    assert await show(pages_that_look(capsys, printed), numbered, wanted(limit=12))
    printed.append(capsys.readouterr().out)
    assert len(printed) == 3  # before two pages, and in the end
    assert "".join(printed).splitlines()[-1] == "11"


async def test_pages_of_json_are_one_array(capsys):
    printed: list[str] = []
    assert await show(pages_that_look(capsys, printed), numbered, wanted(as_json=True))
    text = "".join([*printed, capsys.readouterr().out])
    assert text == json.dumps([numbered(number) for number in range(40)], indent=2) + "\n"


async def test_columns_are_as_wide_as_their_widest_value_and_nothing_is_cut(capsys):
    long = "x" * 300

    async def pages():
        yield [{"one": "a", "two": None}, {"one": long, "two": ["b", "c"]}]
        yield [{"one": "a", "two": "later"}]

    assert await show(pages(), dict, wanted())
    header, first, second, third = capsys.readouterr().out.splitlines()
    assert header == "one".ljust(302) + "two"
    assert first == "a"
    assert second == f"{long}  b c"
    assert third == "a".ljust(302) + "later"


async def test_a_record_that_does_not_open_is_named_and_the_list_goes_on(capsys):
    async def pages():
        yield [1, RecordCorruptedError("client x does not open"), 2]

    assert not await show(pages(), numbered, wanted())
    captured = capsys.readouterr()
    assert captured.out.split() == ["number", "even", "1", "2", "yes"]
    assert captured.err == "m2msec: client x does not open\n"


def test_a_list_of_twelve_pages_takes_no_more_memory_than_one_of_three(tmp_path, capsys):
    def peak(data: Path, number: int) -> int:
        asyncio.run(fill(data, number))
        tracemalloc.start()
        list_keys(KeyKind.KM, lambda record: {"id": record.key_id.relative}, ListOptions(data=data))
        capsys.readouterr()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    async def fill(data: Path, number: int) -> None:
        key, now, maf = Secret(bytes(32)), datetime.now(UTC), Fqdn("maf.example.com")
        async with await Store.open(data) as store:
            await store.add_many(
                KeyRecord(KeyKind.KM, KeyIdentifier(f"{i:06}", maf), key, now, source=EntityId("/a"))
                for i in range(number)
            )

    peak(tmp_path / "warm", 1)
    few, many = peak(tmp_path / "few", 3 * PAGE), peak(tmp_path / "many", 12 * PAGE)
    assert many < 1.3 * few

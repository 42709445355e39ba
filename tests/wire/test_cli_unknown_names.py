"""Every command that is given a name says in one line, with status 1, that nobody has it."""

from __future__ import annotations

import pytest

from programs import m2msec

NOBODY = "nobody@maf.example.com"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store in which there is one client."""
    directory = tmp_path_factory.mktemp("house") / "data"
    m2msec("maf", "add-client", "--data", directory, "--km-id", "a@maf.example.com", "--entity", "/a")
    return directory


@pytest.mark.parametrize(
    "command",
    [
        ("maf", "remove-client", "--km-id", NOBODY),
        ("mef", "revoke", "--kpm-id", NOBODY),
        ("bsf", "remove-subscriber", "--impi", NOBODY),
        ("bsf", "bar", "--impi", NOBODY),
        ("bsf", "unbar", "--impi", NOBODY),
        ("bsf", "remove-naf", "--key-id", NOBODY),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_name_that_nobody_has_is_one_line_and_status_1(data, command):
    group, name, *options = command
    done = m2msec(group, name, "--data", data, *options, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert NOBODY in line

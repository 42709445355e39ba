"""What foreign programs are set against."""

from __future__ import annotations

import pytest

from maf_support import KM_A, KM_ID_A
from programs import Programs, key_file, m2msec


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A MAF as an operator runs it, with A, who may reach /in-cse, and /in-cse itself."""
    directory = tmp_path_factory.mktemp("maf")
    data = directory / "data"
    key_file(directory, "km-a", KM_A)
    made = m2msec("maf", "add-client", "--data", data, "--km-id", "b@maf.example.com", "--entity", "/in-cse")
    key_file(directory, "km-b", bytes.fromhex(made.stdout))
    m2msec(
        "maf", "add-client", "--data", data, "--km-id", KM_ID_A, "--km-file", directory / "km-a",
        "--entity", "Csensor", "--target", "/in-cse",
    )  # fmt: skip
    programs = Programs(directory)
    yield directory, data, programs.start_maf(data)
    programs.end_all()

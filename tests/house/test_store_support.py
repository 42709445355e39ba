"""The PostgreSQL of the tests runs for whoever starts it, from wherever it lies, and leaves nothing."""

from __future__ import annotations

import shutil

import psutil

from store_support import PACKAGES, copy_of_postgresql, postgres_server


def test_postgresql_runs_from_a_place_that_only_its_owner_may_enter_and_leaves_nothing(tmp_path):
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    copy_of_postgresql(PACKAGES, closed)
    with postgres_server(closed) as server:
        server.run("CREATE TABLE things (number integer)")
        directory = str(server.directory)
    shutil.rmtree(closed)
    assert not server.directory.exists()
    assert not [
        process for process in psutil.process_iter(["cwd"]) if directory in (process.info["cwd"] or "")
    ]

"""Files: private from their first moment, never laid over another, bounded, replaced as a whole."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from onem2m_security import files
from onem2m_security.files import OpenToOthersError, create, read_bounded, read_private, replace_durably


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owner_s_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        create(tmp_path / "secret", b"x")
        create(tmp_path / "public", b"y", mode=files.PUBLIC_MODE)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "secret"), mode(tmp_path / "public")) == (0o600, 0o644)


@pytest.mark.parametrize("there", ["a file", "a link to nothing", "a link to a file", "a directory"])
def test_nothing_is_laid_over_what_is_there(tmp_path, there):
    target, path = tmp_path / "target", tmp_path / "path"
    if there == "a file":
        path.write_bytes(b"old")
    elif there == "a directory":
        path.mkdir()
    else:
        path.symlink_to(target)
        if there == "a link to a file":
            target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        create(path, b"new")
    assert not target.exists() or target.read_bytes() == b"old"


@pytest.mark.parametrize("what", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_on_which_others_have_any_right_is_not_read(tmp_path, what):
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(what)
    with pytest.raises(OpenToOthersError) as caught:
        read_private(path, 10)
    assert caught.value.strerror == (
        f"it is open to others than its owner (mode {what:04o}): run chmod 600 {path}"
    )
    path.chmod(0o400)
    assert read_private(path, 10).octets == b"x"


def test_a_file_is_read_up_to_the_limit_and_not_beyond(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert read_bounded(path, 100).octets == bytes(100)
    with pytest.raises(OSError, match="longer than 99 octets"):
        read_bounded(path, 99)


def test_a_link_is_followed_only_where_that_is_allowed(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bounded(tmp_path / "link", 10).octets == b"x"
    with pytest.raises(OSError, match="symbolic links"):
        read_bounded(tmp_path / "link", 10, follow=False)


def test_a_pipe_is_refused_without_waiting_for_its_other_end_and_read_where_it_is_allowed(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(OSError, match="no regular file"):
        read_bounded(pipe, 10)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"through a pipe",))
    writer.start()
    assert read_private(pipe, 100, pipes=True).octets == b"through a pipe"
    writer.join()


def test_a_directory_and_an_endless_device_are_refused(tmp_path):
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"regular|directory"):
            read_bounded(path, 10)
    with pytest.raises(OSError, match="longer"):
        read_bounded(Path("/dev/zero"), 10, pipes=True)


def test_a_file_is_replaced_as_a_whole_over_what_a_crash_left_behind(tmp_path):
    path = tmp_path / "file"
    (tmp_path / "file.new").write_bytes(b"half of it")
    for octets in (b"one", b"two"):
        replace_durably(path, octets)
        assert path.read_bytes() == octets
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert mode(path) == 0o600


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "file"
    replace_durably(path, b"old")

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", fails)
    else:
        monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="Input/output"):
        replace_durably(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_file_that_cannot_be_written_whole_is_not_left_behind(tmp_path, monkeypatch):
    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        create(tmp_path / "key", b"x")
    assert not list(tmp_path.iterdir())

"""Files as this package reads and writes them: bounded, private where they hold secrets, durable.

A new file has its final permissions from its first moment and is never laid over another; a file that is
replaced is there as a whole at any moment, the old one or the new one. Everything here raises OSError, whose
``strerror`` is a text for people; each caller says which file it was, in an error of its own.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class OpenToOthersError(PermissionError):
    """Group or others have some right on a file with a secret."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read.

    Attributes:
        octets: The whole file.
        status: Of the file that was read, whatever the path leads to by now.
    """

    octets: bytes = field(repr=False)
    status: os.stat_result


def read_bounded(path: Path, limit: int, *, follow: bool = True, pipes: bool = False) -> Content:
    """Read a whole file.

    Args:
        path: The file.
        limit: The most octets that it may have.
        follow: Whether it may be a symbolic link.
        pipes: Whether it may be something else than a regular file, such as a shell's ``<(command)``.

    Raises:
        OSError: It cannot be read, is of another sort, or is longer.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC
    flags |= 0 if pipes else os.O_NONBLOCK  # not to wait for the other end of one before it is refused
    flags |= 0 if follow else os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not pipes and not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        octets = file.read(limit + 1)
    if len(octets) > limit:
        raise OSError(errno.EFBIG, f"it is longer than {limit} octets")
    return Content(octets, status)


def read_private(path: Path, limit: int, *, follow: bool = True, pipes: bool = False) -> Content:
    """Read a whole file that holds a secret; arguments as for ``read_bounded``.

    Raises:
        OpenToOthersError: Others than its owner have rights on it; the text says how to mend that.
        OSError: As for ``read_bounded``.
    """
    content = read_bounded(path, limit, follow=follow, pipes=pipes)
    mode = stat.S_IMODE(content.status.st_mode)
    if stat.S_ISREG(content.status.st_mode) and mode & _OTHERS:
        raise OpenToOthersError(
            errno.EACCES, f"it is open to others than its owner (mode {mode:04o}): run chmod 600 {path}"
        )
    return content


def create(path: Path, octets: bytes, *, mode: int = PRIVATE_MODE) -> None:
    """Make a new file, readable by its owner only unless the mode says otherwise (less the umask).

    Raises:
        FileExistsError: Something is there already; it is left alone.
        OSError: It cannot be written; nothing is left of it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def replace_durably(path: Path, octets: bytes) -> None:
    """Write a private file as a whole: after a crash at any moment there is the old one or the new one.

    It is on the disk when this returns. One writer at a time: the caller sees to that.

    Raises:
        OSError: It cannot be written; the old one is still there.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)  # what a crash left behind
    create(fresh, octets)
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: The disk refuses.
    """
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

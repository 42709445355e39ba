"""Files with keys and certificates: private keys are never readable by others, nothing is overwritten.

A new file exists with its final permissions from its first moment (O_CREAT | O_EXCL); symbolic links are not
followed. Reading a private key that others can read is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from onem2m_security.errors import ConfigurationError, CredentialError

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
FILE_MAX_OCTETS = 1024 * 1024
"""The largest key or certificate file read, in octets."""


def write_new(path: Path, octets: bytes, *, private: bool) -> None:
    """Create a file: mode 0600 if private, else 0644 less the umask.

    Raises:
        ConfigurationError: Something is there already, or the directory cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, PRIVATE_MODE if private else PUBLIC_MODE)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists and is not overwritten: choose another name") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {os.strerror(error.errno or 0)}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)


def read_public(path: Path) -> bytes:
    """The octets of a file, at most FILE_MAX_OCTETS.

    Raises:
        ConfigurationError: Unreadable or too large.
    """
    return _read(path)[0]


def read_private(path: Path) -> bytes:
    """The octets of a private key file, which group and others must not be able to read.

    Raises:
        ConfigurationError: Unreadable or too large.
        CredentialError: Its permissions are too wide; the message says how to mend that.
    """
    octets, mode = _read(path)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CredentialError(
            f"the private key {path} is open to others (mode {stat.S_IMODE(mode):04o}): run chmod 600 {path}"
        )
    return octets


def _read(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigurationError(f"{path} is no regular file")
            octets = file.read(FILE_MAX_OCTETS + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {os.strerror(error.errno or 0)}") from error
    if len(octets) > FILE_MAX_OCTETS:
        raise ConfigurationError(f"{path}: larger than {FILE_MAX_OCTETS} octets")
    return octets, mode

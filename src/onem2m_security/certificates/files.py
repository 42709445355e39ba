"""Files with keys and certificates: private keys are never readable by others, nothing is overwritten.

A new file exists with its final permissions from its first moment (O_CREAT | O_EXCL); symbolic links are not
followed. Reading a private key that others can read is refused.
"""

from __future__ import annotations

from pathlib import Path

from onem2m_security.errors import ConfigurationError, CredentialError
from onem2m_security.files import (
    PRIVATE_MODE,
    PUBLIC_MODE,
    OpenToOthersError,
    create,
    read_bounded,
)
from onem2m_security.files import read_private as read_private_file

FILE_MAX_OCTETS = 1024 * 1024
"""The largest key or certificate file read, in octets."""


def write_new(path: Path, octets: bytes, *, private: bool) -> None:
    """Create a file: mode 0600 if private, else 0644 less the umask.

    Raises:
        ConfigurationError: Something is there already, or the directory cannot be written.
    """
    try:
        create(path, octets, mode=PRIVATE_MODE if private else PUBLIC_MODE)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists and is not overwritten: choose another name") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def read_public(path: Path) -> bytes:
    """The octets of a file, at most FILE_MAX_OCTETS.

    Raises:
        ConfigurationError: Unreadable or too large.
    """
    try:
        return read_bounded(path, FILE_MAX_OCTETS).octets
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def read_private(path: Path) -> bytes:
    """The octets of a private key file, which group and others must not be able to read.

    Raises:
        ConfigurationError: Unreadable or too large.
        CredentialError: Its permissions are too wide; the message says how to mend that.
    """
    try:
        return read_private_file(path, FILE_MAX_OCTETS).octets
    except OpenToOthersError as error:
        raise CredentialError(f"the private key {path}: {error.strerror}") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error

"""Keys in files, as people keep them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ..credentials import Secret
from ..errors import ConfigurationError, CredentialError
from ..files import read_private
from ..telemetry import LOG

KEY_FILE_MAX_OCTETS: Final = 4096
KEY_FORMAT: Final = (
    "hex digits or base64 (a prefix hex: or base64: decides), or the characters after text:, "
    "from a file, or - for standard input"
)
_SHORT_OCTETS: Final = 16
"""Shorter than this, what was read as hex or base64 may have been meant as it stands."""


def read_key(file: str) -> Secret:
    """Read a key from a file, or from standard input for ``-``.

    A short key without a prefix is read as hex or base64, with a warning: its characters may have been meant.

    Raises:
        ConfigurationError: The file cannot be read, or others may read it, or it holds no key.
    """
    try:
        if file == "-":
            text = sys.stdin.readline(KEY_FILE_MAX_OCTETS)
        else:
            text = read_private(Path(file), KEY_FILE_MAX_OCTETS, pipes=True).octets.decode("ascii")
        key = Secret.parse(text)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} holds no key in text form: {KEY_FORMAT}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except CredentialError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    if len(key) < _SHORT_OCTETS and ":" not in text:
        LOG.warning("short key was read as hex or base64: write text: before it if it is text", file=file)
    return key

"""Keys in files, as people keep them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ..credentials import Secret
from ..errors import ConfigurationError, CredentialError
from ..files import read_private

KEY_FILE_MAX_OCTETS: Final = 4096
KEY_FORMAT: Final = (
    "hex digits or base64 (a prefix hex: or base64: decides), from a file, or - for standard input"
)


def read_key(file: str) -> Secret:
    """Read a key from a file, or from standard input for ``-``.

    Raises:
        ConfigurationError: The file cannot be read, or others may read it, or it holds no key.
    """
    try:
        if file == "-":
            text = sys.stdin.readline(KEY_FILE_MAX_OCTETS)
        else:
            text = read_private(Path(file), KEY_FILE_MAX_OCTETS, pipes=True).octets.decode("ascii")
        return Secret.parse(text)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} holds no key in text form: {KEY_FORMAT}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except CredentialError as error:
        raise ConfigurationError(f"{file}: {error}") from None

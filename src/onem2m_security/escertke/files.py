"""ESCertKE messages as files in a directory: the simplest transport, a shared disk or a memory stick.

One file is one message, ``EXCHANGE.message-1`` to ``EXCHANGE.message-4``, or ``EXCHANGE.refusal`` with a TLS
alert. A file appears whole or not at all and is never overwritten. The messages hold no secret; what is read
is bounded, and neither symbolic links nor anything but regular files are followed.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..clock import CLOCK
from ..errors import ConfigurationError, HandshakeTimeoutError
from .messages import MESSAGE_MAX_OCTETS

REFUSAL: Final = "refusal"
POLL_SECONDS: Final = 0.1
DIRECTORY_MAX_FILES: Final = 10_000

_FIRST: Final = re.compile(r"([0-9a-f]{32})\.message-1")


def message(number: int) -> str:
    """What the file of a message is called after the exchange."""
    return f"message-{number}"


class MessageFiles:
    """The messages of any number of exchanges in one directory."""

    def __init__(self, directory: Path) -> None:
        """Use this directory; it is made if it is not there.

        Raises:
            ConfigurationError: It is no directory and cannot become one.
        """
        try:
            directory.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{directory}: {os.strerror(error.errno or 0)}") from error
        self._directory = directory

    @staticmethod
    def new_exchange() -> str:
        """An exchange id: 32 hex digits, at random."""
        return secrets.token_hex(16)

    def write(self, exchange: str, kind: str, octets: bytes) -> None:
        """Add a message.

        Raises:
            ConfigurationError: The directory cannot be written, or the message is there already.
        """
        final = self._directory / f"{exchange}.{kind}"
        partial = self._directory / f".{exchange}.{kind}.{secrets.token_hex(4)}"
        try:
            with partial.open("xb") as file:
                file.write(octets)
            if final.exists():
                partial.unlink()
                raise ConfigurationError(f"{final} is there already: somebody else answers this exchange")
            partial.rename(final)
        except OSError as error:
            raise ConfigurationError(f"{final}: {os.strerror(error.errno or 0)}") from error

    def read(self, exchange: str, *kinds: str) -> bytes | None:
        """The first of these that is there; None when none is. At most one octet more than any message has.

        Raises:
            ConfigurationError: It is no regular file or cannot be read.
        """
        for kind in kinds:
            path = self._directory / f"{exchange}.{kind}"
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ConfigurationError(f"{path}: {os.strerror(error.errno or 0)}") from error
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ConfigurationError(f"{path} is no regular file")
                return os.read(descriptor, MESSAGE_MAX_OCTETS + 1)
            finally:
                os.close(descriptor)
        return None

    def wait(
        self, exchange: str, *kinds: str, deadline: float, clock: Callable[[], float] = CLOCK.monotonic
    ) -> bytes:
        """The same, once it is there.

        Args:
            exchange: The exchange id.
            kinds: What to wait for.
            deadline: Until when, on the clock.
            clock: Gives seconds that never go back.

        Raises:
            HandshakeTimeoutError: It did not come.
        """
        while (octets := self.read(exchange, *kinds)) is None:
            if clock() >= deadline:
                raise HandshakeTimeoutError(
                    f"no {kinds[0]} came in {self._directory}: does the other end-point look there?"
                )
            time.sleep(POLL_SECONDS)
        return octets

    def unanswered(self) -> Iterator[str]:
        """The exchanges that wait for message 2.

        Raises:
            ConfigurationError: The directory cannot be read, or holds too many files.
        """
        try:
            names = {entry.name for entry in os.scandir(self._directory)}
        except OSError as error:
            raise ConfigurationError(f"{self._directory}: {os.strerror(error.errno or 0)}") from error
        if len(names) > DIRECTORY_MAX_FILES:
            raise ConfigurationError(
                f"{self._directory} holds more than {DIRECTORY_MAX_FILES} files: remove old exchanges"
            )
        for name in sorted(names):
            found = _FIRST.fullmatch(name)
            if found and not names & {f"{found[1]}.{message(2)}", f"{found[1]}.{REFUSAL}"}:
                yield found[1]

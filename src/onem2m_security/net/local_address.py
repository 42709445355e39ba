"""Where an entity of this machine is met in the clear: on loopback, or at a Unix socket."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final, Self

from ..errors import ConfigurationError
from .address import Address

_PREFIX: Final = "unix:"
_OWNER_ONLY: Final = 0o177
"""What the mask takes from a socket's mode: everything but the owner's reading and writing."""


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket in the file system, which its owner may open and nobody else."""

    path: Path

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``unix:PATH``.

        Raises:
            ConfigurationError: There is no path.
        """
        path = text.removeprefix(_PREFIX)
        if path == text or not path:
            raise ConfigurationError(f"{text[:80]!r} is no Unix socket: unix:PATH is expected")
        return cls(Path(path))

    def bind(self) -> socket.socket:
        """A socket at the path, mode 0600 from its first moment; what a dead process left there goes.

        Raises:
            ConfigurationError: Somebody listens there, or something else is there, or it cannot be made.
        """
        self._make_way()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(_OWNER_ONLY)
        try:
            made.bind(os.fspath(self.path))
        except OSError as error:
            made.close()
            raise self._cannot(error) from error
        finally:
            os.umask(before)
        return made

    def remove(self) -> None:
        """Nobody listens here any more."""
        self.path.unlink(missing_ok=True)

    def _make_way(self) -> None:
        """Remove the socket of a process that is gone."""
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise ConfigurationError(f"cannot listen on {self}: something else is there")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                asking.connect(os.fspath(self.path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            self.remove()
        except OSError as error:
            raise self._cannot(error) from error
        else:
            raise ConfigurationError(f"cannot listen on {self}: somebody listens there")

    def _cannot(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"cannot listen on {self}: {error.strerror or error}")

    def __str__(self) -> str:
        return f"{_PREFIX}{self.path}"


LocalAddress = Address | UnixSocket


def parse_local(text: str) -> LocalAddress:
    """Parse ``HOST:PORT``, ``[IPv6]:PORT`` or ``unix:PATH``.

    Raises:
        ConfigurationError: It is none of these.
    """
    return UnixSocket.parse(text) if text.startswith(_PREFIX) else Address.parse(text)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this host: an address of loopback, or ``localhost``.

    Any other name may mean anything, and change.
    """
    if host.lower() in {"localhost", "localhost."}:
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def require_loopback(address: LocalAddress) -> None:
    """Refuse to be reached from another machine.

    Raises:
        ConfigurationError: The address is not one of loopback.
    """
    if isinstance(address, Address) and not is_loopback(address.host):
        raise ConfigurationError(
            f"{address} is not loopback: whoever reaches it there could act as us, unseen by anybody. Listen "
            "on 127.0.0.1, [::1] or unix:PATH, or say that other machines may"
        )

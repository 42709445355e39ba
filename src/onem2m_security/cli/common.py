"""What the commands share: parsed options, keys from files, logging to standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer

from ..credentials import Secret
from ..durations import parse_duration
from ..errors import ConfigurationError, CredentialError, IdentifierError
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..release import Release
from ..servers import Service

KEY_FILE_MAX_OCTETS = 4096

_T = TypeVar("_T")


def _parser(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """A typer parser that shows our own message when the text cannot be parsed; defaults pass as they are."""

    def parse_or_complain(text: str) -> _T:
        try:
            return parse(text) if isinstance(text, str) else text
        except (ConfigurationError, IdentifierError) as error:
            raise typer.BadParameter(str(error)) from error

    parse_or_complain.__name__ = getattr(parse, "__qualname__", "value").partition(".")[0].lower()
    return parse_or_complain


def parsed(parse: Callable[[str], Any], *names: str, **settings: Any) -> Any:  # noqa: ANN401 - typer's own type
    """An option whose text is parsed into a value type."""
    return typer.Option(*names, parser=_parser(parse), **settings)


KEY_FORMAT = "hex digits or base64 (a prefix hex: or base64: decides), from a file, or - for standard input"

DataOption = Annotated[Path, typer.Option("--data", help="Data directory; made on first use, mode 0700.")]
FqdnOption = Annotated[Fqdn, parsed(Fqdn.parse, "--fqdn", metavar="FQDN", help="This function's own FQDN.")]
ListenOption = Annotated[
    Address,
    parsed(
        Address.parse, "--listen", metavar="HOST:PORT", help="Where to listen; port 0 lets the system choose."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RevealOption = Annotated[bool, typer.Option("--reveal", help="Show keys instead of fingerprints.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log every association and refusal.")]
ReleaseOption = Annotated[
    Release, parsed(Release.parse, "--release", metavar="1|3", help="Whose messages and identifiers to use.")
]
KmIdOption = Annotated[
    KeyIdentifier | None,
    parsed(
        KeyIdentifier.parse_km_id,
        "--km-id",
        metavar="KMID",
        help="Master Credential Identifier, relative@MAF-FQDN.",
    ),
]
KmFileOption = Annotated[
    str | None, typer.Option("--km-file", metavar="FILE|-", help=f"Master Credential: {KEY_FORMAT}.")
]
KpsaIdOption = Annotated[
    KeyIdentifier | None,
    parsed(
        KeyIdentifier.parse,
        "--kpsa-id",
        metavar="KPSAID",
        help="Provisioned key's identifier, relative@issuer-FQDN.",
    ),
]
KpsaFileOption = Annotated[
    str | None,
    typer.Option("--kpsa-file", metavar="FILE|-", help=f"Provisioned Secure Connection Key: {KEY_FORMAT}."),
]
MafOption = Annotated[
    Address | None,
    parsed(Address.parse, "--maf", metavar="HOST:PORT", help="Where the MAF of --km-id listens."),
]
TransportOption = Annotated[
    Transport, typer.Option("--transport", help="What carries the session: TLS over TCP or DTLS over UDP.")
]
TransportsOption = Annotated[
    list[Transport], typer.Option("--transport", help="What to listen on; repeat for several, default: all.")
]
ALL_TRANSPORTS = [Transport.TLS, Transport.DTLS]
MetricsOption = Annotated[
    Address | None,
    parsed(
        Address.parse, "--metrics", metavar="HOST:PORT", help="Offer Prometheus metrics here, in the clear."
    ),
]
RememberOption = Annotated[
    timedelta,
    parsed(
        parse_duration,
        "--remember",
        metavar="DURATION",
        help="How long the word of a MAF, MEF or BSF about a key counts before it is asked again.",
    ),
]
entity_parser = EntityId.parse


def announce(service: Service, address: Address) -> None:
    """The one line that a server prints when it accepts clients."""
    print(f"{service.name} listening on {address} ({over(service.transports) or 'HTTP'})", flush=True)


def read_key(file: str) -> Secret:
    """Read a key from a file, or from standard input for ``-``.

    Raises:
        ConfigurationError: The file cannot be read, or others may read it, or it holds no key.
    """
    try:
        if file == "-":
            text = sys.stdin.readline(KEY_FILE_MAX_OCTETS)
        else:
            with Path(file).open(encoding="ascii") as stream:
                mode = os.fstat(stream.fileno()).st_mode
                text = stream.read(KEY_FILE_MAX_OCTETS)
            if mode & 0o077 and Path(file).is_file():
                log_to_stderr(verbose=False)
                structlog.get_logger().warning("others may read this key file: chmod 600 it", file=file)
        return Secret.parse(text)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} holds no key in text form: {KEY_FORMAT}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except CredentialError as error:
        raise ConfigurationError(f"{file}: {error}") from None


def over(transports: Iterable[Transport]) -> str:
    """Transports, for a line that people read."""
    return " and ".join(transport.value.upper() for transport in transports)


def log_to_stderr(*, verbose: bool) -> None:
    """Structured log lines on standard error; without ``verbose`` only warnings and errors."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )

"""What the commands share: parsed options, keys from files, logging to standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..configuration.key_files import KEY_FORMAT as KEY_FORMAT  # noqa: PLC0414 - the commands have it from here
from ..configuration.key_files import read_key as read_key  # noqa: PLC0414 - the same
from ..credentials import Secret
from ..durations import parse_duration
from ..errors import ConfigurationError, IdentifierError
from ..extras import require
from ..files import create
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.limits import DATAGRAM_OCTETS_LEAST, DATAGRAM_OCTETS_MOST
from ..release import Release

if TYPE_CHECKING:
    from ..net.limits import Limits
    from ..servers.run import Announced
    from ..servers.service import Service
    from ..store.store import Store

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


DataOption = Annotated[Path, typer.Option("--data", help="Data directory; mode 0700.")]
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
KpmFileOption = Annotated[
    str | None, typer.Option("--kpm-file", metavar="FILE|-", help=f"Kpm: {KEY_FORMAT}.")
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
    list[Transport],
    typer.Option(
        "--transport", metavar="tls|dtls", help="What to listen on; repeat for several, default: all."
    ),
]
MtuOption = Annotated[
    int,
    typer.Option(
        "--mtu",
        min=DATAGRAM_OCTETS_LEAST,
        max=DATAGRAM_OCTETS_MOST,
        help="Over DTLS, the longest datagram to send, in octets of UDP payload.",
    ),
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
EnroleeIdOption = Annotated[
    EntityId | None,
    parsed(entity_parser, "--enrolee-id", metavar="ID", help="Our own CSE-ID or AE-ID."),
]


OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write the new key here, in hex, mode 0600, instead of printing it; must not exist.",
    ),
]


async def open_store(data: Path, *, make: bool = False) -> Store:
    """The store of a data directory, for a command; a new one, which it says, only where that is meant.

    Raises:
        ConfigurationError: There is none; or as for ``Store.open``.
        StoreUnavailableError: As for ``Store.open``.
    """
    from ..store.store import Store

    if make:
        _say_if_new(data)
    return await Store.open(data, existing=not make)


def _say_if_new(data: Path) -> None:
    from ..store.store import Store

    if not Store.is_at(data):
        print(f"m2msec: there is no store in {data} yet: making one", file=sys.stderr, flush=True)


def run_services(
    services: Sequence[Service[Any]], *, limits: Limits | None = None, metrics: Address | None = None
) -> None:
    """Run services until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: As for ``servers.serve``.
        StoreError: The same.
    """
    from ..net.loop import run

    require("server")  # before a store is made
    from ..servers.run import serve

    for service in services:
        _say_if_new(service.data)
    run(serve(services, ready=_announce, limits=limits, metrics=metrics))


@contextlib.contextmanager
def given_or_new(file: str | None, out: Path | None) -> Iterator[Secret]:
    """The key of a file or, without one, a new key, which is handed out once it is in use.

    It is printed, or is in the file of ``--out`` before it is used, so that it is not lost; that file is
    removed again when what is done with the key fails.

    Raises:
        ConfigurationError: As for ``read_key``; both are given; or out exists or cannot be written.
    """
    if file is not None:
        if out is not None:
            raise ConfigurationError("--out is for a key that is made here, and one was given: leave it out")
        yield read_key(file)
        return
    key = Secret.generate()
    if out is not None:
        _write_key(key, out)
    try:
        yield key
    except BaseException:
        if out is not None:
            out.unlink(missing_ok=True)
        raise
    if out is None:
        print(key.reveal().hex())


def _write_key(key: Secret, out: Path) -> None:
    try:
        create(out, f"{key.reveal().hex()}\n".encode("ascii"))
    except FileExistsError as error:
        raise ConfigurationError(f"{out} exists and is not overwritten: choose another name") from error
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}") from error


def _announce(service: Announced, address: Address) -> None:
    """The one line that a server prints when it accepts clients."""
    print(f"{service.name} listening on {address} ({over(service.transports) or 'HTTP'})", flush=True)


def over(transports: Iterable[Transport]) -> str:
    """Transports, for a line that people read."""
    return " and ".join(transport.value.upper() for transport in transports)


class _KeyValues(logging.Formatter):
    """One line of ``name=value`` for a record, of ours or of a library below us."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        from ..telemetry import Event, key_values

        head = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
        }
        if isinstance(record.msg, Event):
            return key_values({**head, "event": record.msg.name, **record.msg.fields})
        return key_values({**head, "event": record.message, "logger": record.name})


_STDERR = logging.StreamHandler()
_STDERR.setFormatter(_KeyValues())


def log_to_stderr(*, verbose: bool) -> None:
    """Structured log lines on standard error; without ``verbose`` only warnings and errors."""
    from ..telemetry import LOG

    _STDERR.stream = sys.stderr  # as it is now
    logging.getLogger().addHandler(_STDERR)
    LOG.setLevel(logging.INFO if verbose else logging.WARNING)

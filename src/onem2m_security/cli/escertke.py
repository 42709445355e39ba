"""``m2msec escertke``: agree on an end-to-end key by certificates, over message files in a directory.

A handshake that is half done cannot be saved, so each command runs until its exchange is over. The key goes
into a file that only its owner can read, never to the terminal.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..certificates.files import write_new
from ..clock import CLOCK
from ..errors import ConfigurationError, HandshakeTimeoutError, KeyEstablishmentError
from ..identifiers import EntityId
from ..release import DEFAULT_RELEASE
from .common import ReleaseOption, entity_parser, log_to_stderr, parsed
from .options.certificates import CertificateOptions
from .options.credentials import ReportOptions
from .options.described import ConfigOption, described
from .options.grouping import OptionGroup, grouped, without

if TYPE_CHECKING:
    from ..escertke.end_points import PairwiseE2EKey
    from ..escertke.exchanges import TerminatingExchanges
    from ..escertke.files import MessageFiles
    from ..frameworks.steps import Acceptor, Initiator

app = typer.Typer(
    help="Agree on an end-to-end key by certificates: ESCertKE (8.7), over message files.",
    no_args_is_help=True,
)

Messages = Annotated[
    Path, typer.Argument(metavar="DIRECTORY", help="Where both end-points find the message files.")
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Where to write pairwiseE2EKey, in hex; must not exist.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for the whole exchange.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOptions(OptionGroup):
    """Who we are."""

    entity: Annotated[
        EntityId | None, parsed(entity_parser, "--entity", metavar="ID", help="Our own CSE-ID or AE-ID.")
    ] = None
    release: ReleaseOption = DEFAULT_RELEASE

    @property
    def local(self) -> EntityId:
        """Our identity.

        Raises:
            ConfigurationError: It was not said.
        """
        if self.entity is None:
            raise ConfigurationError("say who we are: --entity ID, or --config FILE")
        return self.entity


def _initiator(
    config: Path | None, own: OwnOptions, certificates: CertificateOptions, peer: EntityId
) -> Initiator:
    from ..escertke.end_points import initiator

    if config is None:
        verifier = certificates.trust(peer, own.release).verifier()
        return initiator(own.local, peer, certificate=certificates.certificate(), verifier=verifier)
    description = described(config, own, certificates)
    from ..configuration import end_points

    return end_points.initiating(description, peer)


def _acceptor(
    config: Path | None, own: OwnOptions, certificates: CertificateOptions, peer: EntityId | None
) -> Acceptor:
    from ..escertke.end_points import acceptor

    if config is None:
        verifier = certificates.trust_in_many(peer, own.release).verifier()
        return acceptor(own.local, certificate=certificates.certificate(), verifier=verifier)
    description = described(config, own, certificates)
    from ..configuration import end_points

    return end_points.terminating(description, peer)


@app.command()
@grouped
def initiate(
    directory: Messages,
    peer: Annotated[
        EntityId, parsed(entity_parser, "--peer", metavar="ID", help="The Terminating End-Point's identity.")
    ],
    out: Out,
    own: OwnOptions,
    certificates: Annotated[CertificateOptions, without("associations")],
    report: ReportOptions,
    config: ConfigOption = None,
    timeout: Timeout = 300.0,
) -> None:
    """Be the Initiating End-Point: write message 1, wait for 2, write 3, wait for 4.

    With --config the file says who we are and, in the peer's entry, what both certificates are. Without it
    give --entity, --cert, --key and what the peer's certificate must prove.
    """
    from ..escertke.end_points import InitiatingEndPoint
    from ..escertke.files import REFUSAL, MessageFiles, message

    log_to_stderr(verbose=report.verbose)
    _check_free(out)
    end_point = InitiatingEndPoint(_initiator(config, own, certificates, peer), seconds=timeout)
    files = MessageFiles(directory)
    exchange = files.new_exchange()
    deadline = CLOCK.monotonic() + timeout
    files.write(exchange, message(1), end_point.start())
    try:
        answer = files.wait(exchange, message(2), REFUSAL, deadline=deadline)
        files.write(exchange, message(3), end_point.process(answer).message)
        answer = files.wait(exchange, message(4), REFUSAL, deadline=deadline)
        established = end_point.process(answer).key
    except KeyEstablishmentError as error:
        if error.reply:
            files.write(exchange, REFUSAL, error.reply)
        raise
    if established is None:
        raise KeyEstablishmentError("the exchange has ended without a key: begin again")
    _write_key(established, out)
    _report(established, out, as_json=report.as_json)


@app.command()
@grouped
def respond(
    directory: Messages,
    out: Out,
    own: OwnOptions,
    certificates: CertificateOptions,
    report: ReportOptions,
    peer: Annotated[
        EntityId | None,
        parsed(
            entity_parser,
            "--peer",
            metavar="ID",
            help="Whom the initiator's certificate authenticates; with --config, who alone may begin.",
        ),
    ] = None,
    config: ConfigOption = None,
    timeout: Timeout = 300.0,
) -> None:
    """Be the Terminating End-Point: answer what appears, until one exchange has given a key.

    With --config the file says who we are, and every peer with certificates in prove and trust may begin, or
    only --peer. Without it give --entity, --cert, --key and whose certificates to accept. An exchange that is
    refused is reported on standard error, and the next is waited for.
    """
    from ..escertke.exchanges import TerminatingExchanges
    from ..escertke.files import POLL_SECONDS, MessageFiles

    log_to_stderr(verbose=report.verbose)
    _check_free(out)
    configured = _acceptor(config, own, certificates, peer)
    responder = _Responder(
        MessageFiles(directory), TerminatingExchanges(configured, seconds=timeout), out=out
    )
    deadline = CLOCK.monotonic() + timeout
    while (established := responder.look()) is None:
        if CLOCK.monotonic() >= deadline:
            raise HandshakeTimeoutError(f"no exchange in {directory} gave a key within {timeout:g} s")
        time.sleep(POLL_SECONDS)
    _report(established, out, as_json=report.as_json)


class _Responder:
    """Answers message files."""

    def __init__(self, files: MessageFiles, exchanges: TerminatingExchanges, *, out: Path) -> None:
        self._files = files
        self._exchanges = exchanges
        self._out = out
        self._half_finished: list[str] = []

    def look(self) -> PairwiseE2EKey | None:
        """Answer everything that waits; gives the key of the first exchange that is done."""
        from ..escertke.files import REFUSAL, message

        for exchange in self._files.unanswered():
            if exchange not in self._half_finished:
                self._answer(exchange, 1, self._files.read(exchange, message(1)))
        for exchange in list(self._half_finished):
            received = self._files.read(exchange, message(3), REFUSAL)
            if received is not None:
                self._half_finished.remove(exchange)
                key = self._answer(exchange, 3, received)
                if key is not None:
                    return key
        return None

    def _answer(self, exchange: str, number: int, received: bytes | None) -> PairwiseE2EKey | None:
        from ..escertke.files import REFUSAL, message

        try:
            step = self._exchanges.process(exchange, received or b"")
        except KeyEstablishmentError as error:
            print(f"exchange {exchange} is refused: {error}", file=sys.stderr, flush=True)
            if error.reply:
                self._files.write(exchange, REFUSAL, error.reply)
            return None
        if step.key is None:
            self._half_finished.append(exchange)
        else:
            # First of all it must be kept: once message 4 is there, the initiator believes in it.
            _write_key(step.key, self._out)
        self._files.write(exchange, message(number + 1), step.message)
        return step.key


def _check_free(out: Path) -> None:
    """Say before the exchange, not after it, that there is no place for the key."""
    if out.exists() or out.is_symlink():
        raise ConfigurationError(f"{out} exists and is not overwritten: choose another name")
    if not out.parent.is_dir():
        raise ConfigurationError(f"{out.parent} is no directory: make it first")


def _write_key(established: PairwiseE2EKey, out: Path) -> None:
    write_new(out, established.key.reveal().hex().encode() + b"\n", private=True)


def _report(established: PairwiseE2EKey, out: Path, *, as_json: bool) -> None:
    found = {
        "pairwise_e2e_key_id": established.key_id.hex(),
        "fingerprint": established.key.fingerprint,
        "key_file": str(out),
        **established.association.as_dict(),
    }
    if as_json:
        print(json.dumps(found))
        return
    for name in ("pairwise_e2e_key_id", "fingerprint", "peer", "credential_id", "expires", "key_file"):
        if found[name] is not None:
            print(f"{name}: {found[name]}")

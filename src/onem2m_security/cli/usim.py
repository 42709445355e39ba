"""``m2msec usim``: a software card in a file, for where no UICC is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..credentials import Secret
from ..errors import ConfigurationError
from ..gba.aka import MacFailure, Success, SynchronisationFailure
from ..gba.keys import ks_of
from ..gba.subscriber import AlgorithmSet
from .common import JsonOption, RevealOption, log_to_stderr, parsed
from .options.asked import FunctionAddress
from .options.gba import GbaOptions
from .options.grouping import grouped
from .options.subscribers import CardOptions, ImpiOption

app = typer.Typer(help="A software card (USIM) in a file.", no_args_is_help=True)

CardArgument = Annotated[Path, typer.Option("--card", metavar="FILE", help="The card; a file of mode 0600.")]

_KEY_OCTETS = {AlgorithmSet.MILENAGE: (16, 16), AlgorithmSet.TUAK: (32, 32)}


@app.command()
@grouped
def make(card: CardArgument, impi: ImpiOption, keys: CardOptions) -> None:
    """Make a card, with given keys or with new ones.

    The BSF takes the same keys from the file: m2msec bsf add-subscriber --card FILE.
    """
    from ..clients.card import SoftwareCard
    from ..gba.subscriber import Subscriber

    log_to_stderr(verbose=False)
    if keys.have_keys:
        subscriber = keys.subscriber(impi)
    else:
        k, opc = (Secret.generate(octets) for octets in _KEY_OCTETS[keys.algorithm])
        subscriber = Subscriber(impi, k, opc, algorithm=keys.algorithm)
    SoftwareCard.create(card, subscriber, gba_u=keys.gba_u)


@app.command()
def show(card: CardArgument, as_json: JsonOption = False) -> None:
    """Show a card: its IMPI, algorithm set and highest sequence number; its key as a fingerprint."""
    from ..clients.card import SoftwareCard

    log_to_stderr(verbose=False)
    loaded = SoftwareCard.load(card)
    told = {
        "impi": str(loaded.impi),
        "algorithm": loaded.subscriber.algorithm.value,
        "gba_u": loaded.gba_u,
        "highest_seq": max(loaded.accepted),
        "fingerprint": loaded.subscriber.k.fingerprint,
    }
    print(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))


@app.command()
def authenticate(
    card: CardArgument,
    rand: Annotated[str, typer.Option("--rand", metavar="HEX", help="RAND, 32 hex digits.")],
    autn: Annotated[str, typer.Option("--autn", metavar="HEX", help="AUTN, 32 hex digits.")],
    reveal: RevealOption = False,
) -> None:
    """Answer a challenge as the card does; prints JSON. Each challenge works once."""
    from ..clients.card import SoftwareCard

    log_to_stderr(verbose=False)
    match SoftwareCard.load(card).authenticate(_hex("--rand", rand), _hex("--autn", autn)):
        case Success(res, ck, ik):
            told = {"result": "success", "ks_fingerprint": ks_of(ck, ik).fingerprint}
            if reveal:
                told |= {name: key.reveal().hex() for name, key in (("res", res), ("ck", ck), ("ik", ik))}
        case SynchronisationFailure(auts):
            told = {"result": "synchronisation failure", "auts": auts.hex()}
        case MacFailure():
            told = {"result": "MAC failure"}
    print(json.dumps(told))


@app.command()
def bootstrap(
    card: CardArgument,
    bsf: Annotated[
        FunctionAddress,
        parsed(
            FunctionAddress.parse,
            "--bsf",
            metavar="FQDN=HOST:PORT",
            help="The BSF, where it listens for UEs.",
        ),
    ],
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for each request.")] = 5.0,
) -> None:
    """Bootstrap with a BSF; prints B-TID and lifetime as JSON."""
    from ..net.limits import Limits
    from ..net.loop import run

    log_to_stderr(verbose=False)
    context = run(GbaOptions(card=card, bsf=bsf).ue(Limits(request_seconds=timeout)).bootstrap())
    told = {
        "b_tid": context.b_tid.base64,
        "impi": str(context.impi),
        "expires": context.expires.isoformat(),
        "gba_u": context.gba_u,
        "ks_fingerprint": context.ks.fingerprint,
    }
    print(json.dumps(told))


def _hex(name: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigurationError(f"{name} is not in hex digits") from None

"""The sealed table of bootstrappings, each with the user security settings that held when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..credentials import Secret
from ..gba.context import BootstrappedContext
from ..gba.keys import Impi
from ..identifiers import EntityId, shown
from .columns import guss, key_identifier, microseconds, moment, optional, security_settings
from .records import Bootstrapping
from .schema import gba_contexts
from .sealed_table import SealedTable


def _to_row(bootstrapping: Bootstrapping) -> tuple[object, ...]:
    context = bootstrapping.context
    return (
        str(context.b_tid),
        context.impi.text,
        microseconds(context.issued),
        microseconds(context.expires),
        int(context.gba_u),
        security_settings(bootstrapping.guss),
        optional(str, bootstrapping.entity),
    )


def _from_row(columns: Sequence[Any], secret: bytes) -> Bootstrapping:
    b_tid, impi, issued, expires, gba_u, settings, entity = columns
    context = BootstrappedContext(
        key_identifier(b_tid), Secret(secret), Impi(impi), moment(issued), moment(expires), bool(gba_u)
    )
    return Bootstrapping(context, guss(settings), optional(EntityId, entity))


BOOTSTRAPPINGS: Final[SealedTable[Bootstrapping]] = SealedTable(
    gba_contexts,
    "onem2m-security gba bootstrapping",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=lambda bootstrapping: bootstrapping.context.ks.reveal(),
    name_of=lambda row: f"bootstrapping {shown(row[0])}",
    remedy="bootstrap again",
)

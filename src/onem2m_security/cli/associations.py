"""What ``m2msec connect`` and ``m2msec listen`` say of an association, and where its data goes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from ..association import Association, PeerProof
from ..identifiers import EntityId

if TYPE_CHECKING:
    from ..frameworks.steps import Established


def report(established: Established, *, as_json: bool) -> None:
    """Say who is at the other end: in JSON to standard output, or for people to standard error."""
    from ..certificates.verified_peer import VerifiedPeer

    association, proven = established.association, established.credential
    matched = {}
    if isinstance(proven, VerifiedPeer):
        matched = {"configuration": proven.configuration.description, "certificate": proven.fingerprint}
    if as_json:
        print(json.dumps(association.as_dict() | matched), flush=True)
        return
    until = "" if association.expires is None else f", until {association.expires.isoformat()}"
    print(
        f"associated with {_peer(association)} by {association.framework.value} "
        f"({association.protocol}, {association.cipher_suite}){until}"
        + "".join(f", {name}: {value}" for name, value in matched.items())
        + _allowed(association.allowed_ae_ids),
        file=sys.stderr,
        flush=True,
    )


def _peer(association: Association) -> str:
    if association.peer is None:
        return str(association.credential_id)
    proven = association.peer_proof is PeerProof.AUTHENTICATED
    return f"{association.peer}{'' if proven else ' (as configured: the MAF did not say so)'}"


def _allowed(ae_ids: tuple[EntityId, ...]) -> str:
    return f", for {' '.join(map(str, ae_ids))}" if ae_ids else ""

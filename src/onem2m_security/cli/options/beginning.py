"""Beginning without a configuration file: by the member of ``prove`` that the file would have."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ...errors import ConfigurationError
from ...identifiers import EntityId, Fqdn
from ...release import DEFAULT_RELEASE

if TYPE_CHECKING:
    from ...configuration.meeting import Role
    from ...configuration.proof import OwnProof
    from ...frameworks.steps import Initiator
    from ...net.link import Link


def _only_in_a_file(*_: object) -> NoReturn:
    raise ConfigurationError("options say nothing of further peers: write them into a file, --config FILE")


def begin(
    prove: OwnProof,
    local: EntityId,
    peer: EntityId,
    role: Role,
    link: Link,
    *,
    server_name: Fqdn | None = None,
) -> Initiator:
    """How we begin a handshake with a peer by this proof.

    Args:
        prove: How we prove ourselves; its files are relative to where we are.
        local: The identity that we assume.
        peer: The peer's identity.
        role: What it is to us.
        link: The way to it.
        server_name: SNI host name; None for the peer's own.

    Raises:
        ConfigurationError: A file cannot be used, or the proof does not fit the peer.
        CredentialError: The credential cannot be used.
    """
    from ...configuration.meeting import Meeting

    return prove.initiate(
        Meeting(
            local=local,
            peer=peer,
            role=role,
            link=link,
            diameter=False,
            release=DEFAULT_RELEASE,
            server_name=server_name,
            prove=prove,
            trusted=_only_in_a_file,
            closing=AsyncExitStack(),  # stays empty: such a proof opens nothing
            here=Path(),
            data=None,
            enrolled_at=_only_in_a_file,
            meet=_only_in_a_file,
        )
    )

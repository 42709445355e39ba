"""Beginning without a configuration file: by the member of ``prove`` that the file would have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ...errors import ConfigurationError
from ...identifiers import EntityId, Fqdn
from ...release import DEFAULT_RELEASE

if TYPE_CHECKING:
    from ...certificates.trust import Trust
    from ...configuration.meeting import Meeting, Proof, Role
    from ...configuration.proof import OwnProof
    from ...frameworks.steps import Initiator
    from ...net.link import Link


def _only_in_a_file(*_: object) -> NoReturn:
    raise ConfigurationError("options say nothing of further peers: write them into a file, --config FILE")


def meeting_by(
    prove: Proof,
    local: EntityId,
    peer: EntityId,
    role: Role,
    link: Link,
    *,
    server_name: Fqdn | None = None,
    trusted: Callable[[], Trust] = _only_in_a_file,
    meet: Callable[[EntityId, Role], Meeting] = _only_in_a_file,
) -> Meeting:
    """Us about to meet a peer, as options say it.

    Args:
        prove: How we prove ourselves; its files are relative to where we are.
        local: The identity that we assume.
        peer: The peer's identity.
        role: What it is to us.
        link: The way to it.
        server_name: SNI host name; None for the peer's own.
        trusted: What its certificate must prove.
        meet: How to meet another peer on the way.
    """
    from ...configuration.meeting import Meeting

    return Meeting(
        local=local,
        peer=peer,
        role=role,
        link=link,
        diameter=False,
        release=DEFAULT_RELEASE,
        server_name=server_name,
        prove=prove,
        trusted=trusted,
        closing=AsyncExitStack(),  # stays empty: such a proof opens nothing
        here=Path(),
        data=None,
        enrolled_at=_only_in_a_file,
        meet=meet,
    )


def begin(
    prove: OwnProof,
    local: EntityId,
    peer: EntityId,
    role: Role,
    link: Link,
    *,
    server_name: Fqdn | None = None,
    trusted: Callable[[], Trust] = _only_in_a_file,
) -> Initiator:
    """How we begin a handshake with a peer by this proof; the arguments are those of ``meeting_by``.

    Raises:
        ConfigurationError: A file cannot be used, or the proof does not fit the peer.
        CredentialError: The credential cannot be used.
    """
    meeting = meeting_by(prove, local, peer, role, link, server_name=server_name, trusted=trusted)
    return prove.initiate(meeting)

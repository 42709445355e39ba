"""What MAF, MEF and BSF answer, as the resource that was asked for."""

from __future__ import annotations

from typing import TypeVar

from ..errors import MessageError, ResolverUnavailableError
from ..net.ports import expect
from ..onem2m.primitives import Response, Rsc
from ..onem2m.resources import Resource

_Answered = TypeVar("_Answered", bound=Resource)


def answered(response: Response, resource: type[_Answered], accepted: Rsc) -> _Answered:
    """The resource in a response with the accepted status.

    Raises:
        PeerRefusedError: Any other status.
        ResolverUnavailableError: The content is not this resource.
    """
    try:
        return resource.decode_answer(expect(response, accepted))
    except MessageError as error:
        raise ResolverUnavailableError(f"the answer cannot be used: {error}") from None

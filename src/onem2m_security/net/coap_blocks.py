"""Block-wise transfer on the server's side (RFC 7959), and the bounds on what is kept of peers."""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import aiocoap
from aiocoap import error
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber

from ..clock import CLOCK
from .coap_messages import EXCHANGE_SECONDS

_BODIES_PER_PEER: Final = 8
_BODIES: Final = 256
"""How many bodies of the greatest length are kept, of one peer and of all."""
_ENTRY_OCTETS: Final = 512
"""What an entry costs beside its content."""
_ANSWER_OCTETS: Final = 4096
"""The same for an answer with its options."""
_RESERVED_EXPONENT: Final = 7
_BLOCK_OPTIONS: Final = (OptionNumber.BLOCK1, OptionNumber.BLOCK2, OptionNumber.SIZE1, OptionNumber.SIZE2)

V = TypeVar("V")


class Sender(Protocol):
    """Whose session something came by; every session of one peer has its ``owner``."""

    @property
    def owner(self) -> Hashable:
        """Whom to charge."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    octets: int
    since: float


@dataclass(slots=True)
class _Share:
    """What is one peer's, whichever its session."""

    keys: OrderedDict[tuple[Sender, Hashable], None] = field(default_factory=OrderedDict)
    octets: int = 0


class Held(Generic[V]):
    """What is kept of peers for a while, bounded in octets for each and in all; the oldest goes.

    A peer displaces its own first, in all its sessions, and all peers together never take more than there is
    room for.

    Attributes:
        octets: What is taken now.
    """

    def __init__(self, body_octets: int, clock: Callable[[], float] = CLOCK.monotonic) -> None:
        """Room for a few bodies of this length for each peer."""
        self._each = _BODIES_PER_PEER * (body_octets + _ANSWER_OCTETS)
        self._most = _BODIES * (body_octets + _ANSWER_OCTETS)
        self._clock = clock
        self._entries: OrderedDict[tuple[Sender, Hashable], _Entry[V]] = OrderedDict()
        self._shares: dict[Hashable, _Share] = {}
        self.octets = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, sender: Sender, key: Hashable) -> V | None:
        """What was put there, unless it had to go."""
        entry = self._entries.get((sender, key))
        return None if entry is None or self._is_over(entry) else entry.value

    def put(self, sender: Sender, key: Hashable, value: V, octets: int) -> None:
        """Keep this, which takes so many octets, in the place of what was there."""
        self.remove(sender, key)
        share = self._shares.setdefault(sender.owner, _Share())
        share.keys[sender, key] = None
        self._entries[sender, key] = _Entry(value, octets + _ENTRY_OCTETS, self._clock())
        self._charge(share, octets + _ENTRY_OCTETS)
        while share.octets > self._each:
            self.remove(*next(iter(share.keys)))
        while self.octets > self._most or self._oldest_is_over():
            self.remove(*next(iter(self._entries)))

    def remove(self, sender: Sender, key: Hashable) -> None:
        """Keep this no longer."""
        entry = self._entries.pop((sender, key), None)
        if entry is None:
            return
        share = self._shares[sender.owner]
        del share.keys[sender, key]
        self._charge(share, -entry.octets)
        if not share.keys:
            del self._shares[sender.owner]

    def forget(self, sender: Sender) -> None:
        """The session is over."""
        share = self._shares.get(sender.owner, _Share())
        for each, key in [found for found in share.keys if found[0] is sender]:
            self.remove(each, key)

    def _charge(self, share: _Share, octets: int) -> None:
        share.octets += octets
        self.octets += octets

    def _oldest_is_over(self) -> bool:
        return any(map(self._is_over, itertools.islice(self._entries.values(), 1)))

    def _is_over(self, entry: _Entry[V]) -> bool:
        return self._clock() - entry.since > EXCHANGE_SECONDS


class Blocks:
    """Puts requests together from their blocks, and gives out answers in blocks.

    Attributes:
        requests: Bodies of which more blocks are to come.
        answers: Answers of which more blocks are to be fetched.
    """

    def __init__(self, body_octets: int) -> None:
        """Bodies of at most so many octets."""
        self.requests: Held[bytearray] = Held(body_octets)
        self.answers: Held[Any] = Held(body_octets)
        self._body_octets = body_octets

    def forget(self, sender: Sender) -> None:
        """The session is over."""
        self.requests.forget(sender)
        self.answers.forget(sender)

    async def serve(self, request: Any, answer: Callable[[Any], Awaitable[Any]]) -> Any:
        """Answer a request or one block of it.

        Args:
            request: A request, whole or a block of it, or for a block of its answer.
            answer: Makes the answer to a whole request.

        Raises:
            RequestEntityIncomplete: The block does not continue what has come, or nothing is left to fetch.
            RequestEntityTooLarge: The whole would be too long.
            BadRequest: The block contradicts itself.
        """
        block, wanted = request.opt.block1, request.opt.block2
        if any(each is not None and each.size_exponent == _RESERVED_EXPONENT for each in (block, wanted)):
            raise error.BadRequest("size exponent 7 is reserved")
        if wanted is not None and wanted.block_number:
            return self._next_block(request, wanted)
        if block is not None:
            body = self._append(request, block)
            if block.more:
                return aiocoap.Message(code=Code.CONTINUE, block1=block)
            request.payload = bytes(body)
        response = self._first_block(request, wanted, await answer(request))
        response.opt.block1 = block
        return response

    def _append(self, request: Any, block: Any) -> bytearray:
        """The body as far as it has come; it is no longer kept when this block is the last."""
        peer, key = request.remote, _key(request)
        if block.start + len(request.payload) > self._body_octets:
            self.requests.remove(peer, key)
            raise error.RequestEntityTooLarge(f"at most {self._body_octets} octets")
        if len(request.payload) != block.size and (block.more or len(request.payload) > block.size):
            raise error.BadRequest("the payload is not as long as its block")
        body = self.requests.get(peer, key) if block.block_number else bytearray()
        if body is None or len(body) != block.start:
            raise error.RequestEntityIncomplete("this block does not follow the last one")
        body += request.payload
        if block.more:
            self.requests.put(peer, key, body, len(body))
        else:
            self.requests.remove(peer, key)
        return body

    def _first_block(self, request: Any, wanted: Any, answer: Any) -> Any:
        """An answer, or its first block."""
        exponent = request.remote.maximum_block_size_exp
        if wanted is not None:
            exponent = min(wanted.size_exponent, exponent)
        if len(answer.payload) <= 16 << exponent:
            return answer
        self.answers.put(request.remote, _key(request), answer, len(answer.payload) + _ANSWER_OCTETS)
        return answer.copy(payload=answer.payload[: 16 << exponent], block2=(0, True, exponent))

    def _next_block(self, request: Any, wanted: Any) -> Any:
        """A further block of an answer, which is no longer kept after the last one."""
        peer, key = request.remote, _key(request)
        answer = self.answers.get(peer, key)
        if answer is None:
            raise error.RequestEntityIncomplete("the answer is not kept any more: ask again")
        if wanted.start >= len(answer.payload):
            raise error.BadRequest("the answer has no such block")
        exponent = min(wanted.size_exponent, peer.maximum_block_size_exp)
        end = wanted.start + (16 << exponent)
        more = end < len(answer.payload)
        if not more:
            self.answers.remove(peer, key)
        block = (wanted.start >> (exponent + 4), more, exponent)
        return answer.copy(payload=answer.payload[wanted.start : end], block2=block)


def _key(request: Any) -> bytes:
    """What the blocks of one request have in common (RFC 7959 clause 2.3), in few octets."""
    return hashlib.sha256(repr(request.get_cache_key(_BLOCK_OPTIONS)).encode()).digest()

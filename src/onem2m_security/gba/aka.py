"""Authentication and Key Agreement: vectors, the USIM's verdict, resynchronisation (TS 33.102 clause 6.3).

Sequence numbers follow Annex C, not time-based: SQN = SEQ (43 bits) || IND (5 bits), one element per IND.
Pure values and functions over an algorithm set; nothing here performs I/O, and a MAC is compared in constant
time. A verdict never says which octet of a MAC was wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from ..credentials import Secret
from ..errors import AuthenticationError, CredentialError, MessageError
from .algorithm import MAC_OCTETS, RAND_OCTETS, SQN_OCTETS, AuthenticationFunctions, require_length, xor

AUTN_OCTETS = 16
"""SQN xor AK (6), AMF (2), MAC-A (8 octets): TS 33.102 clause 6.3.2."""

AUTS_OCTETS = 14
"""SQN_MS xor AK* (6), MAC-S (8 octets): TS 33.102 clause 6.3.3."""

IND_BITS = 5
ARRAY_SIZE = 1 << IND_BITS
"""Elements of the USIM's array, one for each IND (Annex C.3)."""

SEQ_MAX = (1 << (8 * SQN_OCTETS - IND_BITS)) - 1

DELTA = 1 << 28
"""How far SEQ may run ahead of SEQ_MS: protection against wrap-around (Annexes C.2.1, C.3)."""

# In MAC-S the AMF is a dummy of zeros, which need not be sent (clause 6.3.3).
_AMF_STAR = b"\0\0"


@dataclass(frozen=True, slots=True, order=True)
class SequenceNumber:
    """SQN: 48 bits, SEQ || IND (Annex C.1.1.1).

    Attributes:
        value: The whole number, 0 to 2^48 - 1.
    """

    value: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << (8 * SQN_OCTETS):
            raise CredentialError("a sequence number has 48 bits")

    @classmethod
    def from_parts(cls, seq: int, ind: int) -> Self:
        """SQN from SEQ (43 bits) and IND (5 bits).

        Raises:
            CredentialError: One of them is out of its range.
        """
        if not (0 <= seq <= SEQ_MAX and 0 <= ind < ARRAY_SIZE):
            raise CredentialError("SEQ has 43 bits and IND 5")
        return cls(seq << IND_BITS | ind)

    @classmethod
    def from_octets(cls, octets: bytes) -> Self:
        """SQN from its 6 octets, most significant first.

        Raises:
            CredentialError: Not 6 octets.
        """
        require_length("SQN", octets, SQN_OCTETS)
        return cls(int.from_bytes(octets))

    @property
    def seq(self) -> int:
        """SEQ, the part that grows."""
        return self.value >> IND_BITS

    @property
    def ind(self) -> int:
        """IND, the index of the USIM's array element."""
        return self.value % ARRAY_SIZE

    @property
    def octets(self) -> bytes:
        """The 6 octets, most significant first."""
        return self.value.to_bytes(SQN_OCTETS)

    def next(self) -> Self:
        """The number for the next vector: SEQ + 1, and the next IND in turn (Annexes C.1.1.2, C.1.2).

        Raises:
            CredentialError: SEQ is used up; it never wraps, because the USIM would see a replay.
        """
        if self.seq == SEQ_MAX:
            raise CredentialError("the sequence numbers of this subscriber are used up: provision a new K")
        return self.from_parts(self.seq + 1, (self.ind + 1) % ARRAY_SIZE)


@dataclass(frozen=True, slots=True)
class AuthenticationVector:
    """A quintet: what the HSS hands to the BSF for one bootstrapping (TS 33.102 clause 6.3.2).

    Attributes:
        rand: The challenge RAND, 16 octets.
        xres: The expected response XRES, 4 to 16 octets.
        ck: CK, 16 octets.
        ik: IK, 16 octets.
        autn: The authentication token AUTN, 16 octets.
    """

    rand: bytes
    xres: Secret = field(repr=False)
    ck: Secret = field(repr=False)
    ik: Secret = field(repr=False)
    autn: bytes

    def __post_init__(self) -> None:
        require_length("RAND", self.rand, RAND_OCTETS)
        require_length("AUTN", self.autn, AUTN_OCTETS)

    def for_gba_u(self) -> Self:
        """The vector that a BSF uses when the keys are to stay on the UICC (TS 33.220 clause 5.3.2).

        AUTN carries MAC* = MAC xor Trunc(SHA-1(IK)), so that only the GBA_U command of a UICC accepts it, and
        the lowest bit of XRES is flipped, as the UICC does with the RES that it gives to the ME.
        """
        autn = self.autn[:-MAC_OCTETS] + _mac_star(self.autn[-MAC_OCTETS:], self.ik)
        return replace(self, autn=autn, xres=_flip_lowest_bit(self.xres))


def _mac_star(mac: bytes, ik: Secret) -> bytes:
    """MAC to MAC* and back. SHA-1 is what TS 33.220 fixes; it hides MAC here and signs nothing."""
    return xor(mac, hashlib.sha1(ik.reveal(), usedforsecurity=False).digest()[:MAC_OCTETS])


def _flip_lowest_bit(res: Secret) -> Secret:
    octets = res.reveal()
    return Secret(octets[:-1] + bytes([octets[-1] ^ 1]))


def authentication_vector(
    functions: AuthenticationFunctions, *, sqn: SequenceNumber, amf: bytes, rand: bytes | None = None
) -> AuthenticationVector:
    """Generate a quintet (TS 33.102 clause 6.3.2).

    Args:
        functions: The subscriber's algorithm set.
        sqn: A sequence number that no earlier vector had.
        amf: The Authentication Management Field, 2 octets.
        rand: RAND, 16 octets; None for a new one from the operating system's generator.

    Raises:
        CredentialError: AMF or RAND has the wrong length.
    """
    rand = secrets.token_bytes(RAND_OCTETS) if rand is None else rand
    outputs = functions.f2345(rand)
    mac = functions.f1(rand, sqn.octets, amf)
    autn = xor(sqn.octets, outputs.ak) + amf + mac
    return AuthenticationVector(rand, outputs.res, outputs.ck, outputs.ik, autn)


def build_auts(functions: AuthenticationFunctions, *, rand: bytes, sqn_ms: SequenceNumber) -> bytes:
    """AUTS, 14 octets: the USIM's highest accepted sequence number, hidden and proven (clause 6.3.3)."""
    mac_s = functions.f1_star(rand, sqn_ms.octets, _AMF_STAR)
    return xor(sqn_ms.octets, functions.f5_star(rand)) + mac_s


def verify_auts(functions: AuthenticationFunctions, *, rand: bytes, auts: bytes) -> SequenceNumber:
    """SQN_MS out of an AUTS that answers this RAND (clause 6.3.5).

    Raises:
        MessageError: RAND or AUTS has the wrong length.
        AuthenticationError: MAC-S does not verify.
    """
    _require_message_length("RAND", rand, RAND_OCTETS)
    _require_message_length("AUTS", auts, AUTS_OCTETS)
    sqn_ms = xor(auts[:SQN_OCTETS], functions.f5_star(rand))
    if not hmac.compare_digest(functions.f1_star(rand, sqn_ms, _AMF_STAR), auts[SQN_OCTETS:]):
        raise AuthenticationError("the MAC-S of this AUTS does not verify")
    return SequenceNumber.from_octets(sqn_ms)


def resynchronised(
    functions: AuthenticationFunctions,
    *,
    sqn_he: SequenceNumber,
    rand: bytes,
    auts: bytes,
    delta: int = DELTA,
) -> SequenceNumber:
    """The counter of the home environment after a verified AUTS (clause 6.3.5).

    It is kept when the USIM will accept the number that follows it, so a replayed old AUTS moves nothing;
    otherwise it is set to SQN_MS. AUTS is verified in both cases.

    Args:
        functions: The subscriber's algorithm set.
        sqn_he: The last sequence number that was used.
        rand: The RAND that the AUTS answers, 16 octets.
        auts: AUTS, 14 octets.
        delta: The USIM's bound on jumps of SEQ.

    Raises:
        MessageError: RAND or AUTS has the wrong length.
        AuthenticationError: MAC-S does not verify.
    """
    sqn_ms = verify_auts(functions, rand=rand, auts=auts)
    is_acceptable = 0 < sqn_he.seq + 1 - sqn_ms.seq <= delta
    return sqn_he if is_acceptable else sqn_ms


def _require_message_length(name: str, value: bytes, octets: int) -> None:
    if len(value) != octets:
        raise MessageError(f"{name} has {octets} octets, not {len(value)}")


@dataclass(frozen=True, slots=True)
class Success:
    """The network is authentic and the vector fresh.

    Attributes:
        res: RES, the answer to the challenge.
        ck: CK, 16 octets.
        ik: IK, 16 octets.
    """

    res: Secret = field(repr=False)
    ck: Secret = field(repr=False)
    ik: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class SynchronisationFailure:
    """The network is authentic, but this sequence number was used or is out of range.

    Attributes:
        auts: AUTS, 14 octets, for the network to resynchronise with.
    """

    auts: bytes


@dataclass(frozen=True, slots=True)
class MacFailure:
    """AUTN was not made by someone who has this K: the network is not authenticated."""


AkaResult = Success | SynchronisationFailure | MacFailure


class Usim:
    """A USIM in software: the algorithm set and the array of accepted sequence numbers (Annex C.2).

    Keep ``accepted`` where it survives a restart before the result of ``authenticate`` is used, or a recorded
    challenge can be replayed.
    """

    __slots__ = ("_accepted", "_delta", "_functions", "_limit")

    def __init__(
        self,
        functions: AuthenticationFunctions,
        *,
        accepted: Sequence[int] = (0,) * ARRAY_SIZE,
        delta: int = DELTA,
        limit: int | None = None,
    ) -> None:
        """Make a USIM.

        Args:
            functions: The subscriber's algorithm set.
            accepted: The highest SEQ accepted for each of the 32 values of IND; zeros for a new USIM.
            delta: How far SEQ may run ahead of the highest one accepted (Annex C.2.1).
            limit: How far SEQ may lag behind the highest one accepted, exclusive (L of Annex C.2.2); None
                for no such limit, the array alone decides.

        Raises:
            CredentialError: The array is not 32 numbers of 43 bits, or a bound is below 1.
        """
        if len(accepted) != ARRAY_SIZE or not all(0 <= seq <= SEQ_MAX for seq in accepted):
            raise CredentialError(f"the array of a USIM has {ARRAY_SIZE} numbers of 43 bits")
        if delta < 1 or (limit is not None and limit < 1):
            raise CredentialError("delta and limit are at least 1")
        self._functions = functions
        self._accepted = list(accepted)
        self._delta = delta
        self._limit = limit

    @property
    def accepted(self) -> tuple[int, ...]:
        """SEQ_MS(0) to SEQ_MS(31), to be kept between runs."""
        return tuple(self._accepted)

    @property
    def sqn_ms(self) -> SequenceNumber:
        """The highest sequence number accepted so far."""
        seq = max(self._accepted)
        return SequenceNumber.from_parts(seq, self._accepted.index(seq))

    def authenticate(self, rand: bytes, autn: bytes, *, gba_u: bool = False) -> AkaResult:
        """Answer a challenge (TS 33.102 clause 6.3.3); a success is remembered, so each works once.

        Args:
            rand: RAND, 16 octets.
            autn: AUTN, 16 octets.
            gba_u: Bootstrapping on the UICC: AUTN carries MAC*, and RES leaves with its lowest bit flipped
                (TS 33.220 clause 5.3.2).

        Raises:
            MessageError: RAND or AUTN has the wrong length.
        """
        _require_message_length("RAND", rand, RAND_OCTETS)
        _require_message_length("AUTN", autn, AUTN_OCTETS)
        outputs = self._functions.f2345(rand)
        sqn, amf, mac = xor(autn[:SQN_OCTETS], outputs.ak), autn[SQN_OCTETS:-MAC_OCTETS], autn[-MAC_OCTETS:]
        if gba_u:
            mac = _mac_star(mac, outputs.ik)
        if not hmac.compare_digest(self._functions.f1(rand, sqn, amf), mac):
            return MacFailure()
        received = SequenceNumber.from_octets(sqn)
        if not self._is_fresh(received):
            return SynchronisationFailure(build_auts(self._functions, rand=rand, sqn_ms=self.sqn_ms))
        self._accepted[received.ind] = received.seq
        return Success(_flip_lowest_bit(outputs.res) if gba_u else outputs.res, outputs.ck, outputs.ik)

    def _is_fresh(self, sqn: SequenceNumber) -> bool:
        ahead = sqn.seq - self.sqn_ms.seq
        within_limit = self._limit is None or -ahead < self._limit
        return ahead <= self._delta and within_limit and sqn.seq > self._accepted[sqn.ind]

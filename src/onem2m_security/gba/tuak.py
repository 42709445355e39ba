"""The TUAK algorithm set: f1, f1*, f2, f3, f4, f5 and f5* on Keccak-f[1600] (TS 35.231 clause 7).

The permutation is this module's own: no library exports it by itself, and hashlib's SHA-3 checks it in the
tests. TUAK numbers bits from the most significant one, Keccak from the least: so every field goes in and
comes out with its octets reversed. The module never stores or shows K, TOP or TOPc outside Secret values.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise

from ..credentials import Secret
from ..errors import CredentialError
from .algorithm import AK_OCTETS, AMF_OCTETS, RAND_OCTETS, SQN_OCTETS, AkaOutputs, require_length

TOP_OCTETS = 32
"""Length of TOP and TOPc."""

_ALGORITHM_NAME = b"TUAK1.0"
_STATE_OCTETS = 200
_LANE = 2**64 - 1

# The INSTANCE octet (TS 35.231 clause 6): what it computes, the lengths it computes, the length of K.
_INSTANCE_F1 = 0x00
_INSTANCE_F1_STAR = 0x80
_INSTANCE_F2345 = 0x40
_INSTANCE_F5_STAR = 0xC0
_OUTPUT_LENGTH = {4: 0x00, 8: 0x08, 16: 0x10, 32: 0x20}
_CK_256 = 0x04
_IK_256 = 0x02
_K_256 = 0x01


def _round_constants() -> list[int]:
    """The 24 iota constants, from the LFSR x^8 + x^6 + x^5 + x^4 + 1 (FIPS 202 clause 3.2.5)."""
    register, constants = 1, []
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << ((1 << j) - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(constant)
    return constants


def _rho_pi_walk() -> list[tuple[int, int]]:
    """The lanes in the order in which pi visits them, with rho's offsets (FIPS 202 clauses 3.2.2, 3.2.3)."""
    x, y, walk = 1, 0, []
    for t in range(24):
        walk.append((x + 5 * y, (t + 1) * (t + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return [*walk, (1, 0)]


_ROUND_CONSTANTS = _round_constants()
_RHO_PI = list(pairwise(_rho_pi_walk()))


def _rotate_left(lane: int, bits: int) -> int:
    return (lane << bits | lane >> (64 - bits)) & _LANE


def keccak_f1600(state: bytes) -> bytes:
    """The permutation Keccak-f[1600] over 200 octets, 24 rounds (FIPS 202 clause 3.3).

    Raises:
        CredentialError: The state is not 200 octets long.
    """
    require_length("a Keccak state", state, _STATE_OCTETS)
    lanes = list(struct.unpack("<25Q", state))
    for constant in _ROUND_CONSTANTS:
        columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        for i in range(25):  # theta
            lanes[i] ^= columns[(i - 1) % 5] ^ _rotate_left(columns[(i + 1) % 5], 1)
        moved = list(lanes)
        for (source, offset), (target, _) in _RHO_PI:
            moved[target] = _rotate_left(lanes[source], offset)
        for i in range(25):  # chi
            row = i - i % 5
            lanes[i] = moved[i] ^ (~moved[row + (i + 1) % 5] & moved[row + (i + 2) % 5])
        lanes[0] ^= constant
    return struct.pack("<25Q", *lanes)


def _permuted(first: bytes, instance: int, k: Secret, rand_amf_sqn: bytes, iterations: int) -> bytes:
    """Build IN of clause 7 from 256 bits of TOP or TOPc and the rest, and apply the permutation to it."""
    block = first[::-1] + bytes([instance]) + _ALGORITHM_NAME[::-1] + rand_amf_sqn
    block = block.ljust(64, b"\0") + k.reveal()[::-1]
    # Bits 768 to 772 and 1087 are one: the padding up to the rate of 1088 bits.
    block = (block.ljust(96, b"\0") + b"\x1f").ljust(135, b"\0") + b"\x80"
    state = block.ljust(_STATE_OCTETS, b"\0")
    for _ in range(iterations):
        state = keccak_f1600(state)
    return state


def _check(k: Secret, iterations: int) -> None:
    require_length("K", k, 16, 32)
    if iterations < 1:
        raise CredentialError(f"TUAK applies Keccak at least once, not {iterations} times")


def topc_from_top(k: Secret, top: Secret, *, iterations: int = 1) -> Secret:
    """TOPc, 32 octets, from TOP and K (clause 7.1).

    Raises:
        CredentialError: K is not 16 or 32 octets long, or TOP not 32.
    """
    _check(k, iterations)
    require_length("TOP", top, TOP_OCTETS)
    instance = _K_256 if len(k) == 32 else 0
    return Secret(_permuted(top.reveal(), instance, k, b"", iterations)[:TOP_OCTETS][::-1])


@dataclass(frozen=True, slots=True)
class Tuak:
    """TUAK with one subscriber's keys. The default lengths are those that AUTN and GBA take.

    Attributes:
        k: The subscriber key K, 16 or 32 octets.
        topc: The operator variant TOPc, 32 octets.
        mac_octets: Length of MAC-A and MAC-S: 8, 16 or 32; AUTN carries 8.
        res_octets: Length of RES: 4, 8, 16 or 32.
        ck_octets: Length of CK: 16 or 32; UMTS AKA uses 16.
        ik_octets: Length of IK: 16 or 32; UMTS AKA uses 16.
        iterations: How often the permutation is applied (clause 6).
    """

    k: Secret = field(repr=False)
    topc: Secret = field(repr=False)
    mac_octets: int = 8
    res_octets: int = 8
    ck_octets: int = 16
    ik_octets: int = 16
    iterations: int = 1

    def __post_init__(self) -> None:
        _check(self.k, self.iterations)
        require_length("TOPc", self.topc, TOP_OCTETS)
        if (
            self.mac_octets not in {8, 16, 32}
            or self.res_octets not in _OUTPUT_LENGTH
            or {self.ck_octets, self.ik_octets} - {16, 32}
        ):
            raise CredentialError("TUAK: MAC has 8, 16 or 32 octets, RES 4, 8, 16 or 32, CK and IK 16 or 32")

    def f1(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """MAC-A (clause 7.2)."""
        return self._mac(_INSTANCE_F1, rand, sqn, amf)

    def f1_star(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """MAC-S (clause 7.3)."""
        return self._mac(_INSTANCE_F1_STAR, rand, sqn, amf)

    def f2345(self, rand: bytes) -> AkaOutputs:
        """RES, CK, IK and AK from one output (clause 7.4)."""
        instance = _INSTANCE_F2345 | _OUTPUT_LENGTH[self.res_octets]
        instance |= _CK_256 if self.ck_octets == 32 else 0
        instance |= _IK_256 if self.ik_octets == 32 else 0
        out = self._out(instance, rand)
        return AkaOutputs(
            res=Secret(out[: self.res_octets][::-1]),
            ck=Secret(out[32 : 32 + self.ck_octets][::-1]),
            ik=Secret(out[64 : 64 + self.ik_octets][::-1]),
            ak=out[96 : 96 + AK_OCTETS][::-1],
        )

    def f5_star(self, rand: bytes) -> bytes:
        """AK* (clause 7.5)."""
        return self._out(_INSTANCE_F5_STAR, rand)[96 : 96 + AK_OCTETS][::-1]

    def _mac(self, instance: int, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        require_length("SQN", sqn, SQN_OCTETS)
        require_length("AMF", amf, AMF_OCTETS)
        instance |= _OUTPUT_LENGTH[self.mac_octets]
        return self._out(instance, rand, amf[::-1] + sqn[::-1])[: self.mac_octets][::-1]

    def _out(self, instance: int, rand: bytes, amf_sqn: bytes = b"") -> bytes:
        require_length("RAND", rand, RAND_OCTETS)
        instance |= _K_256 if len(self.k) == 32 else 0
        return _permuted(self.topc.reveal(), instance, self.k, rand[::-1] + amf_sqn, self.iterations)

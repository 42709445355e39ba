"""The MILENAGE algorithm set: f1, f1*, f2, f3, f4, f5 and f5* on AES-128 (TS 35.206 clause 4).

The default rotations and constants r1 to r5 and c1 to c5 of clause 4.1. The module never stores or shows K,
OP or OPc: they stay inside Secret values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from ..credentials import Secret
from .algorithm import (
    AK_OCTETS,
    AMF_OCTETS,
    MAC_OCTETS,
    RAND_OCTETS,
    SQN_OCTETS,
    AkaOutputs,
    require_length,
    xor,
)

KEY_OCTETS = 16
"""Length of K, OP and OPc."""

# Rotation in octets (r / 8) and the constant's last octet, of OUT2 to OUT5 (clause 4.1); r1 is below.
_OUT2 = (0, 1)
_OUT3 = (4, 2)
_OUT4 = (8, 4)
_OUT5 = (12, 8)
_R1_OCTETS = 8


def _encrypt(key: Secret, block: bytes) -> bytes:
    # One block under E_K: MILENAGE is its own mode of operation, ECB is the bare cipher here.
    encryptor = Cipher(AES(key.reveal()), ECB()).encryptor()  # noqa: S305
    return encryptor.update(block) + encryptor.finalize()


def _rotate(block: bytes, octets: int) -> bytes:
    return block[octets:] + block[:octets]


def opc_from_op(k: Secret, op: Secret) -> Secret:
    """OPc = OP xor E_K(OP), 16 octets (clause 4.1).

    Raises:
        CredentialError: K or OP is not 16 octets long.
    """
    require_length("K", k, KEY_OCTETS)
    require_length("OP", op, KEY_OCTETS)
    return Secret(xor(op.reveal(), _encrypt(k, op.reveal())))


@dataclass(frozen=True, slots=True)
class Milenage:
    """MILENAGE with one subscriber's keys.

    Attributes:
        k: The subscriber key K, 16 octets.
        opc: The operator variant OPc, 16 octets.
    """

    k: Secret = field(repr=False)
    opc: Secret = field(repr=False)

    def __post_init__(self) -> None:
        require_length("K", self.k, KEY_OCTETS)
        require_length("OPc", self.opc, KEY_OCTETS)

    def f1(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """MAC-A: the first half of OUT1."""
        return self._out1(rand, sqn, amf)[:MAC_OCTETS]

    def f1_star(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """MAC-S: the second half of OUT1."""
        return self._out1(rand, sqn, amf)[MAC_OCTETS:]

    def f2345(self, rand: bytes) -> AkaOutputs:
        """RES (8 octets) and AK from OUT2, CK from OUT3, IK from OUT4."""
        temp = self._temp(rand)
        out2 = self._out(temp, _OUT2)
        return AkaOutputs(
            res=Secret(out2[8:]),
            ck=Secret(self._out(temp, _OUT3)),
            ik=Secret(self._out(temp, _OUT4)),
            ak=out2[:AK_OCTETS],
        )

    def f5_star(self, rand: bytes) -> bytes:
        """AK*: the first 6 octets of OUT5."""
        return self._out(self._temp(rand), _OUT5)[:AK_OCTETS]

    def _temp(self, rand: bytes) -> bytes:
        require_length("RAND", rand, RAND_OCTETS)
        return _encrypt(self.k, xor(rand, self.opc.reveal()))

    def _out1(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        require_length("SQN", sqn, SQN_OCTETS)
        require_length("AMF", amf, AMF_OCTETS)
        opc = self.opc.reveal()
        in1 = (sqn + amf) * 2
        # c1 is zero, so nothing is added after the rotation.
        block = xor(self._temp(rand), _rotate(xor(in1, opc), _R1_OCTETS))
        return xor(_encrypt(self.k, block), opc)

    def _out(self, temp: bytes, parameters: tuple[int, int]) -> bytes:
        rotation, constant = parameters
        opc = self.opc.reveal()
        block = bytearray(_rotate(xor(temp, opc), rotation))
        block[-1] ^= constant
        return xor(_encrypt(self.k, bytes(block)), opc)

"""Identifiers and keys of a bootstrapping: IMPI, B-TID, Ks, NAF_Id, Ks_NAF (TS 33.220 clause 4.5, Annex B).

Pure functions from octets to octets. Which cipher suite has which code is known to the TLS floor, not here.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Self

from ..credentials import Secret
from ..errors import CredentialError, IdentifierError
from ..identifiers import Fqdn, KeyIdentifier
from ..texts import nfkc, shown
from .algorithm import RAND_OCTETS, require_length

UA_SECURITY_PROTOCOL_OCTETS = 5
"""Length of a Ua security protocol identifier (Annex H.1)."""

KS_OCTETS = 32
"""Length of Ks = CK || IK."""

IMPI_MAX_OCTETS = 255

_FC_NAF_KEY = b"\x01"
_P0_GBA_ME = b"gba-me"
_P0_GBA_U = b"gba-u"
_TLS_PSK = b"\x01\x00\x01"

# The local part of a network access identifier (RFC 4282). No colon, quote or backslash: the IMPI is also
# the user name of HTTP Digest, where a colon would make A1 ambiguous.
_NAI_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")


@dataclass(frozen=True, slots=True)
class Impi:
    """IP Multimedia Private Identity: ``user@realm``, 255 octets at most (TS 23.003 clause 13.3).

    Kept exactly as given, because the key derivation takes its octets; two spellings are two identities.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an IMPI.

        Raises:
            IdentifierError: Not of the form ``user@realm``, or longer than 255 octets.
        """
        normal = nfkc(text)
        local, at, realm = normal.rpartition("@")
        if not at or len(normal) > IMPI_MAX_OCTETS or not normal.isascii() or not _NAI_LOCAL.fullmatch(local):
            raise IdentifierError(f"{shown(text)} is not an IMPI: user@realm is expected")
        Fqdn.parse(realm)
        return cls(normal)

    def __str__(self) -> str:
        return self.text


class KeyChoice(enum.Enum):
    """Which key a NAF and the UE share (TS 33.220 clauses 4.5.3 and 5.3.3)."""

    KS_NAF = "Ks_NAF"
    """GBA_ME: the keys of the bootstrapping live in the ME."""
    KS_EXT_NAF = "Ks_ext_NAF"
    """GBA_U: the key that the UICC gives to the ME."""
    KS_INT_NAF = "Ks_int_NAF"
    """GBA_U: the key that never leaves the UICC."""

    @property
    def is_gba_u(self) -> bool:
        """Whether it needs a bootstrapping on the UICC."""
        return self is not KeyChoice.KS_NAF

    @property
    def is_of_uicc(self) -> bool:
        """Whether it never leaves the UICC."""
        return self is KeyChoice.KS_INT_NAF


def ks_of(ck: Secret, ik: Secret) -> Secret:
    """Ks = CK || IK, 32 octets (clause 4.5.2). In the bootstrap framework this is Ke (TS-0003 8.3.2.3).

    Raises:
        CredentialError: CK or IK is not 16 octets long.
    """
    require_length("CK", ck, 16)
    require_length("IK", ik, 16)
    return Secret(ck.reveal() + ik.reveal())


def b_tid_of(rand: bytes, bsf: Fqdn) -> KeyIdentifier:
    """B-TID = base64(RAND)@BSF-FQDN (clause 4.5.2); write its ``base64`` form on the wire.

    Raises:
        IdentifierError: RAND is not 16 octets long.
    """
    return KeyIdentifier.from_octets(rand, bsf)


def ua_security_protocol(cipher_suite_code: int) -> bytes:
    """The Ua security protocol identifier of TLS-PSK with this cipher suite: 5 octets (Annex H.3).

    Args:
        cipher_suite_code: The suite's number in TLS, 0 to 65535 (0x00AE for PSK with AES-128-CBC-SHA256).

    Raises:
        CredentialError: The code does not fit two octets.
    """
    if not 0 <= cipher_suite_code <= 0xFFFF:
        raise CredentialError("the code of a cipher suite has two octets")
    return _TLS_PSK + cipher_suite_code.to_bytes(2)


def naf_id(naf: Fqdn, ua_security_protocol_id: bytes) -> bytes:
    """NAF_Id = NAF-FQDN || Ua security protocol identifier (clause 4.5.2), the FQDN in its DNS (ASCII) form.

    Raises:
        CredentialError: The protocol identifier is not 5 octets long.
    """
    require_length("a Ua security protocol identifier", ua_security_protocol_id, UA_SECURITY_PROTOCOL_OCTETS)
    return naf.ascii.encode("ascii") + ua_security_protocol_id


def kdf(key: Secret, fc: bytes, *parameters: bytes) -> Secret:
    """The generic key derivation function, 32 octets (Annex B.2).

    HMAC-SHA-256(key, S) with S = FC || P0 || L0 || P1 || L1 …, each length two octets, big-endian.

    Raises:
        CredentialError: FC is neither one octet nor two beginning with 0xFF, or a parameter is too long.
    """
    if not (len(fc) == 1 or (len(fc) == 2 and fc[0] == 0xFF)):
        raise CredentialError("FC is one octet, or two of which the first is 0xFF")
    if any(len(parameter) > 0xFFFF for parameter in parameters):
        raise CredentialError("a parameter of the key derivation has at most 65535 octets")
    s = fc + b"".join(parameter + len(parameter).to_bytes(2) for parameter in parameters)
    return Secret(hmac.new(key.reveal(), s, hashlib.sha256).digest())


def ks_ext_naf(ks: Secret, *, rand: bytes, impi: Impi, naf_id: bytes) -> Secret:
    """Ks_ext_NAF = KDF(Ks, "gba-me", RAND, IMPI, NAF_Id), 32 octets (Annex B.3).

    Args:
        ks: Ks, 32 octets.
        rand: The RAND of the bootstrapping, 16 octets.
        impi: The subscriber's private identity.
        naf_id: See ``naf_id``.

    Raises:
        CredentialError: Ks or RAND has the wrong length.
    """
    return _naf_key(_P0_GBA_ME, ks, rand, impi, naf_id)


def ks_naf(ks: Secret, *, rand: bytes, impi: Impi, naf_id: bytes) -> Secret:
    """Ks_NAF of GBA_ME, 32 octets: the same derivation as Ks_ext_NAF (Annex B.3)."""
    return ks_ext_naf(ks, rand=rand, impi=impi, naf_id=naf_id)


def ks_int_naf(ks: Secret, *, rand: bytes, impi: Impi, naf_id: bytes) -> Secret:
    """Ks_int_NAF = KDF(Ks, "gba-u", RAND, IMPI, NAF_Id), 32 octets (Annex B.3); arguments as ks_ext_naf."""
    return _naf_key(_P0_GBA_U, ks, rand, impi, naf_id)


def naf_key(choice: KeyChoice, ks: Secret, *, rand: bytes, impi: Impi, naf_id: bytes) -> Secret:
    """The key that this choice names, 32 octets; arguments as ks_ext_naf."""
    derive = ks_int_naf if choice is KeyChoice.KS_INT_NAF else ks_ext_naf
    return derive(ks, rand=rand, impi=impi, naf_id=naf_id)


def _naf_key(p0: bytes, ks: Secret, rand: bytes, impi: Impi, naf_id: bytes) -> Secret:
    require_length("Ks", ks, KS_OCTETS)
    require_length("RAND", rand, RAND_OCTETS)
    return kdf(ks, _FC_NAF_KEY, p0, rand, impi.text.encode("utf-8"), naf_id)

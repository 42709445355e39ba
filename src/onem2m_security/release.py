"""What differs between Release 1 and Release 3, and every constant that neither fixes (marked OURS).

Release 1 is the 2014-2016 contributions to TS-0003; Release 3 is the published TS-0003 V3.18.0. This module
holds values only: change one here and it changes everywhere.
"""

from __future__ import annotations

import enum
from typing import Final, Self

from .errors import ConfigurationError
from .identifiers import KeyIdentifier


class Release(enum.Enum):
    """The profile that an entity follows. A server accepts the identifiers of both."""

    R1 = 1
    R3 = 3

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``1`` or ``3``.

        Raises:
            ConfigurationError: It is neither.
        """
        try:
            return cls(int(text))
        except ValueError:
            raise ConfigurationError(f"{text[:20]!r} is not a release: 1 or 3 is expected") from None

    def wire(self, key_id: KeyIdentifier) -> str:
        """KeId or KcId as this release writes it: base64 (10.3.4, Release 1) or hexBinary (Release 3)."""
        return key_id.base64 if self is Release.R1 else key_id.hex


DEFAULT_RELEASE: Final = Release.R1

# --- key derivation ---

KM_ID_DERIVATION: Final = b"oneM2M Master Credential Identifier derivation"
"""OURS: the clause 9.1 to which 8.3.1.2 refers was never published; see keys.km_id_of."""

# --- wire form of the requests to a MAF and an MEF: OURS until TS-0032 is at hand ---
# Resource names are the standard's; the paths, short names and type numbers below are this project's.

MAF_BASE: Final = "/maf"
"""OURS: path of <MAFBase> on the MAF's authority."""
MEF_BASE: Final = "/mef"
"""OURS: path of <MEFBase> on the MEF's authority."""
SYMM_KEY_REG: Final = "symmKeyReg"
"""OURS: path segment under the base: ``/maf/symmKeyReg/<RelativeKeyID>``."""
CLIENT_REG: Final = "clientReg"
"""OURS: path segment under the base: ``/maf/clientReg/<ClientRegID>`` (mafClientReg, mefClientReg)."""
ZN_BASE: Final = "/zn"
"""OURS: path of the reference point Zn on the BSF's authority, in its form over oneM2M primitives."""
BOOTSTRAPPING_INFO: Final = "bootstrappingInfo"
"""OURS: path segment under it: ``/zn/bootstrappingInfo/<B-TID>/<NAF-FQDN>/<Ua protocol in hex>``."""
FETCH_CREDENTIALS: Final = "/fetchCredentials"
"""TS-0003 clause 8.3.2.1, step e: ``/fetchCredentials/<KeID>/<SUID>``."""

RESOURCE_NAME_SYMM_KEY_REG: Final = "sec:skr"
RESOURCE_NAME_MAF_CLIENT_REG: Final = "sec:mafcr"
RESOURCE_NAME_MEF_CLIENT_REG: Final = "sec:mefcr"
RESOURCE_NAME_BOOTSTRAPPING_INFO: Final = "gba:bi"
RESOURCE_TYPE_SYMM_KEY_REG: Final = 10001
RESOURCE_TYPE_MAF_CLIENT_REG: Final = 10002
RESOURCE_TYPE_MEF_CLIENT_REG: Final = 10003

SHORT_NAMES: Final = {
    "expirationTime": "et",
    "labels": "lbl",
    "adminFQDN": "adfq",
    "fqdn": "fq",
    "SUID": "suid",
    "targetIDs": "tgis",
    "keyValue": "kv",
    "relativeKeyID": "rkid",
    "sourceID": "src",
    "clientRegID": "crid",
    "clientID": "cid",
    "assignedSymmKeyID": "aski",
    "keyType": "kty",
    "bootstrapTime": "bt",
}
"""OURS: attribute name to short name."""

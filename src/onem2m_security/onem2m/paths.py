"""Where each resource is: the segments of its path on the function's authority, without slashes.

The names of the resources are TS-0003's. How they lie under <MAFBase> and <MEFBase> is said in TS-0032: until
it is at hand, the paths are OURS (docs/ours.md). Identifiers follow as further segments.
"""

from __future__ import annotations

from typing import Final

MAF_BASE: Final = ("maf",)
"""OURS: <MAFBase>."""
MEF_BASE: Final = ("mef",)
"""OURS: <MEFBase>."""
MAF_SYMM_KEY_REG: Final = ("maf", "symmKeyReg")
"""OURS: ``/maf/symmKeyReg/<RelativeKeyID>``."""
MEF_SYMM_KEY_REG: Final = ("mef", "symmKeyReg")
"""OURS: ``/mef/symmKeyReg/<RelativeKeyID>``."""
MAF_CLIENT_REG: Final = ("maf", "clientReg")
"""OURS: ``/maf/clientReg/<mafClientRegID>``."""
MEF_CLIENT_REG: Final = ("mef", "clientReg")
"""OURS: ``/mef/clientReg/<mefClientRegID>``."""
MEF_CLIENT_CMD: Final = "mefClientCmd"
"""OURS: ``/mef/clientReg/<mefClientRegID>/mefClientCmd``."""
FETCH_CREDENTIALS: Final = ("fetchCredentials",)
"""TS-0003 clause 8.3.2.1, step e: ``/fetchCredentials/<KeID>/<SUID>``."""
BOOTSTRAPPING_INFO: Final = ("zn", "bootstrappingInfo")
"""OURS: Zn as request primitives: ``/zn/bootstrappingInfo/<B-TID>/<NAF-FQDN>/<Ua protocol in hex>``."""

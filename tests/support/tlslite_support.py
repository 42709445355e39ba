"""tlslite-ng, with one of its mistakes mended where it only reads: what it sends stays as it is.

As a TLS 1.2 client it gives up on a server that asks for no RSA signature, whatever its own key is. Servers
here ask for ECDSA alone (TS-0003 clause 10.1.1), so the message gets an RSA algorithm after it was read.
"""

from __future__ import annotations

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore where there still is one
    from tlslite.constants import HashAlgorithm, SignatureAlgorithm
    from tlslite.messages import CertificateRequest

_parse = CertificateRequest.parse


def _parse_and_add_rsa(self: CertificateRequest, parser: Any) -> CertificateRequest:
    message = _parse(self, parser)
    rsa = (HashAlgorithm.sha256, SignatureAlgorithm.rsa)
    message.supported_signature_algs = [*message.supported_signature_algs, rsa]
    return message


CertificateRequest.parse = _parse_and_add_rsa

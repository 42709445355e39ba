"""A fixture for tests of verdicts: each is asked for from the beginning, and twice of whoever remembers."""

from __future__ import annotations

import pytest

from onem2m_security.certificates.kept import Kept
from onem2m_security.certificates.path import PathValidator
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import CertificateRejectedError


def _told(verdict):
    is_refusal = isinstance(verdict, CertificateRejectedError)
    return (verdict.alert, str(verdict)) if is_refusal else verdict


@pytest.fixture(scope="module")
def in_every_way():
    """Whatever is remembered, the verdict is the one that is found from the beginning."""
    verify = PeerVerifier.verify

    def verdict(verifier, *arguments, **more):
        try:
            return verify(verifier, *arguments, **more)
        except CertificateRejectedError as rejection:
            return rejection

    def verify_in_every_way(verifier, *arguments, **more):
        kept = verifier._accepted, verifier._issuers
        verifier._accepted, verifier._issuers = Kept(0), Kept(0)
        with pytest.MonkeyPatch.context() as forgetful:
            forgetful.setattr(PathValidator, "_by_known_authorities", lambda *_: None)
            from_the_beginning = verdict(verifier, *arguments, **more)
        verifier._accepted, verifier._issuers = kept
        for _ in range(2):
            found = verdict(verifier, *arguments, **more)
            assert _told(found) == _told(from_the_beginning)
        if isinstance(found, CertificateRejectedError):
            raise found
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PeerVerifier, "verify", verify_in_every_way)
        yield

"""A client takes one value for how it proves itself, whichever framework made that."""

from __future__ import annotations

import inspect

import pytest

from onem2m_security import Enrolee, Fqdn, MafClient, MefClient, NafClient
from onem2m_security.clients.at_mef import AtMef
from onem2m_security.clients.card_enrolee import CardEnrolee
from onem2m_security.clients.enrolment_exchange import Bootstrap


@pytest.mark.parametrize("client", [Enrolee, CardEnrolee, Bootstrap, MafClient, MefClient, NafClient])
def test_no_client_takes_a_credential_of_one_framework_or_another(client):
    kinds = {str(one.annotation) for one in inspect.signature(client).parameters.values()}
    assert not kinds & {
        "KeyIdentifier | None",
        "Initiator | None",
        "Secret | None",
        "LocalCertificate | None",
    }


def test_an_mef_may_be_known_before_how_we_prove_ourselves_to_it():
    at_mef = AtMef(mef=Fqdn("mef.example.com"))
    assert (at_mef.initiator, at_mef.link, at_mef.ends, at_mef.parent) == (None, None, None, None)

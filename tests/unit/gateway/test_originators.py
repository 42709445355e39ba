"""What an agent does about the From of the requests that it carries."""

from __future__ import annotations

import pytest

from onem2m_security.errors import ConfigurationError
from onem2m_security.gateway.originators import OriginatorRule, Originators
from onem2m_security.identifiers import EntityId
from onem2m_security.onem2m.carried import CarriedRequest
from onem2m_security.onem2m.primitives import Operation, RefusedError, Rsc

AE, CSE = EntityId("//sp.example/in-cse/Csensor"), EntityId("//sp.example/in-cse")
MN = EntityId("//sp.example/mn-cse")


def request(
    originator: str, operation: Operation = Operation.RETRIEVE, ty: int | None = None
) -> CarriedRequest:
    return CarriedRequest(operation, "cse-in", "1", originator=originator, resource_type=ty)


def carried(rule: OriginatorRule | None, *asked, local: EntityId = AE) -> str:
    return Originators.of(rule, local, CSE).applied(request(*asked)).originator


@pytest.mark.parametrize(
    ("local", "registrar", "name"),
    [
        ("//sp.example/in-cse/Csensor", "//sp.example/in-cse", "Csensor"),
        ("/in-cse/Csensor", "/in-cse", "Csensor"),
        ("/in-cse/Csensor", "//sp.example/in-cse", "Csensor"),
        ("Csensor", "/in-cse", "Csensor"),
        ("/Ssensor", "/in-cse", "/Ssensor"),
        ("//sp.example/other/Csensor", "//sp.example/in-cse", "//sp.example/other/Csensor"),
        ("/in-cse-2/Csensor", "/in-cse", "/in-cse-2/Csensor"),
    ],
)
def test_an_ae_is_called_as_its_registrar_calls_it(local, registrar, name):
    rule = Originators.of(None, EntityId.parse(local), EntityId.parse(registrar))
    assert rule.applied(request("")).originator == name


@pytest.mark.parametrize("said", ["Csensor", "Cother", "C", "//sp.example/in-cse/Cother"])
def test_what_is_said_is_passed_on_unless_somebody_insists(said):
    assert carried(OriginatorRule.FILL, said) == said
    assert carried(OriginatorRule.PASS, said) == said


def test_nothing_is_filled_in_where_from_is_passed_as_it_is():
    assert carried(OriginatorRule.PASS, "") == ""


@pytest.mark.parametrize("said", ["Csensor", "/in-cse/Csensor", "//sp.example/in-cse/Csensor"])
def test_whoever_insists_takes_every_form_of_the_one_identity(said):
    assert carried(OriginatorRule.INSIST, said) == said


@pytest.mark.parametrize(
    "said",
    [
        "Cother",
        "csensor",
        "/other-cse/Csensor",
        "//sp.example/in-cse",
        "C",
        "S",
        "Csensor ",
        "a b",
        "//SP.example/in-cse/Csensor",
    ],
)  # fmt: skip
def test_whoever_insists_refuses_everybody_else(said):
    with pytest.raises(RefusedError) as refused:
        carried(OriginatorRule.INSIST, said)
    assert refused.value.rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED


@pytest.mark.parametrize("said", ["C", "S"])
def test_a_registration_may_leave_the_name_to_the_registrar(said):
    assert carried(OriginatorRule.INSIST, said, Operation.CREATE, 2) == said
    with pytest.raises(RefusedError):
        carried(OriginatorRule.INSIST, said, Operation.CREATE, 3)


def test_a_cse_forwards_the_requests_of_others():
    assert carried(None, "Cother", local=MN) == "Cother"
    assert carried(None, "", local=MN) == ""
    with pytest.raises(ConfigurationError, match="forwards the requests of others"):
        Originators.of(OriginatorRule.INSIST, MN, CSE)

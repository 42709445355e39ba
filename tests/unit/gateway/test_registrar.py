"""The registrar's check, in each form of From, for AEs, nodes, unknown credentials and CSEs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onem2m_security.association import Association, Role
from onem2m_security.credentials import Framework
from onem2m_security.gateway.assigned import CreatedAe
from onem2m_security.gateway.bound import BoundAeIds
from onem2m_security.gateway.registrar import Admitted, Registrar
from onem2m_security.identifiers import CredentialId, EntityId
from onem2m_security.onem2m.carried import CarriedRequest
from onem2m_security.onem2m.primitives import Operation, RefusedError, Rsc

CSE = EntityId.parse("//sp.example/in-cse")
AE = EntityId.parse("//sp.example/in-cse/Cae")
CREDENTIAL = CredentialId.parse("12-k@m.example")
OTHER = CredentialId.parse("12-other@m.example")
GET = CarriedRequest(Operation.RETRIEVE, "cse/x", "1")
REGISTER = CarriedRequest(Operation.CREATE, "cse", "1", resource_type=2)
FORMS = ["Cae", "/in-cse/Cae", "//sp.example/in-cse/Cae"]
IMPOSTORS = [
    "", "C", "S", "Cother", "CAdmin", "cae", "CAE", "Cae ", " Cae", "Cae/", "Cae,CAdmin", "Cae, Cae", "C%61e",
    "%43ae", "Cae%00", "/in-cse/Cother", "/other/Cae", "//sp.example/in-cse/Cother", "/in-cse/cae",
    "//other.example/in-cse/Cae", "//SP.example/in-cse/Cae", "//sp.example./in-cse/Cae", "/in-cse",
    "//sp.example/in-cse", "\uff23ae", "/~/in-cse/Cae", "Sae", "in-cse/Cae", "C" * 300, "*",
]  # fmt: skip


def association(peer: EntityId | None, *, allowed: tuple[EntityId, ...] = ()) -> Association:
    return Association(
        Role.ENTITY_B,
        Framework.SAEF_PSK,
        CSE,
        peer,
        CREDENTIAL,
        "PSK-AES128-CBC-SHA256",
        "TLSv1.2",
        allowed_ae_ids=allowed,
    )


def registrar(bound: BoundAeIds | None = None, **more) -> Registrar:
    return Registrar(CSE, BoundAeIds() if bound is None else bound, **more)


def refused(work) -> Rsc:
    with pytest.raises(RefusedError) as caught:
        work()
    return caught.value.rsc


@pytest.mark.parametrize("peer", ["//sp.example/in-cse/Cae", "/in-cse/Cae", "Cae"])
@pytest.mark.parametrize("originator", FORMS)
@pytest.mark.parametrize(
    "asked", [GET, replace(GET, operation=Operation.NOTIFY), replace(REGISTER, resource_type=3)]
)
def test_an_ae_is_itself_in_each_form_of_its_identity(peer, originator, asked):
    admitted = registrar().admit(replace(asked, originator=originator), association(EntityId.parse(peer)))
    assert admitted is Admitted.AS_IT_IS


@pytest.mark.parametrize("originator", IMPOSTORS)
@pytest.mark.parametrize(
    "asked", [GET, replace(REGISTER, resource_type=3), replace(REGISTER, to="/other/cse")]
)
def test_an_ae_is_nobody_else_in_any_form(originator, asked):
    asked = replace(asked, originator=originator)
    check = registrar()
    assert refused(lambda: check.admit(asked, association(AE))) is Rsc.ORIGINATOR_NOT_AUTHENTICATED
    assert refused(lambda: check.admit(asked, association(None))) is Rsc.ORIGINATOR_NOT_AUTHENTICATED


@pytest.mark.parametrize("originator", ["", "C", "S", *FORMS])
@pytest.mark.parametrize("to", ["cse", "/in-cse/cse", "/in-cse", "//sp.example/in-cse/cse", "-"])
def test_a_registration_may_leave_the_ae_id_to_the_cse(originator, to):
    asked = replace(REGISTER, originator=originator, to=to)
    assert registrar().admit(asked, association(AE)) is Admitted.ASSIGNS


@pytest.mark.parametrize("originator", [one for one in IMPOSTORS if one not in {"", "C", "S"}])
def test_a_registration_names_no_other_ae_than_the_proven_one(originator):
    asked = replace(REGISTER, originator=originator)
    check = registrar()
    assert refused(lambda: check.admit(asked, association(AE))) is Rsc.ORIGINATOR_NOT_AUTHENTICATED


def test_an_answer_that_assigns_the_proven_ae_id_is_passed_on_and_binds_nothing():
    for aei in FORMS:
        assert registrar().assigned(REGISTER, CreatedAe(EntityId.parse(aei)), association(AE)) is None


@pytest.mark.parametrize("aei", ["Cother", "/other/Cae", "Sae"])
def test_an_answer_that_assigns_another_ae_id_than_the_proven_one_is_not_passed_on(aei):
    created = CreatedAe(EntityId.parse(aei))
    check = registrar()
    assert (
        refused(lambda: check.assigned(REGISTER, created, association(AE)))
        is Rsc.ORIGINATOR_NOT_AUTHENTICATED
    )


def test_a_node_acts_for_the_aes_of_its_list_and_for_no_other():
    node = association(None, allowed=(AE, EntityId.parse("/in-cse/Csecond")))
    for originator in [*FORMS, "Csecond", "/in-cse/Csecond"]:
        assert registrar().admit(replace(GET, originator=originator), node) is Admitted.AS_IT_IS
    check = registrar()
    for originator in ["Cthird", "/in-cse", "C", ""]:
        assert refused(lambda: check.admit(replace(GET, originator=originator), node)) is (  # noqa: B023
            Rsc.ORIGINATOR_NOT_AUTHENTICATED
        )
    assert check.admit(replace(REGISTER, originator="C"), node) is Admitted.ASSIGNS
    assert check.assigned(REGISTER, CreatedAe(EntityId.parse("Csecond")), node) is None
    assert refused(lambda: check.assigned(REGISTER, CreatedAe(EntityId.parse("Cthird")), node)) is (
        Rsc.ORIGINATOR_NOT_AUTHENTICATED
    )


async def test_an_assigned_ae_id_belongs_to_the_credential_from_then_on():
    bound = BoundAeIds()
    check, unknown = registrar(bound), association(None)
    assert check.admit(replace(REGISTER, originator="C"), unknown) is Admitted.ASSIGNS
    assignment = check.assigned(REGISTER, CreatedAe(EntityId.parse("Cnew")), unknown)
    assert (assignment.credential_id, assignment.ae_id) == (
        CREDENTIAL,
        EntityId.parse("//sp.example/in-cse/Cnew"),
    )
    await bound.bind(assignment.credential_id, assignment.ae_id)
    for originator in ["Cnew", "/in-cse/Cnew", "//sp.example/in-cse/Cnew"]:
        assert check.admit(replace(GET, originator=originator), unknown) is Admitted.AS_IT_IS
    stranger = replace(unknown, credential_id=OTHER)
    for asked in (GET, REGISTER):
        assert refused(lambda: check.admit(replace(asked, originator="Cnew"), stranger)) is (  # noqa: B023
            Rsc.ORIGINATOR_NOT_AUTHENTICATED
        )


def test_an_unknown_credential_may_register_under_an_ae_id_that_is_nobodys():
    check = registrar(is_others=lambda ae_id: ae_id == AE)
    unknown = association(None)
    assert check.admit(replace(REGISTER, originator="Cfree"), unknown) is Admitted.ASSIGNS
    for originator in [
        "Cae",
        "/in-cse/Cae",
        "/other/Cfree",
        "/in-cse",
        "//sp.example/in-cse",
        "maf.example.com",
    ]:
        assert refused(lambda: check.admit(replace(REGISTER, originator=originator), unknown)) is (  # noqa: B023
            Rsc.ORIGINATOR_NOT_AUTHENTICATED
        )
    hidden = check.assigned(replace(REGISTER, originator="Cfree"), None, unknown)
    assert hidden.ae_id == EntityId.parse("//sp.example/in-cse/Cfree")


def test_who_shows_nothing_that_can_be_named_gets_nothing():
    nobody = replace(association(None), credential_id=None)
    check = registrar()
    for asked in (GET, replace(REGISTER, originator="Cfree"), replace(GET, originator="Cae")):
        assert refused(lambda: check.admit(asked, nobody)) is Rsc.ORIGINATOR_NOT_AUTHENTICATED  # noqa: B023
    assert refused(lambda: check.assigned(REGISTER, CreatedAe(EntityId.parse("Cx")), nobody)) is (
        Rsc.ORIGINATOR_NOT_AUTHENTICATED
    )


@pytest.mark.parametrize("query", ["rcn=0", "rcn=2", "rt=1", "rt=2", "rcn=1&rcn=0", "rcn=%30", "rt=3&rt=1"])
def test_a_registration_whose_answer_would_hide_the_ae_id_is_refused_before_the_cse_sees_it(query):
    asked = replace(REGISTER, originator="C", query=query)
    check = registrar()
    assert refused(lambda: check.admit(asked, association(None))) is Rsc.BAD_REQUEST
    assert check.admit(replace(asked, query="rcn=1&rt=3"), association(None)) is Admitted.ASSIGNS
    assert check.admit(replace(asked, originator="Cae"), association(AE)) is Admitted.ASSIGNS


def test_an_answer_that_does_not_say_which_ae_id_it_assigned_is_an_error():
    check = registrar()
    for originator in ["", "C", "S"]:
        asked = replace(REGISTER, originator=originator)
        assert refused(lambda: check.assigned(asked, None, association(None))) is Rsc.INTERNAL_SERVER_ERROR  # noqa: B023


MN = EntityId.parse("//sp.example/mn-cse")


@pytest.mark.parametrize("kind", ["preq+json", "preq+xml", "preq+cbor", "PREQ+json", "preq"])
def test_no_request_is_carried_inside_another_whose_from_was_looked_at(kind):
    check, content_type = registrar(), f"application/vnd.onem2m-{kind}"
    for peer, originator in ((AE, "Cae"), (MN, "/mn-cse")):
        for operation in Operation:
            asked = replace(GET, operation=operation, originator=originator, content_type=content_type)
            assert refused(lambda: check.admit(asked, association(peer))) is (  # noqa: B023
                Rsc.UNSUPPORTED_MEDIA_TYPE
            )
    for other in ("ntfy+json", "res+cbor", "prsp+json"):
        asked = replace(GET, originator="Cae", content_type=f"application/vnd.onem2m-{other}")
        assert check.admit(asked, association(AE)) is Admitted.AS_IT_IS


@pytest.mark.parametrize(
    "originator",
    [
        "/mn-cse",
        "//sp.example/mn-cse",
        "/mn-cse/Cfar",
        "/other/Cfar",
        "//far.example/cse/Cx",
        "Ssensor",
        "/Ssensor",
    ],
)
def test_a_cse_passes_on_what_others_ask(originator):
    for asked in (GET, replace(REGISTER, to="/in-cse/cse", resource_type=16)):
        assert registrar().admit(replace(asked, originator=originator), association(MN)) is Admitted.AS_IT_IS


@pytest.mark.parametrize(
    "originator",
    [
        *["", "C", "CAdmin", "Cae", "/in-cse", "/in-cse/Cae", "//sp.example/in-cse"],
        *["//sp.example/in-cse/CAdmin", "/mn-2", "/mn-2/Cx", "//sp.example/mn-2/Cx", "/MN-CSE/../in-cse"],
        "a b",
    ],
)
def test_a_cse_speaks_neither_for_our_own_aes_nor_for_another_registree(originator):
    check = registrar(registrees=[MN, EntityId.parse("/mn-2")])
    asked = replace(GET, originator=originator)
    assert refused(lambda: check.admit(asked, association(MN))) is Rsc.ORIGINATOR_NOT_AUTHENTICATED


async def test_a_cse_does_not_speak_for_an_ae_of_ours_whose_id_the_service_provider_gave():
    bound, asked = BoundAeIds(), replace(GET, originator="Sae")
    check = registrar(bound)
    assignment = check.assigned(REGISTER, CreatedAe(EntityId.parse("Sae")), association(None))
    assert check.admit(asked, association(MN)) is Admitted.AS_IT_IS
    await bound.bind(assignment.credential_id, assignment.ae_id)
    assert refused(lambda: check.admit(asked, association(MN))) is Rsc.ORIGINATOR_NOT_AUTHENTICATED

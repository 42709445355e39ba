"""ESCertKE in NOTIFY primitives: the Content in both forms, refusals on their way back, bad input."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escertke_support import Party
from logged import capture_logs
from onem2m_security.errors import KeyEstablishmentError, PeerRefusedError, StoreUnavailableError
from onem2m_security.escertke.end_points import InitiatingEndPoint, PairwiseE2EKey
from onem2m_security.escertke.exchanges import TerminatingExchanges
from onem2m_security.escertke.messages import MESSAGE_MAX_OCTETS
from onem2m_security.escertke.notifications import (
    EscertkeNotifications,
    NotificationForm,
    escertke_message,
    establish,
    notification,
    security_info,
)
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc

A = Party.named("/cse1/Ca")
B = Party.named("/cse2/Cb")
C = Party.named("/cse3/Cc")


class Terminating:
    """The terminating AE, with the keys that it was told to keep."""

    def __init__(self, *, may_initiate: Party = A, store_fails: bool = False) -> None:
        self.keys: list[PairwiseE2EKey] = []
        self.requests: list[Mapping[str, Any]] = []
        self.store_fails = store_fails
        self.exchanges = TerminatingExchanges(B.terminates_for(may_initiate))
        self.notifications = EscertkeNotifications(self.exchanges, self.keep)

    async def keep(self, key: PairwiseE2EKey) -> None:
        if self.store_fails:
            raise StoreUnavailableError("the database is locked")
        self.keys.append(key)

    async def notify(self, content: Mapping[str, Any]) -> Response:
        """What a transport and the CSEs between do."""
        self.requests.append(copy.deepcopy(content))
        return await self.notifications.handle(
            Request(Operation.NOTIFY, ("Cb",), "/cse1/Ca", "1", copy.deepcopy(content))
        )


def initiating() -> InitiatingEndPoint:
    return InitiatingEndPoint(A.initiates_with(B))


@pytest.mark.parametrize("form", NotificationForm)
async def test_two_notify_procedures_give_both_ends_the_key(form):
    terminating = Terminating()
    key = await establish(initiating(), terminating.notify, form=form)
    assert [held.key for held in terminating.keys] == [key.key]
    assert len(terminating.requests) == 2
    assert len(terminating.exchanges) == 0


def test_the_content_is_the_securityinfo_of_ts_0004():
    """Short names: TS-0004 tables 8.2.5-1 and 8.2.5-2 (seci, sit, eckm); type 6: table 6.3.4.2.35-1."""
    assert notification(b"\x16\x03") == {"m2m:seci": {"sit": 6, "eckm": "FgM="}}
    assert security_info(b"\x16\x03") == {"m2m:seci": {"sit": 6, "eckm": "FgM="}}
    wrapped = notification(b"\x16\x03", NotificationForm.SINGLE_NOTIFICATION)
    assert wrapped["m2m:sgn"]["nev"]["rep"] == security_info(b"\x16\x03")


@given(message=st.binary(max_size=500), form=st.sampled_from(NotificationForm))
def test_a_message_comes_out_as_it_went_in(message, form):
    assert escertke_message(notification(message, form)) == message


def test_line_breaks_in_base64_are_allowed():
    assert escertke_message({"m2m:seci": {"sit": 6, "eckm": " Fg\n M=\r\n"}}) == b"\x16\x03"


@pytest.mark.parametrize(
    "content",
    [
        None,
        "text",
        [],
        {},
        {"m2m:seci": None},
        {"m2m:seci": {"sit": 6}},
        {"m2m:seci": {"eckm": "FgM="}},
        {"m2m:seci": {"sit": 5, "eckm": "FgM="}},
        {"m2m:seci": {"sit": "6", "eckm": "FgM="}},
        {"m2m:seci": {"sit": 6.0, "eckm": "FgM="}},
        {"m2m:seci": {"sit": 6, "eckm": 7}},
        {"m2m:seci": {"sit": 6, "eckm": "FgM"}},
        {"m2m:seci": {"sit": 6, "eckm": "Fg-_"}},
        {"m2m:seci": {"sit": 6, "eckm": "é"}},
        {"m2m:seci": {"sit": 6, "eckm": base64.b64encode(bytes(2 * MESSAGE_MAX_OCTETS)).decode()}},
        {"m2m:sgn": {"nev": []}},
        {"m2m:sgn": {"nev": {"rep": {"m2m:cin": {"con": "x"}}}}},
    ],
)
async def test_a_content_without_an_escertke_message_is_a_bad_request(content):
    with pytest.raises(RefusedError) as refused:
        escertke_message(content)
    assert refused.value.rsc is Rsc.BAD_REQUEST
    terminating = Terminating()
    response = await terminating.notifications.handle(Request(Operation.NOTIFY, (), "/cse1/Ca", "1", content))
    assert response.rsc is Rsc.BAD_REQUEST
    assert len(terminating.exchanges) == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["m2m:seci", "m2m:sgn", "nev", "rep", "sit", "eckm"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_either_a_message_or_refused(content):
    try:
        message = escertke_message(content)
    except RefusedError:
        return
    assert isinstance(message, bytes)


async def test_other_operations_and_a_missing_originator_are_refused():
    notifications = Terminating().notifications
    content = notification(initiating().start())
    created = await notifications.handle(Request(Operation.CREATE, (), "/cse1/Ca", "1", content))
    assert created.rsc is Rsc.OPERATION_NOT_ALLOWED
    anonymous = await notifications.handle(Request(Operation.NOTIFY, (), "", "1", content))
    assert anonymous.rsc is Rsc.BAD_REQUEST


async def test_the_initiator_learns_why_its_certificate_was_refused():
    terminating = Terminating(may_initiate=C)
    with pytest.raises(KeyEstablishmentError, match="the peer ended the exchange with unknown_ca"):
        await establish(initiating(), terminating.notify)
    assert terminating.keys == []
    assert len(terminating.exchanges) == 0


async def test_the_terminating_end_point_learns_that_it_was_refused():
    """But an alert in the clear may be anybody's: the half-finished exchange waits for its time limit."""
    terminating = Terminating()
    with capture_logs() as lines, pytest.raises(KeyEstablishmentError):
        await establish(InitiatingEndPoint(A.initiates_with(C)), terminating.notify)
    assert len(terminating.requests) == 2
    assert "the peer ended the exchange with unknown_ca" in str(lines)
    assert len(terminating.exchanges) == 1


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x15\3\3\0\2\2\x28", b"\x16\3\3\0\1\x0b"])
async def test_junk_under_the_from_of_an_initiator_does_not_end_its_exchange(junk):
    terminating = Terminating()

    async def disturbed(content: Mapping[str, Any]) -> Response:
        response = await terminating.notify(content)
        if not terminating.keys:
            await terminating.notify(notification(junk))
            await terminating.notify(notification(initiating().start()))
        return response

    key = await establish(initiating(), disturbed)
    assert [held.key for held in terminating.keys] == [key.key]


async def test_a_refusal_that_cannot_be_delivered_does_not_hide_its_reason():
    terminating = Terminating()

    async def once(content: Mapping[str, Any]) -> Response:
        if terminating.requests:
            raise PeerRefusedError("the CSE is gone", rsc=5103)
        return await terminating.notify(content)

    with pytest.raises(KeyEstablishmentError, match="certificate was refused"):
        await establish(InitiatingEndPoint(A.initiates_with(C)), once)


async def test_a_key_that_cannot_be_kept_is_not_confirmed_to_the_initiator():
    terminating = Terminating(store_fails=True)
    end_point = initiating()
    with pytest.raises(PeerRefusedError, match="5000") as refused:
        await establish(end_point, terminating.notify)
    assert "locked" not in str(refused.value)
    with pytest.raises(KeyEstablishmentError, match="is over"):
        end_point.process(b"")


@pytest.mark.parametrize(
    "response",
    [
        Response(Rsc.TARGET_NOT_REACHABLE, {"m2m:dbg": "no point of access answers"}),
        Response(Rsc.OK, None),
        Response(Rsc.OK, {"m2m:seci": {"sit": 6, "eckm": "%"}}),
    ],
)
async def test_a_response_without_a_message_ends_the_exchange(response):
    end_point = initiating()

    async def notify(content: Mapping[str, Any]) -> Response:
        return response

    with pytest.raises(PeerRefusedError):
        await establish(end_point, notify)
    with pytest.raises(KeyEstablishmentError, match="is over"):
        end_point.process(b"")


async def test_a_late_message_after_the_end_is_answered_with_an_alert():
    terminating = Terminating()
    await establish(initiating(), terminating.notify)
    response = await terminating.notify(terminating.requests[1])
    assert escertke_message(response.content)[0] == 21

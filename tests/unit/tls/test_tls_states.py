"""The one table of a session's states, and that sessions follow it."""

from __future__ import annotations

import pytest

from onem2m_security.alerts import Alert
from onem2m_security.tls.states import TRANSITIONS, Cause, State
from tls_support import KEY, Pair, client, server

HALF_DONE = (State.HANDSHAKE, State.RESOLVING, State.WITHHOLDING)


def reachable(start: State) -> set[State]:
    found, look = set(), [start]
    while look:
        for state in TRANSITIONS[look.pop()].values():
            if state not in found:
                found.add(state)
                look.append(state)
    return found


def test_every_state_can_be_reached_and_can_end():
    assert reachable(State.HANDSHAKE) == set(State)
    assert {state for state in State if Cause.OVER not in TRANSITIONS[state]} == {State.ENDED}
    assert TRANSITIONS[State.ENDED] == {}


def test_an_alert_in_the_clear_ends_unfinished_handshakes_only():
    assert tuple(state for state in State if Cause.ABORTED in TRANSITIONS[state]) == HALF_DONE


def server_in(state: State):
    pair = Pair(client(), server())
    if state is State.RESOLVING:
        pair.b.receive(pair.a.data_to_send())
        pair.a.receive(pair.b.data_to_send())
        flight = pair.a.data_to_send()
        pair.b.receive(flight[: 5 + int.from_bytes(flight[3:5], "big")])  # the record with the identity
    elif state is State.WITHHOLDING:
        pair.run(release=False)
    elif state in {State.OPEN, State.ENDED}:
        pair.run()
    if state is State.ENDED:
        pair.b.close()
    assert pair.b.state is state
    return pair.b


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    ("cause", "move"),
    [
        (Cause.ANSWERED, lambda session: session.answer(KEY)),
        (Cause.RELEASED, lambda session: session.release()),
        (Cause.ABORTED, lambda session: session.abort(Alert.access_denied)),
        (Cause.OVER, lambda session: session.connection_lost()),
        (Cause.OVER, lambda session: session.close()),
    ],
    ids=["answer", "release", "abort", "connection lost", "close"],
)
def test_what_the_owner_does_moves_a_session_as_the_table_says_and_else_does_nothing(state, cause, move):
    session = server_in(state)
    move(session)
    assert session.state is TRANSITIONS[state].get(cause, state)


def test_a_session_belongs_to_whom_the_client_asked_for():
    chosen = server().endpoint
    pair = Pair(client(server_name="maf.example.com"), server(select=lambda _: chosen)).run()
    assert pair.b.owner is pair.b.endpoint is chosen

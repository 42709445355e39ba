"""The one table of alerts: numbers and names of the RFCs, what to do, and which refusal is which alert."""

from __future__ import annotations

import json
import pickle
import ssl

import pytest

from onem2m_security.alerts import SILENCE, Alert
from onem2m_security.errors import HandshakeError
from onem2m_security.tls.openssl_library import engine_error


def name(description):
    """As RFC 5246 has it, which writes canceled with one l."""
    return description.name.removeprefix("ALERT_DESCRIPTION_").lower().replace("cancelled", "canceled")


def test_the_numbers_are_those_of_the_standard_library():
    known = {name(alert): alert.value for alert in ssl.AlertDescription}
    assert known == {alert.name: alert.value for alert in Alert if alert.name in known}


@pytest.mark.parametrize("alert", Alert, ids=str)
def test_an_alert_is_shown_by_its_name_and_travels_as_its_number(alert):
    assert f"{alert}" == str(alert) == alert.name
    assert Alert.known(alert) is Alert(int(alert)) is alert
    assert bytes([alert]) == bytes([int(json.dumps(alert))])
    assert pickle.loads(pickle.dumps(alert)) is alert


def test_an_alert_that_nobody_defined_is_not_known():
    assert Alert.known(200) is None


def test_no_refusal_of_a_certificate_stands_for_two_alerts():
    errors = [error for alert in Alert for error in alert.x509_errors]
    assert len(errors) == len(set(errors))
    assert Alert.for_x509_error(10) is Alert.for_x509_error(9) is Alert.certificate_expired
    assert Alert.for_x509_error(999) is Alert.certificate_unknown


def test_over_dtls_the_alert_that_may_mean_silence_says_so():
    assert SILENCE in Alert.internal_error.described(datagram=True)
    assert SILENCE not in Alert.internal_error.described()
    assert Alert.record_overflow.described(datagram=True) == "record_overflow"


@pytest.mark.parametrize(
    ("reason", "alert"),
    [
        ("ssl/tls alert bad record mac", Alert.bad_record_mac),
        ("sslv3 alert handshake failure", Alert.handshake_failure),
        ("tlsv1 alert user cancelled", Alert.user_canceled),
        ("tlsv1 unrecognized name", Alert.unrecognized_name),
        ("tlsv1 alert no application protocol", Alert.no_application_protocol),
    ],
)
def test_what_the_engine_tells_of_the_peers_alert_is_that_alert(reason, alert):
    error = engine_error(["no shared cipher", reason])
    assert (error.alert, error.reason) == (alert, "no shared cipher")


def test_a_reason_of_the_engine_itself_is_no_alert_of_the_peer():
    assert engine_error(["no shared cipher", "tlsv1 no such alert"]).alert is None


def test_a_handshake_that_ended_with_close_notify_is_counted_as_that():
    assert HandshakeError("", alert=Alert.close_notify).outcome == "close_notify"
    assert HandshakeError("").outcome == "failed"

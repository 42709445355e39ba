"""What an application hears from the library: records of the standard library's logging, under one name."""

from __future__ import annotations

import logging
import pickle
import re
import subprocess
import sys
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue

import pytest
from prometheus_client import REGISTRY, generate_latest

from onem2m_security import telemetry
from onem2m_security.cli.common import log_to_stderr
from onem2m_security.credentials import Secret
from onem2m_security.telemetry import HALF_OPEN, HANDSHAKES, LOG, OVER_QUOTA

HOSTILE = "x'\n2026-01-01 level='info' event='associated' peer='/admin'\x1b[2J\u202e\x00"


class Kept(logging.Handler):
    """An application's own handler."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept():
    handler, logger = Kept(), logging.getLogger("onem2m_security")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)


def test_a_record_has_its_event_and_its_fields_and_says_where_it_was_made(kept):
    LOG.info("associated", peer="/device-7", proof="authenticated")
    [record] = kept
    assert (record.name, record.levelname) == ("onem2m_security", "INFO")
    assert record.event == "associated"
    assert record.fields == {"peer": "/device-7", "proof": "authenticated"}
    assert record.getMessage() == "associated peer='/device-7' proof='authenticated'"
    assert (record.pathname, record.funcName) == (
        __file__,
        "test_a_record_has_its_event_and_its_fields_and_says_where_it_was_made",
    )


def test_an_event_without_fields_is_its_name_alone(kept):
    LOG.warning("100% of %s")
    assert kept[0].getMessage() == "100% of %s"


def test_texts_of_strangers_stay_in_their_field_and_in_one_line(kept):
    LOG.info("unknown identity", identity=HOSTILE, peer="192.0.2.1:5")
    line = logging.Formatter("%(levelname)s %(message)s").format(kept[0])
    assert line.isprintable()
    assert line == f"INFO unknown identity identity={HOSTILE!r} peer='192.0.2.1:5'"


def test_a_secret_is_told_by_its_fingerprint(kept):
    key = Secret(bytes(range(32)))
    LOG.info("stored", key=key)
    assert key.reveal().hex() not in kept[0].getMessage()
    assert key.fingerprint in kept[0].getMessage()


def test_a_level_that_nobody_wants_costs_no_record_and_no_text(kept, monkeypatch):
    class Costly:
        def __repr__(self):
            pytest.fail("nobody reads it")

    monkeypatch.setattr(telemetry, "Event", lambda *_: pytest.fail("nobody wants it"))
    LOG.debug("datagram", octets=Costly())
    assert kept == []


def test_a_record_becomes_text_when_it_is_read_and_not_before(kept):
    LOG.info("read late", value=(value := ["before"]))
    value[0] = "after"
    assert kept[0].getMessage() == "read late value=['after']"


def test_records_go_through_queues_and_to_other_processes(kept):
    LOG.info("associated", peer="/device-7")
    assert str(pickle.loads(pickle.dumps(kept[0])).msg) == "associated peer='/device-7'"
    queue, at_the_end = SimpleQueue(), Kept()
    QueueHandler(queue).handle(kept[0])
    listener = QueueListener(queue, at_the_end)
    listener.start()
    listener.stop()
    assert at_the_end.records[0].getMessage() == "associated peer='/device-7'"
    assert at_the_end.records[0].fields == {"peer": "/device-7"}


def test_without_logging_set_up_nothing_is_said_whatever_happens():
    program = (
        "import logging; from onem2m_security.telemetry import LOG\n"
        "for name in ('', '.coap', '.http'): logging.getLogger('onem2m_security' + name).critical('raw')\n"
        "for say in (LOG.debug, LOG.info, LOG.warning, LOG.error): say('event', peer='x')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_commands_write_lines_of_names_and_values_to_standard_error(capsys):
    log_to_stderr(verbose=True)
    LOG.info("unknown identity", identity=HOSTILE, unavailable=False)
    told = capsys.readouterr()
    assert told.out == ""
    head, _, fields = told.err.partition(" event=")
    assert re.fullmatch(r"timestamp='\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z' level='info'", head)
    assert fields == f"'unknown identity' identity={HOSTILE!r} unavailable=False\n"
    assert told.err[:-1].isprintable()


def test_the_commands_write_each_line_once_and_only_warnings_unless_asked_for_more(capsys):
    log_to_stderr(verbose=True)
    log_to_stderr(verbose=False)
    LOG.info("associated")
    LOG.warning("not enrolled")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "level='warning' event='not enrolled'" in told


def test_the_commands_write_what_libraries_below_say_in_the_same_form_and_escaped(capsys):
    log_to_stderr(verbose=True)
    logging.getLogger("some.library").warning("odd: %s", HOSTILE)
    logging.getLogger("some.library").info("chatter")
    told = capsys.readouterr().err
    assert told.endswith(f" event={'odd: ' + HOSTILE!r} logger='some.library'\n")
    assert told.count("\n") == 1


def test_what_is_counted_is_read_from_the_registry_as_it_is_then():
    labels = {"local": "/in-cse", "framework": "a framework of the test", "result": "established"}
    count = HANDSHAKES.labels(*labels.values())
    assert REGISTRY.get_sample_value("onem2m_handshakes_total", labels) == 0
    count.inc()
    HANDSHAKES.labels(*labels.values()).inc()
    assert REGISTRY.get_sample_value("onem2m_handshakes_total", labels) == 2
    before = REGISTRY.get_sample_value("onem2m_handshakes_half_open")
    HALF_OPEN.inc()
    assert REGISTRY.get_sample_value("onem2m_handshakes_half_open") == before + 1
    HALF_OPEN.dec()
    assert REGISTRY.get_sample_value("onem2m_handshakes_half_open") == before


def test_each_name_is_told_with_its_kind_and_its_labels():
    told = generate_latest().decode()
    assert "# TYPE onem2m_handshakes_total counter" in told
    assert "# TYPE onem2m_handshakes_half_open gauge" in told
    OVER_QUOTA.labels('with "quotes"').inc()
    assert 'onem2m_over_quota_total{quota="with \\"quotes\\""} 1.0' in generate_latest().decode()

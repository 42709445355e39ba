"""What a session needs of a TLS library, asked of each library directly."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from onem2m_security.tls.engine import EngineError, Terms
from onem2m_security.tls.openssl import OpenSslContext
from onem2m_security.tls.suites import PSK_SUITES
from requirements import needs

IDENTITY, KEY = b"k@b.example.com", bytes(range(32))
LABEL = b"EXPORTER-oneM2M-Connection"


class Target:
    """Who is asked; what was asked of it."""

    def __init__(self, key=KEY):
        self.key = key
        self.asked = []

    def server_psk(self, identity):
        self.asked.append(("psk", identity))
        return self.key

    def client_psk(self):
        return IDENTITY, KEY

    def server_hello_seen(self, body):
        pass

    def server_name_received(self):
        self.asked.append("name")

    def peer_certificates_received(self, chain):
        raise AssertionError

    def verify_peer(self):
        raise AssertionError


@pytest.fixture(params=["OpenSSL", "GnuTLS"])
def make(request):
    """Makes contexts of this library."""
    if request.param == "OpenSSL":
        return OpenSslContext
    needs("libgnutls.so.30")
    from onem2m_security.tls.gnutls import GnuTlsContext

    return GnuTlsContext


class Ends:
    """A client's and a server's engine over TLS."""

    def __init__(self, make, key=KEY):
        def engine(*, server):
            terms = Terms(server=server, datagram=False, suites=PSK_SUITES, credential=None)
            return make(terms).engine(server_name=None if server else "b.example.com")

        self.client, self.server = engine(server=False), engine(server=True)
        self.at_client, self.at_server = Target(), Target(key)

    def shake(self):
        """Whether both ends are through."""
        complete = [False, False]
        for _ in range(4):
            complete[0] = complete[0] or self.client.handshake(self.at_client)
            self.pass_on(self.client, self.server)
            complete[1] = complete[1] or self.server.handshake(self.at_server)
            self.pass_on(self.server, self.client)
        return all(complete)

    @staticmethod
    def pass_on(source, target):
        octets = source.drain()
        if octets:
            target.feed(octets)


@pytest.fixture
def ends(make):
    return Ends(make)


def test_both_ends_come_to_the_same(ends):
    assert ends.shake()
    assert ends.at_server.asked == ["name", ("psk", IDENTITY)]
    assert ends.server.suite is ends.client.suite is not None
    assert ends.server.protocol == ends.client.protocol == "TLSv1.2"
    assert ends.server.server_name == b"b.example.com"
    assert ends.server.has_extended_master_secret
    assert ends.server.export(LABEL, 48) == ends.client.export(LABEL, 48)


def test_nothing_fed_is_nothing_read_and_what_is_drained_is_gone(ends):
    assert ends.shake()
    assert ends.server.read() is None
    assert ends.server.drain() == b""


@pytest.mark.parametrize("octets", [1, 16_384, 16_385, 200_000])
def test_data_of_any_length_passes_in_order(ends, octets):
    assert ends.shake()
    data = bytes(at % 251 for at in range(octets))
    ends.client.write(data)
    ends.pass_on(ends.client, ends.server)
    read = b""
    while part := ends.server.read():
        read += part
    assert read == data


def test_a_close_is_read_as_the_end(ends):
    assert ends.shake()
    ends.client.close()
    ends.pass_on(ends.client, ends.server)
    assert ends.server.read() == b""


def test_another_key_ends_the_handshake_with_what_is_to_be_said_of_it(make):
    ends = Ends(make, key=bytes(32))
    with pytest.raises(EngineError) as caught:
        ends.shake()
    assert caught.value.reason
    assert ends.server.drain()


def test_what_is_no_record_ends_an_open_session(ends):
    assert ends.shake()
    ends.server.feed(b"this is no record at all")
    with pytest.raises(EngineError):
        ends.server.read()


def test_an_engine_keeps_nobody_alive_and_waits_for_no_garbage_collector(ends):
    assert ends.shake()
    target = weakref.ref(ends.at_server)
    gc.disable()
    try:
        ends.at_server = None
        assert target() is None
    finally:
        gc.enable()


def test_engines_of_several_threads_do_not_disturb_each_other(make):
    failed, begin = [], threading.Barrier(4)

    def work(number):
        begin.wait()
        for _ in range(10):
            ends = Ends(make)
            data = bytes([number]) * 50_000
            complete = ends.shake()
            ends.client.write(data)
            ends.pass_on(ends.client, ends.server)
            read = b""
            while part := ends.server.read():
                read += part
            if not complete or read != data or ends.server.export(LABEL, 48) != ends.client.export(LABEL, 48):
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []

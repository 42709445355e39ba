"""The client in C that the benchmarks drive servers with, against the openssl command."""

from __future__ import annotations

import subprocess

import pytest
from benchmarks import peers, programs
from benchmarks.load import PSK_DTLS, PSK_TLS, Load
from benchmarks.running import at, free_port

from requirements import needs


@pytest.fixture(autouse=True)
def built_here(tmp_path, monkeypatch):
    for name in ("openssl", "gcc", "openssl/ssl.h"):
        needs(name)
    monkeypatch.setattr(programs, "BUILT", tmp_path)


def test_it_counts_handshakes_that_completed_over_tls():
    with peers.s_server() as server:
        outcome = Load(count=40, at_once=4).run(server.port)
    assert (outcome.completed, outcome.failed, outcome.why) == (40, 0, "")
    assert 0 < outcome.median <= outcome.p95 <= outcome.p99


def test_it_counts_handshakes_with_cookies_over_dtls():
    with peers.s_server_dtls() as server:
        load = Load(PSK_DTLS, at_once=1, dtls=True, count=20, bind=free_port())
        assert load.run(server.port).completed == 20
        assert load.run(server.port).completed == 20


def test_it_counts_ends_that_came_abruptly_and_says_how_they_were_called():
    port = free_port()
    other = ("-psk", "aa" * 32, "-nocert", "-cipher", f"{PSK_TLS}@SECLEVEL=0")
    server = at(port, [needs("openssl"), "s_server", "-accept", str(port), "-tls1_2", "-quiet", *other])
    with server, pytest.raises(SystemExit, match=r"nothing completed, 3 failed: .*bad record mac"):
        Load(count=3).run(port)


def test_it_shows_each_line_of_a_file_of_keys_once(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("".join(f"client-{number} {'aa' * 32}\n" for number in range(5)))
    port = free_port()
    shown = tmp_path / "shown"
    command = [needs("openssl"), "s_server", "-accept", str(port), "-tls1_2", "-nocert", "-no_ticket"]
    command += ["-psk", "aa" * 32, "-cipher", f"{PSK_TLS}@SECLEVEL=0", "-debug"]
    with shown.open("w") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as server:
        load = Load(keys=keys, count=5, at_once=1)
        while "ACCEPT" not in shown.read_text():
            assert server.poll() is None
        assert load.run(port).completed == 5
        server.kill()
    octets = shown.read_text()
    assert all(f"client-{number}" in octets for number in range(5))

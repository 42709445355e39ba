"""HTTP without TLS: on TCP and at a Unix socket, which is its owner's alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from maf_support import LOOPBACK
from onem2m_security.errors import ConfigurationError
from onem2m_security.net.address import Address
from onem2m_security.net.http_messages import HttpResponse
from onem2m_security.net.limits import Limits
from onem2m_security.net.local_address import UnixSocket, is_loopback, parse_local, require_loopback
from onem2m_security.net.plain_port import PlainHttpPort, for_programs

REQUEST = b"GET /some/where HTTP/1.1\r\nHost: localhost\r\n\r\n"
_NOBODY = 65534


async def tells_the_path(request):
    return HttpResponse(200, (), request.path)


@asynccontextmanager
async def listening(at, limits=None):
    async with PlainHttpPort(tells_the_path, limits=limits) as port:
        yield await port.listen(at), port


async def connected(address):
    if isinstance(address, UnixSocket):
        return await asyncio.open_unix_connection(os.fspath(address.path))
    return await asyncio.open_connection(address.host, address.port)


async def asked(address, octets=REQUEST):
    reader, writer = await connected(address)
    writer.write(octets)
    answer = await reader.readuntil(b"/some/where")
    writer.close()
    return answer


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_requests_are_answered(tmp_path, kind):
    at = LOOPBACK if kind == "tcp" else UnixSocket(tmp_path / "agent.sock")
    async with listening(at) as (address, _):
        assert (await asked(address)).startswith(b"HTTP/1.1 200 OK")
    if kind == "unix":
        assert not (tmp_path / "agent.sock").exists()


async def test_nobody_but_its_owner_may_open_a_unix_socket():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101 - nothing waits
        at = UnixSocket(Path(directory, "agent.sock"))
        async with listening(at):
            assert stat.S_IMODE(at.path.stat().st_mode) == 0o600
            if os.geteuid() == 0:
                with pytest.raises(PermissionError), as_nobody(), socket.socket(socket.AF_UNIX) as stranger:
                    stranger.connect(str(at.path))


@contextmanager
def as_nobody():
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_the_socket_of_a_dead_process_is_replaced(tmp_path):
    at = UnixSocket(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(at.path))
    async with listening(at) as (address, _):
        assert b"200 OK" in await asked(address)


async def test_a_living_process_and_a_file_of_another_kind_are_left_alone(tmp_path):
    at = UnixSocket(tmp_path / "agent.sock")
    async with listening(at):
        with pytest.raises(ConfigurationError, match="somebody listens there"):
            await PlainHttpPort(tells_the_path).listen(at)
        assert b"200 OK" in await asked(at)
    at.path.write_text("precious")
    with pytest.raises(ConfigurationError, match="something else is there"):
        await PlainHttpPort(tells_the_path).listen(at)
    assert at.path.read_text() == "precious"


async def test_a_place_that_cannot_be_is_told_in_one_line(tmp_path):
    for path in (tmp_path / "nowhere" / "agent.sock", tmp_path / ("long" * 40)):
        with pytest.raises(ConfigurationError, match="cannot listen on unix:"):
            await PlainHttpPort(tells_the_path).listen(UnixSocket(path))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_an_endless_head_is_cut_off_and_others_are_served(tmp_path, kind):
    at = LOOPBACK if kind == "tcp" else UnixSocket(tmp_path / "agent.sock")
    async with listening(at, Limits(head_octets=2048)) as (address, _):
        reader, writer = await connected(address)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000)
        assert (await reader.read()).startswith(b"HTTP/1.1 431")
        writer.close()
        assert b"200 OK" in await asked(address)


async def test_an_answer_that_cannot_be_written_ends_its_connection():
    async def answer(_):
        return HttpResponse(200, (("X", "two\r\nlines"),), b"")

    async with PlainHttpPort(answer) as port:
        reader, writer = await connected(await port.listen(LOOPBACK))
        writer.write(REQUEST)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                assert await reader.read() == b""
        writer.close()


async def test_a_silent_client_makes_room_for_one_that_asks(tmp_path):
    at = UnixSocket(tmp_path / "agent.sock")
    async with listening(at, replace(Limits(), connections=1)) as (address, _):
        silent, writer = await connected(address)
        writer.write(REQUEST[:10])
        assert b"200 OK" in await asked(address)
        assert await silent.read() == b""
        writer.close()


@pytest.mark.parametrize("text", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.8.9.10:1", "unix:/run/x"])
def test_loopback_and_unix_sockets_are_of_this_machine(text):
    require_loopback(parse_local(text))
    assert str(parse_local(text)) == text


@pytest.mark.parametrize(
    "text", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.com:1", "localhost.example.com:1", "127.1:1"]
)
def test_everything_else_is_not(text):
    with pytest.raises(ConfigurationError, match="not loopback"):
        require_loopback(parse_local(text))


def test_an_ipv4_address_within_ipv6_is_taken_for_what_it_is():
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:192.0.2.1")


@pytest.mark.parametrize("text", ["unix:", "127.0.0.1", "", "unix"])
def test_what_is_no_local_address_is_refused(text):
    with pytest.raises(ConfigurationError, match="is expected"):
        parse_local(text)


def test_an_address_is_parsed_as_everywhere():
    assert parse_local("127.0.0.1:80") == Address("127.0.0.1", 80)


def asking(*headers: str) -> bytes:
    return "\r\n".join(["GET /some/where HTTP/1.1", *headers, "", ""]).encode()


async def status_of(application, request):
    async with PlainHttpPort(application) as port:
        reader, writer = await connected(await port.listen(LOOPBACK))
        writer.write(request)
        status = (await reader.readline()).split()[1]
        writer.close()
        return int(status)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1", "[::1]"])
async def test_programs_of_this_machine_are_served_by_every_name_of_loopback(host):
    assert await status_of(for_programs(tells_the_path), asking(f"Host: {host}")) == 200


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: localhost", "Origin: https://page.example"],
        ["Host: localhost", "oRiGiN: null"],
        ["Host: page.example"],
        ["Host: localhost.page.example:8080"],
        ["Host: [2001:db8::1]:8080"],
    ],
)
async def test_a_web_page_in_a_browser_of_this_machine_is_not_served(headers):
    assert await status_of(for_programs(tells_the_path), asking(*headers)) == 403


async def test_where_other_machines_may_ask_any_name_will_do_but_no_web_page():
    application = for_programs(tells_the_path, hosts=False)
    assert await status_of(application, asking("Host: agent.example")) == 200
    assert await status_of(application, asking("Host: agent.example", "Origin: https://page.example")) == 403

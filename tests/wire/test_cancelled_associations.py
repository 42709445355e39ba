"""Whoever awaits an association may be cancelled at any moment: nobody hears an error of it."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from logged import capture_logs
from maf_support import ID_A, ID_B, LOOPBACK, A, B, running_maf
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.frameworks import maf_handshake
from onem2m_security.net.address import Transport
from onem2m_security.net.connection import SecureConnection
from onem2m_security.net.link import Link


@pytest.fixture
async def told():
    """What the event loop was told that nobody else wanted to know."""
    contexts: list[dict] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    yield contexts
    loop.set_exception_handler(None)


class Moment:
    """A step of our connections at which to cancel a task: the first, the second… time that it comes."""

    def __init__(self, monkeypatch, step: str, times: int) -> None:
        self.task: asyncio.Task | None = None
        self.left = times
        self.came = False
        original = getattr(SecureConnection, step)

        def passed(connection, *arguments):
            if connection._port is None and connection.session.owner.local == ID_A:
                self.left -= 1
                if self.left == 0:
                    self.came = self.task.cancel()  # it runs later, as with a cancellation from outside
            return original(connection, *arguments)

        monkeypatch.setattr(SecureConnection, step, passed)


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("step", ["begin", "handle", "_established"])
async def test_an_association_that_is_cancelled_at_any_step_ends_quietly(
    tmp_path, monkeypatch, told, caplog, transport, step
):
    async def echo(channel):
        while data := await channel.read():
            await channel.write(data)

    async with running_maf(tmp_path) as maf, EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as b:
        bound = await b.listen(LOOPBACK, echo, transport=transport)
        cancelled = 0
        with capture_logs() as logs, caplog.at_level(logging.WARNING):
            for times in range(1, 20):
                with monkeypatch.context() as patching:
                    moment = Moment(patching, step, times)
                    km = maf_handshake.credential(A.km_id, A.km)
                    client = MafClient(
                        A.km_id.fqdn,
                        Link(maf.address, transport),
                        maf_handshake.initiate(ID_A, A.km_id.fqdn, km),
                    )
                    moment.task = asyncio.create_task(
                        associate(Link(bound, transport), client.initiator(ID_B))
                    )
                    done, _ = await asyncio.wait([moment.task], timeout=20)
                    assert done
                    if not moment.came:  # the step does not come so often
                        await moment.task.result().close()
                        break
                    assert moment.task.cancelled()
                    cancelled += 1
                    await asyncio.sleep(0.05)  # what was sent before arrives
        assert cancelled > 0
        gc.collect()
        await asyncio.sleep(0)
    assert told == []
    assert [record.getMessage() for record in caplog.records] == []
    assert [entry for entry in logs if entry["log_level"] not in {"info", "debug"}] == []

"""Back-pressure in front of a CSE."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from onem2m_security.gateway.places import Places
from onem2m_security.onem2m.primitives import RefusedError, Rsc


class Holding:
    """Requests that hold their places until they are let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.let_go = asyncio.Event()
        self.under_way = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, peer: str) -> None:
        async def hold() -> None:
            async with self.places.place(peer):
                self.under_way += 1
                await self.let_go.wait()

        self.tasks.append(asyncio.create_task(hold()))
        for _ in range(3):
            await asyncio.sleep(0)

    async def end(self) -> list[BaseException | None]:
        self.let_go.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


def refused(results) -> list[int]:
    return [at for at, one in enumerate(results) if isinstance(one, RefusedError)]


async def test_so_many_are_under_way_so_many_wait_and_the_rest_is_refused_at_once():
    holding = Holding(Places(2, 3, 100))
    for number in range(7):
        await holding.begin(str(number))
    assert holding.under_way == 2
    results = await holding.end()
    assert refused(results) == [5, 6]
    assert results[5].rsc is Rsc.TOO_MANY_REQUESTS
    assert len(holding.places) == 0


async def test_one_peer_never_takes_the_places_of_all():
    holding = Holding(Places(8, 8, 3))
    for _ in range(5):
        await holding.begin("greedy")
    await holding.begin("modest")
    assert holding.under_way == 4
    assert refused(await holding.end()) == [3, 4]


async def test_a_place_is_free_again_whatever_became_of_the_request():
    places = Places(1, 0, 1)
    with contextlib.suppress(ValueError):
        async with places.place("a"):
            raise ValueError
    async with places.place("a"):
        with pytest.raises(RefusedError):
            async with places.place("b"):
                pass
    task = asyncio.create_task(places.place("a").__aenter__())
    await task
    assert len(places) == 1

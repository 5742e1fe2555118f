"""Everybody hears everything in order, or learns that it did not."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.runtime.bus import Batch, Bus, Listener


async def _next(listener: AsyncIterator[Batch[int]]) -> Batch[int]:
    return await asyncio.wait_for(anext(listener), 5)


def test_every_listener_hears_what_is_published_after_it_came() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        bus.publish(0)
        with bus.listen() as one:
            bus.publish(1)
            with bus.listen() as other:
                bus.publish(2)
                assert await _next(one) == Batch([1, 2], lagged=False)
                assert await _next(other) == Batch([2], lagged=False)

    asyncio.run(main())


def test_a_waiting_listener_wakes_up() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen() as listener:
            task = asyncio.create_task(_next(listener))
            await asyncio.sleep(0)
            assert not task.done()
            bus.publish(7)
            assert (await task).events == [7]

    asyncio.run(main())


def test_a_slow_listener_is_told_so_and_hears_what_comes_later() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen(limit=2) as slow, bus.listen(limit=9) as quick:
            for event in range(4):
                bus.publish(event)
            assert slow.lagged
            assert await _next(slow) == Batch([], lagged=True)
            assert not slow.lagged
            bus.publish(4)
            assert await _next(slow) == Batch([4], lagged=False)
            assert await _next(quick) == Batch([0, 1, 2, 3, 4], lagged=False)

    asyncio.run(main())


def test_as_many_events_as_the_limit_are_kept() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen(limit=2) as listener:
            bus.publish(1)
            bus.publish(2)
            assert await _next(listener) == Batch([1, 2], lagged=False)

    asyncio.run(main())


@given(st.lists(st.sampled_from(["publish", "take"]), max_size=30), st.integers(1, 4))
def test_whatever_is_missing_was_announced(steps: list[str], limit: int) -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen(limit) as listener:
            published, known = 0, 0
            for step in [*steps, "publish", "take"]:
                if step == "publish":
                    bus.publish(published)
                    published += 1
                elif known < published:
                    batch = await _next(listener)
                    # Who lagged reads the feed, that is, all that was published so far.
                    expected = [] if batch.lagged else list(range(known, published))
                    assert batch.events == expected
                    assert batch.lagged is (published - known > limit)
                    known = published

    asyncio.run(main())


def test_closing_ends_all_listeners_after_what_they_have_queued() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen() as busy, bus.listen() as idle:
            waiting = asyncio.create_task(_all(idle))
            await asyncio.sleep(0)
            bus.publish(1)
            bus.close()
            bus.close()
            bus.publish(2)
            assert await _all(busy) == [1]
            assert await waiting == [1]
        with bus.listen() as late:
            assert await _all(late) == []

    asyncio.run(main())


async def _all(listener: Listener[int]) -> list[int]:
    async with asyncio.timeout(5):
        return [event async for batch in listener for event in batch.events]


def test_a_listener_that_left_hears_nothing_and_holds_nothing() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen() as listener:
            pass
        bus.publish(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(listener), 0.01)

    asyncio.run(main())


def test_another_thread_may_publish_and_keeps_its_order() -> None:
    async def main() -> None:
        bus: Bus[int] = Bus()
        with bus.listen() as listener:
            thread = threading.Thread(target=lambda: [*map(bus.publish_threadsafe, range(100))])
            thread.start()
            heard: list[int] = []
            while len(heard) < 100:
                heard += (await _next(listener)).events
            thread.join()
            assert heard == list(range(100))

    asyncio.run(main())


def test_publishing_to_a_loop_that_is_gone_is_no_error() -> None:
    async def main() -> Bus[int]:
        return Bus()

    asyncio.run(main()).publish_threadsafe(1)

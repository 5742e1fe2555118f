"""Waiting at a limited rate, with real time."""

import asyncio
import time

import pytest

from aeorsync.runtime.throttle import Throttle
from tests.support.loops import run


def test_many_who_share_a_limit_take_as_long_as_one() -> None:
    async def main() -> float:
        throttle = Throttle(1_000_000)
        began = time.monotonic()
        await asyncio.gather(*(throttle.pay(50_000) for _ in range(9)))
        return time.monotonic() - began

    assert 0.19 < run(main()) < 0.5


def test_without_a_limit_nobody_waits() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.5):
            await Throttle().pay(10**12)

    run(main())


def test_a_limit_that_is_lifted_frees_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aeorsync.runtime.throttle._SLICE_S", 0.01)

    async def main() -> None:
        throttle = Throttle(1)
        waiting = asyncio.create_task(throttle.pay(1_000_000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        throttle.change(0)
        async with asyncio.timeout(1):
            await waiting

    run(main())


def test_a_deadline_is_put_off_by_as_long_as_we_ourselves_wait() -> None:
    async def main() -> None:
        throttle = Throttle(100_000)
        async with asyncio.timeout(0.1) as timer:
            await throttle.pay(50_000, timer)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await throttle.pay(50_000)

    run(main())

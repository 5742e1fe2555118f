"""What is driven straight through does what it would have done in an event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aeorsync.runtime import bridge, straight

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[straight.drive, asyncio.run], ids=["straight", "loop"])
def run(request: pytest.FixtureRequest) -> Run:
    drive: Run = request.param
    return drive


def test_calls_are_made_and_their_failures_raised(run: Run) -> None:
    async def work() -> list[int]:
        done = [await bridge.run(max, 1, 2)]
        with pytest.raises(ZeroDivisionError):
            await bridge.run(divmod, 1, 0)
        return done

    assert run(work()) == [2]


def test_what_was_begun_comes_to_its_result_when_it_is_awaited(run: Run) -> None:
    async def one(fails: bool) -> str:  # noqa: FBT001
        await bridge.run(str)
        if fails:
            raise KeyError("it failed")
        return "done"

    async def work() -> str:
        good, bad = straight.begin(one(fails=False)), straight.begin(one(fails=True))
        with pytest.raises(KeyError, match="it failed"):
            await bad
        return await good

    assert run(work()) == "done"


def test_what_is_ended_goes_no_further(run: Run) -> None:
    happened: list[str] = []

    async def one() -> None:
        try:
            happened.append("begun")
            await (straight.pause() if straight.is_on() else asyncio.sleep(60))
            happened.append("went on")
        finally:
            happened.append("ended")

    async def work() -> None:
        begun = straight.begin(one())
        if not straight.is_on():
            await asyncio.sleep(0)  # so that the task has begun
        await straight.end([begun])

    run(work())
    assert happened == ["begun", "ended"]


def test_a_pause_lets_the_other_go_on_until_it_waits() -> None:
    happened: list[str] = []

    async def one() -> str:
        happened.append("asked")
        await straight.pause()
        happened.append("answered")
        return "it"

    async def work() -> str:
        begun = straight.begin(one())
        happened.append("looked")
        assert straight.by_now(begun) is None
        found = await begun
        assert straight.by_now(begun) == found
        return found

    assert straight.drive(work()) == "it"
    assert happened == ["asked", "looked", "answered"]
    assert not straight.is_on()


def test_waiting_for_a_loop_is_a_mistake_that_is_told() -> None:
    async def work() -> None:
        await Endless()

    with pytest.raises(RuntimeError, match="nobody is there to wait"):
        straight.drive(work())


class Endless:
    def __await__(self) -> Any:  # noqa: ANN401
        yield "a loop"

"""Blocking code runs in a thread, and is never left running behind a cancelled caller."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import anyio
import pytest

from aeorsync.errors import UnavailableError
from aeorsync.runtime import bridge, threads


def test_a_call_runs_in_a_thread_with_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default="")

    def work(first: int, *, second: int) -> tuple[int, str, bool]:
        return first + second, variable.get(), threading.current_thread() is main

    async def caller() -> None:
        variable.set("mine")
        assert await bridge.run(work, 1, second=2) == (3, "mine", False)

    main = threading.current_thread()
    asyncio.run(caller())


@pytest.mark.parametrize("error", [ValueError("why"), KeyError("what"), OSError(5, "io")])
def test_what_the_call_raises_reaches_the_caller(error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        asyncio.run(bridge.run(work))
    assert caught.value is error


def test_a_stop_iteration_does_not_leave_the_caller_waiting() -> None:
    async def caller() -> None:
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(bridge.run(next, iter(())), 5)

    asyncio.run(caller())


async def _cancel_by_asyncio(work: Callable[[], None], started: threading.Event) -> None:
    task = asyncio.create_task(bridge.run(work))
    await asyncio.to_thread(started.wait, 5)
    for _ in range(3):  # impatience does not help
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancel_by_anyio(work: Callable[[], None], started: threading.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(bridge.run, work)
        await asyncio.to_thread(started.wait, 5)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("cancel", [_cancel_by_asyncio, _cancel_by_anyio])
@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_caller_goes_on_only_when_the_thread_is_done(
    cancel: Callable[[Callable[[], None], threading.Event], "asyncio.Future[None]"],
    *,
    fails: bool,
) -> None:
    started, done = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        time.sleep(0.3)  # is cancelled meanwhile
        done.set()
        if fails:
            message = "too late to matter"
            raise ValueError(message)

    async def caller() -> None:
        await cancel(work, started)
        assert done.is_set()

    asyncio.run(caller())


def test_waiting_for_the_thread_costs_no_time_of_the_processor() -> None:
    started, release = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(5)

    async def caller() -> None:
        asyncio.get_running_loop().call_later(0.3, release.set)
        await _cancel_by_anyio(work, started)

    began = time.process_time()
    asyncio.run(caller())
    assert time.process_time() - began < 0.15


def test_a_call_cancelled_before_its_turn_is_never_made() -> None:
    release = threading.Event()
    made: list[int] = []

    async def caller() -> None:
        busy = [
            asyncio.create_task(bridge.run(release.wait, 5)) for _ in range(threads.MAX_THREADS)
        ]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(bridge.run(made.append, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        await asyncio.gather(*busy)
        await bridge.run(made.append, 2)

    asyncio.run(caller())
    assert made == [2]


def test_a_future_of_another_thread_is_awaited() -> None:
    future: Future[str] = Future()

    async def caller() -> None:
        asyncio.get_running_loop().call_later(0.01, future.set_result, "done")
        assert await bridge.settle(future) == "done"
        assert await bridge.settle(future) == "done"

    asyncio.run(caller())


def test_cancelling_one_who_waits_does_not_cancel_the_future() -> None:
    future: Future[str] = Future()

    async def caller() -> None:
        task = asyncio.create_task(bridge.settle(future))
        other = asyncio.create_task(bridge.settle(future))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        future.set_result("done")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await other == "done"

    asyncio.run(caller())


def test_a_future_that_was_given_up_is_an_error_and_no_cancellation() -> None:
    future: Future[str] = Future()

    async def caller() -> None:
        asyncio.get_running_loop().call_later(0.01, future.cancel)
        with pytest.raises(UnavailableError):
            await bridge.settle(future)

    asyncio.run(caller())

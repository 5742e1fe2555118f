"""Several things side by side: one failure, no task left, no cancellation lost."""

import asyncio

import pytest

from aeorsync.errors import UnavailableError
from aeorsync.runtime.together import together
from tests.support.loops import run


async def fail() -> None:
    raise UnavailableError("no")


async def sleep_for_ever() -> None:
    await asyncio.Event().wait()


def test_all_of_it_is_done() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    run(together(work(1), work(2), work(3)))
    assert sorted(done) == [1, 2, 3]


def test_the_first_failure_ends_the_others_and_comes_out_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(UnavailableError, match="no"):
            await together(sleep_for_ever(), fail(), fail())
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_cancellation_that_meets_a_failure_is_not_lost() -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                # While this cleans up, the work has failed already; now comes the cancellation.
                tasks[0].cancel()
                await asyncio.sleep(0)

        tasks.append(asyncio.create_task(together(stubborn(), fail())))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_failure_does_not_leave_the_caller_cancelled() -> None:
    async def main() -> None:
        with pytest.raises(UnavailableError):
            await together(sleep_for_ever(), fail())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())

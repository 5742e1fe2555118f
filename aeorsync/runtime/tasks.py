"""Supervised background loops: what fails starts again, what is stopped has stopped.

    async with Supervisor() as supervisor:
        supervisor.start("gc", collect_for_ever)
        ...                                       # leaving cancels all of them and waits

A loop is an async function that runs for ever. When it returns it is done; when it raises, that
is logged and it is called again after a pause that grows with each failure in a row.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aeorsync.runtime import chance
from aeorsync.runtime.log import get_logger
from aeorsync.runtime.pauses import backoff

__all__ = ["BASE_S", "CAP_S", "Supervisor", "backoff"]

BASE_S = 0.5
CAP_S = 60.0

_log = get_logger(__name__)


class Supervisor:
    """Owns named background loops; made and used in one event loop.

    Args:
        jitter: Returns a random number from 0 to 1.
        base: Seconds of the first pause after a failure.
        cap: Seconds of the longest pause; a loop that ran longer starts counting again.
    """

    def __init__(
        self,
        jitter: Callable[[], float] = chance.fraction,
        base: float = BASE_S,
        cap: float = CAP_S,
    ) -> None:
        self._jitter = jitter
        self._base = base
        self._cap = cap
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end(list(self._tasks.values()))

    def start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Call ``loop`` in the background.

        Raises:
            ValueError: A loop of this name is running.
        """
        if name in self._tasks:
            message = f"{name} is running"
            raise ValueError(message)
        task = asyncio.create_task(self._keep(name, loop), name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def stop(self, name: str) -> None:
        """Cancel a loop and wait until it has ended; none of that name is no error."""
        if task := self._tasks.get(name):
            await self._end([task])

    @property
    def names(self) -> list[str]:
        """Names of the loops that have not ended, in the order they were started."""
        return list(self._tasks)

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            began = clock()
            failure = await _outcome(loop)
            if failure is None:
                return
            failures = 1 if clock() - began > self._cap else failures + 1
            pause = backoff(failures, self._base, self._cap, self._jitter())
            _log.warning("background task failed", task=name, retry_in_s=pause, exc_info=failure)
            await asyncio.sleep(pause)


async def _outcome(loop: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Return how ``loop`` failed; None if it returned."""
    try:
        await loop()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return error  # something it waited for was cancelled, not the loop itself
    except Exception as error:  # noqa: BLE001  # whatever it was, the loop must go on
        return error
    return None

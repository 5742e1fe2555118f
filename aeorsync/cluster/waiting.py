"""People and programs that wait for a whole cycle, or a whole repair, of one link."""

import asyncio
from typing import Generic, TypeVar

from aeorsync.errors import AeorError, UnavailableError

R = TypeVar("R")


class Waiters(Generic[R]):
    """Those who wait; each hears of one run that began after they asked. In one event loop."""

    def __init__(self, what: str) -> None:
        """Begin with nobody; ``what`` names a run for people."""
        self._what = what
        self._futures: list[asyncio.Future[R]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._futures)

    def add(self) -> asyncio.Future[R]:
        """Begin to wait; raises AeorError where the run, or the link, fails."""
        waiter: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._futures.append(waiter)
        return waiter

    def take(self) -> "Waiters[R]":
        """Those who wait now, on their own: the next run is theirs."""
        taken = Waiters[R](self._what)
        taken._futures, self._futures = self._futures, []
        return taken

    def tell(self, report: R) -> None:
        """The run is over."""
        for waiter in self._futures:
            if not waiter.done():
                waiter.set_result(report)

    def fail(self, error: BaseException) -> None:
        """There will be none."""
        told = error
        if not isinstance(error, AeorError):
            told = UnavailableError(f"the {self._what} was stopped")
        for waiter in self._futures:
            if not waiter.done():
                waiter.set_exception(told)

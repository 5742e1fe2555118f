"""People and programs that wait for a whole cycle of one link."""

import asyncio

from aeorsync.cluster.cycle import Report
from aeorsync.errors import AeorError, UnavailableError


class Waiters:
    """Those who wait; each hears of one cycle that began after they asked. In one event loop."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._futures: list[asyncio.Future[Report]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._futures)

    def add(self) -> asyncio.Future[Report]:
        """Begin to wait; raises AeorError where the cycle, or the link, fails."""
        waiter: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._futures.append(waiter)
        return waiter

    def take(self) -> "Waiters":
        """Those who wait now, on their own: the next cycle is theirs."""
        taken = Waiters()
        taken._futures, self._futures = self._futures, []
        return taken

    def tell(self, report: Report) -> None:
        """The cycle is over."""
        for waiter in self._futures:
            if not waiter.done():
                waiter.set_result(report)

    def fail(self, error: BaseException) -> None:
        """There will be none."""
        told = error if isinstance(error, AeorError) else UnavailableError("the cycle was stopped")
        for waiter in self._futures:
            if not waiter.done():
                waiter.set_exception(told)

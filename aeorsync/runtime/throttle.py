"""Waiting for a token bucket: what one link may fetch and send in a second."""

import asyncio

from aeorsync.core.bucket import Bucket

_SLICE_S = 1.0
"""Longest sleep before the rate is looked at again: it may have been changed."""


class Throttle:
    """Bytes that pass at a limited rate, however many tasks share it. Lives in one event loop.

    Small calls (probes, wake-up calls) and event streams do not pass through it, so no limit
    delays them.
    """

    def __init__(self, rate: int = 0) -> None:
        """Let ``rate`` bytes pass a second; 0 for no limit."""
        self._bucket = Bucket(rate, 0.0)

    def change(self, rate: int) -> None:
        """Use another rate from now on, also for those who wait already."""
        self._bucket.change(rate, _now())

    async def pay(self, size: int, timer: asyncio.Timeout | None = None) -> None:
        """Wait as long as ``size`` bytes, which have passed, take at this rate.

        Args:
            size: Bytes.
            timer: A deadline that is put off by as long: it is about the peer, not about us.
        """
        self._bucket.take(size, _now())
        while (wait := self._bucket.wait_s(_now())) > 0:
            nap = min(wait, _SLICE_S)
            if timer is not None and (when := timer.when()) is not None:
                timer.reschedule(when + nap)
            await asyncio.sleep(nap)


def _now() -> float:
    return asyncio.get_running_loop().time()

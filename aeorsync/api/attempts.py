"""How often somebody tried: a sliding window for each name, in bounded memory."""

from collections import deque

from aeorsync.errors import RateLimitedError

MAX_NAMES = 10_000


class Attempts:
    """Counts attempts in this process; for one event loop, lost at a restart.

    Args:
        limit: Attempts one name may make in any window.
        window_s: Length of the window in seconds.
        max_names: Names that are remembered; beyond it the idlest are forgotten.
    """

    def __init__(self, limit: int, window_s: float, max_names: int = MAX_NAMES) -> None:
        self._limit = limit
        self._window_s = window_s
        self._max_names = max_names
        # The name that tried last comes last.
        self._times: dict[str, deque[float]] = {}

    def take(self, name: str, now: float) -> None:
        """Count one attempt; a refused one is not counted.

        Args:
            name: Who tries.
            now: Monotonic seconds.

        Raises:
            RateLimitedError: The window is full.
        """
        times = self._times.pop(name, None) or deque()
        while times and times[0] <= now - self._window_s:
            times.popleft()
        self._times[name] = times
        if len(self._times) > self._max_names:
            del self._times[next(iter(self._times))]
        if len(times) >= self._limit:
            wait = int(times[0] + self._window_s - now) + 1
            raise RateLimitedError(f"too many attempts; try again in {wait} seconds", wait)
        times.append(now)

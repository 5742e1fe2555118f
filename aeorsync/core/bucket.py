"""A token bucket: how long to wait so that no more than so much passes in a second. Sans-I/O.

What passes is paid for afterwards: a piece is taken whole, the bucket goes into debt, and the next
one waits until the debt is gone. So a piece may be larger than the bucket, and the order of those
who wait does not matter. Between two moments at which nothing is owed, at most the rate times the
seconds between them, and one bucketful, have passed.
"""

BURST_S = 0.25
"""A full bucket holds what may pass in so many seconds."""


class Bucket:
    """Amounts that pass at a limited rate.

    Args:
        rate: Most per second on average; 0 for no limit.
        now: Seconds, by any clock that never goes back; the same as in every other call.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._level = rate * BURST_S
        self._at = now

    @property
    def rate(self) -> float:
        """Most per second on average; 0 for no limit."""
        return self._rate

    def change(self, rate: float, now: float) -> None:
        """Use another rate from now on; what is owed stays owed, unless there is no limit."""
        self._refill(now)
        self._rate = rate
        self._level = min(self._level, rate * BURST_S) if rate else 0.0

    def take(self, amount: float, now: float) -> None:
        """Note that so much has passed."""
        self._refill(now)
        if self._rate:
            self._level -= amount

    def wait_s(self, now: float) -> float:
        """Seconds until nothing is owed; 0 when something may pass at once."""
        self._refill(now)
        return max(0.0, -self._level / self._rate) if self._rate else 0.0

    def _refill(self, now: float) -> None:
        passed, self._at = max(0.0, now - self._at), max(now, self._at)
        self._level = min(self._rate * BURST_S, self._level + passed * self._rate)

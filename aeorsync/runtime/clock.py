"""The wall clock, and the only code that reads it."""

import time
from typing import Protocol


class WallClock(Protocol):
    """What time it is; the tests have one that stands still."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch; may go back."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch; may go back."""

    def monotonic(self) -> float:
        """Return seconds since some moment; never goes back."""


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch; may go back."""
        return time.time_ns() // 1_000_000

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch; may go back."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds since some moment; never goes back."""
        return time.monotonic()

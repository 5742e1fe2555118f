"""The system clock tells the time."""

import time

from aeorsync.runtime.clock import SystemClock, WallClock


def test_the_system_clock_tells_the_time_in_its_units() -> None:
    clock: WallClock = SystemClock()
    assert abs(clock.now_ms() - time.time() * 1_000) < 5_000
    assert abs(clock.now_ns() - time.time() * 1_000_000_000) < 5_000_000_000
    assert clock.monotonic() <= clock.monotonic()

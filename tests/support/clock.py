"""A wall clock that stands where a test puts it."""


class FakeClock:
    """See `runtime.clock.WallClock`; every reading is one millisecond later than the last."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        self.now += 1
        return self.now

    def now_ns(self) -> int:
        return self.now_ms() * 1_000_000

    def monotonic(self) -> float:
        return self.now_ms() / 1000

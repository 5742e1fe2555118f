"""Figures of a long run in little memory: how long things took, and whether anything grows."""

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

_STEP: Final = math.log(1.04)
_LEAST_S: Final = 1e-5
_MOST_SAMPLES: Final = 4000
_MOST_IN_PAIRS: Final = 500


@dataclass
class Latencies:
    """How long one kind of thing took, in seconds; percentiles are exact to 4 %.

    Attributes:
        count: How many there were.
        most: The longest, exactly.
    """

    count: int = 0
    most: float = 0.0
    _buckets: dict[int, int] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.most = max(self.most, seconds)
        bucket = int(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _STEP)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def percentile(self, share: float) -> float:
        """The time that a share of them (0 to 1) did not exceed; 0 of none."""
        wanted, had = share * self.count, 0
        for bucket in sorted(self._buckets):
            had += self._buckets[bucket]
            if had >= wanted:
                return min(self.most, _LEAST_S * math.exp((bucket + 1) * _STEP))
        return self.most

    def join(self, other: "Latencies") -> None:
        """Count those of another, too."""
        self.count += other.count
        self.most = max(self.most, other.most)
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    def figures(self) -> dict[str, float]:
        """Count, and milliseconds, for a report."""
        return {
            "count": self.count,
            "p50_ms": round(self.percentile(0.5) * 1000, 1),
            "p99_ms": round(self.percentile(0.99) * 1000, 1),
            "max_ms": round(self.most * 1000, 1),
        }

    def packed(self) -> list[object]:
        """All of it, to be sent to another process."""
        return [self.count, self.most, sorted(self._buckets.items())]

    @classmethod
    def unpacked(cls, packed: Sequence[object]) -> "Latencies":
        """What `packed` returned."""
        count, most, buckets = packed
        assert isinstance(count, int)
        assert isinstance(most, int | float)
        assert isinstance(buckets, list)
        return cls(count, float(most), {int(at): int(number) for at, number in buckets})


@dataclass
class Life:
    """One process, from its start to its end.

    Attributes:
        began: On the clock of the run, in seconds.
        samples: Time and value, in order; when there are many, every other one goes.
    """

    began: float
    samples: list[tuple[float, float]] = field(default_factory=list)
    _stride: int = 1
    _skipped: int = 0

    def add(self, at: float, value: float) -> None:
        """Take a sample."""
        self._skipped += 1
        if self._skipped < self._stride:
            return
        self._skipped = 0
        self.samples.append((at, value))
        if len(self.samples) > _MOST_SAMPLES:
            self.samples = self.samples[::2]
            self._stride *= 2


@dataclass(frozen=True, slots=True)
class Slope:
    """How something grows.

    Attributes:
        per_hour: Growth in an hour.
        seconds: How long was looked at, of the life that lasted longest.
        samples: How many samples went in.
    """

    per_hour: float
    seconds: float
    samples: int


def slope(lives: Iterable[Life], since: float, warm_up: float) -> Slope | None:
    """Find one growth for all lives of a process: the median over all pairs of samples of a life.

    That is the estimate of Theil and Sen. A step in one place, as when a busier moment than all
    before took more, is between fewer than half of the pairs and does not count; two steps do, and
    so does whatever grows evenly.

    Args:
        lives: What was sampled.
        since: Earlier samples do not count, in seconds on the clock of the run.
        warm_up: Samples of the first seconds of each life do not count.

    Returns:
        None if there is too little to say anything.
    """
    rises: list[float] = []
    seconds = 0.0
    samples = 0
    for life in lives:
        start = max(since, life.began + warm_up)
        points = [(at, value) for at, value in life.samples if at >= start]
        points = points[:: len(points) // _MOST_IN_PAIRS + 1]
        if len(points) < 3:
            continue
        rises += (
            (value - before) / (at - then)
            for (then, before), (at, value) in itertools.combinations(points, 2)
        )
        seconds = max(seconds, points[-1][0] - points[0][0])
        samples += len(points)
    return Slope(statistics.median(rises) * 3600, seconds, samples) if rises else None

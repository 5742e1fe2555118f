"""What processes use, sampled from /proc every few seconds, and whether it grows.

Each start of a process is a life of its own. The slope is fitted to the second half of a run, over
all lives, without the first `WARM_UP_S` of each; it is judged only where that leaves `JUDGED_S` of
one life: a process that is killed every few minutes is always filling its caches.

Limits in seconds are those of a machine that has time. Where more wants to run than there are
processors, they are as much longer (`slack_of`).
"""

import asyncio
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.soak_figures import Life, Slope, slope

WARM_UP_S: Final = 120.0
JUDGED_S: Final = 480.0
_MIB: Final = 1 << 20
_PAGE: Final = resource.getpagesize()
_SHOWN: Final = 200
METRICS: Final = ("memory", "handles", "threads", "disk")


@dataclass(frozen=True, slots=True)
class Watched:
    """A process that may have several lives.

    Attributes:
        name: Of it.
        pid: Of its present life; None while it does not run.
        data: Folder whose size is looked at, too.
        is_judged: Whether its growth is.
    """

    name: str
    pid: Callable[[], int | None]
    data: Path | None = None
    is_judged: bool = True


@dataclass
class Lives:
    """All lives of one process."""

    watched: Watched
    pid: int | None = None
    metrics: dict[str, list[Life]] = field(default_factory=dict)

    def add(self, at: float, pid: int, values: dict[str, float]) -> None:
        """Take a sample."""
        if pid != self.pid:
            self.pid = pid
            for name in METRICS:
                self.metrics.setdefault(name, []).append(Life(at))
        for name, value in values.items():
            self.metrics[name][-1].add(at, value)


class Watch:
    """Looks at all processes of a run."""

    def __init__(self, watched: list[Watched], now: Callable[[], float], every_s: float) -> None:
        """Look at nothing yet.

        Args:
            watched: The processes.
            now: Clock of the run, in seconds.
            every_s: Between two looks.
        """
        self._lives = [Lives(one) for one in watched]
        self._now = now
        self._every_s = every_s
        self.load: Life = Life(0)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for lives in self._lives:
                pid = lives.watched.pid()
                values = await asyncio.to_thread(_measure, pid, lives.watched.data)
                if pid is not None and values:
                    lives.add(self._now(), pid, values)
            self.load.add(self._now(), os.getloadavg()[0])
            await asyncio.sleep(self._every_s)

    def report(self) -> list[dict[str, object]]:
        """Start, end, most and slope of everything, for a report."""
        since = self._now() / 2
        rows = []
        for lives in self._lives:
            row: dict[str, object] = {
                "name": lives.watched.name,
                "lives": len(lives.metrics.get("memory", [])),
                "is_judged": lives.watched.is_judged,
            }
            for name, all_lives in lives.metrics.items():
                points = [point for life in all_lives for point in life.samples]
                found = slope(all_lives, since, WARM_UP_S)
                if points:
                    row[name] = _figures([value for _, value in points], found)
            row["series"] = {name: _thinned(found) for name, found in lives.metrics.items()}
            rows.append(row)
        return rows


def _thinned(lives: list[Life]) -> list[tuple[float, float]]:
    """Some of the samples, evenly spread."""
    points = [point for life in lives for point in life.samples]
    step = len(points) // _SHOWN + 1
    return [(round(at), round(value, 1)) for at, value in points[::step]]


def _figures(values: list[float], found: Slope | None) -> dict[str, float | bool | None]:
    return {
        "start": round(values[0], 1),
        "end": round(values[-1], 1),
        "max": round(max(values), 1),
        "per_hour": None if found is None else round(found.per_hour, 2),
        "is_long": found is not None and found.seconds >= JUDGED_S,
    }


def _measure(pid: int | None, data: Path | None) -> dict[str, float]:
    """MiB of memory, open files, threads, MiB on the disk; nothing of what does not run."""
    if pid is None:
        return {}
    at = Path("/proc", str(pid))
    try:
        values = {
            "memory": int((at / "statm").read_text().split()[1]) * _PAGE / _MIB,
            "handles": _count(at / "fd"),
            "threads": _count(at / "task"),
        }
    except (OSError, IndexError):
        return {}
    if data is not None:
        values["disk"] = size_of(data) / _MIB
    return values


def _count(folder: Path) -> float:
    return float(sum(1 for _ in folder.iterdir()))


def slack_of(load: float | None = None) -> float:
    """By how much limits in seconds are longer, because so much else wants the processors.

    Args:
        load: Of the machine; None for that of now.
    """
    return max(1.0, (os.getloadavg()[0] if load is None else load) / (os.cpu_count() or 1))


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; of those that stay while it is looked at."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(inside, name)).st_size  # noqa: PTH118  # many
            except OSError:
                continue
    return total

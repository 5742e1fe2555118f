"""The arithmetic of measuring: medians and their spread, ratios, exponents, what became worse.

Nothing here measures or prints; `tests/scripts/test_bench_parts.py` says what holds.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALONE = 0.25
"""How far a figure that was measured once may be off, as a share of it."""
HIGHER_IS_BETTER = frozenset({"MB/s", "1/s", "files/s"})
"""Units of rates; of everything else less is better."""

Samples = Mapping[int, float]
"""Seconds by the number of the round they were measured in."""


@dataclass(frozen=True)
class Ratio:
    """How one tool compares with another.

    Attributes:
        median: Of the ratios of all rounds.
        low: The smallest of them.
        high: The largest of them.
        rounds: How many rounds had both.
    """

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Change:
    """How a figure differs from the one recorded before.

    Attributes:
        name: Of the figure.
        old: What was recorded.
        new: What was measured now.
        percent: By how much it grew.
        verdict: ``worse`` or ``better`` where it differs by more than both spread, else empty.
    """

    name: str
    old: float
    new: float
    percent: float
    verdict: str


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of all do not exceed; ``share`` from 0 to 1, values not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def ratio(ours: Samples, theirs: Samples) -> Ratio:
    """Compare round by round; a round that one of them sat out is compared with its median.

    Both have at least one round, and no time is 0.
    """
    usual = statistics.median(theirs.values())
    ratios = [took / theirs.get(turn, usual) for turn, took in ours.items()]
    both = len(ours.keys() & theirs.keys())
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), both)


def best(row: Mapping[str, Samples], tools: Sequence[str]) -> str | None:
    """The tool with the smallest median among some; none when none of them was measured."""
    there = [tool for tool in tools if row.get(tool)]
    return min(there, key=lambda tool: statistics.median(row[tool].values()), default=None)


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The k of y = c * x ** k that fits best (least squares of the logarithms).

    Args:
        points: Sizes and what was measured with them.

    Returns:
        None with fewer than two different sizes, or when something is not above 0.
    """
    if len({x for x, _ in points}) < 2 or any(x <= 0 or y <= 0 for x, y in points):
        return None
    xs, ys = ([math.log(pair[side]) for pair in points] for side in (0, 1))
    x_mean, y_mean = statistics.fmean(xs), statistics.fmean(ys)
    above = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - x_mean) ** 2 for x in xs)


def changes(
    old: Sequence[Mapping[str, object]], new: Sequence[Mapping[str, object]]
) -> list[Change]:
    """What each figure that is in both became; in the order of the new ones."""
    before = {str(row["name"]): row for row in old}
    return [_change(before[name], row) for row in new if (name := str(row["name"])) in before]


def _change(old: Mapping[str, object], new: Mapping[str, object]) -> Change:
    was, now = _number(old["value"]), _number(new["value"])
    was_low, was_high = _range(old)
    low, high = _range(new)
    grew = now > was_high and was < low
    shrank = now < was_low and was > high
    is_rate = new["unit"] in HIGHER_IS_BETTER
    verdict = ""
    if grew or shrank:
        verdict = "better" if grew == is_rate else "worse"
    percent = (now - was) / was * 100 if was else 0.0
    return Change(str(new["name"]), was, now, percent, verdict)


def _range(row: Mapping[str, object]) -> tuple[float, float]:
    """From where to where a figure was seen; wide when it was seen once."""
    value = _number(row["value"])
    spread = row.get("spread")
    if isinstance(spread, Sequence) and len(spread) == 2 and spread[0] != spread[1]:
        return _number(spread[0]), _number(spread[1])
    off = abs(value) * ALONE
    return value - off, value + off


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)

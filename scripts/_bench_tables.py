"""What a contest gave, judged against its targets, as figures and as tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from _bench_record import markdown
from _bench_sums import Ratio, Samples, best, ratio
from _measure import Figures

OURS = ("nodes", "folder", "folder-down", "folder-watch")
JUDGED = ("nodes", "folder")
"""Those of ours that the targets are for; the others are shown beside them."""
OTHERS = ("rsync", "syncthing", "unison", "rclone", "rclone-local")
SHOWN = (*OTHERS, "syncthing, watching")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        title: For people.
        bounds: What a ratio to a peer (or to the `best`) may be at most.
        seconds: What the time may be at most, where that is the target instead.
    """

    title: str
    bounds: Mapping[str, float]
    seconds: float | None = None


ROWS = {
    "big": Row("1 GiB, first time", {"rsync": 1.0, "syncthing": 0.6}),
    "insert": Row("one byte inserted at its head", {"best": 0.7}),
    "small": Row("10 000 files (100 B to 64 KiB), first time", {"best": 1.0}),
    "noop": Row("the same again, nothing changed", {"best": 1.0}),
    "one": Row("one of them changed", {"best": 1.0}),
    "write": Row("small write, readable on the peer", {}, 0.010),
    "tiny": Row("100 000 files of 1 KiB", {"best": 1.0}),
}
Rows = Mapping[str, Mapping[str, Samples]]


def report(samples: Rows, notes: Sequence[str], figures: Figures) -> None:
    """Add all figures of a contest, and its tables."""
    for name, row in ROWS.items():
        measured = samples.get(name)
        if measured:
            _add_times(row, measured, figures)
            _add_ratios(name, row, measured, figures)
    figures.tables += [times_table(samples), ratios_table(samples)]
    if notes:
        figures.tables.append("\n".join(f"- {note}" for note in dict.fromkeys(notes)))


def _add_times(row: Row, measured: Mapping[str, Samples], figures: Figures) -> None:
    for tool, took in measured.items():
        seconds = list(took.values())
        median = statistics.median(seconds)
        figures.add(
            f"{row.title}: {tool}",
            median,
            "s",
            "",
            met=True,
            spread=(min(seconds), max(seconds)),
        )


def _add_ratios(name: str, row: Row, measured: Mapping[str, Samples], figures: Figures) -> None:
    for ours in (tool for tool in OURS if measured.get(tool)):
        for against, found in ratios(measured, ours).items():
            bound = row.bounds.get(against) if ours in JUDGED else None
            figures.add(
                f"{row.title}: {ours} / {against}",
                found.median,
                "",
                f"<= {bound}" if bound else "",
                met=bound is None or found.median <= bound,
                spread=(found.low, found.high),
            )
        if name == "write" and row.seconds and ours == "nodes":
            median = statistics.median(measured[ours].values()) * 1000
            met = median <= row.seconds * 1000
            name = f"{row.title}, median: {ours}"
            figures.add(name, median, "ms", "<= 10", met=met)


def ratios(measured: Mapping[str, Samples], ours: str) -> dict[str, Ratio]:
    """One of ours against the best peer, rsync and Syncthing, as far as they were measured."""
    first = best(measured, OTHERS)
    against = {"best": first, "rsync": "rsync", "syncthing": "syncthing"}
    return {
        name: ratio(measured[ours], measured[peer])
        for name, peer in against.items()
        if peer and measured.get(peer)
    }


def times_table(samples: Rows) -> str:
    """Median seconds of everybody, smallest and largest in brackets."""
    tools = [tool for tool in (*OURS, *SHOWN) if any(row.get(tool) for row in samples.values())]
    rows = [
        [row.title, *(_time(samples[name].get(tool, {})) for tool in tools)]
        for name, row in ROWS.items()
        if samples.get(name)
    ]
    return markdown(["seconds", *(f"{_named(tool)}" for tool in tools)], rows)


def ratios_table(samples: Rows) -> str:
    """Ours against the best, rsync and Syncthing, with the target and whether it is met."""
    rows = []
    for name, row in ROWS.items():
        for ours in (tool for tool in OURS if samples.get(name, {}).get(tool)):
            found = ratios(samples[name], ours)
            first = best(samples[name], OTHERS) or ""
            told = [_ratio(found.get(against)) for against in ("best", "rsync", "syncthing")]
            if first and found.get("best"):
                told[0] += f" {first}"
            goal, verdict = _verdict(row, ours, found, samples[name][ours])
            rows.append([f"{row.title}: {ours}", *told, goal, verdict])
    heads = ["ours / theirs", "best peer", "rsync", "Syncthing", "target", ""]
    return markdown(heads, rows)


def _verdict(row: Row, ours: str, found: Mapping[str, Ratio], took: Samples) -> tuple[str, str]:
    if ours not in JUDGED:
        return "", ""
    if row.seconds is not None:
        median = statistics.median(took.values())
        return f"≤ {row.seconds * 1000:.0f} ms", _met(median <= row.seconds)
    bounds = {against: bound for against, bound in row.bounds.items() if against in found}
    goal = ", ".join(f"≤ {bound} {_named(against)}" for against, bound in row.bounds.items())
    if not bounds:
        return goal, "not compared"
    met = all(found[against].median <= bound for against, bound in bounds.items())
    return goal, _met(met)


def _met(met: bool) -> str:  # noqa: FBT001 - a word for it
    return "met" if met else "**missed**"


def _named(tool: str) -> str:
    return tool[:1].upper() + tool[1:] if tool.startswith("syncthing") else tool


def _time(took: Samples) -> str:
    if not took:
        return "-"
    median = statistics.median(took.values())
    if len(took) == 1:
        return f"{_digits(median)} (once)"
    return f"{_digits(median)} ({_digits(min(took.values()))} to {_digits(max(took.values()))})"


def _digits(seconds: float) -> str:
    return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.2f}"


def _ratio(found: Ratio | None) -> str:
    if found is None:
        return "-"
    if found.low == found.high:
        return f"{found.median:.2f}"
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"

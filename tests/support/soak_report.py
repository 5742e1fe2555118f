"""The report of a long run, for a terminal and for the docs."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

_MOST_SHOWN: Final = 20
YARDSTICK: Final = "waking up after 20 ms (the yardstick)"
UNJUDGED: Final = frozenset(
    {
        "at checkpoints",
        "gc",
        "quiet until all is equal",
        "the same, amid trouble",
        "until all links are active again",
        YARDSTICK,
    }
)
"""How long they may take is not limited, or otherwise."""
_NO_REQUESTS: Final = UNJUDGED - {"gc"} | {
    "event on a stream",
    "key revoked everywhere",
    "readable on a peer",
}
_PROCESS_HEAD: Final = (
    "process",
    "lives",
    "memory at the start",
    "at the end",
    "at most",
    "MiB an hour",
    "handles at the start",
    "at the end",
    "at most",
    "an hour",
)
Report = dict[str, Any]


def as_text(report: Report) -> str:
    """All of it, for a terminal."""
    lines = [_markdown_of(report), ""]
    lines += [
        f"VIOLATION {one['kind']}: {one['where']}, at {one['at_s']} s: {one['what']}"
        for one in report["violations"][:_MOST_SHOWN]
    ]
    lines.append(f"{report['violation_count']} violations, seed {report['settings']['seed']}")
    return "\n".join(lines)


def as_markdown(reports: Sequence[Report]) -> str:
    """Tables of several runs, for the docs."""
    return "\n\n".join(_markdown_of(report) for report in reports)


def _markdown_of(report: Report) -> str:
    settings, machine = report["settings"], report["machine"]
    tables = [
        _table(("run", ""), _facts(report), right=1),
        _table(
            ("kind", "count", "per second", "p50 ms", "p99 ms", "max ms"),
            _latency_rows(report),
            right=5,
        ),
        _table(_PROCESS_HEAD, _process_rows(report), right=9),
        _table(
            ("node", "at s", "entries", "deletions kept", "conflicts", "feed", "chunks",
             "chunk MiB", "metadata MiB"),
            _size_rows(report),
            right=9,
        ),
    ]  # fmt: skip
    notes = "".join(f"\n\n{note}" for note in report["notes"])
    return f"### {machine['began']}, seed {settings['seed']}\n\n" + "\n\n".join(tables) + notes


def _facts(report: Report) -> Iterable[tuple[str, object]]:
    settings, machine, streams = report["settings"], report["machine"], report["streams"]
    loads = report["machine_load"] or [0.0]
    mean = sum(loads) / len(loads)
    latencies = report["latencies"]
    requests = sum(one["count"] for kind, one in latencies.items() if kind not in _NO_REQUESTS)
    per_second = requests / report["load_seconds"]
    minutes, loaded = report["seconds"] / 60, report["load_seconds"] / 60
    yield "commit", machine["commit"]
    yield "cores, memory", f"{machine['cores']}, {machine['memory_gib']} GiB"
    yield "Python", machine["python"]
    yield "load before", machine["load_before"]
    yield "load meanwhile", f"{min(loads)} to {max(loads)}, {mean:.1f} on average"
    yield "minutes, of which under load", f"{minutes:.1f}, {loaded:.1f}"
    yield "nodes, folder clients", f"{settings['nodes']}, {settings['clients']}"
    yield "event streams open at the end", streams["open"]
    yield "connections they made, events they got", f"{streams['opened']}, {streams['events']}"
    yield "requests, a second", f"{requests}, {per_second:.1f}"
    yield "requests that were held back", report["held_back"]
    yield "acts in folders", report["acts"]
    yield from report["counts"].items()
    yield "violations", report["violation_count"]


def _latency_rows(report: Report) -> Iterable[tuple[object, ...]]:
    for kind, one in report["latencies"].items():
        per_second = round(one["count"] / report["load_seconds"], 2)
        yield kind, one["count"], per_second, one["p50_ms"], one["p99_ms"], one["max_ms"]


def _process_rows(report: Report) -> Iterable[tuple[object, ...]]:
    for row in report["processes"]:
        memory, handles = row.get("memory"), row.get("handles")
        if memory and handles:
            yield (
                row["name"],
                row["lives"],
                *(memory[name] for name in ("start", "end", "max")),
                _growth(memory),
                *(int(handles[name]) for name in ("start", "end", "max")),
                _growth(handles),
            )


def _growth(figures: dict[str, Any]) -> object:
    """A slope; in brackets where it is over too short a time to be judged."""
    if figures["per_hour"] is None:
        return ""
    return figures["per_hour"] if figures["is_long"] else f"({figures['per_hour']})"


def _size_rows(report: Report) -> Iterable[tuple[object, ...]]:
    """The first and the last count of each node."""
    for node in sorted({one["node"] for one in report["sizes"]}):
        counts = [one for one in report["sizes"] if one["node"] == node]
        for one in (counts[0], counts[-1]) if len(counts) > 1 else counts:
            names = ("entries", "graves", "conflicts", "feed", "chunks", "chunk_mib")
            yield node, one["at_s"], *(one[name] for name in names), one["metadata_mib"]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], right: int) -> str:
    """A table of Markdown; the last columns, `right` of them, are numbers."""
    left = len(head) - right
    rule = ["---"] * left + ["--:"] * right
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)

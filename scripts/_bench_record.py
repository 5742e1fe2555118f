"""The last recorded run, what differs from it, and the tables that docs/performance.md shows.

The record (`docs/benchmarks/record.json`) holds for each work when and where it was measured, and
its figures. A run replaces the works it measured and leaves the others.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _bench_sums import changes
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs/benchmarks/record.json"
PAGE = ROOT / "docs/performance.md"

END = "<!-- end -->"
_MARKED = re.compile(
    r"(?P<head><!-- measured: (?P<names>[\w -]+) -->)\n.*?" + re.escape(END), re.DOTALL
)
Works = dict[str, dict[str, Any]]
"""Name of a work -> `machine`, `before`, `after`, `when`, `rows`, `tables`."""


def read(path: Path = RECORD) -> Works:
    """What was recorded; nothing when there is no record."""
    return dict(json.loads(path.read_text())["works"]) if path.exists() else {}


def write(works: Works, path: Path = RECORD) -> None:
    """Put works into the record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = read(path) | works
    path.write_text(json.dumps({"works": dict(sorted(kept.items()))}, indent=1) + "\n")


def entry(
    machine: Mapping[str, object], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, Any]:
    """What is recorded of one work, its rows still missing."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"when": when, "machine": dict(machine), "before": dict(before), "after": dict(after)}


def compare(works: Works, recorded: Works) -> Table | None:
    """What differs from the record; None when nothing of it was measured."""
    table = Table("work", "figure", "recorded", "now", "change", "", title="against the record")
    for name, work in works.items():
        if name not in recorded:
            continue
        old = recorded[name]
        for what in ("loop_ns", "cp_1gib_s", "load"):
            was, now = old["before"].get(what), work["before"].get(what)
            if was and now is not None:
                grown = f"{(now - was) / was * 100:+.0f} %"
                table.add_row(name, f"(machine: {what})", f"{was:,}", f"{now:,}", grown, "")
        for change in changes(old["rows"], work["rows"]):
            colour = {"worse": "red", "better": "green"}.get(change.verdict, "dim")
            table.add_row(
                name,
                change.name,
                f"{change.old:,}",
                f"{change.new:,}",
                f"{change.percent:+.0f} %",
                f"[{colour}]{change.verdict}[/]",
            )
    return table if table.row_count else None


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [list(heads), ["---", *("--:" for _ in heads[1:])], *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def figures_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures of a work as they stand, for works that make no table of their own."""
    shown = [
        [
            str(row["name"]),
            str(row["target"]),
            f"{row['value']:,} {row['unit']}".strip(),
            ("met" if row["met"] else "**missed**") if row["target"] else "",
        ]
        for row in rows
    ]
    return markdown(["figure", "target", "measured", ""], shown)


def told(work: Mapping[str, Any]) -> str:
    """Where and when a work was measured, in one line."""
    machine, before, after = work["machine"], work["before"], work["after"]
    loads = f"load {before['load']:.1f} before, {after['load']:.1f} after"
    busy = (
        " **The machine was busy: of times only ratios say something.**"
        if before["load"] > 2
        else ""
    )
    yardstick = (
        f"empty loop {before['loop_ns']:.0f} ns a turn, `cp` of 1 GiB {before['cp_1gib_s']:.2f} s"
    )
    where = f"{machine['cores']} cores, Python {machine['python']}"
    return f"*{work['when']}, {where}; {loads}; {yardstick}.*{busy}"


def fill(page: str, works: Works) -> str:
    """Put what was recorded between the marks of a page.

    A mark names one work, whose tables it gets, or several, whose figures it gets as one table.
    Where none of them was recorded, what is there stays.
    """

    def filled(mark: re.Match[str]) -> str:
        recorded = [works[name] for name in mark["names"].split() if name in works]
        if not recorded:
            return mark[0]
        if len(mark["names"].split()) == 1:
            tables = recorded[0]["tables"]
        else:
            tables = [figures_table([row for work in recorded for row in work["rows"]])]
        # One line for each time and place, since works may be recorded one by one.
        lines = dict.fromkeys(map(told, recorded))
        return "\n\n".join([f"{mark['head']}\n" + "\n".join(lines), *tables]) + "\n" + END

    return _MARKED.sub(filled, page)


def show(table: Table | None) -> None:
    """Print a table, if there is one."""
    if table is not None:
        Console().print(table)

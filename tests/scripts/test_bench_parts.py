"""What the bench computes of what it measures."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def part(name: str) -> Any:  # noqa: ANN401 - scripts are no package
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


SUMS = part("_bench_sums")
RECORD = part("_bench_record")


def figure(value: float, unit: str = "s", spread: tuple[float, float] | None = None) -> Any:  # noqa: ANN401
    row = {"name": "copying", "value": value, "unit": unit, "target": "", "met": True}
    return row | ({"spread": list(spread)} if spread else {})


def verdict(old: Any, new: Any) -> str:  # noqa: ANN401
    (change,) = SUMS.changes([old], [new])
    return str(change.verdict)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert SUMS.percentile(values, 0.5) == 3.0
    assert SUMS.percentile(values, 0.99) == 5.0
    assert SUMS.percentile(values, 0.0) == 1.0
    assert SUMS.percentile([7.0], 0.5) == 7.0
    assert SUMS.percentile(range(1, 101), 0.99) == 99


def test_tools_are_compared_round_by_round() -> None:
    found = SUMS.ratio({0: 1.0, 1: 4.0, 2: 3.0}, {0: 2.0, 1: 4.0, 2: 2.0})
    assert (found.median, found.low, found.high, found.rounds) == (1.0, 0.5, 1.5, 3)


def test_a_round_that_the_other_sat_out_is_compared_with_its_median() -> None:
    found = SUMS.ratio({0: 1.0, 1: 2.0, 2: 4.0}, {0: 4.0})
    assert (found.median, found.low, found.high, found.rounds) == (0.5, 0.25, 1.0, 1)


def test_the_best_peer_is_the_one_with_the_least_median() -> None:
    row = {"a": {0: 1.0, 1: 9.0, 2: 9.0}, "b": {0: 5.0, 1: 5.0}, "ours": {0: 0.1}, "none": {}}
    assert SUMS.best(row, ("a", "b", "none", "absent")) == "b"
    assert SUMS.best(row, ("none",)) is None


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    points = [(size, 3.0 * size**power) for size in (1e4, 1e5, 1e6)]
    assert SUMS.exponent(points) == pytest.approx(power)


def test_a_logarithm_grows_with_hardly_any_exponent() -> None:
    assert 0 < SUMS.exponent([(10.0**n, math.log(10.0**n)) for n in (4, 5, 6)]) < 0.1


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(5.0, 1.0), (5.0, 2.0)], [(1, 0), (2, 1)]])
def test_what_has_no_exponent_gets_none(points: list[tuple[float, float]]) -> None:
    assert SUMS.exponent(points) is None


def test_worse_is_what_lies_beyond_the_spread_of_both_runs() -> None:
    old = figure(1.0, spread=(0.9, 1.2))
    assert verdict(old, figure(1.5, spread=(1.3, 1.6))) == "worse"
    assert verdict(old, figure(1.1, spread=(0.8, 1.6))) == ""
    assert verdict(old, figure(1.5, spread=(0.9, 1.6))) == ""
    assert verdict(old, figure(0.5, spread=(0.4, 0.6))) == "better"


def test_of_a_rate_less_is_worse() -> None:
    old = figure(100, "1/s", (90, 110))
    assert verdict(old, figure(50, "1/s", (45, 55))) == "worse"
    assert verdict(old, figure(200, "1/s", (190, 210))) == "better"


def test_a_figure_measured_once_is_given_some_room() -> None:
    assert verdict(figure(1.0), figure(1.2)) == ""
    assert verdict(figure(1.0), figure(2.0)) == "worse"


def test_a_change_is_told_in_percent_and_new_figures_are_left_out() -> None:
    other = figure(1.0) | {"name": "another"}
    (change,) = SUMS.changes([figure(2.0)], [other, figure(3.0)])
    assert (change.name, change.percent) == ("copying", 50.0)
    (nothing_before,) = SUMS.changes([figure(0)], [figure(3.0)])
    assert nothing_before.percent == 0.0


def work(value: float) -> dict[str, Any]:
    yardstick = {"load": 0.5, "loop_ns": 50.0, "cp_1gib_s": 1.0}
    made = RECORD.entry({"cores": 2, "python": "3.11.7"}, yardstick, yardstick)
    return dict(made | {"rows": [figure(value)], "tables": ["| a |"]})


def test_recording_a_work_leaves_the_others(tmp_path: Path) -> None:
    record = tmp_path / "benchmarks/record.json"
    assert RECORD.read(record) == {}
    RECORD.write({"one": work(1.0), "two": work(2.0)}, record)
    RECORD.write({"two": work(3.0)}, record)
    found = RECORD.read(record)
    assert found["one"]["rows"][0]["value"] == 1.0
    assert found["two"]["rows"][0]["value"] == 3.0
    assert json.loads(record.read_text())["works"].keys() == {"one", "two"}


def test_what_was_not_recorded_is_compared_with_nothing() -> None:
    assert RECORD.compare({"one": work(1.0)}, {"two": work(1.0)}) is None
    assert RECORD.compare({"one": work(1.0)}, {"one": work(2.0)}).row_count == 4


def test_tables_are_filled_in_between_their_marks_and_nowhere_else() -> None:
    page = "before\n<!-- measured: one -->\nold\n<!-- end -->\nafter\n"
    filled = RECORD.fill(page, {"one": work(1.0), "two": work(2.0)})
    assert "old" not in filled
    assert filled.startswith("before\n<!-- measured: one -->\n")
    assert filled.endswith("| a |\n<!-- end -->\nafter\n")
    assert RECORD.fill(filled, {"one": work(1.0)}) == filled
    assert RECORD.fill("no marks", {"one": work(1.0)}) == "no marks"


def test_what_was_never_recorded_leaves_the_page_as_it_is() -> None:
    page = "<!-- measured: one two -->\nold\n<!-- end -->\n"
    assert RECORD.fill(page, {"three": work(1.0)}) == page


def test_several_works_of_one_mark_share_a_table() -> None:
    page = "<!-- measured: one two-x -->\n<!-- end --> <!-- measured: one -->\n<!-- end -->"
    filled = RECORD.fill(page, {"one": work(1.0), "two-x": work(2.0)})
    assert filled.count("| copying |") == 2
    assert filled.count("| a |") == 1


def test_a_busy_machine_is_told() -> None:
    busy = work(1.0)
    assert "busy" not in RECORD.told(busy)
    busy["before"] = busy["before"] | {"load": 5.0}
    assert "busy" in RECORD.told(busy)


def samples(**tools: list[float]) -> dict[str, dict[int, float]]:
    return {name: dict(enumerate(took)) for name, took in tools.items()}


def test_a_row_is_judged_by_the_ratios_that_are_its_target() -> None:
    tables = part("_bench_tables")
    rows = {"big": samples(rsync=[2, 2], syncthing=[4, 4], nodes=[1.9, 2.0], folder=[3.0, 3.0])}
    table = tables.ratios_table(rows).splitlines()
    (nodes,) = [line for line in table if "first time: nodes" in line]
    (folder,) = [line for line in table if "first time: folder" in line]
    assert nodes.endswith("| met |")
    assert folder.endswith("| **missed** |")
    assert "0.97 (0.95 to 1.00) rsync" in nodes


def test_the_small_write_is_judged_by_its_time() -> None:
    tables = part("_bench_tables")
    rows = {"write": samples(syncthing=[0.2], nodes=[0.004, 0.006, 0.02])}
    (line,) = [row for row in tables.ratios_table(rows).splitlines() if "nodes" in row]
    assert "≤ 10 ms" in line
    assert line.endswith("| met |")


def test_a_tool_that_was_not_measured_is_a_dash() -> None:
    tables = part("_bench_tables")
    rows = {"one": samples(rsync=[0.3, 0.2]), "noop": samples(nodes=[0.01])}
    lines = tables.times_table(rows).splitlines()
    assert lines[2].split(" | ")[1:] == ["0.0100 (once)", "- |"]
    assert lines[3].split(" | ")[1:] == ["-", "0.25 (0.20 to 0.30) |"]


def test_what_was_shrunk_is_not_recorded() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "_bench.py", "stages", "--scale", "0.1", "--record"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not recorded" in done.stderr


def test_the_floors_are_sums_of_what_the_machine_does() -> None:
    rates = ("loopback TCP, one connection", "BLAKE3, one core", "FastCDC, one core")
    values = dict.fromkeys(
        (*rates, "cp within the disk cache", "read from the disk cache"), 1000.0
    )
    values |= {"starting Python": 20.0, "an empty exchange, asyncio both ends": 100.0}
    values |= {"fdatasync of 4 KiB, median": 1.0, "scandir and stat of a file": 2.0}
    each = ("open, read, close", "a row in SQLite, in a batch", "making a file of 1 KiB (Python)")
    rows = part("_bench_limits").floors(values | dict.fromkeys(each, 10.0))
    found = {name: seconds for name, seconds, _ in rows}
    assert found["1 GiB, node to node"] == "2.147 s"
    assert found["nothing changed in 10 000 files"] == "0.040 s"
    assert found["small write, readable on the peer"] == "0.001 s"

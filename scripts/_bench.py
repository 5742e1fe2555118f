"""Measures aeorsync on this machine; see docs/performance.md.

Prints each figure beside its target and what changed since the last recorded run
(docs/benchmarks/record.json).
"""

import argparse
import compileall
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import _bench_machine
import _bench_record
from _bench_cluster import CLUSTER_WORKS
from _bench_contest import CONTEST_WORKS
from _bench_delta import DELTA_WORKS
from _bench_folder import FOLDER_WORKS
from _bench_growth import GROWTH_WORKS
from _bench_large import LARGE_WORKS
from _bench_limits import LIMITS_WORKS
from _bench_load import LOAD_WORKS
from _bench_node import NODE_WORKS
from _bench_stages import STAGES_WORKS
from _measure import Figures, Wanted, set_scale

WORKS: dict[str, Callable[[Path, Figures], None]] = {
    **NODE_WORKS,
    **CLUSTER_WORKS,
    **LARGE_WORKS,
    **FOLDER_WORKS,
    **CONTEST_WORKS,
    **GROWTH_WORKS,
    **DELTA_WORKS,
    **LOAD_WORKS,
    **LIMITS_WORKS,
    **STAGES_WORKS,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    usual = Wanted()
    parser.add_argument("work", nargs="*", choices=[*WORKS, []], help="what to measure (all)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--record", action="store_true", help="record them and fill in docs/performance.md"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as markdown")
    parser.add_argument(
        "--rounds", type=int, default=usual.rounds, help=f"of what is compared ({usual.rounds})"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=usual.minutes,
        help=f"begin no further round after so many ({usual.minutes:.0f})",
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: tuple(int(size) for size in text.split(",")),
        default=usual.sizes,
        help="of growing trees (10000,100000,1000000)",
    )
    words = {"type": lambda text: tuple(text.split(",")), "default": ()}
    parser.add_argument("--rows", **words, help="of peers: big,small,write,tiny (all)")
    parser.add_argument("--tools", **words, help="of peers: nodes,rsync,... (all)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of data: 0.01 only tries the bench out"
    )
    options = parser.parse_args()
    if options.record and options.scale != 1:
        parser.error("what --scale shrinks says nothing: it is not recorded")
    return options


def as_installed() -> None:
    """Let processes start as those of any user do: with modules that were compiled before."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(_bench_record.ROOT / "aeorsync", quiet=2)


def main() -> None:
    options = parse()
    as_installed()
    # Whoever ends a bench ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    set_scale(options.scale)
    wanted = Wanted(options.rounds, options.minutes, options.sizes, options.rows, options.tools)
    machine = _bench_machine.facts()
    works: _bench_record.Works = {}
    folder = Path(tempfile.mkdtemp(prefix="aeorsync-bench-"))
    try:
        for work in options.work or WORKS:
            print(f"{work} ...", file=sys.stderr, flush=True)
            figures = Figures(wanted)
            before = _bench_machine.calibrate(folder)
            WORKS[work](folder, figures)
            after = _bench_machine.calibrate(folder)
            tables = figures.tables or [_bench_record.figures_table(figures.rows)]
            about = _bench_record.entry(machine, before, after)
            works[work] = {**about, "rows": figures.rows, "tables": tables}
            figures.show()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        finish(works, options)


def finish(works: _bench_record.Works, options: argparse.Namespace) -> None:
    """Compare, print and keep what was measured."""
    _bench_record.show(_bench_record.compare(works, _bench_record.read()))
    if options.markdown:
        for work in works.values():
            print("\n\n".join([_bench_record.told(work), *work["tables"]]))
    if options.json:
        options.json.write_text(json.dumps({"works": works}, indent=1) + "\n")
    if options.record:
        _bench_record.write(works)
        page = _bench_record.PAGE
        page.write_text(_bench_record.fill(page.read_text(), _bench_record.read()))


if __name__ == "__main__":
    main()

"""Holds a ring of nodes under load for long, and says what it did and whether anything was wrong.

usage: soak [--minutes M] [--seed S] [--nodes N] [--streams N] [--clients N] [--rate R] [--files N]
            [--latency-limit S] [--json FILE] [--keep FOLDER]
       soak --report FILE...

Real nodes in a ring of wires that are cut now and then, `aeorsync sync --watch` clients with
people who edit, writers and readers over HTTP who know every byte, event streams, keys that are
revoked, garbage collection, kill -9 and restarts. Every few minutes everything stops, must become
equal, and is compared with what was acknowledged. Exit code 1 when anything is not as it must be;
then the data and logs stay. `--report` prints the tables of docs/soak.md from files written with
`--json`.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.soak_report import as_markdown, as_text
from tests.support.soak_run import Run, Settings

ROOT = Path(__file__).parents[1]


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5, at most 1440)")
    parser.add_argument("--seed", type=int, help="of all choices (random)")
    parser.add_argument("--nodes", type=int, default=3, help="in the ring (3)")
    parser.add_argument("--streams", type=int, default=1000, help="event streams (1000)")
    parser.add_argument("--clients", type=int, default=2, help="folder clients (2)")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second (10)")
    parser.add_argument("--files", type=int, default=400, help="paths written over HTTP (400)")
    parser.add_argument("--latency-limit", type=float, default=10.0, help="seconds (10)")
    parser.add_argument("--json", type=Path, help="write the whole report there")
    parser.add_argument("--keep", type=Path, help="where everything lies (a temporary folder)")
    parser.add_argument("--report", type=Path, nargs="+", help="print tables of earlier reports")
    return parser.parse_args()


def main() -> int:
    options = parse()
    if options.report:
        print(as_markdown([json.loads(path.read_text()) for path in options.report]))
        return 0
    settings = Settings(
        seconds=min(options.minutes, 1440) * 60,
        seed=options.seed if options.seed is not None else random.randrange(10**6),
        nodes=options.nodes,
        streams=options.streams,
        clients=options.clients,
        rate=options.rate,
        files=options.files,
        latency_limit_s=options.latency_limit,
    )
    work = options.keep or Path(tempfile.mkdtemp(prefix="aeorsync-soak-"))
    work.mkdir(parents=True, exist_ok=True)
    report = {"settings": dataclasses.asdict(settings), "machine": machine()}
    try:
        report |= asyncio.run(interruptible(Run(work, settings, say)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        say("interrupted; everything was ended")
        remove(work, options)
        return 130
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(as_text(report))
    if report["violation_count"]:
        say(f"seed {settings.seed}; data and logs are kept in {work}")
        return 1
    remove(work, options)
    return 0


async def interruptible(run: Run) -> dict[str, Any]:
    """End what was started also when the terminal, or a service manager, asks for it."""
    task = asyncio.ensure_future(run.go())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def remove(work: Path, options: argparse.Namespace) -> None:
    if options.keep is None:
        shutil.rmtree(work, ignore_errors=True)


def machine() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "commit": commit.stdout.strip() or "unknown",
        "began": time.strftime("%Y-%m-%d %H:%M"),
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    sys.exit(main())

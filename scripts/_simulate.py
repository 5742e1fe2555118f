"""Plays whole clusters in one thread, from a seed each, and checks what must hold.

usage: simulate [--runs N] [--seed S] [--size small|whole] [--jobs J] [--minutes M] [--json]
       simulate --replay FILE

Run i is made from seed S + i. A run that fails is made as small as it can be, printed as a
schedule that can be kept in a file and replayed, and ends the whole with exit code 1. The same
seed gives the same run, everywhere and always, as long as the code is the same.
"""

import argparse
import gc
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from aeorsync.runtime import log
from tests.support.sim.running import Ended, decode, encode, make, play
from tests.support.sim.shrinking import shrink

BATCH = {"small": 250, "whole": 10}
REPORT_S = 10.0

Batch = tuple[str, int, int]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run_batch(batch: Batch) -> tuple[int, int | None]:
    """Play some seeds; returns how many, and the seed that failed, if one did."""
    size, first, count = batch
    gc.disable()
    for seed in range(first, first + count):
        if play(make(size, seed)).failure is not None:
            return seed - first + 1, seed
    gc.collect()
    return count, None


def batches(arguments: argparse.Namespace) -> Iterator[Batch]:
    last = arguments.seed + arguments.runs
    step = BATCH[arguments.size]
    for first in range(arguments.seed, last, step):
        yield arguments.size, first, min(step, last - first)


def search(arguments: argparse.Namespace) -> tuple[int, float, int | None]:
    """Play until all is played, time is over, or one fails; returns runs, seconds and that one."""
    began = told = time.monotonic()
    deadline = began + arguments.minutes * 60 if arguments.minutes else float("inf")
    done, failed = 0, None
    with multiprocessing.get_context("fork").Pool(arguments.jobs) as pool:
        for count, seed in pool.imap_unordered(run_batch, batches(arguments)):
            done += count
            now = time.monotonic()
            if now - told >= REPORT_S:
                told = now
                say(f"{done} of {arguments.runs} runs, {done / (now - began):.0f} a second")
            if seed is not None or now > deadline:
                failed = seed
                break
        pool.terminate()
    return done, time.monotonic() - began, failed


def explain(ended: Ended) -> Ended:
    """Print a failing schedule in its smallest form."""
    say(f"seed {ended.schedule.seed} fails: {ended.failure}")
    say("making it smaller ...")
    least = play(shrink(ended.schedule, lambda other: play(other).kind == ended.kind))
    print(encode(least.schedule), end="")
    print(least.where, end="")
    return least


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first run (0)")
    parser.add_argument("--size", choices=sorted(BATCH), default="small")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--minutes", type=float, default=0.0, help="at most so long; 0: no end")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play a schedule in a file")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the smallest one there")
    arguments = parser.parse_args()
    log.set_up("json", level=logging.CRITICAL)
    if arguments.replay is not None:
        ended = play(decode(arguments.replay.read_bytes()))
        print(ended.where or f"holds; trace {ended.trace}")
        return int(ended.failure is not None)
    done, seconds, failed = search(arguments)
    summary = {
        "size": arguments.size,
        "first_seed": arguments.seed,
        "runs": done,
        "seconds": round(seconds, 1),
        "runs_a_second": round(done / seconds, 1),
        "failed_seed": failed,
    }
    if failed is not None:
        least = explain(play(make(arguments.size, failed)))
        summary["failure"] = least.failure
        if arguments.keep is not None:
            arguments.keep.write_text(encode(least.schedule))
    print(json.dumps(summary) if arguments.json else f"{summary}")
    return int(failed is not None)


if __name__ == "__main__":
    sys.exit(main())

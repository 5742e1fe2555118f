"""Plays random histories of a few files in three folders and two servers, explains each.

usage: try-histories [--runs N] [--minutes N] [--seed S] [--files N] [--back] [--json]

See tests/support/histories.py for what a history is, and when it is explained. Half of the runs
have one file, half of them five, unless --files says otherwise. With --back servers are put back
to older copies now and then; what was deleted or replaced may return then, nothing may be lost.
A history that is not explained is shortened and printed, and the exit code is 1: put it into
tests/folder/histories/ and the suite plays it for ever.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.histories import judge
from tests.support.history_steps import History, make, shorten

MEMORY = Path("/dev/shm")  # noqa: S108 - where the disk is slow; a folder of our own is made there
TOLD_EVERY_S = 15.0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def kinds(wrong: list[str]) -> set[str]:
    """What kinds of violations these are."""
    return {line.split(":")[0].split(" ")[0] for line in wrong}


def shortest(base: Path, history: History, wrong: list[str]) -> History:
    """The shortest history that fails in the same way."""
    wanted = kinds(wrong[:1])
    return shorten(history, lambda some: wanted <= kinds(judge(base / "short", some).wrong))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/try-histories",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=200, help="how many (200)")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long at most (60)")
    parser.add_argument("--seed", type=int, help="of the first; the others follow (random)")
    parser.add_argument("--files", type=int, help="how many files (1 and 5 by turns)")
    parser.add_argument("--length", type=int, default=24, help="steps of a history (24)")
    parser.add_argument("--back", action="store_true", help="put servers back to older copies")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.randrange(10**6)
    began = time.monotonic()
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="aeorsync-histories-", dir=place) as folder:
        runs, bad = play(Path(folder), first, options)
    seconds = round(time.monotonic() - began, 1)
    if options.json:
        result = {"runs": runs, "first_seed": first, "seconds": seconds, "not_explained": bad}
        print(json.dumps(result))
    else:
        print(f"{runs} histories from seed {first} in {seconds} s: {len(bad)} not explained")
    return 1 if bad else 0


def play(
    base: Path, first: int, options: argparse.Namespace
) -> tuple[int, list[dict[str, object]]]:
    """Play as many as were asked for; how many these were, and those that are not explained."""
    began = told = time.monotonic()
    bad: list[dict[str, object]] = []
    runs = 0
    for seed in range(first, first + options.runs):
        now = time.monotonic()
        if now - began > options.minutes * 60:
            break
        if now - told > TOLD_EVERY_S:
            say(f"{runs} of {options.runs} runs, {len(bad)} not explained")
            told = now
        files = options.files or (1, 5)[seed % 2]
        history = make(seed, files, options.length, goes_back=options.back)
        verdict = judge(base / "run", history)
        runs += 1
        if verdict.wrong:
            say(f"seed {seed}: {verdict.wrong}")
            short = shortest(base, history, verdict.wrong)
            again = judge(base / "short", short)
            say("\n".join([*again.log, json.dumps(short)]))
            bad.append({"seed": seed, "wrong": verdict.wrong, "history": short})
    return runs, bad


if __name__ == "__main__":
    sys.exit(main())

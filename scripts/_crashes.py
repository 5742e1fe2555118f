"""Cuts the power at every operation on a disk, or refuses the operation, and judges what is left.

usage: try-crashes [--seed S] [--rounds N] [--only NAME ...] [--no-refusals] [--json]

Each story (tests/support/crash_*.py) is played once on a recorded disk. Then for every operation
of it, and every way in which a disk may lose what was not synced (all of it, none, names without
bytes, bytes without names, zeros, torn, any), the folder is built as it would be found, opened by
the real code, and compared with what had been promised. After that each story is played again for
every operation, which the disk refuses: once, for a while, or for it is full. Exit code 1, and a
report, when something is wrong; the same seed makes the same choices.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import crash_folder, crash_start, crash_store
from tests.support.crash_folder import FolderStory
from tests.support.crash_refusals import Refusal, of_folder, of_store
from tests.support.crash_store import SMALL, StoreStory
from tests.support.crashes import Story, Tally, cut_everywhere, record, scratch
from tests.support.disk_model import Way

CUTS: Sequence[Story] = (*crash_store.STORIES, *crash_start.STORIES, *crash_folder.STORIES)
REFUSALS = (SMALL, *crash_store.STORIES, *crash_folder.STORIES)
SHOWN = 5


def every_way(rounds: int) -> Sequence[Way]:
    """Each way that leaves nothing to chance once, the others so many times."""
    return [*Way, *[Way.TORN, Way.ANY] * (rounds - 1)]


def cut(story: Story, seed: int, rounds: int) -> Tally:
    def ways(_: Random) -> Sequence[Way]:
        return every_way(rounds)

    with scratch() as folder:
        recording = record(story, folder / "disk")
        return cut_everywhere(story, recording, folder / "disk", seed, ways)


def refuse(story: StoreStory | FolderStory, how: Refusal) -> Tally:
    tally = Tally()

    def every(at: int) -> bool:
        tally.operations = tally.states = at
        return True

    with scratch() as folder:
        if isinstance(story, StoreStory):
            tally.wrong = of_store(story, folder, how, every)
        else:
            tally.wrong = of_folder(story, folder, how, every)
    return tally


class Teller:
    """Says how it goes, and in the end what it came to."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.found: list[dict[str, object]] = []
        self.began = time.monotonic()

    def tell(self, what: str, tally: Tally, began: float) -> None:
        seconds = round(time.monotonic() - began, 1)
        wrong = len(tally.wrong)
        told = {"what": what, "operations": tally.operations, "states": tally.states}
        self.found.append({**told, "wrong": wrong, "seconds": seconds})
        if not self.as_json:
            line = f"{what:<34} {tally.operations:>5} {tally.states:>6} {wrong:>5} {seconds:>8} s"
            print(line, flush=True)
        for text in tally.wrong[:SHOWN]:
            print(text, file=sys.stderr, flush=True)

    def end(self, seed: int) -> int:
        wrong = sum(int(str(one["wrong"])) for one in self.found)
        states = sum(int(str(one["states"])) for one in self.found)
        seconds = round(time.monotonic() - self.began, 1)
        if self.as_json:
            whole = {"seed": seed, "states": states, "wrong": wrong, "seconds": seconds}
            print(json.dumps({**whole, "stories": self.found}, indent=2))
        else:
            print(f"seed {seed}: {states} states, {wrong} wrong, {seconds} s")
        return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/try-crashes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="of all choices (1)")
    parser.add_argument("--rounds", type=int, default=1, help="of what is left to chance (1)")
    parser.add_argument("--only", nargs="+", default=[], help="stories of these names")
    parser.add_argument("--no-refusals", action="store_true", help="only power cuts")
    parser.add_argument("--json", action="store_true", help="a summary for programs")
    options = parser.parse_args()
    teller = Teller(as_json=options.json)
    if not options.json:
        print(f"{'story':<34} {'k':>5} {'states':>6} {'wrong':>5} {'time':>8}")
    for story in CUTS:
        if not options.only or story.name in options.only:
            began = time.monotonic()
            tally = cut(story, options.seed, options.rounds)
            teller.tell(f"{story.name}, power cut", tally, began)
    for other in () if options.no_refusals else REFUSALS:
        for how in Refusal:
            if not options.only or other.name in options.only:
                began = time.monotonic()
                teller.tell(f"{other.name}, disk {how.value}", refuse(other, how), began)
    return teller.end(options.seed)


if __name__ == "__main__":
    sys.exit(main())

"""Kills real nodes under load with `kill -9`, and judges what is left.

usage: try-kills [--times N] [--seed S] [--minutes M] [--nodes N] [--json] [--keep FOLDER]

One to three linked nodes; writers, readers and event streams at all of them; kills at random
moments, also during starts, collections, snapshots and shutdowns. An oracle knows every write that
was acknowledged and every one of which nobody knows; see `tests/support/kills.py`. Exit code 1
when anything is wrong; then everything stays on disk. The same seed makes the same choices; timing
is the machine's.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.kills import Kills, print_summary, summary

KILLS_A_WORLD = 60


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/try-kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--times", type=int, default=60, help="kills (60)")
    parser.add_argument("--seed", type=int, help="of the first world (random)")
    parser.add_argument("--minutes", type=float, default=60.0, help="at most (60)")
    parser.add_argument("--nodes", type=int, choices=(1, 2, 3), help="(1, 2, 3 in turn)")
    parser.add_argument("--json", action="store_true", help="one JSON object a world")
    parser.add_argument("--keep", type=Path, help="where everything lies (a temporary folder)")
    options = parser.parse_args()
    # Whoever ends the script ends its nodes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    end = time.monotonic() + options.minutes * 60
    base = options.keep or Path(tempfile.mkdtemp(prefix="aeorsync-kills-"))
    left = options.times
    while left > 0 and time.monotonic() < end:
        work = base / f"seed-{seed}"
        work.mkdir(parents=True)
        nodes = options.nodes or (2, 3, 1)[seed % 3]
        say(f"seed {seed}: {nodes} nodes, in {work}")
        world = Kills(work, seed, nodes, say)
        try:
            record = world.run(min(left, KILLS_A_WORLD), end)
        finally:
            world.close()
        if options.json:
            print(print_summary(record), flush=True)
        else:
            for name, value in summary(record).items():
                print(f"  {name}: {value}", flush=True)
        if record.wrong:
            return 1
        shutil.rmtree(work)
        left -= record.kills
        seed += 1
    if options.keep is None:
        shutil.rmtree(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())

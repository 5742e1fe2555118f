"""Works in several synced folders at once, for long, and judges what came of it.

usage: try-folders [--minutes N] [--seed S] [--folders N] [--servers N] [--acts N] [--keep FOLDER]

Real servers and real `aeorsync sync --watch` processes; editors, git checkout, tar x, renames,
deletions, links, conflicts, kill -9 of either side. A model knows every content that was ever
written and says after each round what is lost, resurrected or foreign. Exit code 1, and a report,
when something is; then everything stays on disk. The same seed makes the same choices; timing is
the machine's.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.folder_rounds import Size, World, WrongError

ROUNDS_A_WORLD = 12


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/try-folders",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, help="of the first world (random)")
    parser.add_argument("--folders", type=int, default=3, choices=(2, 3, 4))
    parser.add_argument("--servers", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--acts", type=int, default=150, help="of editors in a round (150)")
    parser.add_argument("--keep", type=Path, help="where everything lies (a temporary folder)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    size = Size(folders=options.folders, servers=options.servers, acts=options.acts)
    end = time.monotonic() + options.minutes * 60
    base = options.keep or Path(tempfile.mkdtemp(prefix="aeorsync-folders-"))
    rounds = 0
    while time.monotonic() < end:
        work = base / f"seed-{seed}"
        work.mkdir(parents=True)
        say(f"seed {seed}: {size.folders} folders, {size.servers} servers, in {work}")
        world = World(work, seed, size, say)
        try:
            for _ in range(ROUNDS_A_WORLD):
                world.run_round()
                rounds += 1
                if time.monotonic() > end:
                    break
        except WrongError as error:
            say(str(error))
            return 1
        finally:
            world.close()
        shutil.rmtree(work)
        seed += 1
    if options.keep is None:
        shutil.rmtree(base)
    say(f"{rounds} rounds: nothing lost, nothing resurrected, nothing foreign")
    return 0


if __name__ == "__main__":
    sys.exit(main())

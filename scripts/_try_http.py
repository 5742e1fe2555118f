"""Makes requests from the document of the API, as every kind of caller, and judges the answers.

usage: try-http [--minutes N] [--seed S] [--json]

Root, peers, keys bound by all sorts of rules, and strangers, against a node in this process with a
folder of its own; every round begins anew. An answer is wrong if it is a 500, is not in the
document, does not fit it, tells of the inside or of what is hidden, or goes to who may not have
it; or if nothing comes. Exit code 1, and the requests, when something is. The same seed makes the
same requests; what is put into them depends on what was answered.
"""

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog

from tests.support.walks import Outcome, Walk

CASES = 20
"""Drawn for each operation in a round."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/try-http",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, help="of the first round (random)")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    began, total, rounds = time.monotonic(), Outcome(), 0
    while time.monotonic() < began + options.minutes * 60 and not total.wrong:
        for masters in (True, False):
            with tempfile.TemporaryDirectory(prefix="aeorsync-http-") as folder:
                walk = Walk(Path(folder), seed, masters=masters)
                try:
                    outcome = walk.go(CASES)
                finally:
                    walk.close()
            total.add(outcome)
            who = "root and peers" if masters else "keys with rules"
            told = f"{outcome.count} requests, {len(outcome.wrong)} wrong"
            print(f"seed {seed}, {who}: {told}", file=sys.stderr, flush=True)
        seed += 1
        rounds += 1
    summary = {
        "seconds": round(time.monotonic() - began),
        "rounds": rounds,
        "requests": total.count,
        "operations": len(total.asked),
        "operations that once did something": len(total.successes),
        "statuses": {str(status): count for status, count in sorted(total.statuses.items())},
        "wrong": total.wrong,
    }
    if options.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name}: {value}" if name != "wrong" else f"wrong: {len(total.wrong)}")
        for line in total.wrong[:20]:
            print(line)
    return 1 if total.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

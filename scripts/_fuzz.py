"""Feeds every parser what was made to break it.

usage: fuzz [--only NAME] [--minutes N] [--seed S] [--keep FOLDER] [--json] [--guided | --blind]

The parsers, their seeds and promises are the table in tests/support/parser_table.py. Each gets an
equal share of the time, in a process of its own whose memory is limited (1 GiB). Two ways:

    guided   atheris (libFuzzer) changes inputs and keeps those that reach new code
    blind    tests/support/mutations.py changes seeds, knowing msgpack and JSON

Without either option half of the time goes to each, if atheris is installed (`pip install
atheris`), or all of it to the second. What broke a promise is written to --keep (a temporary
folder). The same seed makes the same inputs in the blind way.
"""

import argparse
import contextlib
import importlib.util
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

MEMORY = 1 << 30
GRACE_S = 600.0  # instrumented imports take their time on a busy machine


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def blind(name: str, seconds: float, seed: int, keep: Path) -> int:
    """Try inputs of our own until the time is over; returns how many."""
    from tests.support.mutations import Mutator  # noqa: PLC0415  # it has to be instrumented
    from tests.support.parser_table import PARSERS  # noqa: PLC0415  # it has to be instrumented
    from tests.support.parsers import MAX_INPUT, FindingError, judge  # noqa: PLC0415  # it has to be instrumented

    limit_memory()
    parser = next(one for one in PARSERS if one.name == name)
    mutator = Mutator(parser.seeds, seed)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        for _ in range(20):
            count += 1
            data = mutator.next()[:MAX_INPUT]
            try:
                judge(parser, data)
            except FindingError as finding:
                note(keep, finding)
                print(count)
                return 1
    print(count)
    return 0


def guided(name: str, seconds: float, seed: int, keep: Path) -> int:
    """Let libFuzzer look for inputs; does not return."""
    import atheris  # noqa: PLC0415  # it is optional

    with atheris.instrument_imports(include=["aeorsync"]):
        from tests.support.parser_table import PARSERS  # noqa: PLC0415  # it has to be instrumented
        from tests.support.parsers import FindingError, judge  # noqa: PLC0415  # it has to be instrumented
    from tests.support.mutations import Mutator  # noqa: PLC0415  # it has to be instrumented

    parser = next(one for one in PARSERS if one.name == name)
    corpus = keep / f"corpus-{name.replace(' ', '-').replace('/', '-')}"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(parser.seeds):
        (corpus / f"seed-{number}").write_bytes(data)

    def change(data: bytes, size: int, number: int) -> bytes:
        if number % 4:
            return bytes(atheris.Mutate(data, size))
        return Mutator((data, *parser.seeds), number).next()[:size]

    def once(data: bytes) -> None:
        try:
            # What is measured runs slower than it would.
            judge(parser, data, deadline_s=10.0)
        except FindingError as finding:
            note(keep, finding)
            raise

    arguments = [
        sys.argv[0],
        f"-seed={seed % (1 << 31) or 1}",
        f"-max_total_time={int(seconds) or 1}",
    ]
    arguments += [f"-rss_limit_mb={MEMORY >> 20}", "-max_len=16384", "-print_final_stats=1"]
    arguments += [f"-artifact_prefix={keep}/", "-timeout=20", str(corpus)]
    atheris.Setup(arguments, once, custom_mutator=change)
    atheris.Fuzz()
    return 0


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY, 2 * MEMORY))


def note(keep: Path, finding: Exception) -> None:
    """Write down what broke a promise."""
    place = keep / f"finding-{random.randrange(1 << 32):08x}"
    place.write_bytes(finding.data)  # type: ignore[attr-defined]
    say(f"FOUND {finding}\n  kept as {place}")


def run(way: str, name: str, seconds: float, seed: int, keep: Path) -> tuple[int, bool]:
    """Try one parser in a process of its own; returns how many inputs, and if all was well."""
    command = [sys.executable, __file__, "--one", way, "--only", name]
    command += ["--seconds", str(seconds), "--seed", str(seed), "--keep", str(keep)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds * 4 + GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        say(f"FOUND {name}: does not come to an end")
        return 0, False
    for line in done.stderr.splitlines():
        if done.returncode or line.startswith("FOUND"):
            say(f"    {line[:1000]}")
    count = 0
    with contextlib.suppress(ValueError, IndexError):
        if way == "blind":
            count = int(done.stdout.split()[-1])
        else:
            shown = done.stdout + done.stderr
            count = int(shown.partition("number_of_executed_units:")[2].split()[0])
    return count, done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", help="parsers whose name holds this")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, in all (5)")
    parser.add_argument("--seed", type=int, help="of the blind way (random)")
    parser.add_argument("--keep", type=Path, help="where findings lie (a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--guided", action="store_true", help="only with atheris")
    parser.add_argument("--blind", action="store_true", help="only without")
    parser.add_argument("--one", choices=("blind", "guided"), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=1.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 31)
    keep = options.keep or Path(tempfile.mkdtemp(prefix="aeorsync-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    if options.one:
        return {"blind": blind, "guided": guided}[options.one](
            options.only[0], options.seconds, seed, keep
        )

    from tests.support.parser_table import PARSERS  # noqa: PLC0415  # it has to be instrumented

    names = [
        one.name
        for one in PARSERS
        if not options.only or any(word in one.name for word in options.only)
    ]
    has_atheris = importlib.util.find_spec("atheris") is not None
    ways = ["blind"] * (not options.guided) + ["guided"] * (has_atheris and not options.blind)
    if not names or not ways:
        parser.error("nothing to do: no parser is called so, or atheris is not installed")
    share = options.minutes * 60 / len(names) / len(ways)
    say(
        f"seed {seed}: {len(names)} parsers, {share:.1f} s each way ({', '.join(ways)}), in {keep}"
    )
    counts: dict[str, int] = {}
    bad: list[str] = []
    for name in names:
        for way in ways:
            count, is_well = run(way, name, share, seed, keep)
            counts[name] = counts.get(name, 0) + count
            if not is_well:
                bad.append(name)
        say(f"  {name}: {counts[name]} inputs{', BROKEN' if name in bad else ''}")
    total = sum(counts.values())
    if options.json:
        print(
            json.dumps(
                {"seed": seed, "inputs": total, "parsers": counts, "broken": sorted(set(bad))}
            )
        )
    else:
        print(
            f"{total} inputs to {len(names)} parsers, seed {seed}: {len(set(bad))} broke a promise"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Deliberate defects: does a test notice each of them?

    tests/mutants/*.toml    defects: one exact replacement in one file, the promise it breaks, and
                            the tests that are meant to notice
    a copy of the tree      where each is made, alone; this folder is never touched
    caught                  a test fails with the defect, and the same test passes without it
    survived                the tests named pass, and so does everything in their folders (with
                            --whole: everything there is)

Exit codes: 0 all were caught, 1 some survived, 2 a defect does not fit the code (any more).
"""

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "tests" / "mutants"
PAGE = ROOT / "docs" / "mutants.md"
COPIED = ("aeorsync", "tests", "scripts", "docs", "systemd")
COPIED_FILES = ("pyproject.toml", "requirements.lock", "README.md", "CHANGELOG.md", "LICENSE")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_PASSED, _FAILING = 0, 1
_OUTPUT = "output.txt"
_LOADED = multiprocessing.get_context("forkserver")
"""Starts processes that have loaded what the program and its tests need, and nothing of these."""
_NEEDED = [
    "__main__",
    "cryptography.x509",
    "httpx",
    "hypothesis.strategies",
    "jwt",
    "msgspec",
    "prometheus_client",
    "pytest",
    "re2",
    "rich.console",
    "starlette.responses",
    "stream_zip",
    "structlog",
    "typer",
    "uvicorn",
    "uvloop",
    "watchfiles",
    "zstandard",
]
_INTRODUCTION = """\
A test is worth what it notices. Each row is a small defect that `./scripts/mutants` makes in a
copy of the program, alone, and the first test that failed with it and passes without it. The
defects are in `tests/mutants/`, each an exact replacement; one that does not fit the code any more
is an error, and so is one that no test notices."""
_TEST_S = 90
_RUN_S = 600


@dataclass(frozen=True, slots=True)
class Mutant:
    """A deliberate defect.

    Attributes:
        name: Short, unique.
        promise: Which one it breaks, in one sentence.
        file: Where, from the top of the tree.
        find: What is there exactly once.
        replace: What is there instead.
        also: More of these pairs, where one place is not enough.
        tests: Those meant to notice, as pytest takes them.
    """

    name: str
    promise: str
    file: str
    find: str
    replace: str
    tests: list[str]
    also: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a defect.

    Attributes:
        name: Of the defect.
        promise: Which one it breaks.
        file: Where it was made.
        caught_by: The test that failed first; None when it survived.
        was_named: Whether that is one of those meant to notice.
        seconds: How long it took.
    """

    name: str
    promise: str
    file: str
    caught_by: str | None
    was_named: bool
    seconds: float


class DriftError(Exception):
    """A defect does not fit the code."""


def load(folder: Path = TABLES) -> list[Mutant]:
    """All defects of a folder of tables."""
    mutants = [
        Mutant(**row)
        for table in sorted(folder.glob("*.toml"))
        for row in tomllib.loads(table.read_text())["mutant"]
    ]
    names = [mutant.name for mutant in mutants]
    if len(names) != len(set(names)):
        raise DriftError("two defects have one name")
    return mutants


def broken(mutant: Mutant, root: Path = ROOT) -> str:
    """The file with the defect in it.

    Raises:
        DriftError: What it replaces is not there exactly once, or the result is no Python.
    """
    text = (root / mutant.file).read_text()
    for find, replace in [[mutant.find, mutant.replace], *mutant.also]:
        count = text.count(find)
        if count != 1:
            raise DriftError(f"{mutant.name}: what it replaces is {count} times in {mutant.file}")
        text = text.replace(find, replace)
    try:
        compile(text, mutant.file, "exec")
    except SyntaxError as error:
        raise DriftError(f"{mutant.name}: {error}") from error
    return text


class Copy:
    """A copy of the tree, in which defects are made one after the other."""

    def __init__(self, root: Path) -> None:
        """Make it.

        Args:
            root: An empty folder.
        """
        self.root = root
        self._times = time.time()
        skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=skipped)
        for name in COPIED_FILES:
            shutil.copy2(ROOT / name, root / name)

    @contextmanager
    def with_defect(self, mutant: Mutant) -> Iterator[None]:
        """Have a defect in it meanwhile."""
        path = self.root / mutant.file
        sound = path.read_text()
        self._write(path, broken(mutant, self.root))
        try:
            yield
        finally:
            self._write(path, sound)

    def _write(self, path: Path, text: str) -> None:
        """Write a file with a time it never had: what was compiled of it is told apart by that."""
        path.write_text(text)
        self._times += 2
        os.utime(path, (self._times, self._times))

    def failing(self, tests: Sequence[str]) -> str | None:
        """The first test that fails, None when all pass.

        Raises:
            DriftError: They could not be run at all.
        """
        words = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", f"--timeout={_TEST_S}"]
        words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        words += [f"--basetemp={self.root / 'temporary'}", *tests]
        process = _LOADED.Process(target=_run_pytest, args=(self.root, words))
        process.start()
        process.join(_RUN_S)
        was_over = not process.is_alive()
        _end_all(process.pid)
        process.join()
        if not was_over:
            return f"{' '.join(tests)} (never ended)"
        if process.exitcode == _PASSED:
            return None
        told = (self.root / _OUTPUT).read_text(errors="replace")
        found = _FAILED.search(told)
        if process.exitcode == _FAILING and found is not None:
            return found[1]
        raise DriftError(f"{' '.join(tests)} cannot be run:\n{told[-2000:]}")


def _end_all(group: int | None) -> None:
    """End a process of `_run_pytest` and whatever it started that is still there."""
    if group is not None:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _run_pytest(root: Path, words: list[str]) -> None:
    """Run tests of a copy; in a process of its own, which has not loaded the program yet."""
    os.setpgid(0, 0)
    with (root / _OUTPUT).open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(root)
    # The one installed is the sound one: ours has to come first, also where it is started.
    os.environ["PYTHONPATH"] = str(root)
    sys.path.insert(0, str(root))
    sys.exit(pytest.main(words))


def judge(mutant: Mutant, copy: Copy, *, whole: bool) -> Verdict:
    """Make one defect and see who notices."""
    began = time.monotonic()
    caught, was_named = None, False
    for tests in _stages(mutant, whole=whole):
        with copy.with_defect(mutant):
            caught = copy.failing(tests)
        was_named = tests == mutant.tests
        if caught is not None:
            break
    seconds = round(time.monotonic() - began, 1)
    return Verdict(mutant.name, mutant.promise, mutant.file, caught, was_named, seconds)


def _stages(mutant: Mutant, *, whole: bool) -> Iterator[Sequence[str]]:
    """What is run: the tests named, their files, their folders, everything."""
    yield mutant.tests
    files = sorted({test.partition("::")[0] for test in mutant.tests})
    if files != mutant.tests:
        yield files
    yield sorted({"/".join(file.split("/")[:2]) for file in files})
    if whole:
        yield ["tests"]


class Run:
    """Judges many defects, a few at a time."""

    def __init__(self, work: Path, workers: int, *, whole: bool, says: bool) -> None:
        """Make a copy for each worker."""
        self._whole = whole
        self._says = says
        self._workers = workers
        self._lock = threading.Lock()
        self._copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(workers):
            folder = work / str(number)
            folder.mkdir()
            self._copies.put(Copy(folder))

    def judge(self, mutants: Sequence[Mutant]) -> list[Verdict]:
        """All of them, in their order.

        Raises:
            DriftError: One does not fit, or a test fails without it.
        """
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                verdicts = list(pool.map(self._judge_one, mutants))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    _end_all(process.pid)
                raise
        # A test that fails anyway has noticed nothing.
        caught = {verdict.caught_by for verdict in verdicts if verdict.caught_by is not None}
        again = sorted(test for test in caught if not test.endswith(")"))
        failed = self._copies.get().failing(again) if again else None
        if failed is not None:
            raise DriftError(f"{failed} fails without any defect")
        return verdicts

    def _judge_one(self, mutant: Mutant) -> Verdict:
        copy = self._copies.get()
        try:
            verdict = judge(mutant, copy, whole=self._whole)
        finally:
            self._copies.put(copy)
        if self._says:
            with self._lock:
                print(f"{verdict.seconds:6.1f} s  {mutant.name}: {_told(verdict)}", flush=True)
        return verdict


def _told(verdict: Verdict) -> str:
    if verdict.caught_by is None:
        return "SURVIVED"
    return verdict.caught_by + ("" if verdict.was_named else "  (not one of those named)")


def _commit() -> str:
    """Short name of the commit that is checked out."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def page(verdicts: Sequence[Verdict], commit: str) -> str:
    """The page for people; ``commit`` is what was broken."""
    when = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}"
    caught = sum(verdict.caught_by is not None for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    lines = [
        "# Defects made on purpose",
        "",
        "<!-- written by ./scripts/mutants --write -->",
        "",
        _INTRODUCTION,
        "",
        f"{when}: {caught} of {len(verdicts)} caught, {seconds:.0f} s of work.",
        "",
        "| defect | what it breaks | caught by |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {v.name} | {_cell(v.promise)} | {_cell(_where(v.caught_by))} |"
        for v in sorted(verdicts, key=lambda verdict: verdict.name)
    ]
    return "\n".join(lines) + "\n"


def _where(test: str | None) -> str:
    if test is None:
        return "nobody"
    path, _, name = test.partition("::")
    return f"`{path.removeprefix('tests/')}` {name.partition('[')[0]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    # So that the copies go also when somebody ends it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _LOADED.set_forkserver_preload(_NEEDED)
    arguments = _arguments()
    try:
        chosen = _chosen(load(arguments.table), arguments.only)
        if arguments.list:
            for mutant in chosen:
                print(f"{mutant.name}: {mutant.promise}")
            return 0
        # Asked before, as somebody may go on working meanwhile.
        commit = _commit() if arguments.write else ""
        verdicts = _judged(chosen, arguments)
    except DriftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.write:
        PAGE.write_text(page(verdicts, commit))
    return _report(verdicts, arguments)


def _chosen(mutants: Sequence[Mutant], only: Sequence[str] | None) -> Sequence[Mutant]:
    for mutant in mutants:
        broken(mutant)
    unknown = set(only or ()) - {mutant.name for mutant in mutants}
    if unknown:
        raise DriftError(f"no such defect: {', '.join(sorted(unknown))}")
    return [mutant for mutant in mutants if not only or mutant.name in only]


def _judged(mutants: Sequence[Mutant], arguments: argparse.Namespace) -> list[Verdict]:
    with tempfile.TemporaryDirectory(prefix="aeorsync-mutants-") as work:
        workers = max(1, min(arguments.workers, len(mutants)))
        run = Run(Path(work), workers, whole=arguments.whole, says=not arguments.json)
        return run.judge(mutants)


def _report(verdicts: Sequence[Verdict], arguments: argparse.Namespace) -> int:
    survivors = [verdict.name for verdict in verdicts if verdict.caught_by is None]
    if arguments.json:
        told: dict[str, Any] = {"verdicts": list(map(asdict, verdicts)), "survivors": survivors}
        print(json.dumps(told, indent=1))
    else:
        print(f"{len(verdicts) - len(survivors)} of {len(verdicts)} caught")
    return 1 if survivors else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deliberate defects: does a test notice them?")
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; repeatable")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--json", action="store_true", help="tell the result as JSON")
    parser.add_argument("--write", action="store_true", help="write docs/mutants.md")
    parser.add_argument("--whole", action="store_true", help="try all tests before giving up")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="side by side")
    parser.add_argument("--table", type=Path, default=TABLES, help="folder of tables")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write is for all defects, not for some")
    return arguments


if __name__ == "__main__":
    sys.exit(main())

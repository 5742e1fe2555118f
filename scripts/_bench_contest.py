"""`./scripts/bench peers`: our tools and others at the same work, in turns, in one run.

Each round gives every tool the same data in fresh folders, one tool after the other and each round
beginning with another one. The disk is synced before each figure, so that nobody pays for what
another left to be written, and what came out is compared with what went in after each step. A tool
that took several times as long as the best at a step is not asked for that step again.
"""

import math
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import _bench_tables
from _bench_changes import GROUPS, Group, Step, steps
from _bench_folder import same, settled
from _bench_ours import OURS, WRITES, Chain, Watch, until
from _bench_peers import TOOLS, Syncthing, missing
from _measure import Figures, WrongError

HOPELESS = {"rsync": math.inf, "unison": 2.0, "rclone": 2.0, "rclone-local": 2.0}
"""A tool is not asked again for what took it that many times the best; Syncthing at 4 times."""
WATCHED = 5
"""Writes that a watching Syncthing is waited for; each takes it seconds."""
UNFIT = {
    "rclone": {"small", "tiny"},
    "rclone-local": {"big", "insert", "noop", "one"},
}
"""rclone's WebDAV takes 31 small files a second; their arrival is measured without a network."""
SLOW = {("tiny", "syncthing"): 180.0, ("tiny", "unison"): 90.0, ("tiny", "folder-watch"): 60.0}
"""Seconds to have left before these are asked at all."""


class Other:
    """Another program as a contestant."""

    def __init__(self, name: str, work: Path) -> None:
        self.tools = (name,)
        self.work, self.source, self.target = work, work / "source", work / "target"
        self._unfit = False

    def __enter__(self) -> Self:
        self.source.mkdir(parents=True)
        self.target.mkdir()
        self.peer = TOOLS[self.tools[0]](self.work, self.source, self.target).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.peer.__exit__(None, None, None)

    def step(self, step: Step) -> dict[str, float]:
        """Make a step; seconds, or nothing where the tool is not for it."""
        name = self.tools[0]
        step.change(self.source)
        if step.name in UNFIT.get(name, ()):
            if step.name == "small":
                subprocess.run(["cp", "-a", f"{self.source}/.", self.target], check=True)
            return {}
        settled()
        began = time.perf_counter()
        self.peer.sync()
        took = time.perf_counter() - began
        if not same(self.source, self.target):
            raise WrongError("what came out is not what went in")
        return {name: took}

    def writes(self, count: int) -> dict[str, list[float]]:
        """Small writes, told of, and some that it has to notice by itself."""
        (self.source / "first").write_bytes(b"a small file")
        self.peer.sync()
        told = [self._write(f"t{number}", is_told=True) for number in range(count)]
        seen = [self._write(f"w{number}", is_told=False) for number in range(WATCHED)]
        return {"syncthing": told, "syncthing, watching": seen}

    def _write(self, name: str, *, is_told: bool) -> float:
        began = time.perf_counter()
        (self.source / name).write_bytes(b"a small file")
        if is_told:
            cast("Syncthing", self.peer).tell(name)
        until((self.target / name).exists, 0.0005)
        took = time.perf_counter() - began
        time.sleep(0.03)
        return took


class Contest:
    """All rounds, and what they gave."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder, self._figures = folder, figures
        self._wanted = figures.wanted
        self._end = time.monotonic() + self._wanted.minutes * 60
        self._others = [name for name in TOOLS if name not in missing()]
        self.samples: dict[str, dict[str, dict[int, float]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self.notes: list[str] = [f"{name} is not installed: left out" for name in missing()]
        self._took: dict[str, float] = {}

    def run(self) -> None:
        """Round after round until all are done or the time is up."""
        rounds = self._wanted.rounds
        for turn in range(rounds):
            for name in self._wanted.rows or ("big", "small", "write", "tiny"):
                many = rounds if name != "tiny" else max(1, rounds // 5)
                if turn < many and not self._is_short(name):
                    began = time.monotonic()
                    print(f" round {turn + 1}: {name}", file=sys.stderr, flush=True)
                    self._round(name, turn)
                    self._took[name] = time.monotonic() - began
        if not self._wanted.rows or "tiny" in self._wanted.rows:
            self._slow_ones()

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _is_short(self, name: str) -> bool:
        """Whether the time left is too short for another round; the first is always made."""
        return name in self._took and self._left() < self._took[name]

    def _round(self, name: str, turn: int) -> None:
        if name == "write":
            self._writes(turn)
            return
        group = GROUPS[name]
        for one in self._order(turn):
            if not any((name, tool) in SLOW for tool in self._tools_of(one)):
                self._play(one, group, turn)

    def _order(self, turn: int) -> list[Any]:
        """Everybody; each round begins with another."""
        everybody = [*OURS, *self._others]
        if self._wanted.tools:
            asked = set(self._wanted.tools)
            everybody = [one for one in everybody if asked & set(self._tools_of(one))]
        at = turn * 2 % max(1, len(everybody))
        return everybody[at:] + everybody[:at]

    def _tools_of(self, one: Any) -> tuple[str, ...]:  # noqa: ANN401 - a class of ours or a name
        return (one,) if isinstance(one, str) else one.tools

    def _slow_ones(self) -> None:
        """Those that take minutes, when there are minutes left."""
        for one in self._order(0):
            for tool in self._tools_of(one):
                need = SLOW.get(("tiny", tool))
                if need is None:
                    continue
                if self._left() > need:
                    self._play(one, GROUPS["tiny"], 0)
                else:
                    self.notes.append(f"{tool}, 100 000 files: no time left, not measured")

    def _play(self, one: Any, group: Group, turn: int) -> None:  # noqa: ANN401 - as above
        tools = self._tools_of(one)
        data = self._data(group)
        todo = steps(group, data)
        # What comes before a step that says something is needed for it.
        while todo and self._says_nothing(tools, todo[-1].name):
            todo.pop()
        if not todo:
            return
        work = self._folder / "contest"
        contestant = Other(one, work) if isinstance(one, str) else one(work)
        try:
            with contestant:
                for step in todo:
                    self._note(step.name, contestant.step(step), turn)
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(one if isinstance(one, str) else tools[0], group.name, error)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _fail(self, tool: str, what: str, error: Exception) -> None:
        """Say so and go on: one that fails must not cost the figures of all others."""
        self.notes.append(f"**{tool} failed** at {what}: {type(error).__name__} {error}"[:200])
        print(f"   {self.notes[-1]}", file=sys.stderr, flush=True)

    def _note(self, row: str, took: dict[str, float], turn: int) -> None:
        for tool, seconds in took.items():
            self.samples[row][tool][turn] = seconds
            print(f"   {row:8} {tool:20} {seconds:8.3f} s", file=sys.stderr, flush=True)

    def _says_nothing(self, tools: tuple[str, ...], row: str) -> bool:
        """Whether a tool is not for a step, or others do it so much better."""
        if row in UNFIT.get(tools[0], ()):
            return True
        rows = self.samples[row]
        medians = {tool: statistics.median(took.values()) for tool, took in rows.items() if took}
        if len(tools) > 1 or tools[0] not in medians or tools[0] == "folder-watch":
            return False
        return medians[tools[0]] > HOPELESS.get(tools[0], 4.0) * min(medians.values())

    def _writes(self, turn: int) -> None:
        """Small writes; as many of them in each round as make a hundred in all."""
        each = math.ceil(WRITES / self._wanted.rounds)
        candidates: list[tuple[str, Callable[[Path], Any]]] = [
            ("nodes", Chain),
            ("folder-watch", Watch),
        ]
        if "syncthing" in self._others:
            candidates.append(("syncthing", lambda work: Other("syncthing", work)))
        for name, make in candidates:
            if self._wanted.tools and name not in self._wanted.tools:
                continue
            work = self._folder / "contest"
            try:
                with make(work) as contestant:
                    for tool, took in contestant.writes(each).items():
                        self._note("write", {tool: statistics.median(took)}, turn)
            except Exception as error:  # noqa: BLE001 - see `_fail`
                self._fail(name, "write", error)
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def _data(self, group: Group) -> Path:
        """The data of a group, made when they are first needed."""
        data = self._folder / f"data-{group.name}"
        if not data.exists():
            group.make(data)
        return data


def bench_peers(folder: Path, figures: Figures) -> None:
    """Our tools beside others."""
    contest = Contest(folder, figures)
    contest.run()
    _bench_tables.report(contest.samples, contest.notes, figures)


CONTEST_WORKS = {"peers": bench_peers}

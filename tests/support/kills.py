"""`kill -9` of real nodes under load, again and again, and the judgement.

    load      while writers write (a moment after the last start)
    start     before it is ready
    gc        while garbage is collected
    snapshot  while a snapshot is made
    drain     after SIGTERM, while it finishes what is under way

After each start its writers read all they ever wrote there before they go on
(`tests.support.kill_oracle`); now and then `aeorsync verify` looks at the folder before the start.
In the end all nodes must become equal, with everything on each of them.
"""

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.kill_load import (
    SHARED_PATHS,
    Ear,
    OwnWriter,
    Reader,
    SharedWriter,
    Worker,
    contents_of,
)
from tests.support.kill_oracle import Findings, Names, SharedPath
from tests.support.nodes import NodeProcess, is_active, root_of, wait_until

MOMENTS: Final = ("load", "load", "load", "start", "gc", "snapshot", "drain")
WORK: Final = 8
"""Writes that are acknowledged between two kills, at least."""
_QUIET_S: Final = 180.0
_ON_ITS_WAY: Final = "its tree is not here"


@dataclass
class Record:
    """What came of a run."""

    seed: int
    nodes: int
    kills: int = 0
    moments: dict[str, int] = field(default_factory=dict)
    verified: int = 0
    start_ms: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Kills:
    """Some nodes of one cluster, who works at them, and who kills them."""

    pause_s = 0.0
    """What each worker waits after each thing it does."""

    def __init__(self, work: Path, seed: int, nodes: int, say: Callable[[str], None]) -> None:
        """Start everything.

        Args:
            work: An empty folder.
            seed: Of all choices; timing adds its own.
            nodes: How many, 1 to 3.
            say: Takes lines about what goes on.
        """
        self.findings = Findings()
        self.names = Names(self.findings)
        self.shared = [SharedPath() for _ in range(SHARED_PATHS)]
        self.is_over = threading.Event()
        self.record = Record(seed, nodes)
        self.nodes: list[NodeProcess] = []
        self._random = random.Random(seed)
        self._say = say
        self._starts = [1] * nodes
        self._running = [threading.Event() for _ in range(nodes)]
        self._snapshots: set[str] = set()
        self._ears: list[Ear] = []
        self._workers: list[Worker] = []
        self._stack = contextlib.ExitStack()
        try:
            self._start_nodes(work, nodes)
        except BaseException:
            self.close()
            raise
        self._writers = [OwnWriter(self, seed, n, n % nodes) for n in range(max(2, nodes))]
        self._ears = [Ear(self, number) for number in range(nodes)]
        self._workers = [
            *self._writers,
            *(SharedWriter(self, seed, n) for n in range(2)),
            Reader(self, seed, self._writers),
        ]

    def start_of(self, number: int) -> int:
        """How often a node was started; waits until it runs, or all is over."""
        while not (self._running[number].wait(0.5) or self.is_over.is_set()):
            pass
        return self._starts[number]

    def close(self) -> None:
        """End everything."""
        self.is_over.set()
        self._stack.close()
        for worker in (*self._ears, *self._workers):
            if worker.ident is not None:
                worker.join(30)
            worker.part()

    def run(self, times: int, until: float) -> Record:
        """Kill so often, or until a moment of the monotonic clock; then judge."""
        for ear in self._ears:
            ear.daemon = True
            ear.start()
            ear.hears.wait(30)
        for worker in self._workers:
            worker.start()
        while self.record.kills < times and time.monotonic() < until and not self.findings.wrong:
            self._kill_one()
            if self.record.kills % 20 == 0:
                self._say(f"{self.record.kills} kills, {dict(self.findings.counts)}")
        self.is_over.set()
        for worker in self._workers:
            worker.join()
        self._judge()
        self.record.counts = dict(self.findings.counts)
        self.record.wrong = self.findings.wrong
        return self.record

    def _start_nodes(self, work: Path, count: int) -> None:
        flags: list[str] = []
        for number in range(count):
            node = NodeProcess(work / f"node-{number}", "--sync-interval", "2", *flags)
            self.nodes.append(self._stack.enter_context(node))
            node.key = self.nodes[0].key
            flags = ["--join", self.nodes[0].url, "--join-token", node.key or ""]
            self._running[number].set()
        if count > 1:
            wait_until(lambda: all(map(is_active, self.nodes)), 60)

    # Kills

    def _kill_one(self) -> None:
        number = self._random.randrange(len(self.nodes))
        node, moment = self.nodes[number], self._random.choice(MOMENTS)
        after = self._random.random()
        self._await_work()
        if moment == "load":
            time.sleep(0.05 + after)
        elif moment == "gc":
            self._aside(lambda client: client.post("/system/gc"), node)
            time.sleep(after * self._random.choice((0.05, 0.5)))
        elif moment == "snapshot":
            self._aside(self._make_snapshot, node)
            time.sleep(after * self._random.choice((0.03, 0.5)))
        elif moment == "drain":
            node.process.terminate()
            time.sleep(after * 0.3)
        self._running[number].clear()
        node.kill()
        self._note(moment)
        if moment == "start":
            node.launch()
            time.sleep(after * 1.2)
            node.kill()
        if self._random.random() < 0.25:
            self._verify(number)
        if self._random.random() < 0.3:
            _make_old(node.data)
        self._start(number)

    def _await_work(self) -> None:
        """Wait until something was acknowledged since the last kill, as far as it is."""
        wanted = self.findings.counts["acknowledged"] + WORK
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self.findings.counts["acknowledged"] >= wanted, 10)

    def _start(self, number: int) -> None:
        began = time.monotonic()
        self.nodes[number].start()
        self.record.start_ms.append(int((time.monotonic() - began) * 1000))
        self._starts[number] += 1
        self._running[number].set()

    def _note(self, moment: str) -> None:
        self.record.kills += 1
        self.record.moments[moment] = self.record.moments.get(moment, 0) + 1

    def _aside(self, call: Callable[[httpx.Client], object], node: NodeProcess) -> None:
        def run() -> None:
            with contextlib.suppress(httpx.TransportError), node.client() as client:
                call(client)

        threading.Thread(target=run, daemon=True).start()

    def _make_snapshot(self, client: httpx.Client) -> None:
        name = f"s{len(self._snapshots)}-{time.monotonic_ns()}"
        answer = client.post("/versions/snapshots", json={"name": name})
        if answer.status_code == 201:
            self._snapshots.add(name)

    def _verify(self, number: int, *, is_last: bool = False) -> None:
        """Look at every byte of a node that does not run."""
        done = subprocess.run(
            [sys.executable, "-m", "aeorsync", "verify", "--json", "-D", self.nodes[number].data],
            capture_output=True,
            text=True,
            check=False,
        )
        self.record.verified += 1
        found = json.loads(done.stdout)["findings"] if done.stdout else []
        if not is_last:
            # The tree of another node's snapshot may still be on its way.
            found = [one for one in found if one["text"] != _ON_ITS_WAY]
        if found or done.returncode not in {0, 20}:
            text = f"{found}"[:1000] + done.stderr[-600:]
            self.findings.add(f"verify of node {number}: exit code {done.returncode}: {text}")

    # The end

    def _judge(self) -> None:
        try:
            wait_until(lambda: len({root_of(node) for node in self.nodes}) == 1, _QUIET_S)
        except TimeoutError:
            self.findings.add(f"not equal: {[root_of(node) for node in self.nodes]}")
        for number in range(len(self.nodes)):
            for writer in self._writers:
                writer.look(number)
            self._judge_shared(number)
            self._judge_snapshots(number)
        for ear in self._ears:
            self._judge_ear(ear)
        for number, node in enumerate(self.nodes):
            if node.stop():
                self.findings.add(f"node {number} did not stop in peace: {node.log[-500:]}")
            self._verify(number, is_last=True)
            bad = [line for line in node.log.splitlines() if '"request failed"' in line]
            self.findings.wrong += [f"node {number} failed: {line:.300}" for line in bad[:3]]

    def _judge_shared(self, number: int) -> None:
        with self.nodes[number].client() as client:
            for at, shared in enumerate(self.shared):
                path = f"/shared/f{at}"
                shown = client.get(f"/sync/conflicts{path}")
                if shown.status_code == 200:
                    found = set(contents_of(shown.json()).values())
                else:
                    answer = client.get(f"/files{path}")
                    is_there = answer.status_code == 200
                    found = {answer.headers["X-AeorSync-Content-Hash"]} if is_there else set()
                for problem in shared.wrong(found):
                    self.findings.add(f"{path} at node {number}: {problem}")

    def _judge_snapshots(self, number: int) -> None:
        with self.nodes[number].client() as client:

            def there() -> dict[str, bool]:
                items: list[dict[str, Any]] = client.get("/versions/snapshots").json()["items"]
                return {item["name"]: item["available"] for item in items}

            with contextlib.suppress(TimeoutError):
                wait_until(lambda: all(there().values()), 60)
            names = there()
        if not all(names.values()):
            self.findings.add(f"snapshots that are not available at node {number}: {names}")
        if missing := self._snapshots - names.keys():
            self.findings.add(f"snapshots that are not at node {number}: {missing}")
        self.findings.count("snapshots", len(self._snapshots & names.keys()))

    def _judge_ear(self, ear: Ear) -> None:
        wanted = {
            path for w in self._writers for path, own in w.paths.items() if len(own.ever) > 1
        }
        existing = {
            path for w in self._writers for path, own in w.paths.items() if own.maybe != [None]
        }
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: existing <= ear.heard, 30)
        if missing := existing - ear.heard:
            self.findings.add(f"{ear.name} never heard of {sorted(missing)[:5]}")
        self.findings.count("paths heard of", len(wanted & ear.heard))


def summary(record: Record) -> dict[str, Any]:
    """What there is to say of a run."""
    starts = sorted(record.start_ms) or [0]
    return {
        "seed": record.seed,
        "nodes": record.nodes,
        "kills": record.kills,
        "moments": record.moments,
        "verified": record.verified,
        **record.counts,
        "restart_ms_p50": starts[len(starts) // 2],
        "restart_ms_p99": starts[min(len(starts) - 1, len(starts) * 99 // 100)],
        "violations": len(record.wrong),
        "wrong": record.wrong[:20],
    }


def print_summary(record: Record) -> str:
    """The same as one line of JSON."""
    return json.dumps(summary(record))


def _make_old(data: Path) -> None:
    """Make every chunk look as if it had been put long ago, so that garbage goes."""
    with contextlib.closing(sqlite3.connect(data / "meta.sqlite3", timeout=30)) as db, db:
        db.execute("UPDATE chunks SET touched = 1")

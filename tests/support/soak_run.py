"""A long run: a ring of nodes, folders, writers, readers, event streams, and trouble.

    load        a fixed number of requests a second, whoever has to wait; people edit folders;
                keys come and go; streams break; troubles one after the other
    checkpoint  everybody stops, everything is mended; all nodes and folders become equal and are
                compared with what was done; then the load goes on

One seed makes all choices; timing is the machine's.
"""

import asyncio
import contextlib
import random
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.support.soak_calls import Caller, Tally, Weather, new_session, stopped
from tests.support.soak_checkpoint import Checkpoint
from tests.support.soak_choir import ChoirProcess
from tests.support.soak_figures import Latencies
from tests.support.soak_folders import OVER_HTTP, TOP, Folders, work_until
from tests.support.soak_keys import Keys
from tests.support.soak_oracle import Oracle
from tests.support.soak_readers import Readers
from tests.support.soak_report import UNJUDGED, YARDSTICK
from tests.support.soak_ring import Ring
from tests.support.soak_streams import Plan
from tests.support.soak_troubles import Troubles
from tests.support.soak_watch import Watch, Watched, slack_of
from tests.support.soak_writers import Paths, Writers

_FOLDERS: Final = 16
_MOST_AT_ONCE: Final = 64
_OPEN_S: Final = 300.0
_PATIENCE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What to do, and for how long.

    Attributes:
        seconds: Of load and checkpoints together.
        seed: Of all choices.
        nodes: In the ring, at least 2.
        streams: Event streams held.
        clients: Folder clients.
        rate: Requests a second; reads and writes, without polls and checkpoints.
        files: Paths that are written over HTTP.
        reads: Share of the requests that read, 0 to 1.
        acts: Of people in folders, a second.
        checkpoint_s: From one checkpoint to the next.
        trouble_s: Mean pause between two troubles.
        quiet_s: How long all may take to become equal.
        sample_s: Between two looks at the processes.
        latency_limit_s: No request may take longer.
        memory_most: MiB that a process may have at any time.
        memory_limit: MiB an hour by which a process may grow.
        handle_limit: Open files an hour by which a process may grow.
    """

    seconds: float
    seed: int
    nodes: int = 3
    streams: int = 1000
    clients: int = 2
    rate: float = 10.0
    files: int = 400
    reads: float = 0.65
    acts: float = 1.0
    checkpoint_s: float = 180.0
    trouble_s: float = 12.0
    quiet_s: float = 240.0
    sample_s: float = 5.0
    latency_limit_s: float = 10.0
    memory_most: float = 300.0
    memory_limit: float = 48.0
    handle_limit: float = 60.0

    def paths(self) -> Paths:
        """Where writers write."""
        own = [f"/load/d{at % _FOLDERS:02}/f{at}" for at in range(self.files)]
        own += [f"{TOP}/{OVER_HTTP}/f{at}.txt" for at in range(max(4, self.files // 20))]
        hot = [f"/load/hot/h{at}" for at in range(max(4, self.files // 20))]
        return Paths(tuple(own), tuple(hot))


class Run:
    """One run, from the first process started to the last one ended."""

    def __init__(self, work: Path, settings: Settings, say: Callable[[str], None]) -> None:
        """Prepare one.

        Args:
            work: Where all data and logs lie; the caller removes it.
            settings: What to do.
            say: Takes lines about what goes on.
        """
        self._work = work
        self._settings = settings
        self._say = say
        self._random = random.Random(settings.seed)
        self.tally = Tally()
        self._weather = Weather()
        self._paths = settings.paths()
        self._oracle = Oracle(self.tally.complain)
        self._is_over = threading.Event()
        self._load_s = 0.0
        self._behind = 0
        self._told = 0

    async def go(self) -> dict[str, Any]:
        """Do all of it; return the report."""
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            self._say(f"starting {settings.nodes} nodes in {self._work}")
            flags = ("--grave-retention", "5m", "--sync-interval", "10")
            ring = await _started(stack, lambda: Ring(self._work, settings.nodes, *flags))
            seed = self._seed()
            self._folders = await _started(
                stack, lambda: Folders(self._work, ring.nodes, settings.clients, seed)
            )
            session = await stack.enter_async_context(new_session())
            self._caller = Caller(ring, self.tally, session)
            self._choir = ChoirProcess(self._plan(ring))
            stack.push_async_callback(self._choir.close)
            await self._choir.start(_OPEN_S)
            self._say(f"{settings.streams} event streams are open")
            self._watch = self._new_watch(ring)
            watching = asyncio.create_task(self._watch.run())
            stack.push_async_callback(stopped, watching)
            stack.push_async_callback(stopped, asyncio.create_task(self._measure_machine()))
            stack.callback(self._is_over.set)
            await self._cycles()
            return await self._report()

    async def _cycles(self) -> None:
        settings, tally = self._settings, self.tally
        self._troubles = Troubles(self._caller, self._folders, self._weather, self._random)
        checkpoint = Checkpoint(
            self._caller,
            self._oracle,
            self._paths,
            self._folders,
            self._choir,
            self._random,
            settings.quiet_s,
        )
        self._checkpoint = checkpoint
        self._choose = self._chooser()
        await checkpoint.begin()
        tally.began = time.monotonic()
        while tally.now < settings.seconds:
            seconds = min(settings.checkpoint_s, settings.seconds - tally.now)
            await self._load(seconds)
            await self._troubles.whole()
            await checkpoint.run()
            self._tell()
        await checkpoint.read_all()

    async def _load(self, seconds: float) -> None:
        """Have everybody work, each until the time is over and what was begun is done."""
        end = time.monotonic() + seconds

        def is_over() -> bool:
            return time.monotonic() > end or self._is_over.is_set()

        began = time.monotonic()
        await asyncio.gather(
            self._request(end),
            self._trouble(end),
            self._break_streams(end),
            self._repeat(Keys(self._caller, self._weather, "/load/d00", self._seed()).live, end),
            asyncio.to_thread(work_until, is_over, self._folders, self._settings.acts),
        )
        self._load_s += time.monotonic() - began

    async def _measure_machine(self) -> None:
        """Measure how late a process that does hardly anything gets its turn."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.02)
            self.tally.took(YARDSTICK, max(0.0, time.monotonic() - began - 0.02))
            await asyncio.sleep(1)

    async def _request(self, end: float) -> None:
        """Begin requests at a fixed rate, unless too many are under way already."""
        under_way: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while time.monotonic() < end:
            due += self._random.expovariate(self._settings.rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(under_way) >= _MOST_AT_ONCE:
                self._behind += 1
                continue
            task = asyncio.create_task(self._safely(self._choose()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        while under_way:
            await asyncio.wait(under_way)

    async def _trouble(self, end: float) -> None:
        while True:
            pause = self._random.expovariate(1 / self._settings.trouble_s)
            if time.monotonic() + pause > end:
                return
            await asyncio.sleep(pause)
            await self._tell_choir(is_calm=False)
            await self._safely(self._troubles.one)
            await self._tell_choir(is_calm=True)

    async def _tell_choir(self, *, is_calm: bool) -> None:
        await self._choir.ask("calm", is_calm=is_calm)

    async def _break_streams(self, end: float) -> None:
        count = max(1, self._settings.streams // 500)
        while time.monotonic() < end:
            await self._choir.ask("drop", count=count)
            await asyncio.sleep(1)

    async def _repeat(self, act: Callable[[], Coroutine[Any, Any, None]], end: float) -> None:
        while time.monotonic() + 3 < end:
            await self._safely(act)
            await asyncio.sleep(self._random.uniform(1, 5))

    async def _safely(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something; what the harness itself stumbles over is a violation, too."""
        try:
            await act()
        except Exception:  # noqa: BLE001  # the run goes on, and the report has it
            self.tally.complain("harness", act.__name__, traceback.format_exc())

    def _chooser(self) -> Callable[[], Callable[[], Coroutine[Any, Any, None]]]:
        caller, weather = self._caller, self._weather
        writers = Writers(caller, self._oracle, self._paths, weather, self._seed())
        readers = Readers(caller, self._oracle, self._paths, self._seed())

        def choose() -> Callable[[], Coroutine[Any, Any, None]]:
            is_read = self._random.random() < self._settings.reads
            acts = readers.acts if is_read else writers.acts
            (chosen,) = self._random.choices(
                [act for _, act in acts], [weight for weight, _ in acts]
            )
            return chosen

        return choose

    def _plan(self, ring: Ring) -> Plan:
        settings = self._settings
        urls = [node.url for node in ring.nodes]
        key, folders = ring.nodes[0].key or "", self._paths.folders
        patience_s = min(_PATIENCE_S, settings.quiet_s)
        return Plan(urls, key, settings.streams, folders, self._seed(), patience_s)

    def _new_watch(self, ring: Ring) -> Watch:
        watched = [
            Watched(f"node {number}", lambda node=node: _pid(node.process), node.data)  # type: ignore[misc]
            for number, node in enumerate(ring.nodes)
        ]
        watched += [
            Watched(f"folder client {client.name}", lambda client=client: _pid(client.process))  # type: ignore[misc]
            for client in self._folders.clients
        ]
        watched.append(Watched("event streams", lambda: self._choir.pid, is_judged=False))
        return Watch(watched, lambda: self.tally.now, self._settings.sample_s)

    def _seed(self) -> int:
        return self._random.getrandbits(31)

    def _tell(self) -> None:
        requests = sum(one.count for one in self.tally.latencies.values())
        quiet = self.tally.latencies.get("quiet until all is equal", Latencies())
        self._say(
            f"{self.tally.now:6.0f} s: {requests} requests, {self._folders.acts} acts in folders,"
            f" {quiet.count} checkpoints, {self.tally.violation_count} violations"
        )
        for one in self.tally.violations[self._told :]:
            self._say(f"    {one.kind}: {one.where}, at {one.at_s} s: {one.what[:300]}")
        self._told = len(self.tally.violations)

    async def _report(self) -> dict[str, Any]:
        """All figures, judged; see `soak_report`."""
        told = await self._choir.ask("figures")
        for text, number in told["odd"].items():
            self.tally.complain("events", "a stream", f"{text}, {number} times")
        self.tally.latencies["event on a stream"] = Latencies.unpacked(told["latencies"])
        growth = self._watch.report()
        self._judge(growth)
        tally = self.tally
        return {
            "seconds": round(tally.now, 1),
            "load_seconds": round(self._load_s, 1),
            "held_back": self._behind,
            "acts": self._folders.acts,
            "latencies": {kind: one.figures() for kind, one in sorted(tally.latencies.items())},
            "streams": {name: told[name] for name in ("open", "opened", "events")},
            "counts": dict(sorted(tally.counts.items())),
            "processes": growth,
            "sizes": self._checkpoint.sizes,
            "machine_load": [round(value, 1) for _, value in self._watch.load.samples],
            "notes": tally.notes,
            "violation_count": tally.violation_count,
            "violations": [
                {"kind": one.kind, "where": one.where, "what": one.what, "at_s": one.at_s}
                for one in tally.violations
            ],
        }

    def _judge(self, growth: list[dict[str, Any]]) -> None:
        settings = self._settings
        slack = max([slack_of(0), *(slack_of(load) for _, load in self._watch.load.samples)])
        for kind, one in self.tally.latencies.items():
            if kind not in UNJUDGED and one.most > settings.latency_limit_s * slack:
                self.tally.complain("latency", kind, f"{one.most:.1f} s")
        limits = {"memory": settings.memory_limit, "handles": settings.handle_limit}
        for row in growth:
            for name, limit in limits.items():
                found = row.get(name)
                if row["is_judged"] and found and found["is_long"] and found["per_hour"] > limit:
                    self.tally.complain("growth", str(row["name"]), f"{name}: {found}")
            found = row.get("memory")
            if row["is_judged"] and found and found["max"] > settings.memory_most:
                self.tally.complain("growth", str(row["name"]), f"memory: {found}")


_Started = TypeVar("_Started", Ring, Folders)


async def _started(stack: contextlib.AsyncExitStack, start: Callable[[], _Started]) -> _Started:
    """Start processes, which are ended with the stack; also when cancelled meanwhile."""
    starting = asyncio.create_task(asyncio.to_thread(start))
    try:
        started = await asyncio.shield(starting)
    except asyncio.CancelledError:
        stack.callback((await starting).close)
        raise
    stack.callback(started.close)
    return started


def _pid(process: Any) -> int | None:  # noqa: ANN401  # Popen of bytes or text
    return process.pid if process is not None and process.poll() is None else None

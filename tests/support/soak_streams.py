"""Very many event streams held by one process, each of which checks what it is told.

    python -m tests.support.soak_streams PLAN      talks in lines of JSON on its standard streams

A stream keeps what it was last told of each path since the last check. When all is quiet, that
must be what is there; and what changed since the check before must have been told. Ids never go
back, also not when a stream broke, or was broken off here, and went on with ``Last-Event-ID``.

| stream | hears of |
| --- | --- |
| one of `EARS` | everything |
| the others | one folder of those that are written to |
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

from tests.support.soak_figures import Latencies
from tests.support.soak_watch import slack_of

EARS: Final = 20
"""One stream in so many hears of everything."""
_KINDS: Final = "entries_created,entries_deleted,heartbeat"
_SILENCE_S: Final = 120.0
_LINE: Final = 1 << 26
_MOST_TOLD: Final = 20


class Plan(msgspec.Struct, frozen=True):
    """What to hold.

    Attributes:
        urls: Of the nodes.
        key: That all streams show.
        count: How many streams.
        folders: Of which a stream hears one.
        seed: Of all choices.
        patience_s: How long a check waits for what must have been told.
    """

    urls: list[str]
    key: str
    count: int
    folders: list[str]
    seed: int
    patience_s: float = 60.0


class Told(msgspec.Struct, frozen=True):
    """An entry, as an event tells it."""

    path: str
    entry_type: str = ""
    hash: str = ""
    updated_at: int = 0


class Payload(msgspec.Struct, frozen=True):
    """What an event is about."""

    entries: list[Told] = []


class Event(msgspec.Struct, frozen=True):
    """The data of one event."""

    payload: Payload


_decoder = msgspec.json.Decoder(Event)


@dataclass
class Hearer:
    """What one stream was told; knows nothing of connections.

    Attributes:
        folder: It hears of; empty for everything.
        mark: The last id.
        heard: What it was told last, by path; None for a deletion.
        wrong: What must not be.
    """

    folder: str
    mark: str = ""
    heard: dict[str, str | None] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    news: list[Told] = field(default_factory=list)
    events: int = 0
    _row: int = -1
    _latest: dict[str, int] = field(default_factory=dict)

    def take(self, block: bytes) -> None:
        """Take what stood between two empty lines."""
        fields = dict(
            line.partition(b": ")[::2]
            for line in block.split(b"\n")
            if line and not line.startswith(b":")
        )
        if b"id" in fields:
            self._move(fields[b"id"].decode())
        kind = fields.get(b"event", b"").decode()
        if kind == "reset":
            self.wrong.append(f"reset after {self.mark}: {fields[b'data'].decode()}")
        elif kind in {"entries_created", "entries_deleted"}:
            self.events += 1
            for entry in _decoder.decode(fields[b"data"]).payload.entries:
                self._hear(entry, is_deletion=kind == "entries_deleted")

    def missed(self, now: dict[str, str], changed: Iterable[str]) -> list[str]:
        """What it should have been told and was not.

        Args:
            now: Hash of every file that is there, by path.
            changed: Paths that are not what they were at the last check.
        """
        wrong = [
            f"{path} is {now.get(path)} and was never told"
            for path in changed
            if self._is_mine(path) and path not in self.heard
        ]
        wrong += [
            f"{path} is {now.get(path)}, told was {told}"
            for path, told in self.heard.items()
            if now.get(path) != told
        ]
        return wrong

    def _move(self, mark: str) -> None:
        row = int(mark.partition("-")[0])
        if row < self._row:
            self.wrong.append(f"id {mark} after {self.mark}")
        self.mark, self._row = mark, row

    def _hear(self, entry: Told, *, is_deletion: bool) -> None:
        if not self._is_mine(entry.path) and entry.path != self.folder:
            self.wrong.append(f"told of {entry.path}, which is not in {self.folder}")
        # A folder that is told of at a path has taken the place of the file there.
        is_file = entry.entry_type == "file" and not is_deletion
        self.heard[entry.path] = entry.hash if is_file else None
        # What settles a conflict, or is shown since another version went, is as old as it was.
        if is_file and entry.updated_at > self._latest.get(entry.path, 0):
            self._latest[entry.path] = entry.updated_at
            self.news.append(entry)

    def _is_mine(self, path: str) -> bool:
        return not self.folder or path.startswith(f"{self.folder}/")


class Stream:
    """One connection after the other."""

    def __init__(self, url: str, hearer: Hearer, source: random.Random) -> None:
        self.url = url
        self.hearer = hearer
        self.opened = 0
        self.is_open = False
        self.latencies = Latencies()
        self.odd: Counter[str] = Counter()
        self._random = source
        self._answer: aiohttp.ClientResponse | None = None
        self._connected_ms = 0.0

    def drop(self) -> None:
        """Break it off; it comes back by itself."""
        if self._answer is not None:
            self._answer.close()

    async def run(self, session: aiohttp.ClientSession, calm: "Calm") -> None:
        """Hold it until cancelled."""
        while True:
            try:
                await self._listen(session, calm)
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    self.odd[f"silent for {_SILENCE_S:.0f} s"] += 1
            finally:
                self.is_open = False
                self._answer = None
            await asyncio.sleep(self._random.uniform(0.1, 1.0))

    async def _listen(self, session: aiohttp.ClientSession, calm: "Calm") -> None:
        headers = {"Last-Event-ID": self.hearer.mark} if self.hearer.mark else {}
        parameters = {"events": _KINDS}
        if self.hearer.folder:
            parameters["path_prefix"] = self.hearer.folder
        async with session.get(self.url, headers=headers, params=parameters) as answer:
            if answer.status != 200:
                if answer.status != 503:
                    self.odd[f"status {answer.status}"] += 1
                return
            self._answer = answer
            self.opened += 1
            self._connected_ms = time.time() * 1000
            rest = b""
            async for piece in answer.content.iter_any():
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    self.hearer.take(block)
                    # Something was told: from now on it can go on after that.
                    self.is_open = self.is_open or bool(self.hearer.mark)
                self._measure(calm)

    def _measure(self, calm: "Calm") -> None:
        now_ms = time.time() * 1000
        for entry in self.hearer.news:
            if calm.is_calm and entry.updated_at > max(self._connected_ms, calm.since_ms):
                self.latencies.add(max(0.0, now_ms - entry.updated_at) / 1000)
        self.hearer.news.clear()


@dataclass
class Calm:
    """Whether all nodes and wires are whole, and since when."""

    is_calm: bool = True
    since_ms: float = 0.0


class Choir:
    """All streams, and what the one who started them asks."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._calm = Calm()
        self._streams = [self._stream(number) for number in range(plan.count)]

    def _stream(self, number: int) -> Stream:
        plan = self._plan
        url = f"{plan.urls[number % len(plan.urls)]}/system/events"
        is_ear = number // len(plan.urls) % EARS == 0
        folder = "" if is_ear else self._random.choice(plan.folders)
        return Stream(url, Hearer(folder), random.Random(self._random.getrandbits(64)))

    async def run(self) -> None:
        """Hold them, and answer, until the one who asks goes."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=60, sock_read=_SILENCE_S)
        headers = {"Authorization": f"Bearer {self._plan.key}"}
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=headers
        ) as session:
            tasks = []
            for stream in self._streams:
                tasks.append(asyncio.create_task(stream.run(session, self._calm)))
                await asyncio.sleep(0.002)
            try:
                await self._serve()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self) -> None:
        reader = asyncio.StreamReader(limit=_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            answer = await self._answer(json.loads(line))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["ask"]:
            case "calm":
                self._calm.is_calm = asked["is_calm"]
                self._calm.since_ms = time.time() * 1000
            case "drop":
                for stream in self._random.sample(
                    self._streams, min(asked["count"], len(self._streams))
                ):
                    stream.drop()
            case "check":
                return await self._check(asked["now"], asked["changed"])
            case _:
                pass
        return self._figures()

    async def _check(self, now: dict[str, str], changed: list[str]) -> dict[str, Any]:
        end = time.monotonic() + self._plan.patience_s * slack_of()
        while True:
            missed = [
                f"stream {number} of {stream.url}: {line}"
                for number, stream in enumerate(self._streams)
                for line in stream.hearer.missed(now, changed)
            ]
            closed = sum(not stream.is_open for stream in self._streams)
            if not (missed or closed) or time.monotonic() > end:
                break
            await asyncio.sleep(0.5)
        wrong = list(missed)
        for number, stream in enumerate(self._streams):
            wrong += [f"stream {number} of {stream.url}: {line}" for line in stream.hearer.wrong]
            stream.hearer.wrong.clear()
            stream.hearer.heard.clear()
        if closed:
            wrong.append(f"{closed} streams are not open")
        return {**self._figures(), "wrong": wrong[:_MOST_TOLD], "wrong_count": len(wrong)}

    def _figures(self) -> dict[str, Any]:
        all_of_them = Latencies()
        odd: Counter[str] = Counter()
        for stream in self._streams:
            all_of_them.join(stream.latencies)
            odd += stream.odd
        return {
            "open": sum(stream.is_open for stream in self._streams),
            "opened": sum(stream.opened for stream in self._streams),
            "events": sum(stream.hearer.events for stream in self._streams),
            "latencies": all_of_them.packed(),
            "odd": dict(odd),
        }


def main() -> None:
    """Hold what the plan says until standard input ends."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(Choir(plan).run())


if __name__ == "__main__":
    main()

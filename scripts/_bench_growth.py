"""How cost grows with the tree: two nodes that hold 10 000, 100 000 and 1 000 000 small files.

Trees are wide (all files in one folder) or deep (folders nested by the digits of a number, ten
names in each). They are made below HTTP, in groups of commits as a restored archive would be; what
is measured runs over real nodes and real sockets.
"""

import os
import re
import shutil
import sqlite3
import statistics
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import msgspec
from _bench_cluster import ask
from _bench_fleet import measure_fleets, measure_streams
from _bench_large import copy, last_pull
from _bench_ours import Line, until
from _bench_record import markdown
from _bench_sums import exponent, percentile
from _measure import Figures, NodeProcess, WrongError, is_active, peak_mib, wait_until

from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.core.paths import parse
from aeorsync.core.versions import Content
from aeorsync.runtime.clock import SystemClock
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.compression import PLAIN
from aeorsync.storage.draft import Draft
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.storage.repository import Repository
from aeorsync.wire import blobs, framing
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.support.relay import Relay

FILE_BYTES = 1024
CHANGES = (1, 10, 100, 1000)
WRITES = 200
STARTS = 3
NOOPS = 11
SHAPES = ("wide", "deep")
_GROUP = 5000
_POSTS = re.compile(r'http_requests_total\{[^}]*method="POST"[^}]*\} ([0-9.e+]+)')


def path_of(shape: str, number: int) -> str:
    """Where a file lies: seven digits are six folders deep, or one name in one folder."""
    digits = f"{number:07d}"
    return f"/wide/f{digits}" if shape == "wide" else f"/{'/'.join(digits)}.dat"


def seed(folder: Path, shape: str, entries: int) -> None:
    """Make a data folder with so many files of 1 KiB, no two alike."""
    folder.mkdir()
    store = EmbeddedStore(folder, first_head(1))
    repository = Repository(store, SystemClock())

    def put_group(draft: Draft, states: dict[str, FileState]) -> None:
        for path, state in states.items():
            put_file(draft, parse(path), state)

    for start in range(0, entries, _GROUP):
        numbers = range(start, min(start + _GROUP, entries))
        contents = _contents(store, len(numbers))
        states = {
            path_of(shape, number): FileState(content, "text/plain")
            for number, content in zip(numbers, contents, strict=True)
        }
        repository.commit(lambda draft, states=states: put_group(draft, states)).result()
    repository.close()


def _contents(store: EmbeddedStore, count: int) -> list[Content]:
    """Store files of one chunk each, all at once."""
    bodies = [os.urandom(FILE_BYTES) for _ in range(count)]
    names = [*map(chunk_id, bodies)]
    pairs = zip(names, bodies, strict=True)
    store.put_chunks([StoredChunk(name, PLAIN, FILE_BYTES, body) for name, body in pairs])
    size = FILE_BYTES.to_bytes(8, "big")
    hashes = map(content_hash, bodies)
    return [
        Content(whole, FILE_BYTES, 0, name + size)
        for whole, name in zip(hashes, names, strict=True)
    ]


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def free_bytes(database: Path) -> int:
    """Bytes of pages in a database that hold nothing."""
    with closing(sqlite3.connect(database)) as store:
        (pages,) = store.execute("PRAGMA freelist_count").fetchone()
        (size,) = store.execute("PRAGMA page_size").fetchone()
    return int(pages * size)


def change(line: Line, shape: str, entries: int, count: int, turn: int) -> None:
    """Change files all over the tree in one commit that brings their content along."""
    files, chunks = [], []
    for at in range(count):
        body = f"changed {turn} {at}".encode()
        name = chunk_id(body)
        path = path_of(shape, at * (entries // count) + turn)
        files.append(blobs.CommitFile(path=path, chunks=[name.hex()]))
        chunks.append(framing.encode_chunk(name, framing.Codec.RAW, len(body), body))
    header = msgspec.msgpack.encode(blobs.CommitRequest(files=files))
    frames = (framing.encode(framing.Kind.HEADER, header), *chunks)
    body = b"".join((*frames, framing.encode(framing.Kind.END, b"\x80")))
    status, answer = line.ask("POST", "/blobs/commit", body, {"Content-Type": FRAMES_TYPE})
    if status != 200:
        raise WrongError(f"the commit was answered {status}: {answer[:200]!r}")


class Wire:
    """What travels between two nodes: all bytes both ways, and the requests of cycles.

    Args:
        line: To the node that is asked.
        relay: Which the other node dials.
    """

    def __init__(self, line: Line, relay: Relay) -> None:
        self._line, self._relay = line, relay

    def counts(self) -> tuple[int, int]:
        """Bytes and POSTs so far; the POSTs of others than the peer included."""
        octets = self._relay.passed + self._relay.returned
        text = self._line.ask("GET", "/metrics")[1].decode()
        return octets, int(sum(map(float, _POSTS.findall(text))))

    def quiet(self) -> tuple[int, int]:
        """The counts once nothing passes any more."""
        counts = self.counts()
        while True:
            time.sleep(1)
            before, counts = counts, self.counts()
            if before == counts:
                return counts


class Growth:
    """Figures by what they are of and how large the tree was."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder, self._figures = folder, figures
        self.points: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._units: dict[str, str] = {}

    def note(self, name: str, size: int, value: float, unit: str, limit: float = 0) -> None:
        """Keep a figure of one size; 0 is no limit."""
        self.points[name].append((size, value))
        self._units[name] = unit
        target = f"<= {limit:g}" if limit else ""
        met = not limit or value <= limit
        self._figures.add(f"{name}, {size:,}", value, unit, target, met=met)

    def table(self) -> str:
        """All figures, and how they grow."""
        sizes = sorted({int(size) for rows in self.points.values() for size, _ in rows})
        rows = []
        for name, points in self.points.items():
            by_size = dict(points)
            cells = [f"{by_size[size]:,.4g}" if size in by_size else "-" for size in sizes]
            power = exponent(points)
            shown = "-" if power is None else f"{power:+.2f}"
            rows.append([f"{name}, {self._units[name]}".rstrip(", "), *cells, shown])
        return markdown(["of entries", *(f"{size:,}" for size in sizes), "exponent"], rows)

    def by_changes(self, size: int) -> str:
        """What a tree of one size costs by the number of changes, and how that grows."""
        rows = []
        for shape in SHAPES:
            for what in ("commit", "to the peer", "cycle", "travelled", "round trips"):
                names = [f"{shape}: {count} changes, {what}" for count in CHANGES]
                found = [dict(self.points[name]).get(size, 0.0) for name in names]
                power = exponent(list(zip(CHANGES, found, strict=True)))
                title = f"{shape}: {what}, {self._units[names[0]]}".rstrip(", ")
                shown = "-" if power is None else f"{power:+.2f}"
                rows.append([title, *(f"{value:,.4g}" for value in found), shown])
        return markdown(["of changes", *(f"{count:,}" for count in CHANGES), "exponent"], rows)

    def measure(self, shape: str, size: int) -> None:
        """One tree."""
        print(f" {shape}, {size:,} entries", file=sys.stderr, flush=True)
        work = self._folder / f"{shape}-{size}"
        work.mkdir()
        began = time.perf_counter()
        seed(work / "a", shape, size)
        self.note(
            f"{shape}: made, per file", size, (time.perf_counter() - began) / size * 1e6, "us"
        )
        copy(work / "a", work / "b")
        identity = ("--auth", f"file://{work / 'identity'}")
        key = self._starts(shape, size, work, identity)
        with NodeProcess(work / "a", *identity) as a, Relay(a.port) as relay:
            with NodeProcess(work / "b", *identity, "--peers", relay.url) as b:
                a.key = b.key = key
                self._pair(shape, size, a, b, relay)
                self.note(f"{shape}: peak memory, pulling", size, peak_mib(b), "MiB", 300)
            self._disk(shape, size, a)
        shutil.rmtree(work)

    def _starts(self, shape: str, size: int, work: Path, identity: tuple[str, ...]) -> str:
        """Start a node some times; returns the root key, which only the first start tells."""
        took, key = [], ""
        for _ in range(STARTS):
            began = time.perf_counter()
            with NodeProcess(work / "a", *identity) as a:
                took.append(time.perf_counter() - began)
                memory, key = peak_mib(a), a.key or key
                a.stop()
        self.note(f"{shape}: start, process included", size, statistics.median(took), "s", 1)
        self.note(f"{shape}: memory after the start", size, memory, "MiB", 300)
        return key

    def _pair(self, shape: str, size: int, a: NodeProcess, b: NodeProcess, relay: Relay) -> None:
        wait_until(lambda: is_active(b), 60)
        began = time.perf_counter()
        wait_until(lambda: ask(b, "GET", "/sync/peers")["items"][0]["last_sync_at"], 900)
        took = time.perf_counter() - began
        self.note(f"{shape}: first cycle, all known already", size, took, "s")
        of_a, of_b = Line(a), Line(b)
        until(lambda: of_a.root() == of_b.root())
        wire = Wire(of_a, relay)
        self._noops(shape, size, of_b, wire)
        for turn, count in enumerate(CHANGES):
            time.sleep(0.3)
            octets, asked = wire.counts()
            began = time.perf_counter()
            change(of_a, shape, size, count, turn)
            committed = time.perf_counter()
            until(lambda: of_a.root() == of_b.root(), 0.002)
            took = time.perf_counter() - committed
            time.sleep(0.2)
            octets_after, asked_after = wire.counts()
            name = f"{shape}: {count} changes"
            self.note(f"{name}, commit", size, (committed - began) * 1000, "ms")
            self.note(f"{name}, to the peer", size, took * 1000, "ms")
            self.note(f"{name}, cycle", size, float(last_pull(b, count) or 0), "ms")
            self.note(f"{name}, travelled", size, (octets_after - octets) / 1024, "KiB")
            self.note(f"{name}, round trips", size, asked_after - asked - 1, "")
        self._writes(shape, size, of_a)

    def _noops(self, shape: str, size: int, of_b: Line, wire: Wire) -> None:
        took = []
        octets, asked = wire.quiet()
        for _ in range(NOOPS):
            began = time.perf_counter()
            of_b.ask("POST", "/sync/trigger")
            took.append((time.perf_counter() - began) * 1000)
        octets_after, asked_after = wire.counts()
        name = f"{shape}: a cycle with no change"
        self.note(name, size, statistics.median(took), "ms", 50)
        self.note(f"{name}, travelled", size, (octets_after - octets) / NOOPS, "B")
        self.note(f"{name}, round trips", size, (asked_after - asked) / NOOPS, "")

    def _writes(self, shape: str, size: int, of_a: Line) -> None:
        took = []
        for number in range(WRITES):
            path = path_of(shape, number * (size // WRITES) + 7)
            began = time.perf_counter()
            of_a.ask("PUT", f"/files{path}", b"write %d" % number)
            took.append((time.perf_counter() - began) * 1000)
        self.note(f"{shape}: a write, median", size, statistics.median(took), "ms")
        self.note(f"{shape}: a write, p99", size, percentile(took, 0.99), "ms")

    def _disk(self, shape: str, size: int, a: NodeProcess) -> None:
        began = time.perf_counter()
        ask(a, "POST", "/system/gc")
        self.note(f"{shape}: garbage collection", size, time.perf_counter() - began, "s")
        memory = peak_mib(a)
        a.stop()
        octets = disk_bytes(a.data)
        name = f"{shape}: metadata per file after gc"
        self.note(name, size, octets / size - FILE_BYTES, "B", 400)
        free = free_bytes(a.data / "meta.sqlite3") / size
        self.note(f"{shape}: of that, room for the next commits", size, free, "B")
        self.note(f"{shape}: store / content", size, octets / (size * FILE_BYTES), "")
        self.note(f"{shape}: peak memory, serving, gc", size, memory, "MiB", 300)


def bench_growth(folder: Path, figures: Figures) -> None:
    """Trees that grow, then more nodes, then more event streams."""
    growth = Growth(folder, figures)
    for size in figures.wanted.sizes:
        for shape in SHAPES:
            growth.measure(shape, size)
    largest = max(figures.wanted.sizes)
    figures.tables += [
        growth.table(),
        f"The same by the number of changes, among {largest:,} entries:",
        growth.by_changes(largest),
    ]
    for title, measure in (("nodes", measure_fleets), ("event streams", measure_streams)):
        fleet = Growth(folder, figures)
        measure(folder, fleet.note)
        figures.tables.append(fleet.table().replace("of entries", title, 1))


GROWTH_WORKS = {"growth": bench_growth}

"""Measures two nodes that hold a million entries: cycles, repair, start-up, collection."""

import os
import shutil
import statistics
import time
from pathlib import Path

import msgspec
from _bench_cluster import ask
from _measure import Figures, NodeProcess, is_active, peak_mib, root_of, wait_until

from aeorsync.core.paths import parse, to_key
from aeorsync.core.tree import edit
from aeorsync.runtime.clock import SystemClock
from aeorsync.storage.base import Commit
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head, new_incarnation
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import NodeCache

ENTRIES = 1_000_000
CHANGES = 100
LOST = 10
NOOPS = 21
_GROUP = 5000


def path_of(number: int) -> str:
    return f"/d{number // 1000:04d}/f{number:07d}"


def seed(folder: Path, entries: int) -> None:
    """Make a data folder with so many small files; faster than by HTTP, and the same on disk."""
    folder.mkdir()
    repository = Repository(EmbeddedStore(folder, first_head(1)), SystemClock())
    state = FileState(repository.store_small(b"x" * 100), "text/plain")

    def put_group(draft: Draft, start: int) -> None:
        for number in range(start, min(start + _GROUP, entries)):
            put_file(draft, parse(path_of(number)), state)

    for start in range(0, entries, _GROUP):
        repository.commit(lambda draft, start=start: put_group(draft, start)).result()
    repository.close()


def copy(source: Path, target: Path) -> None:
    """Make another node of a data folder that nobody uses: other ids, the same trees."""
    shutil.copytree(source, target)
    store = EmbeddedStore(target, first_head(1))
    other = msgspec.structs.replace(store.head(), node=2, incarnation=new_incarnation(), n=0)
    store.set_note("head", "current", msgspec.msgpack.encode(other))
    store.set_note("database", "id", None)
    store.close()


def lose(node: NodeProcess, paths: list[str]) -> None:
    """Take entries out of a stopped node behind its back."""
    store = EmbeddedStore(node.data, first_head(1))
    head = store.head()
    edits: dict[bytes, bytes | None] = {to_key(parse(path)): None for path in paths}
    edited = edit(head.root, NodeCache(store).read, edits)
    after = msgspec.structs.replace(head, root=edited.root)
    store.commit(Commit(head, after, nodes=edited.made, dropped=edited.dropped))
    store.close()


def last_pull(node: NodeProcess, files: int) -> float | None:
    """Milliseconds of the last cycle of a node that changed so many files."""
    rows = ask(node, "GET", "/sync/history?direction=pull&limit=20")["items"]
    return next((row["duration_ms"] for row in rows if row["files"] == files), None)


def bench_million(folder: Path, figures: Figures) -> None:
    identity = ("--auth", f"file://{folder / 'million-identity'}")
    seed(folder / "million-a", ENTRIES)
    copy(folder / "million-a", folder / "million-b")
    size = sum(file.stat().st_size for file in (folder / "million-a").rglob("*") if file.is_file())
    figures.add("metadata per small file", (size - 100) / ENTRIES, "B", "<= 400", met=True)
    began = time.perf_counter()
    with NodeProcess(folder / "million-a", *identity) as a:
        start = time.perf_counter() - began
        figures.add("start with 1 000 000 entries", start, "s", "", met=True)
        with NodeProcess(folder / "million-b", *identity, "--peers", a.url) as b:
            a.key = b.key = a.key or b.key
            wait_until(lambda: is_active(b), 60)
            began = time.perf_counter()
            wait_until(lambda: ask(b, "GET", "/sync/peers")["items"][0]["last_sync_at"], 900)
            took = time.perf_counter() - began
            figures.add("a first cycle, all of it known already", took, "s", "", met=True)
            measure_cycles(a, b, figures)
            measure_repair(a, b, figures)
            measure_care(a, figures)
            for name, node in (("serving", a), ("pulling", b)):
                figures.add(f"peak memory, {name}", peak_mib(node), "MiB", "<= 300", met=True)


def measure_cycles(a: NodeProcess, b: NodeProcess, figures: Figures) -> None:
    noops = []
    for _ in range(NOOPS):
        began = time.perf_counter()
        ask(b, "POST", "/sync/trigger")
        noops.append((time.perf_counter() - began) * 1000)
    took = statistics.median(noops)
    figures.add("a cycle with no change, 1 000 000 entries", took, "ms", "<= 50", met=took <= 50)
    peer = ask(b, "GET", "/sync/peers")["items"][0]["node_id"]
    ask(b, "PATCH", f"/sync/peers/{peer}", {"enabled": False})
    with a.client() as client:
        for number in range(CHANGES):
            path = path_of(number * (ENTRIES // CHANGES))
            client.put(f"/files{path}", content=b"changed").raise_for_status()
    ask(b, "PATCH", f"/sync/peers/{peer}", {"enabled": True})
    wait_until(lambda: last_pull(b, CHANGES), 60)
    took = last_pull(b, CHANGES) or 0.0
    figures.add(f"a cycle with {CHANGES} changes", took, "ms", "<= 200", met=took <= 200)


def measure_repair(a: NodeProcess, b: NodeProcess, figures: Figures) -> None:
    b.stop()
    lose(b, [path_of(number * (ENTRIES // LOST) + 77) for number in range(LOST)])
    b.start()
    wait_until(lambda: is_active(b), 60)
    began = time.perf_counter()
    result = ask(b, "POST", "/sync/repair")["results"][0]
    took = (time.perf_counter() - began) * 1000
    if root_of(a) != root_of(b):
        raise SystemExit(f"the repair left the nodes unequal: {result}")
    figures.add(f"repair of {LOST} differences", took, "ms", "", met=True)
    figures.add(f"repair of {LOST}: round trips", result["round_trips"], "", "", met=True)
    figures.add(f"repair of {LOST}: moved", result["bytes"] / 1024, "KiB", "", met=True)


def measure_care(node: NodeProcess, figures: Figures) -> None:
    began = time.perf_counter()
    ask(node, "POST", "/versions/snapshots", {"name": f"bench-{os.getpid()}"})
    snapshot = (time.perf_counter() - began) * 1000
    figures.add("a snapshot of 1 000 000 entries", snapshot, "ms", "", met=True)
    began = time.perf_counter()
    ask(node, "POST", "/system/gc")
    collected = time.perf_counter() - began
    figures.add("garbage collection of 1 000 000 entries", collected, "s", "", met=True)


LARGE_WORKS = {"million": bench_million}

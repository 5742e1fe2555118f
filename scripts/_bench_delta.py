"""Measures what small edits of a large file put on the wire: nodes, and folder clients.

Every byte of TCP counts, in both directions, requests and their headers included.

    measure(folder)   {edit: {"nodes": bytes, "up": bytes, "down": bytes}}
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import _measure
from _bench_cluster import ask
from _measure import Figures, NodeProcess, connect, headers_of, is_active, root_of, wait_until

from tests.support.folder_clients import FolderProcess
from tests.support.relay import Relay

MIB = 1 << 20
SIZE = 64 * MIB
SCATTERED = 64
FILES = 1000
MOST_RENAMING = 0.2
IDLES = 5
Sizes = dict[str, dict[str, int]]
# The best of rsync and Syncthing for a random file of 64 MiB, in bytes.
TARGETS = {
    "overwrite 1 KiB in the middle": 98_000,
    "append 1 MiB": 1_140_000,
    "insert 1 B in the middle": 90_000,
    "insert 1 B at the start": 90_000,
    "64 scattered edits of 8 B": 615_000,
    "swap the halves": 90_000,
    "rename": 24_000,
}


def edits(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The edits that keep the name, each of ``data``."""
    source = random.Random(29)
    middle = len(data) // 2
    scattered = bytearray(data)
    for _ in range(SCATTERED):
        at = source.randrange(len(data) - 8)
        scattered[at : at + 8] = source.randbytes(8)
    new = source.randbytes(1024)
    yield "overwrite 1 KiB in the middle", data[:middle] + new + data[middle + 1024 :]
    yield "append 1 MiB", data + source.randbytes(MIB)
    yield "insert 1 B in the middle", data[:middle] + b"!" + data[middle:]
    yield "insert 1 B at the start", b"!" + data
    yield "64 scattered edits of 8 B", bytes(scattered)
    yield "swap the halves", data[middle:] + data[:middle]


def counted(relay: Relay, act: Callable[[], object]) -> int:
    """Bytes that a relay passes, both ways, while something is done."""
    before = relay.passed + relay.returned
    act()
    return relay.passed + relay.returned - before


def put(node: NodeProcess, path: str, data: bytes) -> None:
    connection = connect(node)
    connection.request("PUT", f"/files{path}", data, headers_of(node))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status not in {200, 201}:
        raise SystemExit(f"PUT answered {answer.status}: {text[:200]!r}")


def measure(folder: Path, size: int = SIZE) -> Sizes:
    """Bytes on the wire of each edit, of a random file of ``size`` bytes."""
    data = random.Random(28).randbytes(size)
    found: Sizes = {name: {} for name in TARGETS}
    for name, moved in _between_nodes(folder, data):
        found[name]["nodes"] = moved
    for name, up, down in _of_folders(folder, data):
        found[name].update(up=up, down=down)
    return found


def _between_nodes(folder: Path, data: bytes) -> Iterator[tuple[str, int]]:
    with NodeProcess(folder / "delta-a") as a, Relay(a.port) as relay:
        to_a = ("--join", relay.url, "--join-token", a.key or "")
        with NodeProcess(folder / "delta-b", *to_a) as b:
            b.key = a.key
            wait_until(lambda: is_active(b))

            def settle() -> None:
                wait_until(lambda: root_of(a) == root_of(b), 300)

            for at, (name, changed) in enumerate(edits(data)):
                put(a, f"/f{at}", data)
                settle()

                def edit(at: int = at, changed: bytes = changed) -> None:
                    put(a, f"/f{at}", changed)
                    settle()

                yield name, counted(relay, edit)

            def rename() -> None:
                ask(a, "PATCH", "/files/f0", {"to": "/g"})
                settle()

            yield "rename", counted(relay, rename)


def _of_folders(folder: Path, data: bytes) -> Iterator[tuple[str, int, int]]:
    with NodeProcess(folder / "delta-c") as node, Relay(node.port) as relay:
        one, other = (
            FolderProcess(folder, name, f"{relay.url}/delta", node.key or "")
            for name in ("delta-one", "delta-other")
        )
        file = one.root / "f"
        for name, changed in edits(data):
            file.write_bytes(data)
            _pass(one)
            _pass(other)
            file.write_bytes(changed)
            yield name, counted(relay, lambda: _pass(one)), counted(relay, lambda: _pass(other))
        file.rename(one.root / "g")
        yield "rename", counted(relay, lambda: _pass(one)), counted(relay, lambda: _pass(other))


def renamed(folder: Path, files: int) -> dict[str, tuple[float, int]]:
    """Seconds and bytes on the wire of renaming a folder of files of 10 KiB, by way."""
    source = random.Random(30)
    with (
        NodeProcess(folder / "delta-e") as a,
        Relay(a.port) as relay,
        NodeProcess(folder / "delta-f", "--join", relay.url, "--join-token", a.key or "") as b,
    ):
        b.key = a.key
        wait_until(lambda: is_active(b))

        def settle() -> None:
            wait_until(lambda: root_of(a) == root_of(b), 300)

        one = FolderProcess(folder, "delta-renamer", f"{a.url}/delta", a.key or "")
        (one.root / "before").mkdir()
        for number in range(files):
            (one.root / "before" / f"f{number:04d}").write_bytes(source.randbytes(10_240))
        _pass(one)
        other = FolderProcess(folder, "delta-taker", f"{b.url}/delta", a.key or "")
        settle()
        _pass(other)

        def rename() -> None:
            ask(a, "PATCH", "/files/delta/before", {"to": "/delta/after"})
            settle()

        nodes = _timed(lambda: counted(relay, rename))
        down = _timed(lambda: _pass(other) or 0)
        _pass(one)
        (one.root / "after").rename(one.root / "again")
        up = _timed(lambda: _pass(one) or 0)
    return {"nodes": nodes, "up": up, "down": down}


def _timed(act: Callable[[], int]) -> tuple[float, int]:
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


def _pass(folder: FolderProcess) -> None:
    done = folder.once("--max-delete", "100%", timeout=600)
    if done.returncode:
        raise SystemExit(f"aeorsync sync of {folder.name} failed: {done.stdout}{done.stderr}")


def bench_delta(folder: Path, figures: Figures) -> None:
    """What small edits put on the wire."""
    for name, sizes in measure(folder, _measure.scaled(SIZE)).items():
        for way, moved in sizes.items():
            most = TARGETS[name]
            target = f"<= {most / 1000:,.0f}"
            figures.add(f"{name}, {way}", moved / 1000, "kB", target, met=moved <= most)
    files = _measure.scaled(FILES)
    for way, (seconds, moved) in renamed(folder, files).items():
        what = f"folder of {files:,} files renamed, {way}"
        figures.add(what, seconds, "s", f"<= {MOST_RENAMING}", met=seconds <= MOST_RENAMING)
        if moved:
            # Names, times and versions of each, and nothing of what is in them.
            most = files * 1_000
            figures.add(what, moved / 1000, "kB", f"<= {most / 1000:,.0f}", met=moved <= most)


DELTA_WORKS = {"delta": bench_delta}

"""What the machine itself can do: the floor below every other figure.

Each is the best of a few tries, since the question is what would be possible; nothing of ours is
in it but the cutter and the hash that the format prescribes.
"""

import asyncio
import mmap
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import _measure
import zstandard
from _bench_ours import Line
from _bench_record import markdown
from _measure import Figures, NodeProcess

from aeorsync.core.chunking import Chunker
from aeorsync.core.hashing import content_hash

MIB = 1 << 20
TRIES = 3
FSYNCS = 100
FILES = 10_000
REQUESTS = 1000


def best(work: Callable[[], object], tries: int = TRIES) -> float:
    """Seconds of the quickest of some tries."""
    took = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


class Limits:
    """Figures of the machine, with what each is the floor of."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder, self._figures = folder, figures
        self.rows: list[list[str]] = []
        self.values: dict[str, float] = {}
        self.size = _measure.scaled(256) * MIB
        self.data = os.urandom(self.size)

    def note(self, name: str, value: float, unit: str, what: str) -> None:
        """Keep a figure."""
        self._figures.add(name, value, unit, "", met=True)
        self.values[name] = value
        self.rows.append([name, f"{value:,.4g} {unit}", what])

    def rate(self, name: str, seconds: float, what: str) -> None:
        """Keep a rate for the data."""
        self.note(name, self.size / 1e6 / seconds, "MB/s", what)

    def memory(self) -> None:
        target = bytearray(self.size)
        view = memoryview(target)

        def copy() -> None:
            view[:] = self.data

        self.rate("memory copy", best(copy), "every copy of the bytes")
        self.rate("BLAKE3, one core", best(lambda: content_hash(self.data)), "each hash pass")

        def cut() -> None:
            chunker = Chunker()
            for at in range(0, self.size, MIB):
                for _ in chunker.feed(self.data[at : at + MIB]):
                    pass
            chunker.finish()

        self.rate("FastCDC, one core", best(cut), "cutting what is new")
        squeeze = zstandard.ZstdCompressor(level=1).compress
        pieces = [self.data[at : at + 131_072] for at in range(0, self.size, 131_072)]
        took = best(lambda: [squeeze(piece) for piece in pieces])
        self.rate("zstd 1 on what cannot be compressed", took, "why a sample decides")

    def touch(self) -> None:
        def touch() -> None:
            area = mmap.mmap(-1, self.size)
            for at in range(0, self.size, 4096):
                area[at] = 1
            area.close()

        self.rate("first touch of memory, 4 KiB at a time", best(touch), "new page-cache memory")

    def disk(self) -> None:
        source, target = self._folder / "limits.bin", self._folder / "limits.copy"
        source.write_bytes(self.data)
        cp = shutil.which("cp") or "cp"

        def copy() -> None:
            target.unlink(missing_ok=True)
            subprocess.run([cp, source, target], check=True)

        self.rate("cp within the disk cache", best(copy), "reading and writing")

        def copy_durable() -> None:
            copy()
            subprocess.run(["sync", target], check=True)

        os.sync()
        self.rate("cp and sync", best(copy_durable), "the same, durable")

        def read() -> None:
            with source.open("rb", buffering=0) as file:
                while file.read(MIB):
                    pass

        self.rate("read from the disk cache", best(read), "reading what is sent")

        with (self._folder / "limits.sync").open("wb", buffering=0) as file:
            took = []
            for _ in range(FSYNCS):
                file.write(b"x" * 4096)
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                took.append((time.perf_counter() - began) * 1000)
        self.note("fdatasync of 4 KiB, median", statistics.median(took), "ms", "each commit")
        for path in (source, target):
            path.unlink()

    def files(self) -> None:
        root, count = self._folder / "limits-files", _measure.scaled(FILES)
        root.mkdir()

        def make() -> None:
            for number in range(count):
                (root / f"f{number}").write_bytes(b"x" * 1024)

        took = best(make, 1) / count * 1e6
        self.note("making a file of 1 KiB (Python)", took, "us", "each file that comes down")

        def look() -> None:
            with os.scandir(root) as entries:
                for entry in entries:
                    entry.stat()

        self.note(
            "scandir and stat of a file", best(look) / count * 1e6, "us", "each file of a scan"
        )

        def read() -> None:
            for number in range(count):
                with (root / f"f{number}").open("rb", buffering=0) as file:
                    file.read(2048)

        self.note("open, read, close", best(read) / count * 1e6, "us", "each file that goes up")
        shutil.rmtree(root)
        store = sqlite3.connect(self._folder / "limits.sqlite3")
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("CREATE TABLE t (k BLOB PRIMARY KEY, a INT, b INT) WITHOUT ROWID")

        def insert() -> None:
            rows = [(os.urandom(32), 1, 2) for _ in range(count)]
            with store:
                store.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)

        self.note(
            "a row in SQLite, in a batch", best(insert) / count * 1e6, "us", "each chunk's index"
        )
        store.close()

    def network(self) -> None:
        self.rate("loopback TCP, one connection", best(self._send), "each byte between processes")

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(4096):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writer.close()

        async def ask() -> float:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            began = time.perf_counter()
            for _ in range(REQUESTS):
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await reader.read(4096)
            took = time.perf_counter() - began
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.05)
            server.close()
            return took

        took = min(asyncio.run(ask()) for _ in range(TRIES)) / REQUESTS * 1e6
        self.note("an empty exchange, asyncio both ends", took, "us", "each round trip")
        with NodeProcess(self._folder / "limits-node") as node:
            line = Line(node)

            def health() -> None:
                for _ in range(REQUESTS):
                    line.ask("GET", "/system/health")

            took = best(health) / REQUESTS * 1e6
            self.note("GET /system/health of a node", took, "us", "our HTTP, both ends")

    def _send(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sender = threading.Thread(target=self._connect_and_send, args=listener.getsockname())
            sender.start()
            taker, _ = listener.accept()
            buffer = bytearray(MIB)
            while taker.recv_into(buffer):
                pass
            taker.close()
            sender.join()

    def _connect_and_send(self, host: str, port: int) -> None:
        with socket.create_connection((host, port)) as one:
            one.sendall(self.data)

    def processes(self) -> None:
        def start() -> None:
            subprocess.run([sys.executable, "-c", "pass"], check=True)

        self.note("starting Python", best(start, 5) * 1000, "ms", "each command")

        def ours() -> None:
            command = [sys.executable, "-m", "aeorsync", "--version"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        self.note("aeorsync --version", best(ours, 5) * 1000, "ms", "each command of ours")


def floors(values: Mapping[str, float]) -> list[list[str]]:
    """What no program on this machine can beat that reads, hashes and writes as ours have to.

    Args:
        values: Figures of `Limits` by name.

    Returns:
        Rows: the work, seconds, what they are made of.
    """

    def gib(*names: str) -> float:
        """Seconds for 1 GiB, one after the other on one core."""
        return sum((1 << 30) / 1e6 / values[name] for name in names)

    def each(*names: str) -> float:
        """Seconds for 10 000 of something that takes so many microseconds."""
        return sum(values[name] for name in names) * 1e4 / 1e6

    start = values["starting Python"] / 1000
    across = gib(
        "loopback TCP, one connection", *["BLAKE3, one core"] * 2, "cp within the disk cache"
    )
    up = across + gib("FastCDC, one core", *["BLAKE3, one core"] * 2)
    again = gib("read from the disk cache", "FastCDC, one core", *["BLAKE3, one core"] * 2)
    write = values["an empty exchange, asyncio both ends"] * 3 / 1e6
    write += values["fdatasync of 4 KiB, median"] / 1000
    scan = each("scandir and stat of a file")
    reading = each(
        "open, read, close", "a row in SQLite, in a batch", "a row in SQLite, in a batch"
    )
    making = each("making a file of 1 KiB (Python)", "a row in SQLite, in a batch")
    rows = [
        ("1 GiB, node to node", across / 2, "socket, two hashes, disk cache; over two cores"),
        ("1 GiB, folder up", up / 2 + start, "the same; cut and hashed by the client, too"),
        ("one byte at its head, folder up", again / 2 + start, "read, cut, two hashes"),
        ("10 000 small files, folder up", scan + reading + start, "scan, read, two index rows"),
        ("10 000 small files, folder down", making + start, "make a file, an index row"),
        ("nothing changed in 10 000 files", scan + start, "scan, and start Python"),
        ("small write, readable on the peer", write, "three exchanges, one sync to disk"),
        ("100 000 files of 1 KiB, folder up", (scan + reading) * 10 + start, "as 10 000"),
    ]
    return [[name, f"{seconds:.3f} s", what] for name, seconds, what in rows]


def bench_limits(folder: Path, figures: Figures) -> None:
    """Memory, disk, files, network, processes."""
    limits = Limits(folder, figures)
    for measure in (
        limits.memory,
        limits.touch,
        limits.disk,
        limits.files,
        limits.network,
        limits.processes,
    ):
        measure()
    figures.tables += [
        markdown(["the machine", "measured", "floor of"], limits.rows),
        markdown(["so nothing can beat", "at least", "made of"], floors(limits.values)),
    ]


LIMITS_WORKS = {"limits": bench_limits}

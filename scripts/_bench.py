"""Measures a node, and a pair of nodes, on this machine over loopback.

usage: bench [WORK ...] [--json FILE]     works: big small pair insert latency idle (default: all)
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.nodes import NodeProcess, is_active, root_of, wait_until

GIB = 1 << 30
SMALL_FILES = 10_000
CLIENTS = 32
PUTS = 6000
LATENCIES = 200
IDLE_SECONDS = 20


class Figures:
    """What was measured, each beside its target."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def add(self, name: str, value: float, unit: str, target: str, *, met: bool) -> None:
        row = {"name": name, "value": round(value, 3), "unit": unit, "target": target, "met": met}
        self.rows.append(row)
        print(f"  {name}: {value:,.2f} {unit}  (target {target})", file=sys.stderr, flush=True)

    def show(self) -> None:
        table = Table("figure", "value", "unit", "target", "met")
        for row in self.rows:
            met = "[green]yes[/]" if row["met"] else "[red]no[/]"
            table.add_row(
                str(row["name"]), f"{row['value']:,}", str(row["unit"]), str(row["target"]), met
            )
        Console().print(table)


def make_big(path: Path) -> None:
    source = random.Random(7)
    with path.open("wb") as file:
        for _ in range(GIB >> 20):
            file.write(source.randbytes(1 << 20))


def peak_mib(node: NodeProcess) -> float:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu_seconds(node: NodeProcess) -> float:
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pack_bytes(node: NodeProcess) -> int:
    return sum(pack.stat().st_size for pack in (node.data / "packs").glob("*.pack"))


def connect(node: NodeProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", node.port, blocksize=1 << 20, timeout=600)


def headers_of(node: NodeProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {node.key}"}


def put_big(node: NodeProcess, source: Path) -> float:
    connection = connect(node)
    headers = {**headers_of(node), "Content-Length": str(source.stat().st_size)}
    with source.open("rb") as body:
        began = time.perf_counter()
        connection.request("PUT", "/files/big.bin", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - began
    if answer.status != 201:
        raise SystemExit(f"PUT answered {answer.status}: {text!r}")
    connection.close()
    return took


def get_big(node: NodeProcess) -> float:
    connection = connect(node)
    began = time.perf_counter()
    connection.request("GET", "/files/big.bin", headers=headers_of(node))
    answer = connection.getresponse()
    buffer = memoryview(bytearray(1 << 20))
    size = 0
    while count := answer.readinto(buffer):
        size += count
    took = time.perf_counter() - began
    connection.close()
    if size < GIB:
        raise SystemExit(f"GET gave {size} bytes only")
    return took


def bench_big(folder: Path, figures: Figures) -> None:
    source = folder / "big.bin"
    make_big(source)
    puts, gets = [], []
    for run in range(3):
        with NodeProcess(folder / f"big{run}") as node:
            puts.append(put_big(node, source))
            gets.append(get_big(node))
            peak = peak_mib(node)
        shutil.rmtree(folder / f"big{run}")
    put, get = GIB / 1e6 / statistics.median(puts), GIB / 1e6 / statistics.median(gets)
    figures.add("PUT of 1 GiB", put, "MB/s", ">= 300", met=put >= 300)
    figures.add("GET of 1 GiB", get, "MB/s", ">= 300", met=get >= 300)
    figures.add("peak memory of the server", peak, "MiB", "< 300", met=peak < 300)


async def put_many(node: NodeProcess, bodies: dict[str, bytes], clients: int) -> float:
    waiting = iter(bodies.items())
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(node.url, connector=connector) as session:

        async def client() -> None:
            for path, body in waiting:
                async with session.put(path, data=body, headers=headers_of(node)) as answer:
                    await answer.read()
                    if answer.status != 201:
                        raise SystemExit(f"PUT {path} answered {answer.status}")

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return time.perf_counter() - began


def bench_small(folder: Path, figures: Figures) -> None:
    source = random.Random(3)
    rates = []
    for run in range(3):
        bodies = {
            f"/files/s{run}/d{i // 100:03d}/f{i:05d}": source.randbytes(1024) for i in range(PUTS)
        }
        with NodeProcess(folder / f"small{run}") as node:
            rates.append(PUTS / asyncio.run(put_many(node, bodies, CLIENTS)))
    rate = statistics.median(rates)
    figures.add("small PUTs, 32 at once, durable", rate, "1/s", ">= 1500", met=rate >= 1500)


def small_files() -> dict[str, bytes]:
    """Sizes log-uniform from 100 B to 64 KiB, half text-like, half random."""
    source = random.Random(11)
    words = [f"word{i}" for i in range(500)]
    files = {}
    for i in range(SMALL_FILES):
        size = int(100 * 640 ** source.random())
        text = " ".join(source.choices(words, k=size // 6 + 1)).encode()[:size]
        files[f"/files/tree/d{i // 100:03d}/f{i:05d}.dat"] = (
            source.randbytes(size) if i % 2 else text
        )
    return files


def joined(folder: Path, a: NodeProcess, name: str) -> NodeProcess:
    b = NodeProcess(folder / name, "--join", a.url, "--join-token", a.key or "")
    b.key = a.key
    wait_until(lambda: is_active(b))
    return b


def time_to_equal(a: NodeProcess, b: NodeProcess) -> float:
    """Seconds until both have one root; asks seldom, since asking takes their time."""
    wanted = root_of(a)
    began = time.perf_counter()
    while root_of(b) != wanted:
        time.sleep(0.05)
        if time.perf_counter() - began > 300:
            raise SystemExit("the nodes did not become equal")
    return time.perf_counter() - began


def bench_pair(folder: Path, figures: Figures) -> None:
    files = small_files()
    times, peaks = [], []
    with NodeProcess(folder / "pair-a") as a:
        for run in range(3):
            with joined(folder, a, f"pair-b{run}") as b:
                if not run:
                    b.stop()
                    asyncio.run(put_many(a, files, CLIENTS))
                    b.start()
                    times.append(time_to_equal(a, b))
                else:
                    times.append(time_to_equal(a, b))
                peaks += [peak_mib(a), peak_mib(b)]
                b.stop()
    took = times[0]
    figures.add("10 000 files, node to node", took, "s", "<= 3", met=took <= 3)
    figures.add("peak memory of either node", max(peaks), "MiB", "", met=True)


def bench_insert(folder: Path, figures: Figures) -> None:
    source = folder / "big.bin"
    if not source.exists():
        make_big(source)
    with NodeProcess(folder / "insert-a") as a, joined(folder, a, "insert-b") as b:
        put_big(a, source)
        first = time_to_equal(a, b)
        before = pack_bytes(b)
        changed = folder / "changed.bin"
        with changed.open("wb") as file, source.open("rb") as old:
            file.write(b"!")
            shutil.copyfileobj(old, file, 1 << 20)
        began = time.perf_counter()
        put_big(a, changed)
        upload = time.perf_counter() - began
        second = time_to_equal(a, b)
        moved = (pack_bytes(b) - before) / (1 << 20)
        figures.add("1 GiB, node to node after its upload", first, "s", "", met=True)
        figures.add("a byte at its head: moved", moved, "MiB", "<= 1", met=moved <= 1)
        figures.add("a byte at its head: upload of the whole", upload, "s", "", met=True)
        figures.add("a byte at its head: node to node", second, "s", "", met=True)
        figures.add(
            "peak memory of either node, 1 GiB", max(peak_mib(a), peak_mib(b)), "MiB", "", met=True
        )


def bench_latency(folder: Path, figures: Figures) -> None:
    with NodeProcess(folder / "lat-a") as a, joined(folder, a, "lat-b") as b:
        one, other = connect(a), connect(b)
        took = []
        for number in range(LATENCIES):
            path = f"/files/latency/f{number}"
            began = time.perf_counter()
            one.request("PUT", path, b"a small file", headers_of(a))
            one.getresponse().read()
            written = time.perf_counter()
            while True:
                other.request("GET", path, headers=headers_of(b))
                answer = other.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                time.sleep(0.0005)
            took.append((time.perf_counter() - written) * 1000)
            time.sleep(max(0.0, 0.03 - (time.perf_counter() - began)))
        median = statistics.median(took)
        worst = sorted(took)[int(len(took) * 0.99)]
        figures.add(
            "acknowledged to readable on the peer, median", median, "ms", "<= 25", met=median <= 25
        )
        figures.add("acknowledged to readable on the peer, p99", worst, "ms", "", met=True)


def bench_idle(folder: Path, figures: Figures) -> None:
    with NodeProcess(folder / "idle-a") as a, joined(folder, a, "idle-b") as b:
        time.sleep(3)
        before = cpu_seconds(a) + cpu_seconds(b)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(a) + cpu_seconds(b) - before) / IDLE_SECONDS * 100
        figures.add("CPU of an idle pair", share, "%", "< 1", met=share < 1)


WORKS: dict[str, Callable[[Path, Figures], None]] = {
    "big": bench_big,
    "small": bench_small,
    "pair": bench_pair,
    "insert": bench_insert,
    "latency": bench_latency,
    "idle": bench_idle,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("work", nargs="*", choices=[*WORKS, []], help="what to measure (all)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="aeorsync-bench-"))
    try:
        for work in options.work or WORKS:
            print(f"{work} ...", file=sys.stderr, flush=True)
            WORKS[work](folder, figures)
    finally:
        shutil.rmtree(folder)
    figures.show()
    if options.json:
        options.json.write_text(json.dumps(figures.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

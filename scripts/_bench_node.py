"""Measures one node and a pair of them: large and small writes, transfer, latency, idling."""

import asyncio
import random
import shutil
import statistics
import time
from pathlib import Path

from _measure import (
    CLIENTS,
    GIB,
    Figures,
    NodeProcess,
    connect,
    cpu_seconds,
    get_big,
    headers_of,
    joined,
    make_big,
    pack_bytes,
    peak_mib,
    put_big,
    put_many,
    small_files,
    time_to_equal,
)

PUTS = 6000
LATENCIES = 200
IDLE_SECONDS = 20


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


NODE_WORKS = {
    "big": bench_big,
    "small": bench_small,
    "pair": bench_pair,
    "insert": bench_insert,
    "latency": bench_latency,
    "idle": bench_idle,
}

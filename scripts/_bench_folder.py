"""Measures the folder client beside its server: first passes, passes over nothing, watching."""

import json
import os
import random
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import _measure
from _measure import Figures, NodeProcess, WrongError, peak_mib

from tests.support.folder_clients import FolderProcess

MIB = 1 << 20
EDITS = 40
PER_FOLDER = 100


@dataclass(frozen=True)
class Run:
    """One `aeorsync sync` from its start to its end.

    Attributes:
        seconds: Of the whole process.
        pass_seconds: Of the pass alone.
        peak_mib: Memory of that process at its most.
        sent: Bytes of chunks that travelled to the server.
        received: Likewise from it.
    """

    seconds: float
    pass_seconds: float
    peak_mib: float
    sent: int
    received: int


def run(folder: FolderProcess, *flags: str) -> Run:
    """Make one pass as a user does, and measure the process from outside."""
    began = time.perf_counter()
    told = folder.log_file.with_suffix(".run")
    with told.open("wb") as log:
        command = folder.command("--json", *flags)
        process = subprocess.Popen(command, stdout=log, env=folder.environment)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = [line for line in told.read_text().splitlines() if '"pass-ended"' in line]
    if process.returncode or not lines:
        raise WrongError(f"aeorsync sync of {folder.name} ended with {process.returncode}")
    outcome = json.loads(lines[-1])["outcome"]
    sent, received = outcome["bytes_sent"], outcome["bytes_received"]
    return Run(took, outcome["seconds"], usage.ru_maxrss / 1024, sent, received)


def make_small(root: Path, count: int) -> None:
    """Files of 100 B to 64 KiB, log-uniform, half of them like text, a hundred a folder."""
    source = random.Random(11)
    words = [f"word{i}" for i in range(500)]
    for number in range(count):
        folder = root / f"d{number // PER_FOLDER:05d}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
        size = int(100 * 640 ** source.random())
        text = " ".join(source.choices(words, k=size // 6 + 1)).encode()[:size]
        body = source.randbytes(size) if number % 2 else text
        (folder / f"f{number:06d}.dat").write_bytes(body)


def make_tiny(root: Path, count: int) -> None:
    """Many files with almost nothing in them."""
    for number in range(count):
        folder = root / f"d{number // 10_000:03d}" / f"d{number // PER_FOLDER:05d}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number:07d}.txt").write_bytes(b"file %d" % number)


def make_big(path: Path, size: int) -> None:
    source = random.Random(7)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(source.randbytes(MIB))


def insert_at_head(path: Path) -> None:
    """Save the file again with one byte more at its head."""
    changed = path.with_name(f"{path.name}.changed")
    with changed.open("wb") as file, path.open("rb") as old:
        file.write(b"!")
        shutil.copyfileobj(old, file, MIB)
    changed.replace(path)


def client(folder: Path, name: str, node: NodeProcess, top: str) -> FolderProcess:
    flags = ("--max-delete", "100%")
    return FolderProcess(folder, name, f"{node.url}{top}", node.key or "", *flags)


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same names and bytes."""
    command = ["diff", "-rq", "--exclude=.stfolder", one, other]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def settled() -> None:
    """Let the disk finish what was written before, so that the next figure is its own."""
    os.sync()


def bench_folder(folder: Path, figures: Figures) -> None:
    """First passes both ways, a byte at the head of a big file, and editing while watching."""
    count, size = _measure.scaled(10_000), _measure.scaled(1024) * MIB
    with NodeProcess(folder / "folder-node") as node:
        one, other = (client(folder, name, node, "/small") for name in ("small-a", "small-b"))
        make_small(one.root, count)
        settled()
        up, down = run(one), run(other)
        _check(one, other)
        figures.add("10 000 small files up", up.seconds, "s", "<= 2.5", met=up.seconds <= 2.5)
        figures.add("the same down", down.seconds, "s", "<= 2.5", met=down.seconds <= 2.5)
        figures.add("nothing to do, 10 000 files", run(one).seconds, "s", "", met=True)
        _measure_big(folder, node, size, figures)
        _measure_edits(one, other, figures)
        figures.add("peak memory of the server", peak_mib(node), "MiB", "", met=True)


def _measure_big(folder: Path, node: NodeProcess, size: int, figures: Figures) -> None:
    one, other = (client(folder, name, node, "/big") for name in ("big-a", "big-b"))
    make_big(one.root / "big.bin", size)
    settled()
    up = run(one)
    settled()
    down = run(other)
    _check(one, other)
    for what, took in (("1 GiB up", up), ("1 GiB down", down)):
        rate = size / 1e6 / took.seconds
        figures.add(what, rate, "MB/s", ">= 250", met=rate >= 250)
        figures.add(f"peak memory of the client, {what}", took.peak_mib, "MiB", "", met=True)
    insert_at_head(one.root / "big.bin")
    settled()
    up = run(one)
    moved = up.sent / MIB
    figures.add("a byte at its head: up", up.seconds, "s", "<= 2", met=up.seconds <= 2)
    figures.add("a byte at its head: sent", moved, "MiB", "<= 1", met=moved <= 1)
    down = run(other)
    _check(one, other)
    figures.add("a byte at its head: down", down.seconds, "s", "", met=True)
    figures.add("a byte at its head: received", down.received / MIB, "MiB", "", met=True)
    for some in (one, other):
        shutil.rmtree(some.root)


def _measure_edits(one: FolderProcess, other: FolderProcess, figures: Figures) -> None:
    """Seconds from an edit in one watched folder until it is seen in another."""
    names = sorted(path.relative_to(one.root) for path in one.root.rglob("*.dat"))
    source = random.Random(5)
    with one, other:
        one.start()
        other.start()
        _wait_until_idle(one, other)
        took = []
        for number in range(EDITS):
            name = source.choice(names)
            body = f"edit {number}".encode()
            began = time.perf_counter()
            (one.root / name).write_bytes(body)
            while (other.root / name).read_bytes() != body:
                time.sleep(0.001)
                if time.perf_counter() - began > 30:
                    raise WrongError(f"the edit of {name} never arrived\n{other.tail()}")
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(0.2)
    median = statistics.median(took)
    worst = sorted(took)[int(len(took) * 0.9)]
    name = f"edit here to edit there, both watched, median of {EDITS}"
    figures.add(name, median, "ms", "<= 300", met=median <= 300)
    figures.add("the same, 9 of 10 within", worst, "ms", "", met=True)


def _wait_until_idle(*folders: FolderProcess) -> None:
    end = time.monotonic() + 120
    for folder in folders:
        while not any(event["event"] == "pass-ended" for event in folder.events()):
            if time.monotonic() > end or not folder.is_running:
                raise WrongError(f"{folder.name} never ended its first pass\n{folder.tail()}")
            time.sleep(0.05)
    time.sleep(1)


def bench_folder_large(folder: Path, figures: Figures) -> None:
    """Passes that find nothing to do, over a hundred thousand and a million files."""
    goals = {100_000: (0.6, 200), 1_000_000: (5.0, 150)}
    for files, (seconds, memory) in goals.items():
        count = _measure.scaled(files)
        with NodeProcess(folder / f"large-node-{files}") as node:
            one = client(folder, f"large-{files}", node, "/large")
            make_tiny(one.root, count)
            settled()
            first = run(one)
            noops = [run(one) for _ in range(3)]
            took = statistics.median(noop.pass_seconds for noop in noops)
            whole = statistics.median(noop.seconds for noop in noops)
            peak = max(noop.peak_mib for noop in noops)
            name = f"{count:,} files"
            figures.add(f"{name}: first pass", first.seconds, "s", "", met=True)
            figures.add(
                f"{name}: peak memory of it",
                first.peak_mib,
                "MiB",
                "<= 200" if files == 100_000 else "",
                met=files != 100_000 or first.peak_mib <= 200,
            )
            figures.add(f"{name}: nothing to do", took, "s", f"<= {seconds}", met=took <= seconds)
            figures.add(
                f"{name}: the same, from start to end of the process", whole, "s", "", met=True
            )
            figures.add(
                f"{name}: peak memory of that", peak, "MiB", f"<= {memory}", met=peak <= memory
            )
        shutil.rmtree(one.root)
        shutil.rmtree(folder / f"large-node-{files}")


def _check(one: FolderProcess, other: FolderProcess) -> None:
    if not same(one.root, other.root):
        raise WrongError(f"{one.root} and {other.root} are not the same")


FOLDER_WORKS = {
    "folder": bench_folder,
    "folder-large": bench_folder_large,
}

"""What the machine is, and what it does at the moment: the yardstick of every run."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import _measure

LOOPS = 2_000_000
BLOCK = b"\x5a" * (1 << 20)


def facts() -> dict[str, object]:
    """What the machine is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / (1 << 30), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2)


def loop_ns() -> float:
    """Nanoseconds of one turn of an empty adding loop, the best of three."""

    def once() -> float:
        total = 0
        began = time.perf_counter()
        for number in range(LOOPS):
            total += number
        return time.perf_counter() - began

    return round(min(once() for _ in range(3)) / LOOPS * 1e9, 1)


def copy_seconds(folder: Path) -> float:
    """Seconds `cp` takes for 1 GiB that is in memory; nothing is synced."""
    source, target = folder / "calibrate", folder / "calibrate.copy"
    with source.open("wb") as file:
        for _ in range(_measure.scaled(1024)):
            file.write(BLOCK)
    os.sync()
    began = time.perf_counter()
    subprocess.run([shutil.which("cp") or "cp", source, target], check=True)
    took = time.perf_counter() - began
    source.unlink()
    target.unlink()
    return round(took, 3)


def calibrate(folder: Path) -> dict[str, float]:
    """A few figures of the machine as it is now: what differs here differs everywhere."""
    return {"load": load(), "loop_ns": loop_ns(), "cp_1gib_s": copy_seconds(folder)}

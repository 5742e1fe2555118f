"""What the measurements share: nodes to measure, files to send, figures to show."""

import asyncio
import http.client
import os
import random
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.nodes import NodeFailedError, NodeProcess, is_active, root_of, wait_until

GIB = 1 << 30
CLIENTS = 32
SMALL_FILES = 10_000
_scale = [1.0]


def set_scale(scale: float) -> None:
    """Measure less: ``scaled`` sizes and counts shrink, and the figures say nothing."""
    _scale[0] = scale


def scaled(number: int) -> int:
    """A size or a count as it was asked for."""
    return max(1, int(number * _scale[0]))


@dataclass(frozen=True)
class Wanted:
    """What the works are asked for.

    Attributes:
        rounds: How often what is compared is measured, at least 1.
        minutes: After so many no further round is begun.
        sizes: Entries of the trees that grow.
        rows: Of the table against others; all when empty.
        tools: Likewise.
    """

    rounds: int = 5
    minutes: float = 30
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    rows: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


class WrongError(Exception):
    """What was to be measured did not happen, or not as it should: there is no figure."""


class Figures:
    """What one work measured, each figure beside its target.

    Attributes:
        wanted: What it was asked for.
        rows: The figures: name, value, unit, target, met, and the spread of what was repeated.
        tables: In markdown, where the figures alone do not say it.
    """

    def __init__(self, wanted: Wanted | None = None) -> None:
        self.wanted = wanted or Wanted()
        self.rows: list[dict[str, object]] = []
        self.tables: list[str] = []

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        target: str,
        *,
        met: bool,
        spread: tuple[float, float] | None = None,
    ) -> None:
        row = {"name": name, "value": round(value, 4), "unit": unit, "target": target, "met": met}
        if spread is not None:
            row["spread"] = [round(side, 4) for side in spread]
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
        raise WrongError(f"PUT answered {answer.status}: {text!r}")
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
        raise WrongError(f"GET gave {size} bytes only")
    return took


async def put_many(node: NodeProcess, bodies: dict[str, bytes], clients: int) -> float:
    waiting = iter(bodies.items())
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(node.url, connector=connector) as session:

        async def client() -> None:
            for path, body in waiting:
                async with session.put(path, data=body, headers=headers_of(node)) as answer:
                    await answer.read()
                    if answer.status != 201:
                        raise WrongError(f"PUT {path} answered {answer.status}")

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return time.perf_counter() - began


def _joining(folder: Path, a: NodeProcess) -> NodeProcess:
    while True:
        try:
            return NodeProcess(folder, "--join", a.url, "--join-token", a.key or "")
        except NodeFailedError as error:
            # So many at once are refused for a while.
            wait = re.search(r"try again in (\d+) seconds", str(error))
            if wait is None:
                raise
            time.sleep(int(wait[1]))


def joined(folder: Path, a: NodeProcess, name: str) -> NodeProcess:
    b = _joining(folder / name, a)
    b.key = a.key
    wait_until(lambda: is_active(b))
    return b


def time_to_equal(a: NodeProcess, b: NodeProcess) -> float:
    """Seconds until both have one root; asks seldom, since asking takes their time."""
    began = time.perf_counter()
    while root_of(b) != root_of(a):
        time.sleep(0.05)
        if time.perf_counter() - began > 300:
            raise WrongError("the nodes did not become equal")
    return time.perf_counter() - began


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

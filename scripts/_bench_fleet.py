"""How cost grows with those who listen: 2, 5 and 10 nodes; 1, 100 and 1 000 event streams."""

import contextlib
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from _bench_ours import Line, until
from _bench_sums import percentile
from _measure import NodeProcess, WrongError, cpu_seconds, is_active, joined, peak_mib, wait_until

NODES = (2, 5, 10)
STREAMS = (1, 100, 1000)
WRITES = 50
EVENTS = 30
BURST = 500
IDLE_SECONDS = 5
Note = Callable[[str, int, float, str], None]


def measure_fleets(folder: Path, note: Note) -> None:
    """Clusters in which each node joined the first."""
    for count in NODES:
        work = folder / f"fleet-{count}"
        work.mkdir()
        with contextlib.ExitStack() as stack:
            nodes = [stack.enter_context(NodeProcess(work / "n0"))]
            for at in range(1, count):
                nodes.append(stack.enter_context(joined(work, nodes[0], f"n{at}")))
            wait_until(lambda nodes=nodes: all(map(is_active, nodes)), 120)
            _measure_fleet(nodes, count, note)


def _measure_fleet(nodes: list[NodeProcess], count: int, note: Note) -> None:
    lines = [Line(node) for node in nodes]
    first, others = lines[0], lines[1:]
    took = []
    for number in range(WRITES):
        path = f"/files/fleet/f{number}"
        first.ask("PUT", path, b"a small file")
        began = time.perf_counter()
        for line in others:
            until(lambda line=line, path=path: line.ask("GET", path)[0] == 200, 0.0005)
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.05)
    note("a small write until all have it, median", count, statistics.median(took), "ms")
    note("the same, p99", count, percentile(took, 0.99), "ms")
    before = sum(map(cpu_seconds, nodes))
    began = time.perf_counter()
    for number in range(BURST):
        first.ask("PUT", f"/files/burst/f{number}", b"burst %d" % number)
    until(lambda: len({line.root() for line in lines}) == 1, 0.02)
    note(f"{BURST} writes, one after the other, until all have them", count, _since(began), "s")
    note("the same, processor time of all", count, sum(map(cpu_seconds, nodes)) - before, "s")
    time.sleep(1)
    before = sum(map(cpu_seconds, nodes))
    time.sleep(IDLE_SECONDS)
    idle = (sum(map(cpu_seconds, nodes)) - before) / IDLE_SECONDS / count * 100
    note("processor time of an idle node", count, idle, "%")
    note("memory of a node, the largest", count, max(map(peak_mib, nodes)), "MiB")


def _since(began: float) -> float:
    return time.perf_counter() - began


class Listeners:
    """Event streams of a node, all read by this process.

    Each reads what is new and looks for one text in it.
    """

    def __init__(self, node: NodeProcess, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets = []
        self._tails: dict[int, bytes] = {}
        request = (
            "GET /system/events?events=entries_created HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {node.key}\r\n\r\n"
        ).encode()
        for at in range(count):
            one = socket.create_connection(("127.0.0.1", node.port))
            one.sendall(request)
            one.setblocking(False)  # noqa: FBT003 - the name of the method says it
            self._selector.register(one, selectors.EVENT_READ, at)
            self._sockets.append(one)
            self._tails[at] = b""
        self.wait_for(b"\r\n\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        for one in self._sockets:
            one.close()

    def wait_for(self, text: bytes, seconds: float = 60) -> float:
        """Seconds until all have seen a text."""
        began = time.perf_counter()
        waiting = set(self._tails)
        while waiting:
            for key, _ in self._selector.select(1):
                seen = self._tails[key.data] + key.fileobj.recv(1 << 16)
                if text in seen:
                    waiting.discard(key.data)
                self._tails[key.data] = seen[-len(text) :]
            if _since(began) > seconds:
                raise WrongError(f"{len(waiting)} streams never told of {text!r}")
        return _since(began)


def fan_out(node: NodeProcess, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of commits with so many streams, and from each until the last stream has it."""
    commits, arrivals = [], []
    line = Line(node)
    with Listeners(node, count) as listeners:
        for number in range(EVENTS):
            name = f"e{count}-{number}."
            began = time.perf_counter()
            line.ask("PUT", f"/files/events/{name}", b"an event")
            commits.append(_since(began) * 1000)
            listeners.wait_for(name.encode())
            arrivals.append(_since(began) * 1000)
            time.sleep(0.02)
    return commits, [last - commit for last, commit in zip(arrivals, commits, strict=True)]


def measure_streams(folder: Path, note: Note) -> None:
    """One node, and who listens to it."""
    for count in STREAMS:
        with NodeProcess(folder / f"streams-{count}") as node:
            commits, lasts = fan_out(node, count)
            note("a write, median", count, statistics.median(commits), "ms")
            note(
                "acknowledged until the last stream has it, median",
                count,
                statistics.median(lasts),
                "ms",
            )
            note("the same, p99", count, percentile(lasts, 0.99), "ms")
            note("memory of the node", count, peak_mib(node), "MiB")

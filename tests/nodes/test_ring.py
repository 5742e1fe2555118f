"""Five nodes in a ring, with everything that can go wrong: in the end they are equal.

Each writer adds its own marks to sets that all writers share: it reads every version there is,
adds one mark to their union, and writes that with the base it read. A mark that was acknowledged
and is in no version in the end was lost.
"""

import json
import random
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import libfaketime  # type: ignore[import-untyped]  # ships no types
import pytest

from tests.support.nodes import NodeProcess, root_of, wait_until
from tests.support.relay import Relay

NODES = 5
SETS = 4
CHAOS_S = 20.0
_LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
SKEWS_S = (0, 8, 0, 20, -20)
"""Of each node's clock: two neighbours are too far apart to talk, and the way round is open."""


class Writer(threading.Thread):
    """Adds marks through one node, and remembers which were acknowledged."""

    def __init__(self, node: NodeProcess, number: int) -> None:
        super().__init__()
        self.node = node
        self.number = number
        self.is_over = threading.Event()
        self.marks: dict[str, set[str]] = {f"/set{at}": set() for at in range(SETS)}
        self.files: dict[str, bytes | None] = {}

    def run(self) -> None:
        source = random.Random(self.number)
        count = 0
        while not self.is_over.is_set():
            count += 1
            try:
                with self.node.client() as client:
                    client.timeout = httpx.Timeout(10)
                    self._add_mark(client, f"/set{source.randrange(SETS)}", count)
                    self._write_file(client, count, source)
            except httpx.HTTPError:
                time.sleep(0.05)

    def _add_mark(self, client: httpx.Client, path: str, count: int) -> None:
        marks, base = read_set(client, path)
        mark = f"{self.number}-{count}"
        body = json.dumps(sorted({*marks, mark}))
        answer = client.put(f"/files{path}", content=body, headers={"X-AeorSync-Base": base})
        if answer.status_code == 201:
            self.marks[path].add(mark)

    def _write_file(self, client: httpx.Client, count: int, source: random.Random) -> None:
        path = f"/files/own/{self.number}/{count}"
        body = source.randbytes(source.choice((20, 5_000, 300_000)))
        if client.put(path, content=body).status_code == 201:
            self.files[path] = body
        if source.random() < 0.3:
            # Unanswered, it may have happened or not; nothing is expected of it then.
            self.files.pop(path, None)
            if client.delete(path).status_code == 200:
                self.files[path] = None


def ask(client: httpx.Client, url: str) -> httpx.Response | None:
    """What is there; None for nothing."""
    answer = client.get(url)
    return None if answer.status_code == 404 else answer.raise_for_status()


def read_set(client: httpx.Client, path: str) -> tuple[set[str], str]:
    """All marks in all versions at a path, and the base that covers them."""
    shown = ask(client, f"/sync/conflicts{path}")
    if shown is None:
        alone = ask(client, f"/files{path}")
        if alone is None:
            return set(), '""'
        if alone.headers.get("X-AeorSync-Conflict"):
            return read_set(client, path)
        return set(json.loads(alone.content)), alone.headers["ETag"]
    conflict = shown.json()
    marks: set[str] = set()
    for version in conflict["versions"]:
        found = ask(client, version["href"])
        if found is None:
            return read_set(client, path)
        marks |= set(json.loads(found.content))
    return marks, conflict["etag"]


def skewed(seconds: int) -> dict[str, str]:
    """What makes a process believe in another time."""
    if not seconds:
        return {}
    return {
        "LD_PRELOAD": str(_LIBRARY),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class Ring:
    """Five nodes, each linked to both neighbours through relays of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = free_ports(NODES)
        self.relays: dict[tuple[int, int], Relay] = {
            (here, there): stack.enter_context(Relay(ports[there]))
            for here in range(NODES)
            for there in ((here + 1) % NODES, (here - 1) % NODES)
        }
        self.nodes: list[NodeProcess] = []
        for here in range(NODES):
            peers = [relay.url for (near, _), relay in self.relays.items() if near == here]
            # One identity file makes them one cluster without anybody joining anybody.
            flags = ["--auth", f"file://{folder / 'identity'}", "--peers", ",".join(peers)]
            flags += ["--sync-interval", "2"]
            node = NodeProcess(
                folder / f"node{here}", *flags, port=ports[here], **skewed(SKEWS_S[here])
            )
            self.nodes.append(stack.enter_context(node))
            node.key = node.key or self.nodes[0].key

    def harm(self, source: random.Random) -> None:
        """Do one bad thing, or mend one."""
        relay = source.choice(list(self.relays.values()))
        match source.randrange(6):
            case 0 | 1:
                relay.cut()
            case 2:
                relay.stall()
            case 3 | 4:
                relay.mend()
            case _:
                node = source.choice(self.nodes)
                node.kill()
                node.start()

    def mend(self) -> None:
        """Undo all that was done to the wires."""
        for relay in self.relays.values():
            relay.cut()  # what was stalled has been waited for long enough
            relay.mend()

    def is_equal(self) -> bool:
        """Whether all nodes have one root."""
        return len({root_of(node) for node in self.nodes}) == 1


def free_ports(count: int) -> list[int]:
    """Ports nobody listens at."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in sockets]


@pytest.mark.timeout(300)
def test_five_nodes_in_a_ring_survive_everything_with_one_root(tmp_path: Path) -> None:
    source = random.Random(5)
    with ExitStack() as stack:
        ring = Ring(tmp_path, stack)
        writers = [Writer(node, number) for number, node in enumerate(ring.nodes)]
        for writer in writers:
            writer.start()
        end = time.monotonic() + CHAOS_S
        while time.monotonic() < end:
            ring.harm(source)
            time.sleep(source.uniform(0.1, 0.8))
        for writer in writers:
            writer.is_over.set()
        ring.mend()
        for writer in writers:
            writer.join()
        wait_until(ring.is_equal, 120)
        assert sum(len(writer.files) for writer in writers) > 50
        for node in ring.nodes:
            check_marks(node, writers)
        for writer in writers:
            check_files(ring.nodes[(writer.number + 2) % NODES], writer)


def check_marks(node: NodeProcess, writers: list[Writer]) -> None:
    """Every mark that was acknowledged is in some version."""
    with node.client() as client:
        for path in writers[0].marks:
            acknowledged = set().union(*(writer.marks[path] for writer in writers))
            assert acknowledged
            assert acknowledged - read_set(client, path)[0] == set()


def check_files(node: NodeProcess, writer: Writer) -> None:
    """Every file that was acknowledged is there, and nothing that was deleted."""
    with node.client() as client:
        for url, body in writer.files.items():
            answer = client.get(url)
            assert (None if answer.status_code == 404 else answer.content) == body, url

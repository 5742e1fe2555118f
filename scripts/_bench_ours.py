"""Our own tools at the work of `./scripts/bench peers`.

| tool | measures |
| --- | --- |
| folder | `aeorsync sync FOLDER URL`, one command, from its start to its end, up to node A |
| nodes | from the moment node B may take what A has until all of it is durable and readable on B |
| folder-down | `aeorsync sync FOLDER URL`, one command, down from B |
| folder-watch | a client that runs: from the change until it is readable on its server |

The first three are one chain, so that what arrives at its end is compared with what was at its
beginning. B's link is paused while A is filled.
"""

import contextlib
import http.client
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from _bench_changes import Step, some_file
from _bench_cluster import ask
from _bench_folder import insert_at_head, run, same, settled
from _measure import NodeProcess, WrongError, headers_of, is_active, joined, wait_until

from tests.support.folder_clients import FolderProcess

POLL = 0.005
WRITES = 100
TOP = "/x"


class Line:
    """One connection to a node, kept open: asking costs it as little as can be."""

    def __init__(self, node: NodeProcess) -> None:
        self._headers = headers_of(node)
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=600)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        fields: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of an answer."""
        answer = self._exchange(method, path, body, self._headers | (fields or {}))
        return answer.status, answer.read()

    def _exchange(
        self, method: str, path: str, body: bytes | None, fields: dict[str, str]
    ) -> http.client.HTTPResponse:
        """Ask again where the node had closed a connection that was idle for long."""
        try:
            self._connection.request(method, path, body, fields)
            return self._connection.getresponse()
        except ConnectionError:
            self._connection.close()
            self._connection.request(method, path, body, fields)
            return self._connection.getresponse()

    def root(self) -> str:
        """The node's root hash."""
        return str(json.loads(self.ask("GET", "/sync/status")[1])["root_hash"])

    def entries(self) -> int:
        """How many entries it has."""
        return int(json.loads(self.ask("GET", "/system/stats")[1])["counts"]["entries"])

    def size(self, path: str) -> int:
        """Bytes of a file; -1 when it is not there."""
        answer = self._exchange("HEAD", path, None, self._headers)
        answer.read()
        return int(answer.headers["Content-Length"]) if answer.status == 200 else -1


def until(condition: Callable[[], bool], poll: float = POLL, seconds: float = 900) -> float:
    """Seconds until something holds."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise WrongError("what was waited for never came")
        time.sleep(poll)
    return time.perf_counter() - began


class Chain:
    """Folder, node A, node B, folder: up, across, down."""

    tools = ("folder", "nodes", "folder-down")

    def __init__(self, work: Path) -> None:
        self.work, self.source, self.target = work, work / "source", work / "target"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.work.mkdir(parents=True)
        try:
            self.a = self._stack.enter_context(NodeProcess(self.work / "node-a"))
            self.b = self._stack.enter_context(joined(self.work, self.a, "node-b"))
            wait_until(lambda: is_active(self.a))
            self._peer = ask(self.b, "GET", "/sync/peers")["items"][0]["node_id"]
            self._of_a, self._of_b = Line(self.a), Line(self.b)
            self._up = client(self.work, "source", self.a)
            self._down = client(self.work, "target", self.b)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def step(self, step: Step) -> dict[str, float]:
        """Make a step; seconds by tool. What came out is the same as what went in."""
        if step.name == "noop":
            return self._noop()
        took = {}
        if step.name == "one":
            took["nodes"] = self._one_by_http(step.paths)
        self._let(active=False)
        step.change(self.source)
        settled()
        took["folder"] = run(self._up).seconds
        settled()
        across = self._cross()
        took.setdefault("nodes", across)
        settled()
        took["folder-down"] = run(self._down).seconds
        if not same(self.source, self.target):
            raise WrongError(f"{step.name}: what came down is not what went up")
        return took

    def _let(self, *, active: bool) -> None:
        ask(self.b, "PATCH", f"/sync/peers/{self._peer}", {"enabled": active})

    def _cross(self) -> float:
        root = self._of_a.root()
        began = time.perf_counter()
        self._let(active=True)
        until(lambda: self._of_b.root() == root)
        return time.perf_counter() - began

    def _noop(self) -> dict[str, float]:
        settled()
        took = {"folder": run(self._up).seconds, "folder-down": run(self._down).seconds}
        began = time.perf_counter()
        self._of_b.ask("POST", "/sync/trigger")
        took["nodes"] = time.perf_counter() - began
        return took

    def _one_by_http(self, paths: list[Path]) -> float:
        """A file is sent to A, the link being up: until B answers with it."""
        path = f"/files{TOP}-one/{some_file(paths).name}"
        self._of_a.ask("PUT", path, b"as it was")
        until(lambda: self._of_b.ask("GET", path) == (200, b"as it was"))
        settled()
        began = time.perf_counter()
        self._of_a.ask("PUT", path, b"changed once more")
        until(lambda: self._of_b.ask("GET", path)[1] == b"changed once more", 0.0005)
        return time.perf_counter() - began

    def writes(self, count: int) -> dict[str, list[float]]:
        """Small writes: seconds from each one's acknowledgement until B answers with it."""
        took = []
        for number in range(count):
            path = f"/files/writes/f{number:04d}"
            self._of_a.ask("PUT", path, b"a small file")
            began = time.perf_counter()
            until(lambda path=path: self._of_b.ask("GET", path)[0] == 200, 0.0005)
            took.append(time.perf_counter() - began)
            time.sleep(0.03)
        return {"nodes": took}


class Watch:
    """A folder that a client watches, and its server."""

    tools = ("folder-watch",)

    def __init__(self, work: Path) -> None:
        self.work, self.source = work, work / "source"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.work.mkdir(parents=True)
        try:
            self.node = self._stack.enter_context(NodeProcess(self.work / "node"))
            self._line = Line(self.node)
            self._client = self._stack.enter_context(client(self.work, "source", self.node))
            self._client.start()
            wait_until(self._is_watching)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _is_watching(self) -> bool:
        return any(event["event"] == "pass-ended" for event in self._client.events())

    def step(self, step: Step) -> dict[str, float]:
        """Make a step; seconds until the server has it."""
        if step.name == "noop":
            return {}
        if step.name == "one":
            return {"folder-watch": self._write(some_file(step.paths))}
        stage = self.work / "stage"
        stage.mkdir()
        if step.name == "insert":
            return {"folder-watch": self._insert(stage)}
        step.change(stage)
        settled()
        tops = sorted(stage.iterdir())
        goal = self._line.entries() + count_entries(stage)
        began = time.perf_counter()
        for top in tops:
            top.rename(self.source / top.name)
        until(lambda: self._line.entries() >= goal, 0.05)
        took = time.perf_counter() - began
        stage.rmdir()
        return {"folder-watch": took}

    def _insert(self, stage: Path) -> float:
        """The changed file is made elsewhere and moved in: all of it is there at once."""
        shutil.copyfile(self.source / "big.bin", stage / "big.bin")
        insert_at_head(stage / "big.bin")
        size = (stage / "big.bin").stat().st_size
        settled()
        began = time.perf_counter()
        (stage / "big.bin").replace(self.source / "big.bin")
        until(lambda: self._line.size(f"/files{TOP}/big.bin") == size, 0.01)
        took = time.perf_counter() - began
        stage.rmdir()
        return took

    def _write(self, path: Path, body: bytes = b"changed once more") -> float:
        settled()
        began = time.perf_counter()
        (self.source / path).write_bytes(body)
        url = f"/files{TOP}/{path.as_posix()}"
        until(lambda: self._line.ask("GET", url)[1] == body, 0.0005)
        return time.perf_counter() - began

    def writes(self, count: int) -> dict[str, list[float]]:
        """Small writes in the folder: seconds from each until the server answers with it."""
        took = []
        for number in range(count):
            body = b"write %d" % number
            path = self.source / f"f{number:04d}"
            began = time.perf_counter()
            path.write_bytes(body)
            url = f"/files{TOP}/{path.name}"
            until(lambda url=url, body=body: self._line.ask("GET", url)[1] == body, 0.0005)
            took.append(time.perf_counter() - began)
            time.sleep(0.1)
        return {"folder-watch": took}


def client(work: Path, name: str, node: NodeProcess) -> FolderProcess:
    """A folder that is kept equal to one of a node."""
    return FolderProcess(work, name, f"{node.url}{TOP}", node.key or "", "--max-delete", "100%")


def count_entries(root: Path) -> int:
    """Files and folders below a folder."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(root))


OURS: tuple[Any, ...] = (Chain, Watch)

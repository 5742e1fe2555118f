"""Who works at nodes that are killed: writers of their own paths, of shared ones, readers, ears.

Each is a thread that goes on when a node comes back, looks first whether all is as the oracle
(`tests.support.kill_oracle`) says, and never assumes anything of what was not answered.
"""

import json
import random
import threading
import time
from typing import Any, Protocol

import httpx
from blake3 import blake3

from aeorsync.core.hashing import chunk_id
from tests.support.kill_oracle import Content, Findings, Names, OwnPath, SharedPath
from tests.support.nodes import NodeProcess

OWN_PATHS = 24
GROUPS = 2
GROUP_SIZE = 6
SHARED_PATHS = 16
SIZES = (0, 10, 3_000, 60_000, 200_000, 1_500_000)
_WEIGHTS = (1, 6, 6, 4, 2, 1)


class Stage(Protocol):
    """What the workers know of the nodes."""

    nodes: list[NodeProcess]
    findings: Findings
    names: Names
    shared: list[SharedPath]
    is_over: threading.Event
    pause_s: float

    def start_of(self, number: int) -> int:
        """How often a node was started; waits until it runs."""


class Worker(threading.Thread):
    """Works at nodes that may go away at any moment."""

    def __init__(self, stage: Stage, name: str, seed: str) -> None:
        super().__init__(name=name)
        self.stage = stage
        self.random = random.Random(seed)
        self._clients: dict[int, httpx.Client] = {}

    def client(self, number: int) -> httpx.Client:
        """A connection to a node, which outlives it."""
        if number not in self._clients:
            self._clients[number] = self.stage.nodes[number].client()
        return self._clients[number]

    def run(self) -> None:
        """Work until it is over."""
        try:
            while not self.stage.is_over.is_set():
                try:
                    self.work()
                    time.sleep(self.stage.pause_s)
                except httpx.TransportError:
                    time.sleep(0.02)
        except Exception as error:  # noqa: BLE001 - a worker that died has seen nothing
            self.stage.findings.add(f"{self.name}: {error!r}")
        finally:
            self.part()

    def part(self) -> None:
        """Let go of all connections."""
        while self._clients:
            self._clients.popitem()[1].close()

    def work(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    def body(self) -> bytes:
        """New bytes that nobody wrote before."""
        size = self.random.choices(SIZES, _WEIGHTS)[0]
        return self.name.encode() + self.random.randbytes(8 + size)

    def wrong(self, text: str) -> None:
        """Note a violation."""
        self.stage.findings.add(f"{self.name}: {text}")

    def read(self, number: int, path: str) -> tuple[httpx.Response, Content]:
        """Read a file and look whether its bytes are what the answer says."""
        answer = self.client(number).get(f"/files{path}")
        if answer.status_code == 404:
            return answer, None
        if answer.status_code == 503:
            raise httpx.ReadError("it is being stopped")
        if answer.status_code != 200:
            self.wrong(f"GET {path}: {answer.status_code} {answer.text:.200}")
            raise httpx.ReadError("not to be read")
        content = digest(answer.content)
        if content != answer.headers["X-AeorSync-Content-Hash"]:
            self.wrong(f"GET {path}: wrong bytes under {answer.headers['ETag']}")
        self.stage.names.note(answer.headers["X-AeorSync-Version"], path, content)
        self.stage.findings.count("reads")
        return answer, content

    def is_done(self, answer: httpx.Response, *good: int) -> bool:
        """Whether an answer acknowledges; False when it says that nothing was changed.

        Raises:
            httpx.ReadError: Nobody knows what became of it.
        """
        if answer.status_code in good:
            self.stage.findings.count("acknowledged")
            return True
        if answer.status_code < 500:
            self.wrong(f"{answer.request.method} {answer.url.path}: {answer.text:.200}")
            return False
        if answer.status_code != 503:
            self.wrong(f"{answer.request.method} {answer.url.path}: {answer.text:.200}")
        raise httpx.ReadError("nobody knows")


class OwnWriter(Worker):
    """Writes paths that nobody else writes, at one node."""

    def __init__(self, stage: Stage, seed: int, number: int, home: int) -> None:
        super().__init__(stage, f"w{number}", f"{seed}/own/{number}")
        self.home = home
        self.paths = {f"/{self.name}/d{at % 3}/f{at}": OwnPath() for at in range(OWN_PATHS)}
        self.groups = [
            [f"/{self.name}/g{group}/f{at}" for at in range(GROUP_SIZE)] for group in range(GROUPS)
        ]
        self.paths |= {path: OwnPath() for group in self.groups for path in group}
        self._start = 0

    def work(self) -> None:
        start = self.stage.start_of(self.home)
        if start != self._start:
            self.look(self.home)
            self._start = start
            return
        path = self.random.choice([p for p in self.paths if "/g" not in p])
        match self.random.randrange(12):
            case 0 | 1:
                self.delete(path)
            case 2 | 3:
                self.commit(self.random.choice(self.groups))
            case _:
                self.put(path)

    def put(self, path: str) -> None:
        own, body = self.paths[path], self.body()
        etag, fields = own.etag, {}
        if etag is not None and self.random.random() < 0.6:
            fields["If-Match"] = etag
        elif own.maybe == [None] and self.random.random() < 0.5:
            fields["If-None-Match"] = "*"
        own.begin(digest(body))
        answer = self.client(self.home).put(f"/files{path}", content=body, headers=fields)
        if self.is_done(answer, 201):
            own.acknowledged(answer.headers["ETag"])
        else:
            own.refused()

    def delete(self, path: str) -> None:
        own = self.paths[path]
        if own.maybe == [None]:
            return
        may_be_gone = None in own.maybe
        own.begin(None)
        answer = self.client(self.home).delete(f"/files{path}")
        if self.is_done(answer, 200, *([404] if may_be_gone else [])):
            own.acknowledged(None)
        else:
            own.refused()

    def commit(self, group: list[str]) -> None:
        """Write all files of a group in one step."""
        bodies = [self.name.encode() + self.random.randbytes(500) for _ in group]
        files = []
        for path, body in zip(group, bodies, strict=True):
            name = chunk_id(body).hex()
            sent = self.client(self.home).put(f"/blobs/chunks/{name}", content=body)
            if not self.is_done(sent, 200, 201):
                return
            files.append({"path": path, "chunks": [name], "content_hash": digest(body)})
        for path, body in zip(group, bodies, strict=True):
            self.paths[path].begin(digest(body))
        answer = self.client(self.home).post("/blobs/commit", json={"files": files})
        is_done = self.is_done(answer, 200)
        for at, path in enumerate(group):
            if is_done:
                item = answer.json()["files"][at]
                self.stage.names.note(item["version"], path, digest(bodies[at]))
                self.paths[path].acknowledged(item["etag"])
            else:
                self.paths[path].refused()

    def look(self, number: int) -> None:
        """Read all that one wrote, at any node; nobody writes meanwhile."""
        whole = {}
        for path, own in self.paths.items():
            before = own.maybe
            answer, content = self.read(number, path)
            problem = own.seen(content, answer.headers.get("ETag"))
            if problem:
                self.wrong(f"{path} at node {number}: {problem}")
            whole[path] = before.index(content) if content in before else -1
        for group in self.groups:
            if len({whole[path] for path in group}) > 1:
                self.wrong(f"half of a commit is there: {[whole[path] for path in group]}")


class SharedWriter(Worker):
    """Writes shared paths at all nodes, from what was read there."""

    def __init__(self, stage: Stage, seed: int, number: int) -> None:
        super().__init__(stage, f"s{number}", f"{seed}/shared/{number}")

    def work(self) -> None:
        node = self.random.randrange(len(self.stage.nodes))
        self.stage.start_of(node)
        at = self.random.randrange(SHARED_PATHS)
        path, shared = f"/shared/f{at}", self.stage.shared[at]
        etag, seen = self.sight(node, path)
        if len(seen) > 1 and self.random.random() < 0.3:
            self.resolve(node, path, etag or "", seen, shared)
        elif seen and self.random.random() < 0.1:
            contents = set(seen.values())
            shared.begin(None, contents)
            answer = self.client(node).delete(
                f"/files{path}", headers={"X-AeorSync-Base": etag or '""'}
            )
            if self.is_done(answer, 200, 404) and answer.status_code == 200:
                shared.acknowledged(None, contents)
        else:
            body, contents = self.body(), set(seen.values())
            shared.begin(digest(body), contents)
            answer = self.client(node).put(
                f"/files{path}", content=body, headers={"X-AeorSync-Base": etag or '""'}
            )
            if self.is_done(answer, 201):
                shared.acknowledged(digest(body), contents)

    def resolve(
        self, node: int, path: str, etag: str, seen: dict[str, str], shared: SharedPath
    ) -> None:
        """Choose one of the versions that were seen."""
        version = self.random.choice(list(seen))
        shared.begin_pick(seen[version], set(seen.values()))
        answer = self.client(node).post(
            f"/sync/conflicts{path}", json={"pick": version}, headers={"If-Match": etag}
        )
        if answer.status_code in {404, 412}:
            return  # somebody was faster; the picks were maybe none, so nothing is expected
        if self.is_done(answer, 200):
            shared.acknowledged(None, set(seen.values()) - {seen[version]})

    def sight(self, node: int, path: str) -> tuple[str | None, dict[str, str]]:
        """An ETag, and the contents of all versions that it covers."""
        while True:
            answer, content = self.read(node, path)
            if "X-AeorSync-Conflict" not in answer.headers:
                if content is None:
                    return None, {}
                return answer.headers["ETag"], {answer.headers["X-AeorSync-Version"]: content}
            shown = self.client(node).get(f"/sync/conflicts{path}")
            if shown.status_code == 200:
                return shown.json()["etag"], contents_of(shown.json())


class Reader(Worker):
    """Reads anything anywhere: nobody ever reads what nobody wrote."""

    def __init__(self, stage: Stage, seed: int, writers: list[OwnWriter]) -> None:
        super().__init__(stage, "reader", f"{seed}/reader")
        self._writers = writers

    def work(self) -> None:
        node = self.random.randrange(len(self.stage.nodes))
        self.stage.start_of(node)
        writer = self.random.choice(self._writers)
        path = self.random.choice(list(writer.paths))
        _, content = self.read(node, path)
        if content not in writer.paths[path].ever:
            self.wrong(f"{path} at node {node} was never written")
        time.sleep(0.005)


class Ear(Worker):
    """Hears the events of one node: their ids go on, and nothing that was written is left out."""

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(stage, f"ear{number}", "")
        self._number = number
        self._last: str | None = None
        self._row = -1
        self.heard: set[str] = set()
        self.hears = threading.Event()

    def work(self) -> None:
        self.stage.start_of(self._number)
        fields = {"Last-Event-ID": self._last} if self._last else {}
        with self.client(self._number).stream("GET", "/system/events", headers=fields) as answer:
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    word, _, value = line.partition(": ")
                    event[word] = value
                else:
                    self.hear(event)
                    event = {}

    def hear(self, event: dict[str, str]) -> None:
        """Take one event in."""
        kind = event.get("event", "")
        if kind == "reset" and self._last is not None:
            self.wrong(f"the events begin anew: {event.get('data')}")
        mark = event.get("id")
        if mark:
            row = int(mark.partition("-")[0])
            if row < self._row:
                self.wrong(f"event {row} after {self._row}")
            self._row, self._last = row, mark
            self.hears.set()
        if kind in {"entries_created", "entries_deleted"}:
            data: dict[str, Any] = json.loads(event["data"])
            self.heard.update(entry["path"] for entry in data["payload"]["entries"])


def contents_of(conflict: dict[str, Any]) -> dict[str, str]:
    """Version id to content, of all versions in a conflict that are no deletion."""
    return {v["id"]: v["content_hash"] for v in conflict["versions"] if not v["deleted"]}


def digest(data: bytes) -> str:
    """How contents are told."""
    return blake3(data).hexdigest()

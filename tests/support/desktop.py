"""A stand-in for AeorDB's desktop client, with its habits, good and bad.

    start     GET /system/health; POST /auth/token, else the raw API key is the bearer
    pass      pull (POST /sync/diff, GET each file), then push (walk, PUT, PATCH, DELETE)
    live      the folder is watched -> push; GET /system/events with the raw key -> pull
    now and then a full pass

What makes it faithful: every request ends after 30 s in all, be it a stream; all six arrays of a
diff are demanded; paths are not percent-encoded; every symlink is put on every pass; a pull writes
over whatever is there; the cursor is saved even after failures; deletions travel only where
`Deletes` says so; a token is never renewed.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from blake3 import blake3
from watchfiles import watch

HEALTH_S = 10.0
TOTAL_S = 30.0
RECONNECT_S, RECONNECT_MAX_S = 1.0, 60.0
PERIOD_S = 60.0
DEBOUNCE_MS, STEP_MS = 500, 100
ARRAYS = (
    "files_added",
    "files_modified",
    "files_deleted",
    "symlinks_added",
    "symlinks_modified",
    "symlinks_deleted",
)
SSE_KINDS = "entries_created,entries_deleted"


@dataclass(frozen=True)
class Deletes:
    """Which way deletions travel; neither, unless somebody switched it on."""

    remote_to_local: bool = False
    local_to_remote: bool = False


NEITHER = Deletes()
BOTH = Deletes(remote_to_local=True, local_to_remote=True)


@dataclass
class Seen:
    """What a client took notice of."""

    events: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    connects: int = 0
    pulls: int = 0


class Desktop:
    """One relationship between a folder and a server."""

    def __init__(
        self,
        folder: Path,
        url: str,
        key: str,
        *,
        deletes: Deletes = NEITHER,
        remote_path: str = "/",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.url, self.key = folder, url, key
        self.deletes, self.remote_path = deletes, remote_path
        self.cursor: str | None = None
        self.known: dict[str, str] = {}
        self.seen = Seen()
        self._http = httpx.Client(base_url=url, timeout=TOTAL_S, trust_env=False)
        self._bearer: str | None = None
        self._pass = threading.Lock()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stream: socket.socket | None = None

    # Start and auth

    def is_reachable(self) -> bool:
        """Whether the server answers at all; nobody need be anybody for that."""
        with suppress(httpx.HTTPError):
            reply = httpx.get(f"{self.url}/system/health", timeout=HEALTH_S, trust_env=False)
            return reply.status_code == 200 and "status" in reply.json()
        return False

    @property
    def bearer(self) -> str:
        """A token, got once and never renewed; the key itself where there is none to be had."""
        if self._bearer is None:
            try:
                reply = self._http.post("/auth/token", json={"api_key": self.key})
                self._bearer = str(reply.json()["token"])
            except (httpx.HTTPError, KeyError, ValueError):
                self._bearer = self.key
        return self._bearer

    def _send(self, method: str, path: str, **fields: Any) -> httpx.Response:  # noqa: ANN401
        """A request that has to be done after 30 s."""
        self.seen.calls.append((method, path))
        headers = {"Authorization": f"Bearer {self.bearer}", **fields.pop("headers", {})}
        request = self._http.build_request(method, f"{self.url}{path}", headers=headers, **fields)
        return self._http.send(request)

    # Passes

    def sync(self) -> None:
        """One full pass: pull, then push."""
        with self._pass:
            self._pull()
            self._push()

    def pull(self) -> None:
        """Take what changed there."""
        with self._pass:
            self._pull()

    def push(self) -> None:
        """Send what changed here."""
        with self._pass:
            self._push()

    def _pull(self) -> None:
        reply = self._send("POST", "/sync/diff", json={"since_root_hash": self.cursor})
        if reply.status_code != 200:
            self.seen.failures.append(f"diff: {reply.status_code}")
            return
        body = reply.json()
        changes = {name: list(body["changes"][name]) for name in ARRAYS}
        for entry in (*changes["files_added"], *changes["files_modified"]):
            _ = entry["hash"], entry["size"], entry["chunk_hashes"]
            self._try(f"get {entry['path']}", self._get, entry["path"])
        for entry in (*changes["symlinks_added"], *changes["symlinks_modified"]):
            _ = entry["hash"]
            self._try(f"link {entry['path']}", self._take_link, entry["path"], entry["target"])
        if self.deletes.remote_to_local:
            for entry in (*changes["files_deleted"], *changes["symlinks_deleted"]):
                self._try(f"drop {entry['path']}", self._drop, entry["path"])
        # Whatever failed: a known habit of the client.
        self.cursor = str(body["root_hash"])

    def _try(self, what: str, action: Callable[..., None], *arguments: str) -> None:
        try:
            action(*arguments)
        except (httpx.HTTPError, OSError, KeyError) as error:
            self.seen.failures.append(f"{what}: {error!r}")

    def _get(self, path: str) -> None:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {self.bearer}"}
        self.seen.calls.append(("GET", f"/files{path}"))
        with self._http.stream("GET", f"{self.url}/files{path}", headers=headers) as reply:
            reply.raise_for_status()
            _ = reply.headers["x-aeordb-path"], int(reply.headers["x-aeordb-size"])
            _ = int(reply.headers["x-aeordb-created-at"])
            _ = int(reply.headers["x-aeordb-updated-at"])
            local = self._local(path)
            local.parent.mkdir(parents=True, exist_ok=True)
            if local.is_symlink():
                local.unlink()
            content = blake3()
            with local.open("wb") as file:
                for piece in reply.iter_raw():
                    if time.monotonic() - began > TOTAL_S:
                        raise httpx.ReadTimeout("30 s are over")
                    content.update(piece)
                    file.write(piece)
        self.known[path] = content.hexdigest()

    def _take_link(self, path: str, target: str) -> None:
        local = self._local(path)
        local.parent.mkdir(parents=True, exist_ok=True)
        if local.is_symlink() or local.exists():
            local.unlink()
        local.symlink_to(target)

    def _drop(self, path: str) -> None:
        self._local(path).unlink(missing_ok=True)
        self.known.pop(path, None)

    def _push(self) -> None:
        files, links = self._walk()
        for path, target in links.items():
            self._tell("PUT", f"/links{path}", json={"target": target})
        gone = {path: content for path, content in self.known.items() if path not in files}
        fresh = {path: new for path, new in files.items() if self.known.get(path) != new}
        for path, content in fresh.items():
            self._push_file(path, content, gone)
        if self.deletes.local_to_remote:
            for path in gone:
                if self._tell("DELETE", f"/files{path}"):
                    del self.known[path]

    def _push_file(self, path: str, content: str, gone: dict[str, str]) -> None:
        """Put a file, or move the one of this content that is gone from elsewhere."""
        old = next((was for was, its in gone.items() if its == content), None)
        if path not in self.known and old is not None:
            if self._tell("PATCH", f"/files{old}", json={"to": path}):
                del gone[old], self.known[old]
                self.known[path] = content
        elif self._put(path):
            self.known[path] = content

    def _put(self, path: str) -> bool:
        def pieces() -> Iterator[bytes]:
            with self._local(path).open("rb") as file:
                while piece := file.read(65536):
                    yield piece

        headers = {"Content-Type": "application/octet-stream"}
        return self._tell("PUT", f"/files{path}", content=pieces(), headers=headers)

    def _tell(self, method: str, path: str, **fields: Any) -> bool:  # noqa: ANN401
        try:
            reply = self._send(method, path, **fields)
        except httpx.HTTPError as error:
            self.seen.failures.append(f"{method} {path}: {error!r}")
            return False
        if reply.is_error:
            self.seen.failures.append(f"{method} {path}: {reply.status_code}")
        return not reply.is_error

    def _walk(self) -> tuple[dict[str, str], dict[str, str]]:
        """Content hashes of files, targets of symlinks. Files are read whole: another habit."""
        files: dict[str, str] = {}
        links: dict[str, str] = {}
        for folder, names, others in os.walk(self.folder):
            for name in (*names, *others):
                local = Path(folder, name)
                path = "/" + local.relative_to(self.folder).as_posix()
                if local.is_symlink():
                    links[path] = str(local.readlink())
                elif local.is_file():
                    files[path] = blake3(local.read_bytes()).hexdigest()
        return files, links

    def _local(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def browse(self, path: str) -> list[tuple[str, int]]:
        """The names in a folder, and what they are."""
        items = self._send("GET", f"/files{path}").json()["items"]
        return [(item["name"], item["entry_type"]) for item in items]

    def has_heard(self, data: bytes) -> bool:
        """Whether it heard of a file of these bytes, and pulled after that.

        Who edits a file before the client heard of its own last edit loses the edit: it pulls
        what it put over whatever is there.
        """
        content = blake3(data).hexdigest()
        return any(
            entry.get("hash") == content
            for event in self.seen.events[: self.seen.pulls]
            for entry in event["payload"]["entries"]
        )

    # Live

    def __enter__(self) -> Self:
        """Sync once, then stay in step in the background."""
        self.sync()
        for work in (self._listen, self._watch, self._repeat):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Be gone."""
        self._stopped.set()
        if self._stream is not None:
            with suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self._http.close()

    def _listen(self) -> None:
        pause = RECONNECT_S
        while not self._stopped.is_set():
            with suppress(httpx.HTTPError):
                for event in self._events():
                    if self._stopped.is_set():
                        return
                    pause = RECONNECT_S
                    self.seen.events.append(event)
                    self.pull()
                    self.seen.pulls += 1
            self._stopped.wait(pause)
            pause = min(pause * 2, RECONNECT_MAX_S)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Events as they come, with the raw API key as bearer, till 30 s are over."""
        until = time.monotonic() + TOTAL_S
        query = f"events={SSE_KINDS}&path_prefix={self.remote_path}"
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(timeout=TOTAL_S, trust_env=False) as http:
            url = f"{self.url}/system/events?{query}"
            with http.stream("GET", url, headers=headers) as reply:
                reply.raise_for_status()
                network = reply.extensions["network_stream"]
                self._stream = network.get_extra_info("socket")
                self.seen.connects += 1
                text = ""
                for piece in reply.iter_raw():
                    text += piece.decode()
                    *blocks, text = text.split("\n\n")
                    yield from filter(None, map(_parse_block, blocks))
                    if time.monotonic() > until or self._stopped.is_set():
                        return

    def _watch(self) -> None:
        changes = watch(self.folder, debounce=DEBOUNCE_MS, step=STEP_MS, stop_event=self._stopped)
        for _ in changes:
            with suppress(httpx.HTTPError):
                self.push()

    def _repeat(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            with suppress(httpx.HTTPError):
                self.sync()


def _parse_block(block: str) -> dict[str, Any] | None:
    """An event, as the client reads it: with a blank after each colon, all four fields there."""
    kind = data = None
    for line in block.split("\n"):
        if line.startswith("event: "):
            kind = line[len("event: ") :]
        elif line.startswith("data: "):
            data = line[len("data: ") :]
    if kind is None or data is None:
        return None
    event: dict[str, Any] = json.loads(data)
    _ = event["event_id"], event["timestamp"]
    assert event["event_type"] == kind
    assert all(entry["path"] for entry in event["payload"]["entries"])
    return event

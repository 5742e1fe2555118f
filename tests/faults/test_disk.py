"""Disks that are full, can only be read, or fail for a while; too many open files.

Writes are refused with a clear text, reads go on, nothing that was acknowledged is lost, and the
node goes on by itself, in the same process, when the cause is gone.
"""

import errno
import os
import resource
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from aeorsync.errors import CorruptError
from aeorsync.server.protocol import RESERVED_FILES
from aeorsync.storage.verify import verify
from tests.support.cycles import noise
from tests.support.folder_clients import FolderProcess
from tests.support.nodes import NodeProcess, wait_until
from tests.support.repositories import get, open_repository, put

MANY = 200
NO_ROOM = ("No space left on device", "database or disk is full", "File too large", "disk I/O")


class SmallDisk:
    """A folder with little room: a file system of its own, where we may mount one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "aeorsync-test", str(folder)]
        done = subprocess.run(mount, capture_output=True, check=False)
        self.is_mounted = done.returncode == 0

    def fill(self, node: NodeProcess | FolderProcess) -> None:
        """Leave no room; without a file system of its own, by a limit to the size of files."""
        if self.is_mounted:
            with suppress_full(), (self.folder / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(65_536))
        else:
            limit(node, resource.RLIMIT_FSIZE, 1)

    def empty(self, node: NodeProcess | FolderProcess) -> None:
        """Make room again."""
        if self.is_mounted:
            (self.folder / "filler").unlink()
        else:
            limit(node, resource.RLIMIT_FSIZE, None)

    def close(self) -> None:
        if self.is_mounted:
            subprocess.run(["umount", "-l", self.folder], check=False)


@contextmanager
def suppress_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def limit(node: NodeProcess | FolderProcess, what: int, most: int | None) -> None:
    """Change what a running node may have; None: all it might."""
    assert node.process is not None
    hard = resource.prlimit(node.process.pid, what)[1]
    resource.prlimit(node.process.pid, what, (hard if most is None else most, hard))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


def statuses(client: httpx.Client, paths: dict[str, bytes]) -> Counter[int]:
    """Read everything; each answer is right or a refusal."""
    found: Counter[int] = Counter()
    for path, body in paths.items():
        answer = client.get(f"/files/{path}")
        found[answer.status_code] += 1
        assert answer.status_code != 200 or answer.content == body, path
    return found


def fill_up(client: httpx.Client, kept: dict[str, bytes]) -> list[str]:
    """Write until, and while, it is refused; returns what is said then."""
    said = []
    for number in range(12):
        body = os.urandom(50_000)
        answer = client.put(f"/files/full{number}", content=body)
        if answer.status_code == 201:
            kept[f"full{number}"] = body
        else:
            assert answer.status_code == 503, answer.text
            said.append(answer.json()["error"])
    return said


def test_a_full_disk_refuses_writes_and_nothing_else(disk: SmallDisk) -> None:
    with NodeProcess(disk.folder / "a", "--sync-interval", "1") as node, node.client() as client:
        kept = {f"f{n}": noise(20_000, n) for n in range(30)}
        for path, body in kept.items():
            client.put(f"/files/{path}", content=body).raise_for_status()
        for _ in range(2):
            disk.fill(node)
            said = fill_up(client, kept)
            assert len(said) > 6
            assert all(any(word in text for word in NO_ROOM) for text in said), said
            assert all("nothing was changed" in text for text in said), said
            assert statuses(client, kept) == {200: len(kept)}
            assert client.get("/files").json()["total"] == len(kept)
            assert client.post("/auth/token", json={"api_key": node.key}).status_code == 200
            assert client.get("/sync/status").status_code == 200
            packs = list((node.data / "packs").iterdir())
            assert len(packs) < 4, packs
            disk.empty(node)
            body = os.urandom(100_000)
            assert client.put("/files/after", content=body).status_code == 201
            kept["after"] = body
        node.kill()
        node.start()
        assert statuses(client, kept) == {200: len(kept)}
        assert node.stop() == 0
    assert '"exception"' not in node.log


def test_connections_leave_the_node_the_files_it_needs(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node, ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for _ in range(12)]
        kept = {f"f{n}": noise(30_000, n) for n in range(20)}
        for path, body in kept.items():
            clients[0].put(f"/files/{path}", content=body).raise_for_status()
        node.kill()
        node.start()
        for client in clients:
            client.get("/system/health").raise_for_status()
        limit(node, resource.RLIMIT_NOFILE, RESERVED_FILES + 60)
        crowd = [stack.enter_context(_connection(node)) for _ in range(MANY)]
        reading = Reading(clients, kept)
        assert set(reading.found) <= {200, 201}, reading.refusals[:3]
        assert sum(reading.found.values()) == 12 * 21
        # The idlest of the crowd makes room, when it has been idle for a second.
        with node.client() as late:
            wait_until(lambda: _answers(late))
        for connection in crowd:
            connection.close()
        with node.client() as client:
            wait_until(lambda: _answers(client))
        assert node.stop() == 0


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/system/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("spare", [0, 2, 5])
def test_too_many_open_files_cost_nothing_that_is_under_way(tmp_path: Path, spare: int) -> None:
    with NodeProcess(tmp_path / "a") as node, ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for _ in range(12)]
        kept = {f"f{n}": noise(30_000, n) for n in range(20)}
        for number, (path, body) in enumerate(kept.items()):
            clients[number % 12].put(f"/files/{path}", content=body).raise_for_status()
        node.kill()
        node.start()
        # Connected, and nothing else opened yet: no pack, no connection of a thread.
        for client in clients:
            client.get("/system/health").raise_for_status()
        is_open = len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))
        limit(node, resource.RLIMIT_NOFILE, is_open + spare)
        crowd = [stack.enter_context(_connection(node)) for _ in range(MANY)]
        reading = Reading(clients, kept)
        assert set(reading.found) <= {200, 201, 503}, reading.refusals[:3]
        assert all('"error"' in text for text in reading.refusals)
        assert sum(reading.found.values()) == 12 * 21
        for connection in crowd:
            connection.close()
        limit(node, resource.RLIMIT_NOFILE, None)
        wait_until(lambda: clients[0].put("/files/back", content=b"b").status_code == 201)
        kept |= {f"new{n}": b"new" for n in range(12) if _is_there(clients[0], f"new{n}")}
        assert statuses(clients[0], kept) == {200: len(kept)}
        assert node.stop() == 0


class Reading:
    """All clients read everything at once, and each writes a file; waits until they are done."""

    def __init__(self, clients: list[httpx.Client], kept: dict[str, bytes]) -> None:
        self.kept = kept
        self.found: Counter[int] = Counter()
        self.refusals: list[str] = []
        threads = [
            threading.Thread(target=self._work, args=(client, f"new{number}"))
            for number, client in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, client: httpx.Client, path: str) -> None:
        for other, body in self.kept.items():
            answer = _again(lambda other=other: client.get(f"/files/{other}"))  # type: ignore[misc]
            self._note(answer)
            if answer.status_code == 200:
                assert answer.content == body
        self._note(_again(lambda: client.put(f"/files/{path}", content=b"new")))

    def _note(self, answer: httpx.Response) -> None:
        self.found[answer.status_code] += 1
        if answer.status_code >= 300:
            self.refusals.append(answer.text)


def _again(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask, on another connection where the one that was idle had to make room, as clients do."""
    for _ in range(100):
        with suppress(httpx.TransportError):
            return ask()
        time.sleep(0.1)
    return ask()


def _connection(node: NodeProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), timeout=10)


def _is_there(client: httpx.Client, path: str) -> bool:
    return client.get(f"/files/{path}").status_code == 200


def test_bytes_that_were_out_of_reach_are_read_again_by_themselves(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a", "--auth", "disabled") as node, node.client("none") as client:
        body = noise(300_000)
        client.put("/files/f", content=body).raise_for_status()
        node.kill()
        (pack,) = (node.data / "packs").glob("*.pack")
        pack.rename(tmp_path / "away")
        node.start()
        refused = client.get("/files/f")
        assert (refused.status_code, refused.json()["code"]) == (500, "CORRUPT")
        (tmp_path / "away").rename(pack)
        assert client.get("/files/f").content == body
        assert client.put("/files/g", content=body).status_code == 201


def test_a_disk_that_cannot_be_read_for_a_while_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = open_repository(tmp_path)
    bodies = {f"/f{n}": noise(3000, n) for n in range(8)}
    for path, body in bodies.items():
        put(repository, path, body)

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", fail)
        for path in bodies:
            with pytest.raises(CorruptError):
                get(repository, path)
        assert repository.store.retry(repository.damage.lost(100)) == set()
        repository.store.compact(0.01, lambda: True)
    lost = repository.damage.lost(100)
    assert len(lost) == 8
    assert repository.store.retry(lost) == set(lost)
    assert {path: get(repository, path) for path in bodies} == bodies
    assert verify(repository).count == 0
    assert repository.damage.lost(100) == []
    assert repository.notes("unread chunks") == {}
    repository.close()

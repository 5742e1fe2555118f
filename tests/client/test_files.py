"""Storing and fetching files: as they are, in bounded memory, and never half."""

import fcntl
import io
import os
import threading
from pathlib import Path

import httpx
import pytest

from aeorsync.client import AsyncClient, Client
from aeorsync.client.getting import TEMP_PREFIX
from aeorsync.errors import (
    BadRequestError,
    BusyError,
    ConflictError,
    CorruptError,
    NotFoundError,
    PreconditionError,
    StaleError,
    UnavailableError,
)
from aeorsync.wire.framing import Chunk
from tests.client.conftest import store, write
from tests.support.nodes import NodeProcess

LONG = 9_000_000


@pytest.fixture(scope="module")
def client(node: NodeProcess):  # type: ignore[no-untyped-def]  # noqa: ANN201
    with Client(node.url, node.key) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, LONG])
def test_bytes_come_back_as_they_were(client: Client, folder: str, size: int) -> None:
    body = os.urandom(size)
    written = client.put(f"{folder}/a", body)
    assert (written.path, written.size, written.conflict) == (f"{folder}/a", size, False)
    assert client.read(f"{folder}/a") == body
    entry = client.stat(f"{folder}/a")
    assert entry.etag == written.etag
    assert entry.content_hash == written.content_hash


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_file_keeps_its_time_and_its_bit(
    client: Client, folder: str, tmp_path: Path, size: int
) -> None:
    file = write(tmp_path / "a", os.urandom(size))
    file.chmod(0o755)
    os.utime(file, ns=(1, 1_700_000_000_123_456_789))
    client.put(f"{folder}/a", file)
    entry = client.get(f"{folder}/a", tmp_path / "b")
    assert (entry.mtime_ns, entry.executable) == (1_700_000_000_123_456_789, True)
    found = (tmp_path / "b").stat()
    assert found.st_mtime_ns == 1_700_000_000_123_456_789
    assert found.st_mode & 0o100
    assert (tmp_path / "b").read_bytes() == file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_comes_out_of_a_pipe_or_a_file_object_is_stored(
    client: Client, folder: str, tmp_path: Path
) -> None:
    body = os.urandom(LONG)
    client.put(f"{folder}/object", io.BytesIO(body))
    assert client.read(f"{folder}/object") == body
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(body,))
    writer.start()
    client.put(f"{folder}/pipe", pipe)
    writer.join()
    assert client.read(f"{folder}/pipe") == body


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_an_edit_of_an_old_version_is_a_conflict_or_refused(
    client: Client, folder: str, size: int
) -> None:
    path = f"{folder}/a"
    old = client.put(path, b"x" * size).etag
    client.put(path, b"y" * size)
    with pytest.raises(PreconditionError):
        client.put(path, b"z" * size, base=old, on_conflict="refuse")
    with pytest.raises(PreconditionError):
        client.put(path, b"z" * size, base="", on_conflict="refuse")
    assert client.read(path) == b"y" * size
    assert client.put(path, b"z" * size, base=old).conflict
    conflict = client.conflict(path)
    assert len(conflict.versions) == 2
    loser = next(version for version in conflict.versions if not version.is_winner)
    assert client.read(path, version=loser.id) in {b"y" * size, b"z" * size}
    assert [one.path for one in client.conflicts() if one.path.startswith(folder)] == [path]
    assert client.resolve(path, loser.id, if_match=conflict.etag).path == path
    with pytest.raises(NotFoundError):
        client.conflict(path)


def test_only_what_the_server_lacks_is_sent(
    client: Client, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = os.urandom(LONG)
    client.put(f"{folder}/a", body)
    sent: list[Chunk] = []
    send = AsyncClient.send_chunks

    async def noted(self: AsyncClient, chunks: list[Chunk]) -> None:
        await send(self, chunks)
        sent.extend(chunks)  # what was under way when it broke need not have arrived

    monkeypatch.setattr(AsyncClient, "send_chunks", noted)
    client.put(f"{folder}/b", body[:100] + b"!" + body[100:])
    assert client.read(f"{folder}/b") == body[:100] + b"!" + body[100:]
    assert 0 < sum(chunk.size for chunk in sent) < 1_000_000


def test_an_upload_goes_on_where_it_broke(
    client: Client, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = os.urandom(40_000_000)
    sent: list[Chunk] = []
    send = AsyncClient.send_chunks
    calls = 0

    async def broken(self: AsyncClient, chunks: list[Chunk]) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise UnavailableError("the connection broke")
        await send(self, chunks)
        sent.extend(chunks)  # what was under way when it broke need not have arrived

    monkeypatch.setattr(AsyncClient, "send_chunks", broken)
    with pytest.raises(UnavailableError, match="broke"):
        client.put(f"{folder}/a", io.BytesIO(body))
    assert not client.exists(f"{folder}/a")
    before = sum(chunk.size for chunk in sent)
    assert before > 4_000_000
    client.put(f"{folder}/a", io.BytesIO(body))
    assert client.read(f"{folder}/a") == body
    assert sum(chunk.size for chunk in sent) <= len(body)


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_file_that_changes_while_it_is_read_is_not_stored(
    client: Client, folder: str, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aeorsync.client import writing  # noqa: PLC0415

    file = write(tmp_path / "a", b"x" * size)
    check = writing.Local.check

    def disturbed(self: writing.Local) -> None:
        with file.open("ab") as more:
            more.write(b"more")
        check(self)

    monkeypatch.setattr(writing.Local, "check", disturbed)
    with pytest.raises(StaleError, match="changed while it was read"):
        client.put(f"{folder}/a", file)
    assert not client.exists(f"{folder}/a")


def test_progress_is_told(client: Client, folder: str, tmp_path: Path) -> None:
    put: list[tuple[int, int | None]] = []
    got: list[tuple[int, int | None]] = []
    file = write(tmp_path / "a", os.urandom(LONG))
    client.put(f"{folder}/a", file, progress=lambda done, of: put.append((done, of)))
    client.get(f"{folder}/a", tmp_path / "b", progress=lambda done, of: got.append((done, of)))
    for told in (put, got):
        assert len(told) > 2
        assert told == sorted(told)
        assert told[-1] == (LONG, LONG)


def temps(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(TEMP_PREFIX)]


def test_a_download_that_was_interrupted_goes_on_and_a_wrong_part_is_thrown_away(
    client: Client, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = os.urandom(LONG)
    client.put(f"{folder}/a", body)
    seen: list[int] = []

    def stop(done: int, _: int | None) -> None:
        seen.append(done)
        if done > 3_000_000:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        client.get(f"{folder}/a", tmp_path / "a", progress=stop)
    [part] = temps(tmp_path)
    assert not (tmp_path / "a").exists()
    have = part.stat().st_size
    assert have > 3_000_000
    opened = AsyncClient.open
    starts: list[int] = []

    def noted(self: AsyncClient, path: str, **how: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        starts.append(how["start"])
        return opened(self, path, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(AsyncClient, "open", noted)
    client.get(f"{folder}/a", tmp_path / "a")
    assert starts == [have]
    assert (tmp_path / "a").read_bytes() == body
    assert temps(tmp_path) == []

    with pytest.raises(InterruptedError):
        client.get(f"{folder}/a", tmp_path / "b", progress=stop)
    [part] = temps(tmp_path)
    write(part, b"\0" + part.read_bytes()[1:])
    with pytest.raises(CorruptError, match="thrown away"):
        client.get(f"{folder}/a", tmp_path / "b")
    assert temps(tmp_path) == []
    client.get(f"{folder}/a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == body


def test_what_is_there_is_not_replaced_unless_asked(
    client: Client, http: httpx.Client, folder: str, tmp_path: Path
) -> None:
    store(http, f"{folder}/a", b"new")
    mine = write(tmp_path / "a", b"mine")
    with pytest.raises(ConflictError, match="left alone"):
        client.get(f"{folder}/a", mine)
    assert mine.read_bytes() == b"mine"
    client.get(f"{folder}/a", mine, overwrite=True)
    assert mine.read_bytes() == b"new"
    with pytest.raises(ConflictError, match="is a folder"):
        client.get(f"{folder}/a", tmp_path, overwrite=True)
    with pytest.raises(BadRequestError, match="is a directory"):
        client.get(folder, tmp_path / "c")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError):
        client.get(f"{folder}/a", tmp_path / "dangling")
    client.get(f"{folder}/a", tmp_path / "dangling", overwrite=True)
    assert not (tmp_path / "elsewhere").exists()


def test_two_do_not_fetch_into_one_place(
    client: Client,
    http: httpx.Client,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store(http, f"{folder}/a", b"new")

    def taken(*_: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "flock", taken)
    with pytest.raises(BusyError, match="another process"):
        client.get(f"{folder}/a", tmp_path / "a")

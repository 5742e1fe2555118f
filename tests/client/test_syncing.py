"""What a folder client builds on: diffs, chunks, commits."""

import os

import httpx
import pytest

from aeorsync.client import AsyncClient
from aeorsync.client.syncing import PACKED_FROM
from aeorsync.core.hashing import chunk_id
from aeorsync.errors import BadRequestError
from aeorsync.remote.asking import Request
from aeorsync.remote.connection import Connection
from aeorsync.wire.blobs import CommitFile, CommitRequest
from aeorsync.wire.framing import Chunk, Codec
from aeorsync.wire.limits import MAX_CHUNK
from tests.client.conftest import client_of, remove, store
from tests.support.loops import run
from tests.support.nodes import NodeProcess


def test_a_diff_tells_everything_and_then_what_changed(
    node: NodeProcess, http: httpx.Client, folder: str
) -> None:
    async def main() -> None:
        async with client_of(node) as client:
            store(http, f"{folder}/a")
            page = await client.diff(None, [f"{folder}/**"])
            assert page.full
            assert [file.path for file in page.changes.files_added] == [f"{folder}/a"]
            store(http, f"{folder}/b")
            remove(http, f"{folder}/a")
            page = await client.diff(page.root_hash, [f"{folder}/**"])
            assert not page.full
            assert [file.path for file in page.changes.files_added] == [f"{folder}/b"]
            assert [file.path for file in page.changes.files_deleted] == [f"{folder}/a"]

    run(main())


def test_chunks_come_once_each_and_what_is_not_there_is_left_out(
    node: NodeProcess, http: httpx.Client, folder: str
) -> None:
    body = os.urandom(60_000)
    http.put(f"/files{folder}/a", content=body)
    name, nobody = chunk_id(body), chunk_id(b"nobody has this")

    async def main() -> None:
        async with client_of(node) as client:
            found = [chunk async for chunk in client.chunks([name, nobody, name])]
            [chunk] = found
            assert isinstance(chunk, Chunk)
            assert (chunk.id, chunk.size) == (name, len(body))
            if chunk.codec is Codec.RAW:
                assert chunk.stored == body
            assert [chunk async for chunk in client.chunks([])] == []

    run(main())


@pytest.mark.parametrize("packs", [True, False])
def test_a_file_of_many_chunks_goes_and_comes_by_raw_ids_where_the_server_knows_them(
    node: NodeProcess, folder: str, monkeypatch: pytest.MonkeyPatch, *, packs: bool
) -> None:
    bodies = [os.urandom(1_100) for _ in range(PACKED_FROM)]
    ids = [chunk_id(body) for body in bodies]
    path = f"{folder}/many"
    sent: list[Request] = []
    whole = Connection.exchange

    def note(connection: Connection, request: Request) -> object:
        sent.append(request)
        return whole(connection, request)

    async def main() -> None:
        async with client_of(node) as client:
            if not packs:
                monkeypatch.setattr(client, "_packed", False)
            monkeypatch.setattr(Connection, "exchange", note)
            await client.send_chunks(
                [
                    Chunk(name, Codec.RAW, len(body), body)
                    for name, body in zip(ids, bodies, strict=True)
                ]
            )
            assert await client.check([*ids, chunk_id(b"no")]) == {chunk_id(b"no")}
            names = [name.hex() for name in ids]
            done = await client.commit(CommitRequest(files=[CommitFile(path=path, chunks=names)]))
            assert [one.path for one in done.files] == [path]
            page = await client.diff(None, [f"{folder}/**"], packed=packs)
            [told] = page.changes.files_added
            assert told.chunk_ids == (b"".join(ids) if packs else b"")
            assert told.chunk_hashes == ([] if packs else names)

    run(main())
    asked = [one.body for one in sent if one.path in {"/blobs/check", "/blobs/commit"}]
    size = sum(len(body) for body in asked if isinstance(body, bytes))
    assert (size < 2.2 * 32 * PACKED_FROM) == packs


@pytest.mark.parametrize("count", [1, 8, 40])
def test_chunks_are_not_put_together_where_there_are_many(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each byte of a large body is where it was read; its length is told before."""
    data = memoryview(os.urandom(count * MAX_CHUNK))
    views = [data[at : at + MAX_CHUNK] for at in range(0, len(data), MAX_CHUNK)]
    chunks = [Chunk(chunk_id(view), Codec.RAW, len(view), view) for view in views]
    sent: list[Request] = []
    whole = Connection.exchange

    def note(connection: Connection, request: Request) -> object:
        sent.append(request)
        return whole(connection, request)

    async def pieces_of(request: Request) -> list[bytes | memoryview]:
        assert callable(request.body)
        return [piece async for piece in request.body()]

    async def main() -> None:
        async with client_of(node) as client:
            monkeypatch.setattr(Connection, "exchange", note)
            await client.send_chunks(chunks)
            assert await client.check([chunk.id for chunk in chunks]) == set()
            large = [one for one in sent if callable(one.body)]
            assert len(large) == (0 if count == 1 else 1 + count // 40)
            for request in large:
                pieces = await pieces_of(request)
                assert sum(map(len, pieces)) == int(request.headers["Content-Length"])
                held = [piece for piece in pieces if isinstance(piece, memoryview)]
                assert all(piece.obj is data.obj for piece in held)
                assert sum(map(len, held)) > 7 * MAX_CHUNK

    run(main())


def test_a_broken_cursor_is_refused_in_the_servers_words(node: NodeProcess) -> None:
    async def main(client: AsyncClient) -> None:
        async with client:
            with pytest.raises(BadRequestError) as caught:
                await client.diff("no hex")
            assert caught.value.told

    run(main(client_of(node)))

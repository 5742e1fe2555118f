"""What a folder client builds on: diffs, chunks, commits."""

import os

import httpx
import pytest

from aeorsync.client import AsyncClient
from aeorsync.core.hashing import chunk_id
from aeorsync.errors import BadRequestError
from aeorsync.wire.framing import Chunk, Codec
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


def test_a_broken_cursor_is_refused_in_the_servers_words(node: NodeProcess) -> None:
    async def main(client: AsyncClient) -> None:
        async with client:
            with pytest.raises(BadRequestError) as caught:
                await client.diff("no hex")
            assert caught.value.told

    run(main(client_of(node)))

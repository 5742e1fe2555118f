"""Looking at paths and reading files, also where the way breaks."""

import os
import re

import httpx
import pytest

from aeorsync.client import AsyncClient
from aeorsync.client.model import Entry
from aeorsync.errors import (
    BadRequestError,
    CorruptError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from aeorsync.remote.connection import Connection
from tests.client.conftest import client_of
from tests.support.loops import run
from tests.support.nodes import NodeProcess
from tests.support.peer import Body


def test_a_path_says_what_it_is(node: NodeProcess, http: httpx.Client, folder: str) -> None:
    fields = {"X-AeorSync-Mtime": "1700000000000.000001", "X-AeorSync-Mode": "755"}
    http.put(f"/files{folder}/a%20b", content=b"hello", headers=fields).raise_for_status()
    http.put(f"/links{folder}/l", json={"target": "a b"}).raise_for_status()

    async def main() -> tuple[Entry, Entry, Entry, Entry]:
        async with client_of(node) as client:
            assert not await client.exists(f"{folder}/nothing")
            assert await client.exists(f"{folder}/a b")
            with pytest.raises(NotFoundError, match="nothing") as caught:
                await client.stat(f"{folder}/nothing")
            assert caught.value.path == f"{folder}/nothing"
            return (
                await client.stat(f"{folder}/a b"),
                await client.stat(f"{folder}/l"),
                await client.stat(f"{folder}/l", follow=True),
                await client.stat(folder),
            )

    file, link, followed, directory = run(main())
    assert (file.kind, file.name, file.size, file.executable) == ("file", "a b", 5, True)
    assert (file.mtime_ns, file.mtime) == (1_700_000_000_000_000_001, 1_700_000_000_000)
    assert file.etag
    assert file.version
    assert (link.kind, link.target) == ("symlink", "a b")
    assert (followed.kind, followed.size) == ("file", 5)
    assert (directory.kind, directory.is_folder) == ("directory", True)


def test_a_file_and_any_part_of_it_can_be_read(
    node: NodeProcess, http: httpx.Client, folder: str
) -> None:
    body = os.urandom(3_000_000)
    http.put(f"/files{folder}/a", content=body)
    http.put(f"/files{folder}/empty", content=b"")

    async def read(client: AsyncClient, name: str = "a", start: int = 0, stop: int | None = None):  # type: ignore[no-untyped-def]  # noqa: ANN202
        async with client.open(f"{folder}/{name}", start=start, stop=stop) as download:
            return b"".join([piece async for piece in download])

    async def main() -> None:
        async with client_of(node) as client:
            assert await read(client) == body
            assert await read(client, start=5) == body[5:]
            assert await read(client, start=5, stop=1_500_000) == body[5:1_500_000]
            assert await read(client, stop=10**9) == body
            assert await read(client, stop=0) == b""
            assert await read(client, "empty") == b""
            with pytest.raises(BadRequestError):
                await read(client, start=9, stop=8)
            with pytest.raises(NotFoundError, match="nope"):
                await read(client, "nope")
            with pytest.raises(BadRequestError, match="is a directory, not a file"):
                await read(client, "")

    run(main())


def test_a_version_is_read_only_if_it_is_the_one_that_was_meant(
    node: NodeProcess, http: httpx.Client, folder: str
) -> None:
    url = f"/files{folder}/a"
    old = http.put(url, content=b"old").json()["etag"]
    http.put(url, content=b"new")

    async def main() -> None:
        async with client_of(node) as client:
            with pytest.raises(PreconditionError):
                async with client.open(f"{folder}/a", if_match=old):
                    pass

    run(main())


class Breaking:
    """A server whose connections break after so many bytes."""

    def __init__(self, body: bytes, after: int, *, etag: str = '"e"', sent: bytes = b"") -> None:
        self.body, self.after, self.etag = body, after, etag
        self.sent = sent or body
        self.asked: list[tuple[str | None, str | None]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("Range")
        self.asked.append((wanted, request.headers.get("If-Match")))
        if request.headers.get("If-Match") not in {None, self.etag}:
            return httpx.Response(412, stream=Body(self._pieces(b"")))
        found = re.match(r"bytes=(\d+)-(\d*)", wanted or "bytes=0-")
        assert found
        start = int(found[1])
        from blake3 import blake3  # noqa: PLC0415

        fields = {
            "X-AeorDB-Type": "file",
            "X-AeorDB-Size": str(len(self.body)),
            "X-AeorSync-Content-Hash": blake3(self.body).hexdigest(),
            "ETag": self.etag,
        }
        piece = self.sent[start : start + self.after]
        stream = Body(self._pieces(piece))
        return httpx.Response(206 if wanted else 200, headers=fields, stream=stream)

    async def _pieces(self, piece: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202
        if piece:
            yield piece
        raise httpx.ReadError("the connection broke")


def broken_client(server: Breaking) -> AsyncClient:
    way = Connection("http://peer", None, httpx.MockTransport(server))
    return AsyncClient("", connection=way)


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(*_: object) -> None:
        pass

    monkeypatch.setattr(AsyncClient, "rest", rest)


async def all_of(client: AsyncClient) -> bytes:
    async with client, client.open("/a") as download:
        return b"".join([piece async for piece in download])


@pytest.mark.usefixtures("no_rest")
def test_a_download_goes_on_where_it_broke_and_only_with_the_same_version() -> None:
    body = bytes(range(256)) * 10
    server = Breaking(body, after=700)
    assert run(all_of(broken_client(server))) == body
    assert server.asked == [
        (None, None),
        ("bytes=700-2559", '"e"'),
        ("bytes=1400-2559", '"e"'),
        ("bytes=2100-2559", '"e"'),
    ]


@pytest.mark.usefixtures("no_rest")
def test_a_file_that_changed_while_it_was_read_is_not_put_together_from_two() -> None:
    class Changing(Breaking):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if self.asked:
                self.etag = '"other"'
            return await super().__call__(request)

    with pytest.raises(PreconditionError):
        run(all_of(broken_client(Changing(b"x" * 5_000, after=1_000))))


@pytest.mark.usefixtures("no_rest")
def test_bytes_that_are_not_the_files_are_an_error() -> None:
    server = Breaking(b"right", after=100, sent=b"wrong")
    with pytest.raises(CorruptError, match="/a"):
        run(all_of(broken_client(server)))


@pytest.mark.usefixtures("no_rest")
def test_a_connection_that_brings_nothing_any_more_is_given_up_at_last() -> None:
    server = Breaking(b"x" * 10, after=0)
    with pytest.raises(UnavailableError):
        run(all_of(broken_client(server)))
    assert 10 < len(server.asked) < 50

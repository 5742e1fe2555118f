"""A chunk that is damaged here reaches its reader all the same, if a peer has it."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aeorsync.core.hashing import chunk_id
from aeorsync.core.tokens import SYNC
from aeorsync.storage.repository import Repository
from aeorsync.wire.framing import Decoder, Kind, parse_chunk
from aeorsync.wire.protocol import CHUNKS_HEADER, FRAMES_TYPE, IDS_TYPE
from tests.api.conftest import Browser, NoMember, running
from tests.support.repositories import put

NAME = chunk_id(b"precious")


@dataclass
class Helper(NoMember):
    """A cluster that holds a chunk, as long as ``holds`` says so."""

    repository: Repository | None = None
    holds: bool = True
    asked: list[set[bytes]] = field(default_factory=list)

    async def rescue(self, chunks: Collection[bytes]) -> bool:
        self.asked.append(set(chunks))
        if self.holds and self.repository is not None:
            self.repository.store_small(b"precious")
        return self.holds


@pytest.fixture
def helper() -> Helper:
    return Helper()


@pytest.fixture
def call(loop: asyncio.Runner, tmp_path: Path, helper: Helper) -> Iterator[Browser]:
    context = running(tmp_path, member=helper)
    here = loop.run(context.__aenter__())
    helper.repository = here.node.repository
    put(here.node.repository, "/a", b"precious")
    here.node.repository._store.flush()
    pack = next((tmp_path / "packs").glob("*.pack"))
    data = pack.read_bytes()
    pack.write_bytes(data.replace(b"precious", b"precioux"))
    yield Browser(loop, here)
    loop.run(context.__aexit__(None, None, None))


def ask(call: Browser, manner: str = "") -> tuple[list[bytes], list[bytes]]:
    """What a peer gets: (chunks, missing)."""
    headers = {"Accept": FRAMES_TYPE, "Content-Type": IDS_TYPE, CHUNKS_HEADER: manner}
    token = call.here.mint(scope=SYNC)
    reply = call("POST", "/sync/chunks", content=NAME, headers=headers, token=token)
    frames = Decoder().feed(reply.content)
    held = [parse_chunk(frame.payload) for frame in frames if frame.kind is Kind.CHUNK]
    chunks = [bytes(chunk.stored) for chunk in held]
    return chunks, [frame.payload for frame in frames if frame.kind is Kind.MISSING]


def test_a_reader_gets_the_right_bytes(call: Browser, helper: Helper) -> None:
    reply = call("GET", "/files/a")
    assert (reply.status_code, reply.content) == (200, b"precious")
    assert helper.asked == [{NAME}]
    assert call("GET", "/files/a").content == b"precious"
    assert len(helper.asked) == 1


def test_without_help_it_is_an_error_that_says_what_was_tried(
    call: Browser, helper: Helper
) -> None:
    helper.holds = False
    reply = call("GET", "/files/a")
    assert (reply.status_code, reply.json()["code"]) == (500, "CORRUPT")
    assert "no peer" in reply.json()["error"]
    helper.holds = True
    assert call("GET", "/files/a").content == b"precious"


def test_help_that_does_not_help_is_not_asked_for_again_and_again(
    call: Browser, helper: Helper
) -> None:
    helper.repository = None
    assert call("GET", "/files/a").status_code == 500
    assert helper.asked == [{NAME}]


def test_a_peer_that_wants_it_checked_gets_a_sound_one(call: Browser, helper: Helper) -> None:
    assert ask(call)[0] == [b"precioux"]
    assert ask(call, "checked") == ([b"precious"], [])
    assert helper.asked == [{NAME}]
    assert ask(call) == ([b"precious"], [])


def test_a_peer_that_wants_what_is_held_starts_no_search(call: Browser, helper: Helper) -> None:
    assert ask(call, "held") == ([], [NAME])
    assert helper.asked == []
    # By now it is known to be lost, so that anybody else's question starts one.
    assert ask(call) == ([b"precious"], [])


def test_a_deleted_file_is_restored_with_what_a_peer_holds(call: Browser) -> None:
    assert call("DELETE", "/files/a").status_code == 200
    assert call("POST", "/files/restore", json={"path": "/a"}).status_code == 200
    assert call("GET", "/files/a").content == b"precious"


def test_a_fetch_waits_for_the_peer_too(call: Browser, helper: Helper) -> None:
    reply = call("POST", "/files/fetch", json={"paths": ["/a"]})
    assert reply.json()["/a"]["content"] == "precious"
    assert helper.asked == [{NAME}]

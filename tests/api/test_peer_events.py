"""`GET /sync/events` over a real connection."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aeorsync.api import sse
from aeorsync.cluster.walk import is_news
from aeorsync.core.tokens import SYNC
from aeorsync.runtime.bus import Batch
from aeorsync.storage.base import Change, Head
from aeorsync.storage.writer import Committed
from tests.api.conftest import running
from tests.api.streams import Served, served
from tests.support.repositories import memory_repository, pull, put

Script = Callable[[Served], Awaitable[None]]
HEAD = Head(b"", b"", 2, 0, 1, 0, 7)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Script], None]:
    """Runs a script against a node of its own."""

    async def play(script: Script) -> None:
        async with running(tmp_path) as here, served(here) as there:
            await script(there)

    return lambda script: asyncio.run(play(script))


def committed(*via: int) -> Committed:
    changes = tuple(Change(seq, b"a", 0, 2, v) for seq, v in enumerate(via, 1))
    return Committed(HEAD, changes)


@pytest.mark.parametrize(
    ("commits", "asker", "news"),
    [
        ([committed(5)], 5, False),
        ([committed(5, 5), committed(5)], 5, False),
        ([committed(5, 6)], 5, True),
        ([committed(5), committed(0)], 5, True),
        ([committed(0)], 0, True),
        ([committed(5)], 0, True),
        ([committed(5)], 6, True),
    ],
)
def test_what_came_from_the_asker_is_no_news_to_it(
    commits: list[Committed], asker: int, *, news: bool
) -> None:
    assert is_news(Batch(commits, lagged=False), asker) is news
    assert is_news(Batch(commits, lagged=True), asker)


def test_a_peer_hears_where_we_stand_and_when_we_move(run: Callable[[Script], None]) -> None:
    async def script(there: Served) -> None:
        repository = there.here.node.repository
        token = there.here.mint(scope=SYNC)
        async with there.listen("/sync/events?node_id=5", token) as stream:
            hello = await stream.event()
            assert hello.kind == "hello"
            head = repository.head
            assert hello.data["root_hash"] == head.root.hex()
            assert (hello.data["node_id"], hello.data["seq"]) == (7, head.seq)
            assert hello.data["database"] == repository.database_id
            await asyncio.to_thread(put, repository, "/a", b"1")
            moved = await stream.of("root")
            assert moved.data == {
                "root_hash": repository.head.root.hex(),
                "seq": repository.head.seq,
            }

    run(script)


def test_a_peer_does_not_hear_its_own_echo(run: Callable[[Script], None]) -> None:
    async def script(there: Served) -> None:
        repository = there.here.node.repository
        token = there.here.mint(scope=SYNC)
        source = memory_repository(node=5)
        put(source, "/from5", b"1")
        async with (
            there.listen("/sync/events?node_id=5", token) as theirs,
            there.listen("/sync/events?node_id=6", token) as others,
        ):
            await theirs.event()
            await others.event()
            await asyncio.to_thread(pull, repository, source)
            after = repository.head.seq
            assert (await others.of("root")).data["seq"] == after
            await asyncio.to_thread(put, repository, "/ours", b"2")
            assert (await theirs.of("root")).data["seq"] > after
        source.close()

    run(script)


def test_many_commits_are_one_event(run: Callable[[Script], None]) -> None:
    async def script(there: Served) -> None:
        node = there.here.node
        async with there.listen("/sync/events") as stream:
            await stream.event()
            for _ in range(2000):
                node.bus.publish(committed(0))
            await asyncio.to_thread(put, node.repository, "/a", b"1")
            while (await stream.of("root")).data["seq"] != node.repository.head.seq:
                pass
            assert len(stream.seen) <= 3

    run(script)


def test_hearts_beat(run: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.05)

    async def script(there: Served) -> None:
        async with there.listen("/sync/events") as stream:
            for _ in range(2):
                beat = await stream.of("heartbeat")
                assert set(beat.data["clock"]) == {"intent_time", "construct_time", "node_id"}
                assert beat.data["clock"]["node_id"] == 7

    run(script)


def test_a_stream_ends_with_its_node(run: Callable[[Script], None]) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/sync/events") as stream:
            await stream.event()
            there.here.node.bus.close()
            assert await stream.rest() == []

    run(script)


def test_a_node_id_that_is_none_is_refused(run: Callable[[Script], None]) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/sync/events?node_id=x") as stream:
            assert stream.response.status_code == 400

    run(script)

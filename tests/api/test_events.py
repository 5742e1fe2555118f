"""`GET /system/events` over a real connection."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import cast
from unittest.mock import patch
from uuid import uuid4

import msgspec
import pytest
from starlette.types import Message

from aeorsync.api import events, news, sse
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.hashing import content_hash
from aeorsync.core.paths import parse
from aeorsync.core.tokens import SYNC
from aeorsync.storage import changes
from aeorsync.storage.accounts import new_root_key
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from tests.api.conftest import running
from tests.api.streams import Event, Served, Stream, served, until
from tests.support.clock import FakeClock
from tests.support.repositories import memory_repository, open_repository, pull, put

Script = Callable[[Served], Awaitable[None]]
Run = Callable[[Script], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script against a node of its own."""

    async def play(script: Script) -> None:
        async with running(tmp_path) as here, served(here) as there:
            await script(there)

    return lambda script: asyncio.run(play(script))


async def write(there: Served, path: str, data: bytes = b"1") -> None:
    await asyncio.to_thread(put, there.here.node.repository, path, data)


async def delete(there: Served, path: str) -> None:
    repository = there.here.node.repository
    future = repository.commit(lambda draft: changes.delete(draft, parse(path), recursive=True))
    await asyncio.wrap_future(future)


def paths(event: Event) -> list[str]:
    return [entry["path"] for entry in event.data["payload"]["entries"]]


async def told(stream: Stream, count: int) -> list[tuple[str | None, list[str]]]:
    """The next events about paths, until these many paths were told."""
    found: list[tuple[str | None, list[str]]] = []
    while sum(len(names) for _, names in found) < count:
        event = await stream.event()
        if event.kind is not None and "entries" in event.data["payload"]:
            found.append((event.kind, paths(event)))
    return found


def test_a_write_is_told_in_the_shape_of_aeordb(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            assert stream.response.headers["content-type"].startswith("text/event-stream")
            ready = await stream.event()
            assert ready.kind == ready.data["event_type"] == "server_ready"
            assert ready.data["payload"]["status"] == "ready"
            assert {"version", "startup_time", "uptime_ms"} < set(ready.data["payload"])
            await write(there, "/a.txt", b"hello")
            event = await stream.event()
            assert event.kind == event.data["event_type"] == "entries_created"
            assert event.data["event_id"] == mark(there, event.id)
            assert event.id == there.here.node.repository.head.seq
            assert {"timestamp", "user_id"} < set(event.data)
            [entry] = event.data["payload"]["entries"]
            assert entry["created_at"] <= entry["updated_at"]
            assert {**entry, "created_at": 0, "updated_at": 0} == {
                "path": "/a.txt",
                "entry_type": "file",
                "content_type": "text/plain",
                "size": 5,
                "hash": content_hash(b"hello").hex(),
                "created_at": 0,
                "updated_at": 0,
            }

    run(script)


def test_overwrites_deletions_folders_and_links_are_told(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            await write(there, "/d/a", b"1")
            assert await told(stream, 2) == [("entries_created", ["/d", "/d/a"])]
            kinds = [e["entry_type"] for e in stream.seen[-1].data["payload"]["entries"]]
            assert kinds == ["directory", "file"]
            await write(there, "/d/a", b"22")
            assert await told(stream, 1) == [("entries_created", ["/d/a"])]
            async with there.here.client() as client:
                await client.put("/links/l", json={"target": "d/a"})
            assert await told(stream, 1) == [("entries_created", ["/l"])]
            assert stream.seen[-1].data["payload"]["entries"][0]["entry_type"] == "symlink"
            await delete(there, "/d")
            assert await told(stream, 2) == [("entries_deleted", ["/d/a", "/d"])]

    run(script)


def test_what_replication_brings_is_told_with_its_conflicts(run: Run, tmp_path: Path) -> None:
    async def script(there: Served) -> None:
        other = open_repository(tmp_path / "other", node=9)
        put(other, "/x", b"theirs")
        async with there.listen("/system/events") as stream:
            await write(there, "/x", b"ours")
            await told(stream, 1)
            before = stream.seen[-1].id
            await asyncio.to_thread(pull, there.here.node.repository, other)
            assert await told(stream, 2) == [
                ("conflicts_created", ["/x"]),
                ("entries_created", ["/x"]),
            ]
            assert [event.id for event in stream.seen[-2:]] == [before, (before or 0) + 1]
        other.close()

    run(script)


def mark(there: Served, seq: int | None) -> str:
    return f"{seq}-{there.here.node.repository.epoch:x}"


def test_who_comes_back_is_told_what_was_missed(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            await write(there, "/a")
            last = (await stream.event()).id
        await write(there, "/b")
        await delete(there, "/a")
        await write(there, "/passing")
        await delete(there, "/passing")
        missed = [
            ("entries_created", ["/b"]),
            ("entries_deleted", ["/a", "/passing"]),
        ]
        headers = {"Last-Event-ID": mark(there, last)}
        async with there.listen("/system/events", **headers) as stream:
            assert await told(stream, 3) == missed
        async with there.listen(f"/system/events?last_event_id={mark(there, last)}") as stream:
            assert await told(stream, 3) == missed
            await write(there, "/c")
            assert await told(stream, 1) == [("entries_created", ["/c"])]

    run(script)


def test_a_long_absence_is_told_in_pages(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "PAGE_ROWS", 2)

    async def script(there: Served) -> None:
        for number in range(7):
            await write(there, f"/{number}")
        async with there.listen("/system/events", **{"Last-Event-ID": mark(there, 0)}) as stream:
            found = await told(stream, 7)
            assert [name for _, names in found for name in names] == [f"/{n}" for n in range(7)]
            assert len(found) == 4

    run(script)


@pytest.mark.parametrize(
    "last", ["99999-EPOCH", "1-123", "1", "x", "-1", "1.5", "9" * 30 + "-EPOCH", "٣-EPOCH"]
)
def test_a_place_that_is_not_in_the_feed_means_to_list_again(run: Run, last: str) -> None:
    async def script(there: Served) -> None:
        await write(there, "/a")
        place = last.replace("EPOCH", f"{there.here.node.repository.epoch:x}")
        query = f"/system/events?events=entries_created&path_prefix=/q&last_event_id={place}"
        async with there.listen(query) as stream:
            reset = await stream.of("reset")
            assert reset.id == there.here.node.repository.head.seq
            await write(there, "/q/b")
            assert await told(stream, 2) == [("entries_created", ["/q", "/q/b"])]

    run(script)


def test_a_feed_that_no_longer_reaches_back_means_to_list_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(there: Served) -> None:
        await write(there, "/a")
        async with there.listen("/system/events") as stream:
            await stream.event()
            monkeypatch.setattr(news, "read_page", lambda *_: None)
            await write(there, "/b")
            reset = await stream.of("reset")
            assert reset.id == there.here.node.repository.head.seq

    run(script)


@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [
        ("/d", ["/d", "/d/a"]),
        ("/d/", ["/d", "/d/a"]),
        ("/d/a", ["/d/a"]),
        ("/", ["/d", "/d/a", "/da", "/e"]),
    ],
)
def test_a_prefix_hides_the_siblings_of_one_commit(
    run: Run, prefix: str, wanted: list[str]
) -> None:
    async def script(there: Served) -> None:
        repository = there.here.node.repository
        content = repository.store_small(b"1")

        def many(draft: Draft) -> None:
            for path in ("/d/a", "/da", "/e"):
                changes.put_file(draft, parse(path), changes.FileState(content, "text/plain"))

        async with there.listen(f"/system/events?path_prefix={prefix}") as stream:
            await stream.event()
            await asyncio.wrap_future(repository.commit(many))
            [(_, names)] = await told(stream, 1)
            assert names == wanted
            assert "server_ready" not in {event.kind for event in stream.seen}

    run(script)


def test_only_the_types_asked_for_are_told(run: Run) -> None:
    async def script(there: Served) -> None:
        path = "/system/events?events=entries_deleted,%20unheard_of"
        async with there.listen(path) as stream:
            assert (await stream.event()).kind is None
            await write(there, "/a")
            await delete(there, "/a")
            assert await told(stream, 1) == [("entries_deleted", ["/a"])]

    run(script)


def test_the_system_namespace_is_never_told(run: Run) -> None:
    def change_system(repository: Repository) -> None:
        path = parse("/.aeordb-system/k", allow_system=True)
        state = changes.FileState(repository.store_small(b"1"), "text/plain")
        repository.commit(lambda draft: changes.put_file(draft, path, state)).result()
        repository.commit(lambda draft: changes.delete(draft, path)).result()

    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            await asyncio.to_thread(change_system, there.here.node.repository)
            await write(there, "/a")
            assert await told(stream, 1) == [("entries_created", ["/a"])]
        async with there.listen("/system/events", **{"Last-Event-ID": mark(there, 0)}) as stream:
            assert await told(stream, 1) == [("entries_created", ["/a"])]
        async with there.listen("/system/events?path_prefix=/.aeordb-system") as stream:
            assert stream.response.status_code == 404

    run(script)


def test_hearts_beat_with_the_real_node_and_move_the_mark(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.05)

    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            beat = await stream.of("heartbeat")
            clock = beat.data["payload"]["clock"]
            assert clock["node_id"] == there.here.node.member.node_id == 7
            assert clock["intent_time"] <= clock["construct_time"]
            await write(there, "/a")
            await told(stream, 1)
            assert (await stream.of("heartbeat")).id == there.here.node.repository.head.seq
        async with there.listen("/system/events?path_prefix=/q") as stream:
            await stream.event()
            await write(there, "/b")
            while (await stream.event()).id != there.here.node.repository.head.seq:
                pass
            assert {event.kind for event in stream.seen} == {None}

    run(script)


def test_a_reader_that_cannot_keep_up_misses_nothing(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            for number in range(300):
                await write(there, f"/{number}")
            found = await told(stream, 300)
            names = [name for _, group in found for name in group]
            assert names == [f"/{number}" for number in range(300)]

    run(script)


def test_all_streams_share_one_reading(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = news.read_page

    def spy(repository: Repository, after: int, now_ms: int) -> news.Page | None:
        reads.append(after)
        return read(repository, after, now_ms)

    monkeypatch.setattr(news, "read_page", spy)

    async def script(there: Served) -> None:
        async def one() -> None:
            async with there.listen("/system/events") as stream:
                await told(stream, 1)

        listeners = [asyncio.create_task(one()) for _ in range(10)]
        await until(lambda: len(there.here.node.bus._listeners) == 10)
        await write(there, "/a")
        await asyncio.gather(*listeners)
        assert len(reads) == len(set(reads)) == 1

    run(script)


def test_pages_that_are_held_for_others_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = memory_repository()
    rows = 10 * news.PAGE_ROWS

    def read_page(_: Repository, after: int, __: int) -> news.Page:
        return news.Page([], min(after + news.PAGE_ROWS, rows))

    monkeypatch.setattr(news, "read_page", read_page)

    async def script() -> None:
        teller = news.Teller(repository, FakeClock())
        for after in range(0, rows, 7):
            await teller.page(after)
        held = teller._pages.items()
        assert sum(page.end - after for after, page in held) <= 4 * news.PAGE_ROWS
        assert rows - 7 < max(teller._pages) < rows

    asyncio.run(script())
    repository.close()


# The end of a stream


async def gone(there: Served) -> None:
    """Wait until nobody listens."""
    async with asyncio.timeout(3):
        await until(lambda: not there.here.node.bus._listeners)


def test_a_stream_ends_when_its_client_goes(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            assert len(there.here.node.bus._listeners) == 1
        await gone(there)

    run(script)


def test_a_stream_ends_when_the_node_does(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            there.here.node.bus.close()
            assert await stream.rest() == []
        await gone(there)

    run(script)


def test_a_stream_ends_when_its_key_is_revoked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)

    async def script(there: Served) -> None:
        text, record = new_root_key(there.here.node.wall.now_ms())
        accounts = there.here.node.accounts
        await asyncio.wrap_future(accounts.save(record))
        async with there.listen("/system/events", text) as stream:
            await stream.event()
            await asyncio.sleep(0.2)
            assert there.here.node.bus._listeners
            revoked = msgspec.structs.replace(record, is_revoked=True)
            await asyncio.wrap_future(accounts.save(revoked))
            await stream.rest()
        await gone(there)

    run(script)


def test_a_stream_ends_when_its_user_is_deactivated(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)

    async def script(there: Served) -> None:
        accounts = there.here.node.accounts
        rules = (KeyRule("**", "-r--l---"),)
        user = await asyncio.to_thread(there.here.make_user, rules=rules)
        text, _ = await asyncio.to_thread(there.here.make_key, user_id=user.user_id)
        async with there.listen("/system/events", text) as stream:
            await anext(stream._blocks)  # the ids of who has rules are no numbers
            await asyncio.sleep(0.2)
            assert there.here.node.bus._listeners
            off = msgspec.structs.replace(user, is_active=False)
            await asyncio.wrap_future(accounts.users.change(user.user_id, lambda _: off))
            async with asyncio.timeout(10):
                assert [block async for block in stream._blocks] == []
        await gone(there)

    run(script)


def expire(there: Served) -> None:
    """Let the time go by in which tokens are good."""
    cast("FakeClock", there.here.node.wall).now += 10_000_000


def test_a_stream_ends_when_its_token_expires(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.05)

    async def script(there: Served) -> None:
        async with there.listen("/system/events", there.here.mint()) as stream:
            await stream.event()
            expire(there)
            await stream.rest()

    run(script)


def test_news_without_end_do_not_put_the_check_off(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "CHECK_S", 0.2)

    async def make_noise(there: Served) -> None:
        while True:
            there.here.node.bus.publish(Committed(there.here.node.repository.head, ()))
            await asyncio.sleep(0)

    async def script(there: Served) -> None:
        noise = asyncio.create_task(make_noise(there))
        async with there.listen("/system/events", there.here.mint()) as stream:
            await stream.event()
            expire(there)
            await stream.rest()
        noise.cancel()

    run(script)


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("other", 403), ("peer", 403), ("query", 200)]
)
def test_only_root_may_listen(run: Run, token: str, status: int) -> None:
    async def script(there: Served) -> None:
        bearers = {
            "": "",
            "other": there.here.mint(subject=uuid4()),
            "peer": there.here.mint(scope=SYNC),
            "query": "",
        }
        path = "/system/events"
        if token == "query":
            path += "?token=" + there.here.token
        async with there.listen(path, bearers[token]) as stream:
            assert stream.response.status_code == status

    run(script)


def test_a_closed_node_opens_no_stream_that_stays(run: Run) -> None:
    async def script(there: Served) -> None:
        there.here.node.bus.close()
        async with there.listen("/system/events") as stream:
            assert len(await stream.rest()) == 1

    run(script)


def test_a_feed_that_grows_faster_than_it_is_read_does_not_put_the_check_off(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(there: Served) -> None:
        await write(there, "/a")
        seq = there.here.node.repository.head.seq

        def read_page(_: Repository, after: int, now_ms: int) -> news.Page:
            entry = news.EntryTold(parse("/a"))
            epoch = there.here.node.repository.epoch
            return news.Page([news.News(seq, epoch, news.CREATED, now_ms, (entry,))], after)

        monkeypatch.setattr(news, "read_page", read_page)
        monkeypatch.setattr(sse, "CHECK_S", 0.1)
        async with there.listen(
            f"/system/events?last_event_id={mark(there, 0)}", there.here.mint()
        ) as stream:
            await stream.event()
            expire(there)
            await stream.rest()

    run(script)


def test_a_stream_that_breaks_is_closed_at_once() -> None:
    ended: list[bool] = []

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            ended.append(True)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    async def script() -> None:
        stream = events()
        with pytest.raises(ConnectionResetError):
            await sse.EventStream(stream).stream_response(send)
        assert ended

    asyncio.run(script())


def test_a_gap_in_the_feed_is_noticed() -> None:
    repository = memory_repository()
    put(repository, "/a", b"1")
    put(repository, "/b", b"1")
    rows = repository.changes(0, 10)
    assert news.read_page(repository, 0, 1) is not None
    for found in (rows[1:], []):
        with patch.object(repository, "changes", return_value=found):
            assert news.read_page(repository, 0, 1) is None
    repository.close()


def test_tellers_are_forgotten_with_their_bus(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            await stream.event()
            assert there.here.node.bus in events._tellers

    run(script)


def test_snapshots_and_forks_are_told_and_what_is_in_them_is_not(run: Run) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream, there.here.client() as client:
            await stream.event()
            await write(there, "/x", b"1")
            await told(stream, 1)
            made = (await client.post("/versions/snapshots", json={"name": "s"})).json()
            assert await version_event(stream) == ("versions_created", "s", "snapshot")
            [shown] = stream.seen[-1].data["payload"]["versions"]
            assert {name: made[name] for name in ("name", "root_hash", "created_at", "id")} == {
                name: shown[name] for name in ("name", "root_hash", "created_at", "id")
            }
            await write(there, "/x", b"2")
            await told(stream, 1)
            await client.post("/versions/restore", json={"name": "s"})
            heard = [await stream.event() for _ in range(3)]
            kinds = ["versions_created", "versions_restored", "entries_created"]
            assert sorted(event.kind or "" for event in heard) == sorted(kinds)
            [restored] = [event for event in heard if event.kind == "versions_restored"]
            assert restored.data["payload"]["versions"] == [
                {"name": "s", "version_type": "snapshot", "root_hash": made["root_hash"]}
            ]
            await client.post("/versions/forks", json={"name": "f"})
            assert await version_event(stream) == ("versions_created", "f", "fork")
            await client.put("/files/secret?fork=f", content=b"x")
            await client.delete("/files/x?fork=f")
            await client.delete("/versions/forks/f")
            assert await version_event(stream) == ("versions_deleted", "f", "fork")
            await client.post("/versions/forks", json={"name": "g"})
            await version_event(stream)
            await client.post("/versions/forks/g/promote")
            assert await version_event(stream) == ("versions_promoted", "g", "fork")
            await client.delete("/versions/snapshots/s")
            assert await version_event(stream) == ("versions_deleted", "s", "snapshot")

    run(script)


async def version_event(stream: Stream) -> tuple[str | None, str, str]:
    event = await stream.event()
    [one] = event.data["payload"]["versions"]
    return event.kind, one["name"], one["version_type"]

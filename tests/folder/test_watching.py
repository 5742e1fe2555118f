"""Two folders that are watched: an edit in one is in the other, a moment later."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from aeorsync import AsyncClient
from aeorsync.errors import AeorError
from aeorsync.folder import waking
from aeorsync.folder.events import Event, Offline, PassEnded
from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.passes import MANY, Look
from aeorsync.folder.root import RootGoneError
from aeorsync.folder.session import FolderSync
from aeorsync.folder.waking import Wake
from aeorsync.folder.work import MADE
from aeorsync.wire.blobs import CommitReply, CommitRequest
from aeorsync.wire.framing import Chunk
from aeorsync.wire.protocol import DiffReply
from tests.support.loops import run
from tests.support.nodes import NodeProcess
from tests.support.people import Synced, tree

Make = Callable[..., Synced]


@asynccontextmanager
async def watched(*people: Synced) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Watch some folders; all have done their first pass."""
    async with AsyncExitStack() as stack:
        tasks = []
        for who in people:
            client = await stack.enter_async_context(
                AsyncClient(who.node.url, who.node.key, patience_s=0.2)
            )
            options = Options(max_delete=DeleteLimit.parse("100%"))
            sync = FolderSync(who.path, client, who.remote, options, who.ledger)
            await stack.enter_async_context(sync)
            who.events = []
            tasks.append(asyncio.create_task(sync.watch(who.events.append)))
        try:
            for who in people:
                await until(lambda who=who: has(who, PassEnded))  # type: ignore[misc]
            # The watcher and the event stream are open a moment later than the first pass ends.
            await asyncio.sleep(0.5)
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def has(who: Synced, kind: type[Event]) -> bool:
    return any(isinstance(event, kind) for event in who.events)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # a disk has no event
            await asyncio.sleep(0.01)


def reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def test_edits_moves_and_deletions_come_by_themselves(person: Make) -> None:
    a, b = person("a"), person("b")

    async def scene() -> None:
        async with watched(a, b):
            for number, (one, other) in enumerate([(a, b), (b, a)] * 3):
                one.write("f.txt", f"text {number}")
                await until(lambda n=number, o=other: reads(o.path / "f.txt", f"text {n}"))  # type: ignore[misc]
            a.write("d/e/x", "x")
            await until(lambda: reads(b.path / "d/e/x", "x"))
            (b.path / "d").rename(b.path / "moved")
            await until(lambda: reads(a.path / "moved/e/x", "x") and not (a.path / "d").exists())
            shutil.rmtree(a.path / "moved")
            await until(lambda: not (b.path / "moved").exists())

    run(scene(), 90)
    assert tree(a.path) == tree(b.path)


class Recording(AsyncClient):
    """A client that remembers what it asked, and does something as soon as much was committed.

    To the server there is always more to tell of what was committed.
    """

    def __init__(self, who: Synced, then: Callable[[], object]) -> None:
        super().__init__(who.node.url, who.node.key, patience_s=0.2)
        self.asked: list[str] = []
        self._then = then

    async def diff(
        self,
        cursor: str | None = None,
        paths: Sequence[str] | None = None,
        *,
        packed: bool = False,
    ) -> DiffReply:
        page = await super().diff(cursor, paths, packed=packed)
        self.asked.append("listing" if page.full else "diff")
        return page

    async def commit(self, request: CommitRequest, chunks: Sequence[Chunk] = ()) -> CommitReply:
        reply = await super().commit(request, chunks)
        self.asked.append(f"commit of {len(request.files)}")
        if len(request.files) >= MANY:
            self._then()
        return replace(reply, root_hash="")


@pytest.mark.parametrize("is_edited", [True, False])
def test_what_changes_goes_before_what_the_server_tells_of_much_that_was_sent(
    person: Make,
    tmp_path: Path,
    is_edited: bool,  # noqa: FBT001
) -> None:
    a = person("a")
    many = tmp_path / "many"
    many.mkdir()
    for number in range(MANY):
        (many / f"{number}").write_text(f"{number}")

    def change() -> None:
        if is_edited:
            a.write("many/7", "edited")
        else:
            (a.path / "many/7").unlink()

    async def scene() -> None:
        client = Recording(a, change)
        async with client, FolderSync(a.path, client, a.remote, Options(), a.ledger) as sync:
            a.events = []
            watching = asyncio.create_task(sync.watch(a.events.append))
            await until(lambda: has(a, PassEnded))
            await asyncio.sleep(0.5)
            client.asked.clear()
            many.rename(a.path / "many")
            then = f"commit of {int(is_edited)}"
            await until(lambda: then in client.asked)
            assert client.asked[client.asked.index(f"commit of {MANY}") + 1] == then
            # What it told of the many is heard all the same, and nothing has to be listed.
            await until(lambda: client.asked[-1] == "diff")
            await until(lambda: not sync._opened.ledger.notes(MADE))
            await until(lambda: isinstance(a.events[-1], PassEnded))
            assert "listing" not in client.asked
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    run(scene(), 60)
    b = person("b")
    b.sync()
    assert tree(a.path) == tree(b.path)


def test_news_wait_for_an_edit_only_after_much_was_sent() -> None:
    async def scene() -> None:
        wake = Wake()
        wake.remote()
        wake.local(["x"])
        assert await wake.next(is_retry=False) == Look("local", frozenset({"x"}))
        wake.echo()
        wake.remote()
        wake.local(["y"])
        assert await wake.next(is_retry=False) == Look("local", frozenset({"y"}), remote=False)
        assert await wake.next(is_retry=False) == Look("remote", frozenset())
        wake.echo()
        wake.local(None)
        assert await wake.next(is_retry=False) == Look("interval", None)

    run(scene())


def test_news_do_not_wait_for_edits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_MAX_ECHO_S", 0.2)

    async def scene() -> None:
        wake = Wake()
        wake.echo()
        looks: list[Look] = []
        while not looks or not looks[-1].remote:
            wake.local(["x"])
            looks.append(await wake.next(is_retry=False))
            await asyncio.sleep(0.02)
        assert looks[-1] == Look("local", frozenset({"x"}))

    run(scene(), 20)


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "node") as node:
        a, b = (Synced(tmp_path / name, node, "/w", Options()) for name in "ab")

        async def scene() -> None:
            async with watched(a, b):
                a.write("before", "1")
                await until(lambda: reads(b.path / "before", "1"))
                node.kill()
                a.write("meanwhile", "2")
                await until(lambda: has(a, Offline))
                node.start()
                await until(lambda: reads(b.path / "meanwhile", "2"), 60)

        run(scene(), 110)


def test_a_folder_that_vanishes_ends_the_watch_and_deletes_nothing(person: Make) -> None:
    a, b = person("a"), person("b")
    for number in range(3):
        a.write(f"{number}", f"{number}")
    a.sync()

    async def scene() -> None:
        async with watched(a, b) as tasks:
            a.path.rename(a.path.with_name("gone"))
            a.path.mkdir()
            done, _ = await asyncio.wait(tasks[:1], timeout=30)
            assert done, "it went on watching"
            with pytest.raises(RootGoneError):
                tasks[0].result()

    try:
        run(scene(), 90)
    finally:
        assert len(b.names) == 3


def test_a_key_that_is_refused_ends_the_watch(person: Make) -> None:
    a = person("a")

    async def scene() -> None:
        key = "aeor_k_" + "0" * 16 + "_" + "0" * 64
        async with AsyncClient(a.node.url, key) as client:
            sync = FolderSync(a.path, client, a.remote, Options(), a.ledger)
            async with sync:
                with pytest.raises(AeorError, match="401"):
                    await sync.watch()

    run(scene())

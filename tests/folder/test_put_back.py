"""A server that was put back to an older copy, or lags behind, costs no file that is here.

The client is killed between its commit and the next thing it hears, so its cursor is one that the
older copy knows, too: nothing tells it that the server is not what it was.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aeorsync.api import commits
from aeorsync.core.apikeys import KeyRule
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Outcome
from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.session import FolderSync
from tests.support.hosts import Hook, Host, KilledError, Wire, pull
from tests.support.people import tree
from tests.support.repositories import get

ALL = Options(max_delete=DeleteLimit.parse("100%"))
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield lambda work: runner.run(asyncio.wait_for(work, 30))


class Folder:
    """A folder that is kept equal to a host."""

    def __init__(self, base: Path, name: str, host: Host) -> None:
        self.path = base / name
        self.path.mkdir(parents=True)
        self.ledger = base / f"{name}.ledger"
        self.host = host
        self.token: str | None = None

    async def sync(
        self, options: Options | None = None, *, dies_after: str = "", hook: Hook | None = None
    ) -> Outcome | None:
        """One pass; None when it died right after the answer to such a request."""
        wire = Wire(self.host)
        wire.hook = hook or _dies(dies_after)
        async with self.host.client(wire, self.token) as client:
            sync = FolderSync(self.path, client, "/", options or Options(), self.ledger)
            try:
                async with sync:
                    return await sync.run_once()
            except KilledError:
                return None

    def write(self, name: str, text: str) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    @property
    def texts(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.path.rglob("*") if path.is_file()}


def _dies(after: str) -> Hook:
    answered: list[str] = []

    def hook(path: str, is_done: bool) -> None:  # noqa: FBT001 - as it is called
        if answered and not is_done:
            raise KilledError
        if is_done and path == after:
            answered.append(path)

    return hook


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[tuple[Host, Folder, Folder]]:
    async with Host(tmp_path / "node", 1) as host:
        yield host, Folder(tmp_path, "a", host), Folder(tmp_path, "b", host)


async def _commit_and_lose(host: Host, folder: Folder, change: Callable[[], object]) -> None:
    """Have a change committed, the client killed, and the server put back to before it.

    The server has more to tell than the answer to the commit says.
    """
    await folder.sync()
    await host.save()
    change()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits._Step, "end", lambda *_: commits._NOWHERE)
        assert await folder.sync(dies_after="/blobs/commit") is None
    await host.put_back()


def test_a_new_file_that_the_server_forgot_is_sent_again(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            a.write("old", "o")
            await _commit_and_lose(host, a, lambda: a.write("new", "n"))
            await a.sync()
            await b.sync()
            assert a.texts == b.texts == {"old": "o", "new": "n"}
            outcome = await a.sync()
            assert outcome is not None
            assert outcome.changes == 0

    run(story())


@pytest.mark.parametrize("name", ["old", "new"])
def test_what_was_heard_to_be_done_and_the_server_forgot_is_not_given_up_for_it(
    tmp_path: Path, run: Run, name: str
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, _):
            a.write("old", "o")
            await a.sync()
            await host.save()
            a.write(name, "n")
            assert await a.sync(dies_after="/blobs/commit") is not None
            await host.put_back()
            with pytest.raises(MassDeletionError):
                await a.sync()
            assert a.texts == {"old": "o", name: "n"}

    run(story())


def test_an_edit_that_the_server_forgot_is_sent_again(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            a.write("x", "before")
            await _commit_and_lose(host, a, lambda: a.write("x", "after"))
            await a.sync(ALL)
            await b.sync()
            await a.sync()
            assert a.texts == b.texts == {"x": "after"}

    run(story())


def test_an_edit_that_the_server_forgot_is_not_lost_to_one_of_another(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            a.write("x", "before")
            await _commit_and_lose(host, a, lambda: a.write("x", "after"))
            await b.sync()
            b.write("x", "by b")
            await b.sync()
            for who in (a, b, a):
                await who.sync()
            assert sorted(a.texts.values()) == sorted(b.texts.values()) == ["after", "by b"]

    run(story())


def test_an_edit_that_the_server_forgot_is_not_lost_to_a_deletion(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            a.write("x", "before")
            await _commit_and_lose(host, a, lambda: a.write("x", "after"))
            await b.sync()
            (b.path / "x").unlink()
            await b.sync()
            for who in (a, b):
                await who.sync()
            assert a.texts == b.texts == {"x": "after"}

    run(story())


def test_a_deletion_that_the_server_forgot_leaves_all_equal(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            a.write("x", "x")
            a.write("y", "y")
            await _commit_and_lose(host, a, (a.path / "x").unlink)
            for who in (a, b, a):
                await who.sync()
            assert tree(a.path) == tree(b.path)
            assert a.texts["y"] == "y"

    run(story())


def test_a_deletion_by_one_who_had_seen_the_version_is_done_here(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            a.write("x", "x")
            await a.sync(dies_after="/blobs/commit")
            await b.sync()
            (b.path / "x").unlink()
            await b.sync()
            await a.sync()
            assert a.texts == {}

    run(story())


def test_one_of_two_servers_behind_one_address_may_lag(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, _), Host(tmp_path / "late", 2) as late:
            a.write("x", "before")
            a.write("y", "y")
            await a.sync()
            await pull(late, host)
            a.write("x", "after")
            a.write("new", "n")
            await a.sync()
            a.host = late
            with pytest.raises(MassDeletionError):
                await a.sync()
            assert a.texts == {"x": "after", "y": "y", "new": "n"}
            await pull(late, host)
            outcome = await a.sync()
            assert outcome is not None
            assert outcome.changes == 0
            assert a.texts == {"x": "after", "y": "y", "new": "n"}

    run(story())


def test_a_server_that_is_put_back_while_it_lists_is_listed_anew(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.wire.limits.MAX_PAGE", 2)

    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            for number in range(6):
                b.write(f"x{number}", f"{number}")
            await b.sync()
            (b.path / "x0").unlink()
            await b.sync()
            await host.save()
            b.write("x0", "again")
            await b.sync()
            await a.sync()
            done: list[str] = []

            async def replaced(path: str, is_done: bool) -> None:  # noqa: FBT001 - as it is called
                if is_done and path == "/sync/diff" and not done:
                    done.append(path)
                    await host.put_back()

            rules = Options(max_delete=ALL.max_delete, exclude=("*.tmp",))
            await a.sync(rules, hook=replaced)
            await a.sync(rules)
            assert done
            fresh = Folder(tmp_path, "fresh", host)
            await fresh.sync()
            assert tree(a.path) == tree(fresh.path)

    run(story())


def test_a_listing_that_we_asked_for_ourselves_is_doubted_as_well(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_host, a, _b), Host(tmp_path / "other", 2) as other:
            a.write("x", "x")
            a.write("link", "l")
            (a.path / "link").unlink()
            (a.path / "link").symlink_to("x")
            await a.sync()
            b = Folder(tmp_path, "c", other)
            (b.path / "link").symlink_to("elsewhere")
            await b.sync()
            a.host = other
            with pytest.raises(MassDeletionError, match=r"1 files .* 1 replaced"):
                await a.sync(Options(exclude=("*.tmp",)))
            assert (a.path / "link").readlink() == Path("x")
            assert a.texts["x"] == "x"

    run(story())


def test_who_may_write_and_not_read_sends_nothing_twice(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, _):
            rules = (KeyRule("/**", "c-u-----"), KeyRule("/", "c-u-----"))
            key, _record = host.here.make_key(rules=rules)
            a.token = key
            for text in ("1", "22"):
                a.write("x", text)
                outcomes = [await a.sync(), await a.sync()]
                assert outcomes[0] is not None
                assert outcomes[0].uploaded <= 2
                assert outcomes[1] is not None
                assert outcomes[1].uploaded == 0
                assert a.texts == {"x": text}
                assert get(host.repository, "/x") == text.encode()

    run(story())


def test_a_write_at_the_very_moment_we_set_the_time_of_a_file_is_seen(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            for name in ("x", "y"):
                a.write(name, f"of a: {name}")
            await a.sync()
            await b.sync()
            # One gets another time; the other one another name and another time.
            (a.path / "y").rename(a.path / "z")
            for name in ("x", "z"):
                os.utime(a.path / name, ns=(10**18, 10**18))
            await a.sync()
            real = os.utime

            def late(handle: int, **fields: Any) -> None:  # noqa: ANN401 - passed on
                if isinstance(handle, int):
                    size = os.fstat(handle).st_size
                    with Path(f"/proc/self/fd/{handle}").open("r+b") as file:
                        file.write(b"!" * size)
                real(handle, **fields)

            with monkeypatch.context() as patch:
                patch.setattr("aeorsync.folder.held.os.utime", late)
                await b.sync()
            for who in (b, a):
                await who.sync()
            assert a.texts == b.texts == {"x": "!" * 7, "z": "!" * 7}

    run(story())

"""Data folders that are put back, copied or half lost, and clocks that lie: nothing is lost twice.

What a node had acknowledged and told nobody is gone with its folder; all else is there in the end,
on all nodes alike, no dot names two things, and what was deleted stays away.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aeorsync.core.merge import see
from aeorsync.core.paths import parse
from aeorsync.core.versions import Dot, Version, decode_entry
from aeorsync.errors import AeorError, NotFoundError, UnavailableError
from aeorsync.storage.changes import delete
from tests.support.clock import FakeClock
from tests.support.hosts import Host, pull
from tests.support.repositories import files, get, put

Run = Callable[[Coroutine[Any, Any, None]], None]
HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield lambda work: runner.run(asyncio.wait_for(work, 60))


@asynccontextmanager
async def hosts(base: Path, count: int) -> AsyncIterator[list[Host]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Host(base / f"node{number}", number + 1))
            for number in range(count)
        ]


async def exchange(some: list[Host]) -> None:
    """Let all meet until all know all."""
    for _ in range(2):
        for asker in some:
            for server in some:
                if asker is not server:
                    await pull(asker, server)


def versions(host: Host) -> dict[Dot, Version]:
    """All versions that a node holds, by their names."""
    with host.repository.view() as view:
        entries = [decode_entry(data) for _, data in (*view.walk(), *view.graves())]
    return {version.dot: version for entry in entries for version in entry.versions}


def remove(host: Host, path: str) -> None:
    host.repository.commit(lambda draft: delete(draft, parse(path))).result(timeout=30)


def assert_equal(some: list[Host]) -> None:
    """All have the same files, and call the same versions by the same names."""
    assert len({host.repository.head.root for host in some}) == 1
    named: dict[Dot, Version] = {}
    for host in some:
        for dot, version in versions(host).items():
            assert named.setdefault(dot, version) == version
    first, *others = [files(host.repository) for host in some]
    assert all(other == first for other in others)


def conflicts(host: Host) -> set[str]:
    with host.repository.view() as view:
        entries = [(key, decode_entry(data)) for key, data in view.walk()]
    return {key.decode() for key, entry in entries if see(entry).losers}


@pytest.mark.parametrize("seed", range(4))
def test_a_node_that_was_put_back_while_others_went_on_is_as_they_are(
    tmp_path: Path, run: Run, seed: int
) -> None:
    source = random.Random(seed)

    async def story() -> None:
        async with hosts(tmp_path, 3) as some:
            node, *others = some
            for number in range(5):
                put(node.repository, f"/old{number}", b"old")
            await exchange(some)
            await node.save()
            for number in range(10):
                put(source.choice(some).repository, f"/since{number}", b"%d" % number)
                put(source.choice(some).repository, f"/old{number % 4}", b"new %d" % number)
                if source.random() < 0.5:
                    await exchange(some)
            await exchange(some)
            remove(others[0], "/old4")
            await exchange(others)
            await node.put_back()
            # It goes on at once, under numbers that it may have given out before.
            for number in range(3):
                put(node.repository, f"/again{number}", b"%d" % number)
            await exchange(some)
            assert_equal(some)
            found = files(node.repository)
            assert {f"/since{number}" for number in range(10)} <= found.keys()
            assert {f"/again{number}" for number in range(3)} <= found.keys()
            assert "/old4" not in found
            assert not conflicts(node)

    run(story())


def test_what_a_node_wrote_and_told_nobody_is_all_that_is_lost_when_it_is_put_back(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with hosts(tmp_path, 2) as (a, b):
            put(a.repository, "/x", b"1")
            await exchange([a, b])
            await a.save()
            put(a.repository, "/told", b"t")
            await exchange([a, b])
            put(a.repository, "/untold", b"u")
            put(b.repository, "/x", b"2")
            await a.put_back()
            put(a.repository, "/y", b"y")
            await exchange([a, b])
            assert_equal([a, b])
            assert files(a.repository) == {"/x": b"2", "/told": b"t", "/y": b"y"}

    run(story())


def test_two_nodes_of_one_folder_mint_no_dot_twice_and_lose_nothing(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with hosts(tmp_path, 2) as (a, b):
            for number in range(5):
                put(a.repository, f"/old{number}", b"old")
            await exchange([a, b])
            await a.stop()
            shutil.copytree(a.folder, tmp_path / "copy")
            await a.start()
            async with Host(tmp_path / "copy", 1) as copy:
                for number in range(5):
                    put(a.repository, f"/a{number}", b"a")
                    put(copy.repository, f"/copy{number}", b"c")
                put(a.repository, "/both", b"by a")
                put(copy.repository, "/both", b"by the copy")
                await exchange([a, b, copy])
                assert_equal([a, b, copy])
                assert len(files(b.repository)) == 16
                assert conflicts(b) == {"both"}

    run(story())


def test_a_node_whose_database_is_lost_is_another_one_and_gets_everything(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with hosts(tmp_path, 2) as (a, b):
            put(a.repository, "/x", b"x" * 100_000)
            await exchange([a, b])
            await a.stop()
            for file in a.folder.glob("meta.sqlite3*"):
                file.unlink()
            await a.start()
            assert files(a.repository) == {}
            with pytest.raises(UnavailableError, match="another node"):
                await pull(b, a)
            a.number = a.repository.head.node
            await exchange([a, b])
            assert_equal([a, b])
            assert get(b.repository, "/x") == b"x" * 100_000

    run(story())


def test_a_node_whose_packs_are_lost_never_serves_a_wrong_byte(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with hosts(tmp_path, 2) as (a, b):
            put(a.repository, "/x", b"x" * 100_000)
            await exchange([a, b])
            await a.stop()
            for file in (a.folder / "packs").iterdir():
                file.unlink()
            await a.start()
            with pytest.raises((AeorError, NotFoundError)):
                get(a.repository, "/x")
            put(a.repository, "/y", b"y")
            await exchange([a, b])
            assert get(b.repository, "/x") == b"x" * 100_000
            assert get(a.repository, "/y") == b"y"
            # The same bytes, written again, are stored again.
            put(a.repository, "/z", b"x" * 100_000)
            assert get(a.repository, "/x") == b"x" * 100_000

    run(story())


# Clocks


class Frozen(FakeClock):
    """A clock that stands."""

    def now_ms(self) -> int:
        return self.now


CLOCKS: dict[str, Callable[[], FakeClock]] = {
    "right": FakeClock,
    "an hour behind": lambda: FakeClock(FakeClock().now - HOUR_MS),
    "ten years behind": lambda: FakeClock(FakeClock().now - 10 * YEAR_MS),
    "ten years ahead": lambda: FakeClock(FakeClock().now + 10 * YEAR_MS),
    "at the end of 32 bits": lambda: FakeClock((1 << 31) * 1000 - 20),
    "at zero": lambda: FakeClock(0),
    "frozen": Frozen,
}


@pytest.mark.parametrize("name", CLOCKS)
def test_whatever_the_clock_says_later_edits_replace_and_deletions_stay(
    tmp_path: Path, run: Run, name: str
) -> None:
    async def story() -> None:
        odd = CLOCKS[name]()
        async with (
            Host(tmp_path / "a", 1, odd) as a,
            Host(tmp_path / "b", 2, FakeClock()) as b,
        ):
            put(a.repository, "/x", b"1")
            put(a.repository, "/gone", b"1")
            set_clocks(a, b)
            await exchange([a, b])
            put(b.repository, "/x", b"2")
            remove(b, "/gone")
            await exchange([a, b])
            put(a.repository, "/x", b"3")
            set_clocks(a, b)
            await exchange([a, b])
            assert files(a.repository) == files(b.repository) == {"/x": b"3"}
            assert not conflicts(a)
            put(a.repository, "/x", b"by a")
            put(b.repository, "/x", b"by b")
            await exchange([a, b])
            assert conflicts(a) == conflicts(b) == {"x"}
            assert_equal([a, b])

    run(story())


def set_clocks(*some: Host) -> None:
    """Have all agree on the latest time: nodes whose clocks do not agree never meet."""
    clocks = [host.wall for host in some if isinstance(host.wall, FakeClock)]
    latest = max(clock.now for clock in clocks)
    for clock in clocks:
        clock.now = latest


def test_a_clock_that_jumps_at_any_moment_makes_nothing_but_other_times(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        clock = FakeClock()
        source = random.Random(1)
        async with Host(tmp_path / "a", 1, clock) as a, Host(tmp_path / "b", 2, clock) as b:
            held: dict[str, bytes] = {}
            for number in range(120):
                clock.now += source.choice((0, 1, HOUR_MS, -HOUR_MS, 10 * YEAR_MS, -10 * YEAR_MS))
                clock.now = max(0, clock.now)
                path = f"/f{source.randrange(6)}"
                if path in held and source.random() < 0.3:
                    remove(a, path)
                    del held[path]
                else:
                    held[path] = b"%d" % number
                    put(a.repository, path, held[path])
                assert files(a.repository) == held
                if source.random() < 0.1:
                    await a.stop()
                    await a.start()
            stamps = [version.stamp for version in versions(a).values()]
            assert len(stamps) == len(set(stamps))
            clock.now = max(clock.now, FakeClock().now + 200 * YEAR_MS)
            await exchange([a, b])
            assert_equal([a, b])
            assert files(b.repository) == held
            assert not conflicts(b)

    run(story())

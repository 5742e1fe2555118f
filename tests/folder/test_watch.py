"""What a watcher tells."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aeorsync.folder.facts import Trouble
from aeorsync.folder.feeds import News
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.watch import FEW, MAX_PATHS, Pace, Watch
from aeorsync.runtime import inotify

SLOW = Pace(quiet=0.03, rescan=100.0, poll=100.0)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[SafeRoot]:
    (tmp_path / "folder").mkdir()
    with SafeRoot(tmp_path / "folder", "0123abcd") as root:
        yield root


@asynccontextmanager
async def watching(
    root: SafeRoot, pace: Pace = SLOW, skip: Callable[[str], bool] = lambda _: False
) -> AsyncIterator[tuple[Watch, list[Trouble]]]:
    troubles: list[Trouble] = []
    async with Watch(root, skip, troubles.append, pace) as watch:
        yield watch, troubles


async def told(watch: Watch, *paths: str) -> set[str]:
    """Read until all of these were told."""
    found: set[str] = set()
    async with asyncio.timeout(10):
        while not found >= set(paths):
            found |= (await watch.changed()).paths
    return found


async def quiet(watch: Watch) -> bool:
    try:
        async with asyncio.timeout(0.3):
            await watch.changed()
    except TimeoutError:
        return True
    return False


def run(test: Awaitable[None]) -> None:
    async def main() -> None:
        await test

    asyncio.run(main())


def test_every_kind_of_change_is_told(root: SafeRoot) -> None:
    (root.path / "old").mkdir()
    (root.path / "old/file").write_text("x")

    async def test() -> None:
        async with watching(root) as (watch, troubles):
            (root.path / "file").write_text("x")
            await told(watch, "file")
            (root.path / "file").chmod(0o755)
            await told(watch, "file")
            (root.path / "file").rename(root.path / "moved")
            await told(watch, "file", "moved")
            (root.path / "new/er/est").mkdir(parents=True)
            await told(watch, "new")
            (root.path / "new/er/est/file").write_text("x")
            await told(watch, "new/er/est/file")
            (root.path / "old").rename(root.path / "new/old")
            await told(watch, "old", "new/old")
            (root.path / "new/old/file").write_text("y")
            await told(watch, "new/old/file")
            (root.path / "moved").unlink()
            await told(watch, "moved")
            assert troubles == []

    run(test())


def test_nothing_outside_is_watched_and_nothing_of_ours_is_told(
    root: SafeRoot, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root.path / "link").symlink_to(outside)
    (root.path / "skipped").mkdir()

    async def test() -> None:
        async with watching(root, skip=lambda path: path == "skipped") as (watch, _):
            (outside / "file").write_text("x")
            (root.path / ".aeorsync-tmp-0123abcd-s-0123456789abcdef").write_text("x")
            (root.path / "skipped/file").write_text("x")
            assert await quiet(watch)
            (root.path / "gone").mkdir()
            await told(watch, "gone")
            (root.path / "gone").rename(outside / "gone")
            await told(watch, "gone")
            (outside / "gone/file").write_text("x")
            assert await quiet(watch)

    run(test())


def test_a_file_that_stays_open_is_told_once_it_is_still(root: SafeRoot) -> None:
    async def test() -> None:
        (root.path / "log").write_text("")
        async with watching(root) as (watch, _):
            with (root.path / "log").open("a") as log:
                log.write("line")
                log.flush()
                assert await quiet(watch)
                await told(watch, "log")

    run(test())


def test_a_few_paths_are_told_sooner_than_many(root: SafeRoot) -> None:
    async def test() -> None:
        pace = Pace(quiet=60.0, few=0.02, rescan=100.0, poll=100.0)
        async with watching(root, pace) as (watch, _):
            (root.path / "one").write_text("x")
            assert await told(watch, "one") == {"one"}
            for number in range(FEW + 1):
                watch._note([(News.CHANGED, f"{number}")])
            assert await quiet(watch)

    run(test())


def test_very_much_at_once_is_the_whole_folder(root: SafeRoot) -> None:
    async def test() -> None:
        # At once, also where the machine has so much else to do that it takes seconds.
        async with watching(root, Pace(quiet=1.0, few=1.0, rescan=100.0, poll=100.0)) as (
            watch,
            _,
        ):
            for number in range(MAX_PATHS + 10):
                (root.path / str(number)).touch()
            async with asyncio.timeout(60):
                while not (await watch.changed()).is_everything:
                    pass

    run(test())


def test_a_kernel_that_lost_count_means_the_whole_folder(
    root: SafeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = inotify.read

    def lossy(queue: int) -> Iterator[inotify.Event]:
        list(real(queue))
        yield inotify.Event(-1, inotify.Mask.OVERFLOW, "")

    async def test() -> None:
        async with watching(root) as (watch, _):
            monkeypatch.setattr(inotify, "read", lossy)
            (root.path / "file").write_text("x")
            assert (await watch.changed()).is_everything

    run(test())


def test_where_not_all_can_be_watched_it_says_so_and_looks_often(
    root: SafeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(inotify, "watch", full)

    async def test() -> None:
        pace = Pace(quiet=0.03, rescan=100.0, poll=0.05)
        async with watching(root, pace) as (watch, troubles):
            async with asyncio.timeout(10):
                for _ in range(3):
                    assert (await watch.changed()).is_everything
            assert "max_user_watches" in troubles[0].message
            assert len(troubles) == 1

    run(test())


def test_the_whole_folder_is_looked_at_from_time_to_time(root: SafeRoot) -> None:
    async def test() -> None:
        async with watching(root, Pace(quiet=0.03, rescan=0.1)) as (watch, _):
            assert (await watch.changed()).is_everything

    run(test())


def test_a_library_tells_where_the_kernel_has_no_inotify(
    root: SafeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "available", lambda: False)

    async def test() -> None:
        async with watching(root) as (watch, troubles):
            (root.path / "file").write_text("x")
            await told(watch, "file")
            assert troubles == []

    run(test())

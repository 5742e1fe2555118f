"""What a client remembers may be lost, older than the files, or of another folder: no file is."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import silent
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.options import Options
from aeorsync.folder.passes import ROOT, Look
from aeorsync.folder.root import RootGoneError, SafeRoot
from aeorsync.folder.session import FolderSync
from tests.folder.test_put_back import Folder
from tests.support.hosts import Host

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield lambda work: runner.run(asyncio.wait_for(work, 30))


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[tuple[Host, Folder, Folder]]:
    """A host and two folders that have the same two dozen files."""
    async with Host(tmp_path / "node", 1) as host:
        a, b = Folder(tmp_path, "a", host), Folder(tmp_path, "b", host)
        for number in range(24):
            a.write(f"{number}", f"old {number}")
        await a.sync()
        await b.sync()
        yield host, a, b


def save(ledger: Path, to: Path) -> None:
    """Copy a ledger, as a backup does."""
    for file in ledger.parent.glob(f"{ledger.name}*"):
        shutil.copy2(file, to.with_name(to.name + file.name.removeprefix(ledger.name)))


def drop(ledger: Path) -> None:
    for file in ledger.parent.glob(f"{ledger.name}*"):
        file.unlink()


async def work_on(a: Folder, b: Folder) -> None:
    """A day passes: things are edited, deleted and made on both sides."""
    a.write("1", "new 1")
    (a.path / "2").unlink()
    a.write("made", "m")
    b.write("3", "new 3")
    (b.path / "4").unlink()
    for who in (a, b, a):
        await who.sync()
    assert a.texts == b.texts


async def assert_all_is_as(expected: dict[str, str], *folders: Folder) -> None:
    for _ in range(2):
        for who in folders:
            await who.sync()
    for who in folders:
        assert who.texts == expected
        outcome = await who.sync()
        assert outcome is not None
        assert outcome.changes == 0


def test_without_its_ledger_nothing_is_deleted_or_sent_again(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            await work_on(a, b)
            expected = a.texts
            drop(a.ledger)
            outcome = await a.sync()
            assert outcome is not None
            assert (outcome.bytes_sent, outcome.bytes_received, outcome.conflicts) == (0, 0, 0)
            await assert_all_is_as(expected, a, b)

    run(story())


def test_a_ledger_of_yesterday_with_files_of_today(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            save(a.ledger, tmp_path / "saved")
            await work_on(a, b)
            expected = a.texts
            drop(a.ledger)
            save(tmp_path / "saved", a.ledger)
            await assert_all_is_as(expected, a, b)

    run(story())


def test_a_ledger_of_yesterday_with_edits_of_today_that_nobody_has_heard_of(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            save(a.ledger, tmp_path / "saved")
            await work_on(a, b)
            a.write("5", "newer 5")
            a.write("1", "newer 1")
            drop(a.ledger)
            save(tmp_path / "saved", a.ledger)
            for who in (a, b, a):
                await who.sync()
            assert a.texts["5"] == b.texts["5"] == "newer 5"
            assert "newer 1" in a.texts.values()
            assert sorted(a.texts.values()) == sorted(b.texts.values())

    run(story())


def test_files_of_yesterday_with_a_ledger_of_today_are_asked_about(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            for number in range(60):
                b.write(f"since{number}", f"{number}")
            await b.sync()
            await a.sync()
            # Somebody unpacks a backup over the folder.
            for number in range(60):
                (a.path / f"since{number}").unlink()
            with pytest.raises(MassDeletionError, match="on the server"):
                await a.sync()
            assert len(b.texts) == 84

    run(story())


def test_both_of_yesterday_get_the_news(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            save(a.ledger, tmp_path / "saved")
            yesterday = a.texts
            await work_on(a, b)
            expected = a.texts
            for path in list(a.path.iterdir()):
                path.unlink()
            for name, text in yesterday.items():
                a.write(name, text)
            drop(a.ledger)
            save(tmp_path / "saved", a.ledger)
            await assert_all_is_as(expected, b, a)

    run(story())


def test_a_folder_copied_with_its_ledger_is_another_folder(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, _):
            copy = Folder(tmp_path / "elsewhere", "a", host)
            shutil.copytree(a.path, copy.path, dirs_exist_ok=True)
            save(a.ledger, copy.ledger)
            with pytest.raises(RootGoneError, match="not the folder it was"):
                await copy.sync()
            assert len(a.texts) == 24

    run(story())


def test_two_machines_that_are_copies_of_each_other_lose_nothing(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (host, a, b):
            copy = Folder(tmp_path / "elsewhere", "a", host)
            shutil.copytree(a.path, copy.path, dirs_exist_ok=True)
            save(a.ledger, copy.ledger)
            # The whole disk was copied, so this machine cannot tell the folder from the other.
            with Ledger(copy.ledger) as ledger, SafeRoot(copy.path, "00000000") as root:
                ledger.note(ROOT, str(root.id))
            a.write("1", "by a")
            copy.write("1", "by the copy")
            a.write("of a", "a")
            copy.write("of the copy", "c")
            (copy.path / "2").unlink()
            for who in (a, copy, b, a, copy):
                await who.sync()
            shown = sorted(a.texts.values())
            assert shown == sorted(copy.texts.values()) == sorted(b.texts.values())
            assert {"by a", "by the copy", "a", "c"} <= set(shown)
            assert "old 2" not in shown

    run(story())


def test_a_folder_that_was_moved_goes_on(tmp_path: Path, run: Run) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            moved = tmp_path / "moved"
            a.path.rename(moved)
            with pytest.raises(RootGoneError):
                await a.sync()
            a.path = moved
            a.write("made", "m")
            await assert_all_is_as(a.texts, a, b)

    run(story())


def test_an_emptied_folder_and_one_that_is_not_mounted_empty_no_server(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with world(tmp_path) as (_, a, b):
            for path in list(a.path.iterdir()):
                path.unlink()
            with pytest.raises(MassDeletionError):
                await a.sync()
            a.path.rename(tmp_path / "the disk")
            a.path.mkdir()
            with pytest.raises(RootGoneError):
                await a.sync()
            await b.sync()
            assert len(b.texts) == 24

    run(story())


def test_a_problem_is_no_longer_shown_when_a_part_was_looked_at_and_it_is_solved(
    tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        async with Host(tmp_path / "node", 1) as host, host.client() as client:
            folder = tmp_path / "a"
            folder.mkdir()
            for name in ("p", "q"):
                os.mkfifo(folder / name)
            sync = FolderSync(folder, client, "/", Options(), tmp_path / "ledger")
            async with sync:
                await sync.run_once()
                assert {problem.path for problem in sync.status().problems} == {"p", "q"}
                (folder / "p").unlink()
                (folder / "p").write_text("a file")
                await sync._pass(Look("local", frozenset({"p"}), remote=False), silent)
                assert {problem.path for problem in sync.status().problems} == {"q"}
                os.mkfifo(folder / "r")
                await sync._pass(Look("local", frozenset({"r"}), remote=False), silent)
                assert {problem.path for problem in sync.status().problems} == {"q", "r"}

    run(story())

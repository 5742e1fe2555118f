"""Other programs that change the folder while we do."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from aeorsync.errors import AeorError
from aeorsync.folder import content, listing
from aeorsync.folder.facts import Content, Fingerprint
from aeorsync.folder.held import ChangedError, HeldFolder
from aeorsync.folder.listing import Listing
from aeorsync.folder.root import SafeRoot, told
from aeorsync.runtime import renaming
from tests.support.folders import World

ROUNDS = 100


@pytest.fixture
def root(tmp_path: Path) -> Iterator[SafeRoot]:
    (tmp_path / "folder").mkdir()
    with SafeRoot(tmp_path / "folder", "0123abcd") as root:
        yield root


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something over and over in another thread."""
    done = threading.Event()
    failures: list[BaseException] = []

    def loop() -> None:
        try:
            while not done.is_set():
                act()
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert failures == []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def every_change(root: SafeRoot, number: int) -> None:
    """Do everything once that we ever do to a folder."""
    name = f"file{number % 7}"
    with root.folder("a/b") as folder, told("a/b"):
        staged = folder.stage()
        try:
            staged.write(b"theirs")
            staged.finish(number, executable=True)
            placed = folder.place(staged, name, folder.look(name))
        finally:
            staged.close()
        folder.touch(name, placed, number + 1, executable=False)
        folder.make_folder("inner")
        link = folder.stage_link("/etc/passwd", number)
        try:
            folder.place(link, "link", folder.look("link"))
        finally:
            link.close()
        handle = folder.open(name)
        os.close(handle)
        seen = folder.look(name)
        if number % 3 == 0 and seen is not None:
            folder.remove(name, seen)
        folder.remove_folder("inner")


@pytest.mark.parametrize("depth", ["a", "a/b"])
def test_nothing_outside_is_touched_while_folders_are_swapped_for_links(
    root: SafeRoot, tmp_path: Path, depth: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "b/inner").mkdir(parents=True)
    for path in (outside, outside / "b"):
        for number in range(7):
            (path / f"file{number}").write_text("sentinel")
    before = {path: path.lstat() for path in sorted(outside.rglob("*"))}
    (root.path / "a/b").mkdir(parents=True)
    away = root.path / "away"
    target = outside if depth == "a" else outside / "b"
    chance = random.Random(1)

    def swap() -> None:
        place = root.path / depth
        place.rename(away)
        place.symlink_to(target)
        place.unlink()
        away.rename(place)
        time.sleep(chance.random() / 1000)

    done = refused = 0
    with meanwhile(swap):
        while done < ROUNDS or refused < ROUNDS:
            try:
                every_change(root, done + refused)
                done += 1
            except AeorError:
                refused += 1
    after = {path: path.lstat() for path in sorted(outside.rglob("*"))}
    assert list(after) == list(before)
    for path, seen in before.items():
        now = after[path]
        assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_mode) == (
            seen.st_ino,
            seen.st_mtime_ns,
            seen.st_ctime_ns,
            seen.st_mode,
        )


def test_a_scan_reads_nothing_outside_though_folders_become_links_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    world = World(tmp_path)
    (world.path / "a").mkdir()
    (world.path / "a/file").write_text("mine")
    (world.path / "file").write_text("mine")
    digest = listing.digest

    def swapping(found: Listing, handle: int, salt: bytes) -> bytes:
        """Right after the listing, all that was listed becomes links."""
        result = digest(found, handle, salt)
        for name, target in (("a", outside), ("file", outside / "secret")):
            place = world.path / name
            if not place.is_symlink():
                place.rename(tmp_path / f"away-{name}")
                place.symlink_to(target)
        return result

    monkeypatch.setattr(listing, "digest", swapping)
    assert list(world.scan()) == ["a"]
    assert {one.path for one in world.troubles} == {"a", "file"}
    world.close()


def test_no_save_of_an_editor_is_ever_lost(root: SafeRoot) -> None:
    """An editor saves by rename, again and again, while we put versions over and delete."""
    file, saved = root.path / "file", root.path / "saved"
    count = 0

    def save() -> None:
        nonlocal count
        count += 1
        saved.write_text(f"mine {count}")
        saved.replace(file)

    overwritten: set[str | None] = set()
    with meanwhile(save), root.folder() as folder:
        for number in range(4 * ROUNDS):
            seen = folder.look("file")
            text = None
            with suppress(OSError, ChangedError):
                handle = folder.open("file")
                try:
                    text = os.pread(handle, 100, 0).decode()
                    if Fingerprint.of(os.fstat(handle)) != seen:
                        text = None
                finally:
                    os.close(handle)
            if seen is not None and text is None:
                continue
            staged = folder.stage()
            with suppress(ChangedError):
                staged.write(f"theirs {number}".encode())
                staged.finish(number, executable=False)
                folder.place(staged, "file", seen)
                overwritten.add(text)
            staged.close()
    assert not [name for name in names(root.path) if name.startswith(".")]
    texts = {path.read_text() for path in root.path.iterdir()}
    assert f"mine {count}" in texts | overwritten
    assert all(text.startswith(("mine ", "theirs ")) for text in texts)


@pytest.mark.parametrize("verb", ["place", "remove"])
@pytest.mark.parametrize("moment", ["before", "after", "twice"])
def test_what_is_saved_at_the_worst_moment_is_kept(
    root: SafeRoot, monkeypatch: pytest.MonkeyPatch, verb: str, moment: str
) -> None:
    """Right between our look and our rename, and right after it, somebody saves the file."""
    file = root.path / "file"
    file.write_text("agreed")
    rename_new, exchange = renaming.rename_new, renaming.exchange
    calls = 0

    def save(text: str) -> None:
        saved = root.path / "saved"
        saved.write_text(text)
        saved.replace(file)

    def around(real: Callable[..., None]) -> Callable[..., None]:
        def call(folder: int, name: str, to_folder: int, to_name: str) -> None:
            nonlocal calls
            calls += 1
            if calls == 1 and moment in {"before", "twice"}:
                save("mine")
            real(folder, name, to_folder, to_name)
            if calls == 1 and moment in {"after", "twice"}:
                save("mine, newer")

        return call

    monkeypatch.setattr(renaming, "rename_new", around(rename_new))
    monkeypatch.setattr(renaming, "exchange", around(exchange))
    with root.folder() as folder:
        seen = folder.look("file")
        assert seen is not None
        with suppress(ChangedError):
            act(folder, verb, seen)
    texts = sorted(path.read_text() for path in root.path.iterdir())
    kept = {"before": ["mine"], "after": ["mine, newer"], "twice": ["mine", "mine, newer"]}
    assert texts == kept[moment]
    newest = "mine" if moment == "before" else "mine, newer"
    assert file.read_text() == newest


def act(folder: HeldFolder, verb: str, seen: Fingerprint) -> None:
    if verb == "remove":
        folder.remove("file", seen)
        return
    staged = folder.stage()
    try:
        staged.write(b"theirs")
        staged.finish(5, executable=False)
        folder.place(staged, "file", seen)
    finally:
        staged.close()


def test_where_names_cannot_be_swapped_nothing_is_lost_either(
    root: SafeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network disk: no `renameat2` at all."""
    monkeypatch.setattr(renaming, "_renameat2", None)
    file = root.path / "file"
    with root.folder() as folder:
        act_on_nothing(folder)
        assert file.read_text() == "theirs"
        with pytest.raises(ChangedError):
            act_on_nothing(folder)
        seen = folder.look("file")
        assert seen is not None
        act(folder, "place", seen)
        file.write_text("mine")
        with pytest.raises(ChangedError):
            act(folder, "place", seen)
        with pytest.raises(ChangedError):
            act(folder, "remove", seen)
        assert file.read_text() == "mine"
        now = folder.look("file")
        assert now is not None
        act(folder, "remove", now)
    assert names(root.path) == []


def act_on_nothing(folder: HeldFolder) -> None:
    staged = folder.stage()
    try:
        staged.write(b"theirs")
        staged.finish(5, executable=False)
        folder.place(staged, "file", None)
    finally:
        staged.close()


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    file = world.path / "file"
    file.write_text("one")
    read = content.read

    def grow(handle: int, hint: int) -> Content:
        found = read(handle, hint)
        with file.open("a") as more:
            more.write("more")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(content, "read", grow)
        assert world.scan() == {}
        assert [one.path for one in world.troubles] == ["file"]
    assert list(world.scan()) == ["file"]
    world.close()


def test_a_tree_that_goes_away_while_it_is_scanned_ends_no_scan(tmp_path: Path) -> None:
    world = World(tmp_path)
    source = tmp_path / "source"
    for number in range(30):
        (source / f"{number % 5}/{number}").mkdir(parents=True)
        (source / f"{number % 5}/{number}/file").write_text("x")
    chance = random.Random(1)

    def churn() -> None:
        place = world.path / str(chance.randrange(3))
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):
            shutil.copytree(source, place)

    with meanwhile(churn):
        for _ in range(30):
            world.scan()
    world.agree(world.scan())
    assert world.scan() == {}
    world.close()

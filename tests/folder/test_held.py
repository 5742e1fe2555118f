"""What may be done to the entries of a folder, and what never happens."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aeorsync.folder.held import ChangedError, HeldFolder
from aeorsync.folder.root import LostError, RootGoneError, SafeRoot


@pytest.fixture
def root(tmp_path: Path) -> Iterator[SafeRoot]:
    (tmp_path / "folder").mkdir()
    with SafeRoot(tmp_path / "folder", "0123abcd") as root:
        yield root


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: HeldFolder, name: str, data: bytes, *, over: bool = False) -> None:
    expected = folder.look(name) if over else None
    staged = folder.stage()
    try:
        staged.write(data)
        staged.finish(1_000_000_007, executable=False)
        folder.place(staged, name, expected)
    finally:
        staged.close()


def test_a_file_takes_its_place_whole_and_leaves_nothing_beside(root: SafeRoot) -> None:
    with root.folder() as folder:
        write(folder, "file", b"one")
        write(folder, "file", b"two", over=True)
    assert (root.path / "file").read_bytes() == b"two"
    assert (root.path / "file").stat().st_mtime_ns == 1_000_000_007
    assert names(root.path) == ["file"]


def test_nothing_is_put_over_what_was_not_expected(root: SafeRoot) -> None:
    (root.path / "file").write_text("mine")
    with root.folder() as folder:
        with pytest.raises(ChangedError):
            write(folder, "file", b"theirs")
        seen = folder.look("file")
        assert seen is not None
        (root.path / "file").write_text("mine, edited")
        staged = folder.stage()
        with pytest.raises(ChangedError):
            folder.place(staged, "file", seen)
        with pytest.raises(ChangedError):
            folder.remove("file", seen)
        staged.close()
    assert (root.path / "file").read_text() == "mine, edited"
    assert names(root.path) == ["file"]


@pytest.mark.parametrize("verb", ["place", "remove"])
def test_what_another_program_is_writing_to_stays(root: SafeRoot, verb: str) -> None:
    (root.path / "log").write_text("one\n")
    with (root.path / "log").open("a") as log, root.folder() as folder:
        seen = folder.look("log")
        assert seen is not None
        staged = folder.stage()
        place = partial(folder.place, staged, "log", seen)
        call = place if verb == "place" else partial(folder.remove, "log", seen)
        with pytest.raises(ChangedError):
            call()
        staged.close()
        log.write("two\n")
    assert (root.path / "log").read_text() == "one\ntwo\n"
    assert names(root.path) == ["log"]


def test_no_way_leads_through_a_link(root: SafeRoot, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (root.path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(LostError), root.folder("link"):
        pass
    with root.folder() as folder, pytest.raises(ChangedError):
        folder.open("link")


def test_another_folder_in_the_place_of_ours_is_noticed(root: SafeRoot, tmp_path: Path) -> None:
    root.check()
    root.path.rename(tmp_path / "away")
    with pytest.raises(RootGoneError):
        root.check()
    root.path.mkdir()
    with pytest.raises(RootGoneError):
        root.check()
    with pytest.raises(RootGoneError):
        SafeRoot(root.path, "0123abcd", root.id)

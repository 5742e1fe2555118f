"""What may be done to the entries of a folder, and what never happens."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aeorsync.folder.held import ChangedError, HeldFolder, NameTakenError
from aeorsync.folder.root import BadNameError, LostError, RootGoneError, SafeRoot, told
from tests.support.folding import fold_case


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


def test_permissions_of_a_file_that_is_replaced_are_kept(root: SafeRoot) -> None:
    secret = root.path / "secret"
    secret.write_text("old")
    secret.chmod(0o4640)
    with root.folder() as folder:
        staged = folder.stage()
        assert (root.path / staged.name).stat().st_mode & 0o777 == 0o600
        staged.finish(5, executable=True, mode=folder.mode("secret"))
        folder.place(staged, "secret", folder.look("secret"))
        staged.close()
        assert secret.stat().st_mode & 0o7777 == 0o750
        seen = folder.look("secret")
        assert seen is not None
        folder.touch("secret", seen, 7, executable=False)
    assert secret.stat().st_mode & 0o7777 == 0o640
    assert secret.stat().st_mtime_ns == 7


def test_links_are_put_and_moved_as_they_are(root: SafeRoot) -> None:
    with root.folder() as folder:
        staged = folder.stage_link("/nowhere", 5)
        placed = folder.place(staged, "link", None)
        staged.close()
        assert placed.mtime_ns == 5
        folder.make_folder("a")
        with root.folder("a") as below:
            folder.move("link", below, "moved", placed)
            assert below.read_link("moved") == "/nowhere"
            seen = below.look("moved")
            assert seen is not None
            below.remove("moved", seen)
        assert folder.remove_folder("a")
    assert names(root.path) == []


def test_a_move_takes_no_name_that_is_taken(root: SafeRoot) -> None:
    (root.path / "one").write_text("one")
    (root.path / "two").write_text("two")
    with root.folder() as folder:
        seen = folder.look("one")
        assert seen is not None
        with pytest.raises(ChangedError):
            folder.move("one", folder, "two", seen)
    assert (root.path / "one").read_text() == "one"
    assert (root.path / "two").read_text() == "two"


def test_a_folder_that_is_not_empty_stays(root: SafeRoot) -> None:
    (root.path / "a").mkdir()
    (root.path / "a/mine").write_text("mine")
    with root.folder() as folder:
        assert not folder.remove_folder("a")
    assert (root.path / "a/mine").read_text() == "mine"


def test_nothing_is_put_in_a_folder_that_was_moved_away(root: SafeRoot, tmp_path: Path) -> None:
    (root.path / "a").mkdir()
    with root.folder("a") as folder:
        (root.path / "a").rename(tmp_path / "away")
        (root.path / "a").mkdir()
        with pytest.raises(ChangedError):
            write(folder, "file", b"x")
        with pytest.raises(ChangedError):
            folder.make_folder("b")
    assert names(tmp_path / "away") == []


def test_two_names_that_the_disk_takes_for_one_are_told(
    root: SafeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.path / "README").write_text("mine")
    (root.path / "Docs").mkdir()
    fold_case(monkeypatch)
    with root.folder() as folder:
        with pytest.raises(NameTakenError, match="readme"):
            write(folder, "readme", b"theirs")
        with pytest.raises(NameTakenError, match="readme"):
            write(folder, "readme", b"theirs", over=True)
        with pytest.raises(NameTakenError, match="docs"):
            folder.make_folder("docs")
        write(folder, "README", b"newer", over=True)
        folder.make_folder("Docs")
    monkeypatch.undo()
    assert (root.path / "README").read_text() == "newer"
    assert names(root.path) == ["Docs", "README"]


def test_a_name_the_disk_cannot_hold_is_told(root: SafeRoot) -> None:
    with root.folder() as folder, pytest.raises(BadNameError), told("x" * 300):
        folder.make_folder("x" * 300)


def test_what_an_earlier_run_staged_is_taken_up_only_if_it_is_ours(
    root: SafeRoot, tmp_path: Path
) -> None:
    with root.folder() as folder:
        staged = folder.stage()
        staged.write(b"half")
        name, staged.name = staged.name, ""
        staged.close()
        again = folder.restage(name)
        assert again is not None
        assert again.size == 4
        again.name = ""
        again.close()
        (tmp_path / "outside").hardlink_to(root.path / name)
        assert folder.restage(name) is None
        (root.path / name).unlink()
        (root.path / name).symlink_to(tmp_path / "outside")
        assert folder.restage(name) is None
        assert folder.restage("file") is None

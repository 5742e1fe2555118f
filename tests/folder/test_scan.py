"""What a scan tells."""

import os
import time
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from aeorsync.core.hashing import content_hash
from aeorsync.core.versions import Kind
from aeorsync.folder import content, listing
from aeorsync.folder.facts import Copy, Flaw
from aeorsync.folder.listing import Listing
from aeorsync.folder.root import RootGoneError
from aeorsync.runtime.clock import SystemClock
from tests.support.folders import World


def test_everything_is_new_at_first_and_nothing_once_agreed(world: World) -> None:
    (world.path / "a/b").mkdir(parents=True)
    (world.path / "a/one.txt").write_text("one")
    (world.path / "a/b/two.txt").write_text("two")
    (world.path / "link").symlink_to("a/one.txt")
    found = world.scan()
    assert {path: one.fingerprint and one.fingerprint.kind for path, one in found.items()} == {
        "a": Kind.DIRECTORY,
        "a/b": Kind.DIRECTORY,
        "a/one.txt": Kind.FILE,
        "a/b/two.txt": Kind.FILE,
        "link": Kind.SYMLINK,
    }
    content = found["a/one.txt"].content
    assert content is not None
    assert content.hash == content_hash(b"one")
    assert found["link"].target == "a/one.txt"
    world.agree(found)
    assert world.scan() == {}
    assert world.ledger.seen("a/b") is not None
    assert world.scan() == {}


def test_an_edit_is_found_though_size_and_mtime_stay(world: World) -> None:
    file = world.path / "file"
    file.write_text("one")
    world.agree(world.scan())
    assert world.scan() == {}
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = world.scan()
    assert found["file"].content is not None
    assert found["file"].content.hash == content_hash(b"two")
    assert found["file"].was is not None


def test_what_is_gone_is_told_with_all_that_was_in_it(world: World) -> None:
    (world.path / "a/b").mkdir(parents=True)
    (world.path / "a/b/c").write_text("c")
    world.agree(world.scan())
    (world.path / "a/b/c").unlink()
    (world.path / "a/b").rmdir()
    (world.path / "a").rmdir()
    found = world.scan()
    assert list(found) == ["a", "a/b", "a/b/c"]
    assert all(one.fingerprint is None and one.was is not None for one in found.values())
    assert list(world.scan("a/b/c")) == ["a", "a/b", "a/b/c"]


def test_special_files_and_bad_names_are_left_out_and_the_rest_goes_on(world: World) -> None:
    os.mkfifo(world.path / "pipe")
    (world.path / "bad\nname").write_text("x")
    os.close(os.open(os.fsencode(world.path) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    (world.path / "good").write_text("good")
    assert list(world.scan()) == ["good"]
    assert {(one.path, one.flaw) for one in world.troubles} == {
        ("pipe", Flaw.SPECIAL),
        ("bad\\nname", Flaw.NAME),
        ("\\udcff", Flaw.NAME),
    }


def test_what_is_too_young_to_be_sure_of_is_read_again(world: World) -> None:
    world.clock = SystemClock()
    (world.path / "file").write_text("one")
    found = world.scan()
    assert found["file"].is_racy
    world.agree(found)
    agreed = world.ledger.agreed("file")
    assert agreed is not None
    world.ledger.record([("file", replace(agreed, is_racy=True))])
    assert world.scan() == {}
    still = world.ledger.agreed("file")
    assert still is not None
    time.sleep(0.1)
    assert world.scan() == {}
    world.scan()
    old = world.ledger.agreed("file")
    assert old is not None
    assert not old.is_racy
    assert world.ledger.seen("") is not None


def test_an_edit_in_the_very_same_tick_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system whose clock stands still: the fingerprint says nothing."""
    frozen = time.time_ns()
    clock = SystemClock()
    monkeypatch.setattr(clock, "now_ns", lambda: frozen + 1_000_000)
    world.clock = clock

    def still(found: os.stat_result) -> SimpleNamespace:
        return SimpleNamespace(
            **{name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
            | {"st_mtime_ns": frozen, "st_ctime_ns": frozen}
        )

    def stat(*args: object, **kwargs: object) -> SimpleNamespace:
        return still(os.stat(*args, **kwargs))  # type: ignore[arg-type]

    def fstat(handle: int) -> SimpleNamespace:
        return still(os.fstat(handle))

    for module in (listing, content):
        fake = SimpleNamespace(**vars(os))
        fake.stat, fake.fstat = stat, fstat
        monkeypatch.setattr(module, "os", fake)
    (world.path / "file").write_text("one")
    world.agree(world.scan())
    for text in ("two", "six", "ten"):
        (world.path / "file").write_text(text)
        found = world.scan()
        assert [one.content and one.content.hash for one in found.values()] == [
            content_hash(text.encode())
        ]
        world.agree(found)


@pytest.mark.parametrize("year", [1950, 2100, 2300])
def test_times_from_another_century_are_nothing_special(world: World, year: int) -> None:
    file = world.path / "file"
    file.write_text("x")
    second = (year - 1970) * 31_557_600
    os.utime(file, (second, second))
    world.agree(world.scan())
    assert world.scan() == {}
    assert world.ledger.seen("") is not None
    os.utime(file, (second + 1, second + 1))
    assert list(world.scan()) == (["file"] if year < 2262 else [])


def test_a_folder_of_very_many_entries_is_compared_in_slices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLICE", 3)
    for number in range(10):
        (world.path / f"file{number}").write_text(str(number))
        (world.path / f"folder{number}").mkdir()
    (world.path / "a").mkdir()
    (world.path / "z").mkdir()
    assert len(world.scan()) == 22
    world.agree(world.scan())
    assert world.scan() == {}
    assert world.ledger.seen("") is not None
    for number in (0, 2, 3, 9):
        (world.path / f"file{number}").unlink()
        (world.path / f"folder{number}").rmdir()
    (world.path / "file5").write_text("edited")
    (world.path / "file55").write_text("new")
    gone = {f"{kind}{number}" for kind in ("file", "folder") for number in (0, 2, 3, 9)}
    found = world.scan()
    assert set(found) == gone | {"file5", "file55"}
    world.agree(found)
    assert world.scan() == {}


def test_an_unreadable_folder_is_told_and_nothing_in_it_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.path / "a/b").mkdir(parents=True)
    (world.path / "a/b/file").write_text("x")
    (world.path / "a/c").write_text("x")
    world.agree(world.scan())
    real = listing.read

    def refused(handle: int) -> Listing:
        found = real(handle)
        if "file" in found.others:
            raise PermissionError(13, "Permission denied")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(listing, "read", refused)
        (world.path / "a/c").write_text("edited")
        assert list(world.scan()) == ["a/c"]
        assert [(one.path, one.flaw) for one in world.troubles] == [("a/b", Flaw.UNREADABLE)]
    world.agree(world.scan())
    assert world.scan() == {}


def test_a_conflict_copy_that_is_something_special_now_was_not_deleted(world: World) -> None:
    shown = world.path / "file (conflict 3f2a 2026-11-21 15-04-05)"
    shown.write_text("theirs")
    seen = world.root.look(shown.name)
    assert seen is not None
    world.ledger.add_copy(shown.name, Copy("file", "v", '"e"', content_hash(b"theirs"), seen))
    shown.unlink()
    os.mkfifo(shown)
    assert world.scan() == {}
    assert [trouble.flaw for trouble in world.troubles] == [Flaw.SPECIAL]


def test_a_conflict_copy_is_told_when_it_changes_or_goes_and_never_as_a_file(
    world: World,
) -> None:
    (world.path / "file").write_text("mine")
    world.agree(world.scan())
    shown = world.path / "file (conflict x)"
    shown.write_text("theirs")
    seen = world.root.look(shown.name)
    assert seen is not None
    copy = Copy("file", "v", '"e"', content_hash(b"theirs"), seen)
    world.ledger.add_copy(shown.name, copy)
    assert world.scan() == {}
    assert world.scan() == {}
    world.ignore(exclude=["*conflict*"])
    assert world.scan() == {}
    shown.touch()
    assert world.scan() == {}
    shown.write_text("edited")
    found = world.scan()
    assert [(one.copy and one.copy.path, one.was) for one in found.values()] == [("file", None)]
    shown.unlink()
    found = world.scan()
    assert [(one.path, one.fingerprint) for one in found.values()] == [(shown.name, None)]
    assert found[shown.name].copy is not None


def test_a_folder_that_vanished_is_an_error_and_not_a_deletion(world: World) -> None:
    (world.path / "file").write_text("x")
    world.agree(world.scan())
    world.path.rename(world.path.parent / "away")
    world.path.mkdir()
    with pytest.raises(RootGoneError):
        world.scan()


def test_very_deep_folders_are_scanned(world: World) -> None:
    path = "/".join(["d"] * 150)
    (world.path / path).mkdir(parents=True)
    (world.path / path / "file").write_text("x")
    assert len(world.scan()) == 151
    world.agree(world.scan())
    (world.path / path / "file").write_text("edited")
    assert list(world.scan()) == [f"{path}/file"]

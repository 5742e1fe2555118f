"""The disk that is recorded: nothing is missed, and a cut leaves what the rules of disks allow."""

import os
import sqlite3
from pathlib import Path
from random import Random

import pytest

from aeorsync.runtime import durable, renaming
from tests.support.crashes import demand_complete, scratch
from tests.support.disk import RecordedDisk
from tests.support.disk_model import Cutter, State, Way
from tests.support.disk_recording import walk


def databases(folder: Path) -> None:
    """Each way in which SQLite may write."""
    for mode in ("WAL", "DELETE", "TRUNCATE", "PERSIST"):
        base = sqlite3.connect(folder / f"base{mode}")
        base.execute(f"PRAGMA journal_mode={mode}")
        for number in range(20):
            with base:
                base.execute("CREATE TABLE IF NOT EXISTS t (x)")
                base.execute("INSERT INTO t VALUES (?)", (bytes(900 * number),))
        base.execute("DELETE FROM t")
        base.commit()
        base.execute("VACUUM")
        base.close()


def everything(folder: Path) -> None:
    """Each sort of change, by each way to make it."""
    (folder / "kept").rename(folder / "moved")
    durable.write_once(folder / "once", b"first")
    durable.write_once(folder / "once", b"second")
    (folder / "a").mkdir()
    (folder / "a/b").write_text("text")
    (folder / "a/link").symlink_to("b")
    (folder / "a/hard").hardlink_to(folder / "a/b")
    with (folder / "a/b").open("ab") as file:
        file.write(b" and more")
    with (folder / "a/b").open("r+b") as file:
        file.seek(2)
        file.write(b"XX")
        file.truncate(9)
    handle = os.open(folder / "a", os.O_RDONLY)
    other = os.open(folder, os.O_RDONLY)
    renaming.exchange(handle, "b", other, "once")
    renaming.rename_new(other, "once", handle, "new")
    renaming.replace(handle, "new", handle, "b")
    file_handle = os.open("f", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=handle)
    os.write(file_handle, b"0123456789")
    os.pwrite(file_handle, b"AB", 20)
    os.pwritev(file_handle, [b"x", b"yz"], 4)
    os.ftruncate(file_handle, 15)
    os.fchmod(file_handle, 0o640)
    os.utime(file_handle, ns=(5, 6))
    durable.sync_file(file_handle)
    durable.sync_system(file_handle)
    os.close(os.open("f", os.O_RDWR | os.O_TRUNC, dir_fd=handle))
    os.chmod(folder / "a/hard", 0o600)  # noqa: PTH101 - the call itself is what is tried
    os.unlink("hard", dir_fd=handle)
    (folder / "empty").mkdir()
    (folder / "empty").rmdir()
    os.close(handle)
    os.close(other)


def test_all_that_is_done_is_noted() -> None:
    with scratch() as folder:
        disk_folder = folder / "disk"
        disk_folder.mkdir()
        (disk_folder / "kept").write_bytes(b"was there")
        (disk_folder / "folder").mkdir()
        with RecordedDisk(disk_folder) as disk:
            everything(disk_folder)
            databases(disk_folder)
            (folder / "outside").write_text("is nobody's business")
            demand_complete(disk)
        rebuilt = folder / "rebuilt"
        disk.recording.build(disk.recording.end, rebuilt)
        assert contents(rebuilt) == contents(disk_folder)


def test_a_change_that_nobody_noted_is_found() -> None:
    with scratch() as folder, RecordedDisk(folder) as disk:
        (folder / "f").write_bytes(b"noted")
        disk.real["open"](folder / "g", os.O_CREAT)
        with pytest.raises((AssertionError, KeyError)):
            demand_complete(disk)
        (folder / "g").unlink()


def contents(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        look = path.lstat()
        if path.is_symlink():
            found[name] = path.readlink()
        elif path.is_file():
            found[name] = path.read_bytes(), look.st_mode, look.st_mtime_ns, look.st_nlink
        else:
            found[name] = "folder"
    return found


def left(disk: RecordedDisk, way: Way, seed: int = 0) -> dict[str, bytes]:
    """What a cut at the end leaves."""
    cutter = Cutter(disk.recording.base, disk.recording.operations)
    cutter.go_on(len(disk.recording.operations))
    return shown(cutter.state(way, Random(seed)))


def shown(state: State) -> dict[str, bytes]:
    return {
        name[1]: bytes(state.bodies[state.names[name]].data)
        for name in walk(state)
        if state.names[name] in state.bodies
    }


def written(folder: Path, *, syncs_file: bool, syncs_folder: bool) -> RecordedDisk:
    (folder / "f").write_bytes(b"old")
    with RecordedDisk(folder) as disk:
        with (folder / "new").open("wb") as file:
            file.write(b"new")
            file.flush()
            if syncs_file:
                durable.sync_file(file.fileno())
        (folder / "new").replace(folder / "f")
        if syncs_folder:
            durable.sync_folder(folder)
    return disk


def test_what_was_not_synced_may_be_there_or_not() -> None:
    with scratch() as folder:
        disk = written(folder, syncs_file=False, syncs_folder=False)
        assert left(disk, Way.ALL) == {"f": b"new"}
        assert left(disk, Way.NONE) == {"f": b"old"}
        assert left(disk, Way.NAMES) == {"f": b""}
        assert left(disk, Way.NAMES_AND_ZEROS) == {"f": b"\0\0\0"}
        assert left(disk, Way.BYTES) == {"f": b"old"}


def test_syncing_the_folder_keeps_the_name_and_no_byte() -> None:
    with scratch() as folder:
        disk = written(folder, syncs_file=False, syncs_folder=True)
        assert left(disk, Way.NONE) == {"f": b""}


def test_syncing_the_file_keeps_the_bytes_and_no_name() -> None:
    with scratch() as folder:
        disk = written(folder, syncs_file=True, syncs_folder=False)
        assert left(disk, Way.NAMES) == {"f": b"new"}
        assert left(disk, Way.NONE) == {"f": b"old"}


def test_what_was_synced_is_there_whatever_happens() -> None:
    with scratch() as folder:
        disk = written(folder, syncs_file=True, syncs_folder=True)
        assert {tuple(left(disk, way).items()) for way in Way} == {(("f", b"new"),)}


def test_sectors_come_in_any_order() -> None:
    with scratch() as folder:
        (folder / "f").write_bytes(b"o" * 2048)
        with RecordedDisk(folder) as disk, (folder / "f").open("r+b") as file:
            file.write(b"n" * 2048)
        found = {left(disk, Way.ANY, seed)["f"] for seed in range(600)}
        # Each of four sectors is of before or of now.
        assert len(found) == 16


def test_a_rename_between_folders_happens_as_a_whole() -> None:
    with scratch() as folder:
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        (folder / "a/f").write_bytes(b"f")
        with RecordedDisk(folder) as disk:
            (folder / "a/f").rename(folder / "b/g")
            durable.sync_folder(folder / "a")
        found = {tuple(left(disk, Way.ANY, seed)) for seed in range(50)}
        assert found == {("a", "b", "f"), ("a", "b", "g")}

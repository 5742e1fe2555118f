"""Damage of every file of a data folder: never a wrong byte, and `verify` finds it all.

Each case damages a copy of one folder and asks: what does opening say; is every byte that is read
the right one; does `verify` find something, unless all that the folder says is as it was; and once
a peer has given back what it has, is everything there and sound?
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from aeorsync.errors import AeorError, CorruptError, StartupError
from aeorsync.server.opening import kept_or_new
from aeorsync.storage.folder import DataFolder
from aeorsync.storage.opening import open_repository as open_folder
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify
from tests.storage.test_gc import take_snapshot
from tests.support.cycles import noise, remove
from tests.support.repositories import files, get, open_repository, put

CASES = 240
_HARMLESS = {"touched"}


def fill(folder: Path) -> dict[str, bytes]:
    repository = open_repository(folder)
    for number in range(25):
        put(repository, f"/d{number % 4}/f{number}", noise(300 + number * 150, number))
    put(repository, "/big", noise(400_000, 99))
    put(repository, "/gone", b"deleted")
    remove(repository, "/gone")
    put(repository, "/both", b"one", base=())
    put(repository, "/both", b"two", base=())
    take_snapshot(repository, "monday")
    put(repository, "/d1/f1", b"of tuesday")
    truth = files(repository)
    repository.close()
    return truth


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("damage") / "sound"
    folder.mkdir()
    return folder, fill(folder)


def rows_of(folder: Path) -> dict[str, list[object]]:
    """All that the database says, but for what decides nothing."""
    found: dict[str, list[object]] = {}
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            wanted = ", ".join(column for column in columns if column not in _HARMLESS)
            rows = db.execute(f"SELECT {wanted} FROM {table}").fetchall()  # noqa: S608
            found[table] = sorted(rows, key=repr)
    return found


def records_of(folder: Path) -> dict[str, bytes]:
    """The bytes of the packs that the database refers to."""
    found = {}
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db:
        for pack, at, stored in db.execute("SELECT pack, at, stored FROM chunks"):
            body = (folder / "packs" / f"{pack:08d}.pack").read_bytes()
            found[f"{pack}/{at}"] = body[at : at + stored]
    return found


def is_as_it_was(folder: Path, sound: Path) -> bool:
    """Whether the folder says just what the sound one does."""
    try:
        return rows_of(folder) == rows_of(sound) and records_of(folder) == records_of(sound)
    except (sqlite3.Error, OSError):
        return False


def damaged(file: Path, source: Random) -> str:
    """Do something to a file at random; returns what."""
    body = bytearray(file.read_bytes())
    at = source.randrange(len(body))
    what = source.choice(("flip", "flip", "flip", "zero", "truncate", "garbage", "append"))
    if what == "flip":
        body[at] ^= 1 << source.randrange(8)
    elif what == "zero":
        start = at // 8192 * 8192
        body[start : start + 8192] = bytes(len(body[start : start + 8192]))
    elif what == "truncate":
        del body[at:]
    elif what == "garbage":
        body[at : at + 64] = source.randbytes(len(body[at : at + 64]))
    else:
        body += source.randbytes(source.choice((10, 8192)))
    file.write_bytes(body)
    return f"{what} of {file.name} at {at}"


def wrong_reads(repository: Repository, truth: dict[str, bytes]) -> list[str]:
    """Paths at which something else is read than what was written."""
    wrong = []
    for path, body in truth.items():
        with suppress(AeorError):  # of which each is refused
            if get(repository, path) != body:
                wrong.append(path)
    return wrong


def look(folder: Path, truth: dict[str, bytes]) -> str | None:
    """What opening or `verify` says of a folder; None when it finds it sound."""
    try:
        repository = open_folder(DataFolder(folder), 1)
    except StartupError as error:
        return error.message
    try:
        assert wrong_reads(repository, truth) == [], folder
        return "findings" if verify(repository).count else None
    except CorruptError as error:
        return error.message
    finally:
        repository.close()


@pytest.mark.parametrize("file", ["meta.sqlite3", "packs/00000001.pack"])
def test_no_damage_is_served_and_verify_finds_it_all(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path, file: str
) -> None:
    base, truth = sound
    source = Random(file)
    found_at_all = 0
    for case in range(CASES // 2):
        folder = tmp_path / "damaged"
        shutil.copytree(base, folder)
        what = f"case {case}: " + damaged(folder / file, source)
        is_harmless = is_as_it_was(folder, base)
        said = look(folder, truth)
        assert said is None or said == "findings" or "nothing was changed" in said, what
        assert said is not None or is_harmless, what
        found_at_all += said is not None
        shutil.rmtree(folder)
    assert found_at_all > CASES // 6


def all_columns(folder: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db:
        tables = [
            row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return [
            (table, row[1])
            for table in tables
            for row in db.execute(f"PRAGMA table_info({table})")
            if row[1] not in _HARMLESS and row[1] != "number"
        ]


def change_value(folder: Path, table: str, column: str, source: Random) -> bool:
    """Change one bit of a value, as a disk would: its type and length stay."""
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db, db:
        found = db.execute(f"SELECT {column} FROM {table}").fetchall()  # noqa: S608
        values = sorted({row[0] for row in found if row[0] not in {None, b"", ""}}, key=repr)
        if not values:
            return False
        old = new = source.choice(values)
        if isinstance(old, bytes):
            at = source.randrange(len(old))
            new = old[:at] + bytes([old[at] ^ 1 << source.randrange(8)]) + old[at + 1 :]
        elif isinstance(old, str):
            new = chr(ord(old[0]) ^ 1) + old[1:]
        else:
            new = old ^ 1 << source.randrange(6)
        with suppress(sqlite3.IntegrityError):
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))  # noqa: S608
    return True


def test_a_changed_value_in_any_column_is_found(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    base, truth = sound
    columns = all_columns(base)
    assert len(columns) > 20
    for round_ in range(4):
        for table, column in columns:
            folder = tmp_path / "changed"
            shutil.copytree(base, folder)
            source = Random(f"{table} {column} {round_}")
            if change_value(folder, table, column, source) and not is_as_it_was(folder, base):
                what = f"{table}.{column}, round {round_}"
                assert look(folder, truth) is not None, what
            shutil.rmtree(folder)


def test_what_a_peer_gives_back_heals_and_then_nothing_is_found(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    base, truth = sound
    peer_folder = tmp_path / "peer"
    shutil.copytree(base, peer_folder)
    peer = open_repository(peer_folder)
    source = Random(7)
    for case in range(30):
        folder = tmp_path / "damaged"
        shutil.copytree(base, folder)
        what = f"case {case}: " + damaged(folder / "packs" / "00000001.pack", source)
        repository = open_repository(folder)
        before = verify(repository, repair=True)
        lost = repository.damage.lost(1000)
        repository.receive(peer.stored_chunks(lost))
        repository.flush()
        assert files(repository) == truth, what
        found = verify(repository)
        assert found.findings == [], (what, before.count)
        repository.close()
        shutil.rmtree(folder)
    peer.close()


WHOLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda f: (f / "meta.sqlite3").unlink(), "is gone"),
    "empty database": (lambda f: (f / "meta.sqlite3").write_bytes(b""), "is empty"),
    "no header": (lambda f: (f / "meta.sqlite3").write_bytes(os.urandom(9000)), "damaged"),
    "half of it": (lambda f: os.truncate(f / "meta.sqlite3", 40_000), "damaged"),
    "a folder for a lock": (
        lambda f: (f / "lock").replace(f / "k").with_name("lock").mkdir(),
        "directory",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_start_on_a_damaged_folder_says_what_happened_and_what_to_do(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(sound[0], folder)
    spoil, word = WHOLE[name]
    spoil(folder)
    packs = (folder / "packs" / "00000001.pack").read_bytes()

    def start() -> None:
        DataFolder(folder).check()
        open_folder(DataFolder(folder), 1)

    with pytest.raises(StartupError) as refused:
        start()
    assert refused.value.exit_code == 5
    assert word in refused.value.message
    if word != "directory":
        assert "nothing was changed. Restore from a peer: " in refused.value.message
    assert (folder / "packs" / "00000001.pack").read_bytes() == packs


def test_files_that_are_none_of_ours_are_left_alone(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    shutil.copytree(sound[0], folder)
    (folder / "packs" / "notes.pack").write_bytes(b"?")
    (folder / "lost+found").mkdir()
    repository = open_repository(folder)
    assert files(repository) == sound[1]
    assert verify(repository).count == 0
    repository.close()


def test_a_second_process_is_kept_off_though_somebody_removed_the_lock_file(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    shutil.copytree(sound[0], folder)
    repository = open_repository(folder)
    (folder / "lock").unlink()
    with pytest.raises(StartupError) as refused:
        open_folder(DataFolder(folder), 1)
    assert refused.value.exit_code == 4
    repository.close()


KEYS: dict[str, Callable[[Path], object]] = {
    "empty": lambda key: key.write_bytes(b""),
    "noise": lambda key: key.write_bytes(b"\xf9" * 44),
    "one bit": lambda key: key.write_bytes(
        bytes([key.read_bytes()[0] ^ 1]) + key.read_bytes()[1:]
    ),
    "gone": Path.unlink,
    "a folder": lambda key: key.replace(key.with_name("k")).with_name("signing.key").mkdir(),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_damaged_signing_key_is_never_replaced_by_a_new_one(tmp_path: Path, name: str) -> None:
    folder = DataFolder(tmp_path)
    repository = open_repository(tmp_path)
    key = kept_or_new(folder, repository)
    assert kept_or_new(folder, repository) == key
    KEYS[name](tmp_path / "signing.key")
    with pytest.raises(StartupError, match="aeorsync key import here") as refused:
        kept_or_new(folder, repository)
    assert refused.value.exit_code == 5
    assert "nothing was changed" in refused.value.message
    # What it says, done.
    shutil.rmtree(tmp_path / "signing.key", ignore_errors=True)
    folder.save_signing_key(key)
    assert kept_or_new(folder, repository) == key
    repository.close()


def test_a_signing_key_of_an_older_version_is_read_and_another_one_may_be_imported(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)
    repository = open_repository(tmp_path)
    old = DataFolder.fresh_key()
    (tmp_path / "signing.key").write_text(old.to_text() + "\n")
    assert kept_or_new(folder, repository) == old
    other = DataFolder.fresh_key()
    folder.save_signing_key(other)
    assert kept_or_new(folder, repository) == other
    repository.close()


@pytest.mark.parametrize("body", [b"", b'{"address": "http://a', b"\xff\xff"])
def test_a_damaged_grant_says_to_join_again(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "join.json").write_bytes(body)
    with pytest.raises(StartupError, match="remove it, and join again") as refused:
        DataFolder(tmp_path).granted()
    assert refused.value.exit_code == 5


def test_a_store_whose_head_is_gone_is_not_taken_for_an_empty_one(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    shutil.copytree(sound[0], folder)
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db, db:
        db.execute("DELETE FROM notes WHERE space = 'head'")
    with pytest.raises(StartupError, match="its head is gone"):
        open_folder(DataFolder(folder), 1)


def test_repair_mends_what_peers_and_time_can_make_good(
    sound: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    shutil.copytree(sound[0], folder)
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db, db:
        db.execute("UPDATE feed SET via = via + 1 WHERE seq = 7")
        db.execute("UPDATE roots SET seq = seq + 1 WHERE seq = 9")
        db.execute(
            "UPDATE nodes SET born = born + 1 WHERE number = (SELECT max(number) FROM nodes)"
        )
    repository = open_repository(folder)
    assert verify(repository).count == 3
    assert verify(repository, repair=True).count == 0
    assert verify(repository).count == 0
    assert files(repository) == sound[1]
    assert not repository.reaches_back_to(5)
    put(repository, "/after", b"it goes on")
    repository.close()

"""`aeorsync gc | verify | export | import` as a user calls them."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aeorsync.core.paths import join
from aeorsync.runtime.clock import SystemClock
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.lock import FolderLock
from aeorsync.storage.versions import SNAPSHOTS
from tests.support.repositories import files, open_repository, put


def aeorsync(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aeorsync", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    repository = open_repository(folder, wall=SystemClock())
    put(repository, "/a.txt", b"old " * 100)
    put(repository, "/a.txt", b"new " * 100)
    put(repository, "/b.txt", b"b " * 100)
    repository.close()
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db, db:
        db.execute("UPDATE chunks SET touched = 1")
    return folder


def test_gc_tells_first_and_does_then(data: Path) -> None:
    told = aeorsync("gc", "-D", data, "--dry-run", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["chunks"] == 1
    done = aeorsync("gc", "-D", data)
    assert done.returncode == 0
    assert "1 chunks" in done.stdout
    assert "collected" in done.stdout
    assert json.loads(aeorsync("gc", "-D", data, "--json").stdout)["chunks"] == 0


def test_verify_has_an_exit_code_of_its_own_for_damage(data: Path) -> None:
    sound = aeorsync("verify", "-D", data)
    assert (sound.returncode, "no damage" in sound.stdout) == (0, True)
    pack = next((data / "packs").glob("*.pack"))
    body = bytearray(pack.read_bytes())
    body[-3] ^= 1
    pack.write_bytes(body)
    found = aeorsync("verify", "-D", data, "--json")
    assert found.returncode == 20
    assert [f["path"] for f in json.loads(found.stdout)["findings"]] == ["/b.txt"]
    people = aeorsync("verify", "-D", data, "--repair")
    assert people.returncode == 20
    assert "/b.txt" in people.stdout
    assert "1 quarantined" in people.stdout


def test_a_snapshot_on_its_way_here_is_told_and_no_damage(data: Path) -> None:
    repository = open_repository(data, wall=SystemClock())
    record = {"id": "ab", "name": "then", "root": "ab" * 32, "created_at": 1, "node": 8}
    file = FileState(repository.store_small(json.dumps(record).encode()), "application/json")
    path = join(SNAPSHOTS, "ab.json")
    repository.commit(lambda draft: put_file(draft, path, file)).result(30)
    repository.close()
    people = aeorsync("verify", "-D", data)
    assert people.returncode == 0, people.stdout
    assert "snapshot then is still on its way here" in people.stdout
    found = json.loads(aeorsync("verify", "-D", data, "--json").stdout)
    assert (found["findings"], found["awaited"]) == ([], ["snapshot then"])


def test_export_and_import_carry_everything_over(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.export"
    assert aeorsync("export", "-D", data, file).returncode == 0
    again = aeorsync("export", "-D", data, file)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    target = tmp_path / "target"
    done = aeorsync("import", "-D", target, file, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"] == 2
    repository = open_repository(target)
    assert files(repository) == {"/a.txt": b"new " * 100, "/b.txt": b"b " * 100}
    repository.close()


def test_a_torn_file_is_named_and_has_an_exit_code_of_its_own(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.export"
    aeorsync("export", "-D", data, file)
    file.write_bytes(file.read_bytes()[:-30])
    done = aeorsync("import", "-D", tmp_path / "target", file)
    assert done.returncode == 21
    assert "all.export is torn" in done.stderr
    assert "nothing was changed" in done.stderr
    assert not (tmp_path / "target").exists()


def test_a_damaged_file_stops_an_export(data: Path, tmp_path: Path) -> None:
    pack = next((data / "packs").glob("*.pack"))
    body = bytearray(pack.read_bytes())
    body[-3] ^= 1
    pack.write_bytes(body)
    done = aeorsync("export", "-D", data, tmp_path / "all.export")
    assert done.returncode == 20
    assert "/b.txt cannot be exported" in done.stderr
    assert not (tmp_path / "all.export").exists()


@pytest.mark.parametrize("command", [["gc"], ["verify"], ["export", "x"], ["import", "x"]])
def test_a_folder_in_use_is_left_alone(data: Path, command: list[str]) -> None:
    lock = FolderLock(data)
    done = aeorsync(*command, "-D", data)
    assert done.returncode == 4
    assert "stop it first" in done.stderr
    lock.release()


def test_a_folder_without_a_node_is_told_from_an_empty_one(tmp_path: Path) -> None:
    done = aeorsync("verify", "-D", tmp_path / "nothing")
    assert done.returncode == 5
    assert not (tmp_path / "nothing").exists()

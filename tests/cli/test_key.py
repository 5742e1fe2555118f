"""The signing key by hand: out to a safe place, in again, and never where it can be seen."""

import json
import stat
import sys
from io import StringIO
from pathlib import Path

import pytest

from aeorsync.cli.main import main
from aeorsync.config import Exit
from aeorsync.core.tokens import SigningKey
from aeorsync.storage.folder import DataFolder, GrantedJoin
from tests.support.repositories import open_repository

OLD, NEW = SigningKey(bytes(range(32))), SigningKey(bytes(range(1, 33)))


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """The data folder of a stopped node."""
    open_repository(tmp_path / "data").close()
    made = DataFolder(tmp_path / "data")
    made.save_signing_key(OLD)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An exported key."""
    made = tmp_path / "new.key"
    made.write_text(NEW.to_text() + "\n")
    return made


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["aeorsync", "key", *map(str, arguments)])
    try:
        return main()
    except SystemExit as stop:
        return int(stop.code or 0)


def test_what_was_exported_can_be_imported_elsewhere(
    folder: DataFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, other = tmp_path / "safe.key", tmp_path / "other"
    assert run(monkeypatch, "export", "-D", folder.path, "-o", target) == Exit.OK
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert run(monkeypatch, "import", target, "-D", other) == Exit.OK
    assert DataFolder(other).kept_key() == OLD
    told = capsys.readouterr()
    assert OLD.to_text() not in told.out + told.err
    assert OLD.fingerprint in told.out


def test_a_key_is_printed_only_when_asked_and_with_a_warning(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "export", "-D", folder.path, "-o", "-") == Exit.OK
    told = capsys.readouterr()
    assert told.out == OLD.to_text() + "\n"
    assert "can read and write everything" in told.err
    assert run(monkeypatch, "export", "-D", folder.path, "-o", "-", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out) == {"signing_key": OLD.to_text()}


def test_an_export_overwrites_nothing(
    folder: DataFolder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "export", "-D", folder.path, "-o", file) == Exit.USAGE
    assert file.read_text() == NEW.to_text() + "\n"


def test_without_a_key_there_is_nothing_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("export", "-D", tmp_path / "none", "-o", "-")
    assert run(monkeypatch, *arguments) == Exit.DATA_UNUSABLE
    assert not (tmp_path / "none").exists()


def test_a_key_is_replaced_only_when_somebody_agrees(
    folder: DataFolder,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    assert run(monkeypatch, "import", file, "-D", folder.path) == Exit.USAGE
    assert folder.kept_key() == OLD
    capsys.readouterr()
    assert run(monkeypatch, "import", file, "-D", folder.path, "--yes", "--json") == Exit.OK
    assert folder.kept_key() == NEW
    told = json.loads(capsys.readouterr().out)
    assert told == {"fingerprint": NEW.fingerprint, "replaced": True}


def test_what_becomes_void_is_said(
    folder: DataFolder,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "import", file, "-D", folder.path, "-y") == Exit.OK
    said = capsys.readouterr().out
    assert all(word in said for word in ("tokens", "ETags", "bases", "links"))


def test_the_same_key_again_changes_nothing_and_asks_nobody(
    folder: DataFolder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(OLD.to_text())
    assert run(monkeypatch, "import", file, "-D", folder.path) == Exit.OK
    assert folder.kept_key() == OLD


def test_a_key_can_be_read_from_standard_input(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(NEW.to_text() + "\n"))
    assert run(monkeypatch, "import", "-", "-D", folder.path, "-y") == Exit.OK
    assert folder.kept_key() == NEW


def test_while_a_node_runs_its_key_stays(
    folder: DataFolder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = open_repository(folder.path)
    try:
        arguments = ("import", file, "-D", folder.path, "-y")
        assert run(monkeypatch, *arguments) == Exit.DATA_LOCKED
    finally:
        running.close()
    assert folder.kept_key() == OLD


@pytest.mark.parametrize(
    "text", ["", "secret but no key", "A" * 43 + "=" + "A" * 4, "\N{SNOWMAN}"]
)
def test_what_is_no_key_is_refused_and_not_repeated(
    folder: DataFolder,
    file: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file.write_text(text)
    assert run(monkeypatch, "import", file, "-D", folder.path, "-y") == Exit.USAGE
    said = capsys.readouterr().err
    assert "no signing key" in said
    assert "secret" not in said
    assert folder.kept_key() == OLD


def test_a_join_that_waits_does_not_undo_the_import(
    folder: DataFolder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.grant(GrantedJoin("http://a:1", 5, OLD.to_text()))
    assert run(monkeypatch, "import", file, "-D", folder.path, "-y") == Exit.OK
    assert folder.granted() is None

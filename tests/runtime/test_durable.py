"""Old or new, never a part; and the order of the steps that makes it so."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from aeorsync.runtime import durable


def test_a_file_written_once_is_there_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        durable.write_once(path, b"secret")
    finally:
        os.umask(old)
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        durable.write_once(tmp_path / "public", b"", mode=0o644)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_writing_again_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write_once(path, b"old")
    durable.write_once(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    durable.write_once(link, b"new")
    assert not link.is_symlink()
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("step", ["fchmod", "write", "fdatasync", "replace"])
def test_a_failure_before_the_rename_leaves_the_old_file_alone(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    durable.write_once(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        durable.write_once(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_durable_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("write", "fdatasync", "replace", "fsync"):
        _record(monkeypatch, name, steps)
    durable.write_once(tmp_path / "file", b"new")
    assert steps == ["write", "fdatasync", "replace", "fsync"]


def _record(monkeypatch: pytest.MonkeyPatch, name: str, steps: list[str]) -> None:
    real = getattr(os, name)

    def step(*args: Any) -> Any:  # noqa: ANN401  # stands for any of the calls
        steps.append(name)
        return real(*args)

    monkeypatch.setattr(os, name, step)


def test_appending_goes_on_after_a_short_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    with (tmp_path / "pack").open("wb") as pack:
        durable.append(pack.fileno(), b"0123456789")
        durable.append(pack.fileno(), bytearray(b"abcd"))
        durable.append(pack.fileno(), b"")
        durable.sync_file(pack.fileno())
    assert (tmp_path / "pack").read_bytes() == b"0123456789abcd"


def test_a_folder_that_is_none_cannot_be_made_durable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    durable.sync_folder(tmp_path)
    with pytest.raises(NotADirectoryError):
        durable.sync_folder(tmp_path / "file")


def test_to_start_writing_changes_nothing_and_never_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    descriptor = os.open(path, os.O_RDWR)
    try:
        durable.start_writing(descriptor, 0, 100_000)
        durable.start_writing(descriptor, 50_000, 1 << 30)
    finally:
        os.close(descriptor)
    durable.start_writing(descriptor, 0, 10)
    assert path.read_bytes() == b"x" * 100_000


def test_folders_are_made_with_those_above_and_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    path = tmp_path / "a/b/c"
    durable.make_folders(path, mode=0o700)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a/b"]
    durable.make_folders(path)
    assert len(synced) == 3

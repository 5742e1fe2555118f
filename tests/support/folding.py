"""A disk that takes names for one that differ in case, as far as folders look at it."""

import os
from types import SimpleNamespace

import pytest

from aeorsync.folder import held
from aeorsync.runtime import renaming


def fold_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the disk look like one that does not tell case apart."""
    rename_new, exchange = renaming.rename_new, renaming.exchange
    stat, mkdir, unlink, open_ = os.stat, os.mkdir, os.unlink, os.open

    def there(folder: int, name: str) -> str:
        return next((one for one in os.listdir(folder) if one.lower() == name.lower()), name)

    def folded_stat(name: str, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        return stat(there(dir_fd, name), dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def folded_new(folder: int, name: str, to_folder: int, to_name: str) -> None:
        rename_new(folder, name, to_folder, there(to_folder, to_name))

    def folded_exchange(folder: int, name: str, to_folder: int, to_name: str) -> None:
        exchange(folder, name, to_folder, there(to_folder, to_name))

    def folded_open(name: str, flags: int, mode: int = 0o777, *, dir_fd: int) -> int:
        return open_(there(dir_fd, name), flags, mode, dir_fd=dir_fd)

    def folded_mkdir(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(there(dir_fd, name), mode, dir_fd=dir_fd)

    held_os = SimpleNamespace(**vars(os))
    held_os.stat, held_os.mkdir, held_os.unlink = folded_stat, folded_mkdir, unlink
    held_os.open = folded_open
    monkeypatch.setattr(held, "os", held_os)
    monkeypatch.setattr(renaming, "rename_new", folded_new)
    monkeypatch.setattr(renaming, "exchange", folded_exchange)

"""What stands in for the calls of `os`, and for those that are no part of it."""

import ctypes
import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import disk_model as model
from tests.support.disk_model import Sort
from tests.support.disk_notes import Notes

_EXCHANGE = 2
NEVER = (
    *("writev", "truncate", "copy_file_range", "sendfile", "posix_fallocate", "splice"),
    *("mknod", "mkfifo", "setxattr", "lchown", "chown", "fchown"),
)
"""Calls that nobody makes; somebody who begins to will be told."""


class Calls:
    """The calls, of which each notes what it did."""

    def __init__(self, disk: Notes) -> None:
        self._disk = disk

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return self._disk.call(name, *args, **options)

    # `os`: what opens and names

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def act() -> int:
            return int(self._call("open", path, flags, mode, dir_fd=dir_fd))

        if flags & os.O_CREAT:
            handle: int = self._disk.making("open", path, dir_fd, Sort.FILE, act)
        else:
            handle = act()
        if flags & os.O_TRUNC:
            with self._disk.lock:
                number = self._disk.of(handle)
                if number is not None:
                    self._disk.note(model.Cut(number, 0, os.fstat(handle).st_mtime_ns))
        return handle

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        def act() -> None:
            self._call("mkdir", path, mode, dir_fd=dir_fd)

        self._disk.making("mkdir", path, dir_fd, Sort.FOLDER, act)

    def symlink(
        self,
        src: Any,
        dst: Any,
        target_is_directory: bool = False,  # noqa: FBT001, FBT002 - as in `os`
        *,
        dir_fd: int | None = None,
    ) -> None:
        def act() -> None:
            self._call("symlink", src, dst, target_is_directory, dir_fd=dir_fd)

        self._disk.making("symlink", dst, dir_fd, Sort.SYMLINK, act)

    def link(
        self,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        folders = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}

        def act() -> None:
            self._call("link", src, dst, **folders, follow_symlinks=follow_symlinks)

        thing = self._disk.at(src, src_dir_fd)
        self._disk.naming("link", act, (self._disk.name(dst, dst_dir_fd), thing))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._disk.gone("unlink", path, dir_fd)

    def remove(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._disk.gone("remove", path, dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._disk.gone("rmdir", path, dir_fd)

    def rename(
        self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        self._disk.moved("rename", src, dst, src_dir_fd, dst_dir_fd)

    def replace(
        self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        self._disk.moved("replace", src, dst, src_dir_fd, dst_dir_fd)

    # `os`: what changes bytes, modes and times

    def write(self, handle: int, data: Any) -> int:
        with self._disk.lock:
            number = self._disk.of(handle)
            if number is None:
                return self._write(handle, data)
            at = os.lseek(handle, 0, os.SEEK_CUR)
            if _open_flags(handle) & os.O_APPEND:
                at = os.fstat(handle).st_size
            view = memoryview(data).cast("B")
            return self._disk.written(
                number, handle, at, [view], lambda: self._write(handle, view)
            )

    def _write(self, handle: int, data: Any) -> int:
        return int(self._call("write", handle, data))

    def pwrite(self, handle: int, data: Any, at: int) -> int:
        with self._disk.lock:
            number = self._disk.of(handle)
            if number is None:
                return int(self._call("pwrite", handle, data, at))
            view = memoryview(data).cast("B")
            return self._disk.written(
                number, handle, at, [view], lambda: int(self._call("pwrite", handle, view, at))
            )

    def pwritev(self, handle: int, buffers: Any, at: int, flags: int = 0) -> int:
        with self._disk.lock:
            number = self._disk.of(handle)
            if number is None:
                return int(self._call("pwritev", handle, buffers, at, flags))
            views = [memoryview(one).cast("B") for one in buffers]
            return self._disk.written(
                number, handle, at, views, lambda: int(self._call("pwritev", handle, views, at))
            )

    def ftruncate(self, handle: int, size: int) -> None:
        self._disk.inside(
            "ftruncate",
            handle,
            lambda: self._call("ftruncate", handle, size),
            lambda number, found: model.Cut(number, size, found.st_mtime_ns),
        )

    def fchmod(self, handle: int, mode: int) -> None:
        self._disk.inside(
            "fchmod",
            handle,
            lambda: self._call("fchmod", handle, mode),
            lambda number, found: model.Mode(number, stat.S_IMODE(found.st_mode)),
        )

    def chmod(
        self, path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        with self._disk.lock:
            number = path if isinstance(path, int) else self._disk.at(path, dir_fd)
            if isinstance(path, int):
                self.fchmod(path, mode)
                return
            options = {"dir_fd": dir_fd, "follow_symlinks": follow_symlinks}
            if number is not None:
                self._disk.ask("chmod")
            self._call("chmod", path, mode, **options)
            if number is not None:
                self._disk.note(model.Mode(number, mode))

    def utime(
        self,
        path: Any,
        times: Any = None,
        *,
        ns: Any = None,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        options: dict[str, Any] = {"dir_fd": dir_fd, "follow_symlinks": follow_symlinks}
        if isinstance(path, int):
            options = {}
        what: dict[str, Any] = {"times": times} if ns is None else {"ns": ns}
        with self._disk.lock:
            number = self._disk.of(path) if isinstance(path, int) else self._disk.at(path, dir_fd)
            if number is not None:
                self._disk.ask("utime")
            self._call("utime", path, **what, **options)
            if number is not None:
                self._disk.note(model.Times(number, _mtime(path, options)))

    # `os`: what syncs

    def fsync(self, handle: int) -> None:
        self._disk.synced("fsync", handle, is_full=True)

    def fdatasync(self, handle: int) -> None:
        self._disk.synced("fdatasync", handle, is_full=False)

    def sync(self) -> None:
        with self._disk.lock:
            self._disk.ask("sync")
            self._disk.note(model.SyncAll())

    # What is no part of `os`

    def _syncfs(self, _handle: int) -> int:
        try:
            self.sync()
        except OSError as error:
            ctypes.set_errno(error.errno or errno.EIO)
            return -1
        return 0

    def _renaming(self, real: Callable[..., int]) -> Callable[..., int]:
        def renameat2(folder: int, name: bytes, to: int, to_name: bytes, flags: int) -> int:
            def act() -> None:
                if real(folder, name, to, to_name, flags):
                    raise OSError(ctypes.get_errno(), "renameat2")

            try:
                swaps = bool(flags & _EXCHANGE)
                self._disk.move("renameat2", act, (name, folder), (to_name, to), swaps=swaps)
            except OSError as error:
                ctypes.set_errno(error.errno or errno.EIO)
                return -1
            return 0

        return renameat2

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opening(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            handle = file
            if not set(mode) & set("wax+"):
                return real(file, mode, *rest, **options)
            if not isinstance(file, int):
                if self._disk.name(file, None)[0] is None:
                    return real(file, mode, *rest, **options)
                handle = os.open(file, _flags(mode), 0o666)
            elif self._disk.of(file) is None:
                return real(file, mode, *rest, **options)
            return _file(handle, mode, *rest, **options)

        return opening


class _Raw(io.RawIOBase):
    """A file that is written by way of `os`."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def seek(self, at: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._handle, at, whence)

    def readinto(self, buffer: Any) -> int:
        data = os.read(self._handle, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return os.write(self._handle, data)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        os.ftruncate(self._handle, size)
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._handle)


def _mtime(path: Any, options: dict[str, Any]) -> int:
    return os.stat(path, **options).st_mtime_ns  # noqa: PTH116 - of a name in a folder held open


def _file(handle: int, mode: str, buffering: int = -1, *text: Any, **options: Any) -> Any:
    raw = _Raw(handle)
    if "a" in mode:
        raw.seek(0, os.SEEK_END)
    if buffering == 0:
        return raw
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(buffered, *text, **options)


def _flags(mode: str) -> int:
    how = {
        "w": os.O_CREAT | os.O_TRUNC,
        "a": os.O_CREAT | os.O_APPEND,
        "x": os.O_CREAT | os.O_EXCL,
    }
    base = next((flags for letter, flags in how.items() if letter in mode), 0)
    return base | (os.O_RDWR if "+" in mode else os.O_WRONLY) | os.O_CLOEXEC


def _open_flags(handle: int) -> int:
    text = Path(f"/proc/self/fdinfo/{handle}").read_text("ascii")
    return int(text.split("flags:")[1].split()[0], 8)


def refusing(name: str) -> Callable[..., Any]:
    def call(*_args: Any, **_options: Any) -> Any:
        raise AssertionError(f"os.{name} is not recorded")

    return call

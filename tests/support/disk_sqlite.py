"""What SQLite does to its files, seen one layer above the system: a VFS that tells first.

It stands in front of the one that SQLite brings along, inside of the very library that Python's
`sqlite3` uses. Only what changes files passes through here; reads, locks and the shared memory
beside a write-ahead log, which is nothing but a cache of it, do not.
"""

import _sqlite3
import ctypes
import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path
from typing import Any, Protocol

OK = 0
FULL = 13
IOERR_WRITE = 10 | 3 << 8
IOERR_SYNC = 10 | 4 << 8
IOERR_CUT = 10 | 6 << 8
IOERR_DELETE = 10 | 10 << 8
CANNOT_OPEN = 14
_CREATES = 4
_NAME = b"seen"

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_SET_CALL = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GET_CALL = CFUNCTYPE(c_void_p, c_void_p, c_char_p)
_OPEN_FOLDER = CFUNCTYPE(c_int, c_char_p, c_void_p)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_CUT = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Methods(Structure):
    """``sqlite3_io_methods``."""

    _fields_ = (
        ("version", c_int),
        ("close", _CLOSE),
        ("read", c_void_p),
        ("write", _WRITE),
        ("cut", _CUT),
        ("sync", _SYNC),
        *((f"_{number}", c_void_p) for number in range(13)),
    )


class _File(Structure):
    """``sqlite3_file``."""

    _fields_ = (("methods", POINTER(_Methods)),)


class _Vfs(Structure):
    """``sqlite3_vfs``."""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _OPEN),
        ("delete", _DELETE),
        *((f"_{number}", c_void_p) for number in range(11)),
        ("set_call", _SET_CALL),
        ("get_call", _GET_CALL),
        ("_last", c_void_p),
    )


class Watcher(Protocol):
    """Who is told. Each may raise OSError, and then nothing happens to the file."""

    def creates(self, path: str, act: Callable[[], int]) -> int:
        """A file is opened, and made if it is not there, by calling ``act``."""

    def writes(self, path: str, at: int, data: bytes, act: Callable[[], int]) -> int:
        """Bytes are written."""

    def cuts(self, path: str, size: int, act: Callable[[], int]) -> int:
        """A file gets another size."""

    def syncs(self, path: str, *, may_fail: bool = True) -> None:
        """A file or folder is synced; some failures SQLite does not look at."""

    def deletes(self, path: str, act: Callable[[], int]) -> int:
        """A name is removed."""


class Tap:
    """The VFS; one for the whole process, for connections may outlive who watches.

    Attributes:
        watcher: Who is told, if anybody.
    """

    def __init__(self) -> None:
        self.watcher: Watcher | None = None
        self._library: Any = ctypes.CDLL(_sqlite3.__file__)
        self._library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        self._library.sqlite3_vfs_register.argtypes = (POINTER(_Vfs), c_int)
        self._plain = self._library.sqlite3_vfs_find(None)
        self._vfs = _Vfs.from_buffer_copy(self._plain.contents)
        self._vfs.name = _NAME
        self._vfs.open = _OPEN(self._open)
        self._vfs.delete = _DELETE(self._delete)
        self._tables: dict[int, _Methods] = {}
        self._open_files: dict[int, tuple[_Methods, str]] = {}
        self._library.sqlite3_vfs_register(byref(self._vfs), 0)
        address = self._vfs.get_call(byref(self._plain.contents), b"openDirectory")
        self._open_folder = _OPEN_FOLDER(address)
        self._opening = _OPEN_FOLDER(self._opens_folder)

    def watch(self, watcher: Watcher | None) -> None:
        """Tell somebody, or nobody any more."""
        self.watcher = watcher
        is_watched = watcher is not None
        chosen = byref(self._vfs) if is_watched else self._plain
        self._library.sqlite3_vfs_register(chosen, 1)
        opening = cast(self._opening, c_void_p) if is_watched else None
        self._vfs.set_call(byref(self._plain.contents), b"openDirectory", opening)

    # What SQLite calls

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        def act() -> int:
            code: int = self._plain.contents.open(vfs, name, file, flags, out)
            return code

        if name is None or self.watcher is None:
            return act()
        path = os.fsdecode(ctypes.string_at(name))
        watcher = self.watcher
        code = _told(
            lambda: watcher.creates(path, act) if flags & _CREATES else act(), CANNOT_OPEN
        )
        opened = cast(file, POINTER(_File)).contents
        if code == OK and opened.methods:
            address = ctypes.addressof(opened.methods.contents)
            self._open_files[file] = _Methods.from_address(address), path
            opened.methods = ctypes.pointer(self._table(address))
        return code

    def _table(self, address: int) -> _Methods:
        """The methods of a file, of which some are ours."""
        if address not in self._tables:
            table = _Methods.from_buffer_copy(_Methods.from_address(address))
            table.close = _CLOSE(self._close)
            table.write = _WRITE(self._write)
            table.cut = _CUT(self._cut)
            table.sync = _SYNC(self._sync)
            self._tables[address] = table
        return self._tables[address]

    def _close(self, file: int) -> int:
        plain, _ = self._open_files.pop(file)
        cast(file, POINTER(_File)).contents.methods = ctypes.pointer(plain)
        code: int = plain.close(file)
        return code

    def _write(self, file: int, data: int, size: int, at: int) -> int:
        plain, path = self._open_files[file]

        def act() -> int:
            code: int = plain.write(file, data, size, at)
            return code

        watcher = self.watcher
        if watcher is None:
            return act()
        written = ctypes.string_at(data, size)
        return _told(lambda: watcher.writes(path, at, written, act), IOERR_WRITE)

    def _cut(self, file: int, size: int) -> int:
        plain, path = self._open_files[file]

        def act() -> int:
            code: int = plain.cut(file, size)
            return code

        watcher = self.watcher
        if watcher is None:
            return act()
        return _told(lambda: watcher.cuts(path, size, act), IOERR_CUT)

    def _sync(self, file: int, flags: int) -> int:
        plain, path = self._open_files[file]

        def act() -> int:
            # The first sync of a log makes its name durable as well: see `_opens_folder`.
            code: int = plain.sync(file, flags)
            return code

        watcher = self.watcher
        if watcher is None:
            return act()

        def told() -> int:
            watcher.syncs(path)
            return act()

        return _told(told, IOERR_SYNC)

    def _delete(self, vfs: int, name: bytes, syncs: int) -> int:
        def act() -> int:
            code: int = self._plain.contents.delete(vfs, name, syncs)
            return code

        watcher = self.watcher
        if watcher is None:
            return act()
        return _told(lambda: watcher.deletes(os.fsdecode(name), act), IOERR_DELETE)

    def _opens_folder(self, name: bytes, out: int) -> int:
        """SQLite opens the folder of a file, which it does to sync it and for nothing else."""
        code: int = self._open_folder(name, out)
        if self.watcher is not None and code == OK:
            self.watcher.syncs(str(Path(os.fsdecode(name)).parent), may_fail=False)
        return code


def _told(act: Callable[[], int], code: int) -> int:
    try:
        return act()
    except OSError as error:
        return FULL if error.errno == 28 else code


TAP = Tap()

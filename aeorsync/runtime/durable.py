"""Bytes that survive a power cut: every fsync and rename in the package.

What a call promises is in its docstring: *durable* means that it survives a power cut once the
call has returned, *visible* that readers see it and a power cut may take it back.

Blocking; safe from any thread.
"""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aeorsync.runtime import chance

if TYPE_CHECKING:
    from ctypes import _NamedFuncPointer

_START_WRITING: Final = 2
"""SYNC_FILE_RANGE_WRITE of Linux."""


def sync_file(descriptor: int) -> None:
    """Make the contents of an open file durable, though not its name (see `sync_folder`)."""
    # Size and contents are all that anybody reads back; fdatasync skips the times.
    os.fdatasync(descriptor)


def sync_whole(descriptor: int) -> None:
    """Make an open file durable with its times and its mode, though not its name."""
    os.fsync(descriptor)


def start_writing(descriptor: int, start: int, size: int) -> None:
    """Have the system begin to write a part of an open file; promises nothing.

    So the disk is busy while more is coming, and `sync_file` waits for less. It does not wait for
    the writing, so that whatever goes wrong is still told by `sync_file`. Where the system knows
    no such call, nothing happens.

    Args:
        descriptor: Of the file.
        start: Offset of the part in bytes.
        size: Bytes.
    """
    sync_file_range = _call("sync_file_range")
    if sync_file_range is not None:
        sync_file_range(descriptor, start, size, _START_WRITING)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: files made, renamed or removed there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it that are not there; durable.

    Args:
        path: Of the folder; harmless where it is.
        mode: Permission bits of the folder itself, which the umask may take from.
    """
    if path.is_dir():
        return
    make_folders(path.parent)
    path.mkdir(mode=mode, exist_ok=True)
    sync_folder(path.parent)


def sync_handle(folder: int) -> None:
    """Make the names in a folder that is held open durable, as `sync_folder` does."""
    os.fsync(folder)


def sync_system(descriptor: int) -> None:
    """Make everything durable that was done on the file system of an open file or folder.

    Of many small files this is much faster than `sync_file` for each.

    Raises:
        OSError: The disk failed.
    """
    if _syncfs(descriptor):
        import ctypes  # noqa: PLC0415  # loaded by now

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def append(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data`` where an open file ends (or where it stands); visible only.

    A crash may leave any part of it.
    """
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_once(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make ``path`` a file that holds ``data``, in place of any there; durable.

    A reader, also one after a crash, meets the old file or the new one and never a part. A crash
    may leave a temporary file, ``.<name>.<random>.tmp``.

    Args:
        path: In a folder that exists.
        data: All of the file.
        mode: Permission bits, whatever the umask says.
    """
    staged = path.with_name(f".{path.name}.{chance.token_hex(8)}.tmp")
    try:
        _stage(staged, data, mode)
        # Order matters: data, then name, then folder.
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def publish(staged: Path, path: Path) -> None:
    """Give a finished, synced file its name, in place of any there; durable.

    Args:
        staged: In the folder of ``path``.
        path: The name readers know.
    """
    staged.replace(path)
    sync_folder(path.parent)


def _stage(path: Path, data: bytes, mode: int) -> None:
    # Nobody else may open the file before its mode is set.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, mode)
        append(descriptor, data)
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def _syncfs(descriptor: int) -> int:
    call = _call("syncfs")
    if call is None:
        os.sync()
        return 0
    return int(call(descriptor))


@cache
def _call(name: str) -> "_NamedFuncPointer | None":
    """A call of the system that Python does not have; None where the system has none such."""
    import ctypes  # noqa: PLC0415  # takes a while, and many programs sync no file system

    call: _NamedFuncPointer | None = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is not None and name == "sync_file_range":
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        call.restype = ctypes.c_int
    return call

"""The kernel's own telling of what happens in folders (Linux' inotify), by its three calls.

Numbers are those of ``<sys/inotify.h>``. Where the system has no such calls, `available` is false.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from enum import IntFlag
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("iIII")
_BUFFER: Final = 1 << 16


class Mask(IntFlag):
    """What may happen, and how to watch."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLY_FOLDER = 0x1000000
    NO_UNLINKED = 0x4000000
    IS_FOLDER = 0x40000000


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        watch: Which folder; -1 for an overflow.
        mask: What.
        name: To which entry of it; empty for the folder itself.
    """

    watch: int
    mask: Mask
    name: str


def _find() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "inotify_init1") else None


_library = _find()


def available() -> bool:
    """Whether the system has these calls."""
    return _library is not None


def open_queue() -> int:
    """Open a queue of events, not blocking; the caller closes it.

    Raises:
        OSError: The user has too many of them.
    """
    return _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)


def watch(queue: int, folder: int, mask: Mask) -> int:
    """Watch a folder that is held open; watching it again gives the same number.

    Raises:
        OSError: ENOSPC when the user watches as many folders as the system allows.
    """
    return _call("inotify_add_watch", queue, f"/proc/self/fd/{folder}".encode(), int(mask))


def unwatch(queue: int, number: int) -> None:
    """Watch a folder no more; harmless when it is not watched."""
    if _library is not None:
        _library.inotify_rm_watch(queue, number)


def read(queue: int) -> Iterator[Event]:
    """What has happened and was not read yet, perhaps not all of it.

    Raises:
        BlockingIOError: Nothing.
    """
    data = os.read(queue, _BUFFER)
    at = 0
    while at < len(data):
        number, mask, _, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size + size
        yield Event(number, Mask(mask), os.fsdecode(data[at - size : at].rstrip(b"\0")))


def _call(name: str, *values: object) -> int:
    if _library is None:
        raise OSError("this system has no inotify")
    number = int(getattr(_library, name)(*values))
    if number < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return number

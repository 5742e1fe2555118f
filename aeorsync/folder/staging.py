"""Files that are written under a name of ours before they take their place."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from aeorsync.runtime import durable

_EXECUTE: Final = 0o111
_PLAIN: Final = 0o666


class Owner(msgspec.Struct, frozen=True):
    """What all folders below a root share.

    Attributes:
        tag: In the names of our temporary files.
        device: Of the root; what lies on another one takes no part.
        mode: Permission bits that new entries may have.
        leads_to: Whether a path from the root still leads to a folder that is held open.
    """

    tag: str
    device: int
    mode: int
    leads_to: Callable[[str, int], bool]


class Staged(msgspec.Struct):
    """Something new under a name of ours, before it takes its place.

    Attributes:
        folder: Where it is, held open by whoever made this.
        name: Its name now; empty once it has its place or is discarded.
        handle: The file, open for reading and writing; -1 for a link.
        inode: Of it.
        mode: Permission bits that a new file may have.
        size: Bytes written so far.
    """

    folder: int
    name: str
    handle: int
    inode: int
    mode: int
    size: int = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            OSError: The disk is full, or refused.
        """
        durable.append(self.handle, data)
        self.size += len(data)

    def finish(self, mtime_ns: int, *, executable: bool, mode: int | None = None) -> None:
        """Set what is set on the open file; contents and times become durable with `sync`.

        Args:
            mtime_ns: When the content changed.
            executable: Whether it may be run.
            mode: Permission bits of the file whose place it takes.
        """
        bits = (_PLAIN & self.mode) if mode is None else mode & 0o777
        os.fchmod(self.handle, with_executable(bits, executable=executable))
        os.utime(self.handle, ns=(mtime_ns, mtime_ns))

    def sync(self) -> None:
        """Make the contents durable, with the times and the mode: they are compared, too."""
        durable.sync_whole(self.handle)

    def close(self) -> None:
        """Close the file; what has no place yet is deleted."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        if self.name:
            # Should the folder be closed by now, the next run finds it.
            with suppress(OSError):
                os.unlink(self.name, dir_fd=self.folder)
            self.name = ""


def with_executable(mode: int, *, executable: bool) -> int:
    """Permission bits with who may read may run, or with nobody may."""
    if executable:
        return mode | ((mode & 0o444) >> 2) | 0o100
    return mode & ~_EXECUTE

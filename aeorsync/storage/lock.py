"""Keeps two processes off one data folder."""

import fcntl
import os
from pathlib import Path

from aeorsync.errors import UnavailableError


class LockedError(UnavailableError):
    """Another process uses the data folder."""


class FolderLock:
    """Keeps a second process off a data folder; released when the process ends, however."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            LockedError: Another process holds it.
        """
        self._handles: list[int] = []
        try:
            # The folder, too: a lock file that somebody removed locks nobody out.
            self._take(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._take(folder / "lock", os.O_RDWR | os.O_CREAT)
        except BaseException as error:
            self.release()
            if isinstance(error, BlockingIOError):
                text = f"another aeorsync process uses {folder}; stop it, or choose another folder"
                raise LockedError(text) from error
            raise

    def _take(self, path: Path, flags: int) -> None:
        handle = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._handles.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            # Not every network file system can lock a folder; they all can lock a file.
            if not flags & os.O_DIRECTORY:
                raise

    def release(self) -> None:
        """Let go of the lock."""
        while self._handles:
            os.close(self._handles.pop())

"""Keeps two processes off one data folder."""

import fcntl
import os
from pathlib import Path

from aeorsync.errors import UnavailableError


class FolderLock:
    """Keeps a second process off a data folder; released when the process ends, however."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            UnavailableError: Another process holds it.
        """
        self._handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            text = f"another aeorsync process uses {folder}; stop it, or choose another folder"
            raise UnavailableError(text) from error

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._handle)

"""Keeps two processes off one pair of a folder and a remote path."""

import fcntl
import os
from pathlib import Path

from aeorsync.errors import BusyError


class PairLock:
    """Held from `__init__` to `release`, or until the process ends, however."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Args:
            path: Of a file beside the ledger; made when it is not there.

        Raises:
            BusyError: Another process holds it.
        """
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            text = "another aeorsync process keeps this folder already; it goes on, this one ends"
            raise BusyError(text) from error

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._handle)

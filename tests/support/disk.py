"""A folder on a disk that remembers what was done to it, or refuses to do it.

Within ``with RecordedDisk(folder) as disk`` every change of the folder that this process makes, by
`os`, by files that are opened for writing, by the system calls that the package looks up itself,
and by SQLite, happens and is noted, in its order. Nothing is really synced by `os`: that would
only cost time. `crashes` tells what a power cut would have left of it.

    disk_model       operations, and what may be left of them: values only
    disk_recording   what was noted; folders made of it
    disk_notes       taking notes, refusing
    disk_calls       what stands in for the calls of `os`
    disk_sqlite      what stands in for the file system that SQLite sees
"""

import io
import os
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from aeorsync.runtime import durable, renaming
from tests.support.disk_calls import NEVER, Calls, refusing
from tests.support.disk_notes import Notes
from tests.support.disk_sqlite import TAP


class RecordedDisk(Notes):
    """See the module; one at a time, of a folder that is there."""

    _patches: list[Any]

    def __enter__(self) -> Self:
        calls = Calls(self)
        names = [name for name in dir(calls) if not name.startswith("_")]
        self.real = {name: getattr(os, name) for name in names}
        opening = calls._opening(io.open)
        self._patches = [
            *(patch.object(os, name, getattr(calls, name)) for name in names),
            *(patch.object(os, name, refusing(name)) for name in NEVER if hasattr(os, name)),
            patch.object(io, "open", opening),
            patch("builtins.open", opening),
            patch.object(durable, "_syncfs", calls._syncfs),
        ]
        rename = renaming._renameat2
        if rename is not None:
            self._patches.append(patch.object(renaming, "_renameat2", calls._renaming(rename)))
        for one in self._patches:
            one.start()
        TAP.watch(self)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        TAP.watch(None)
        for one in reversed(self._patches):
            one.stop()
        self._let_go()

"""A process that puts a file into a folder, or takes one away, and dies at one of the steps.

Arguments: the folder, "place" or "remove", the step, whether somebody saves the file meanwhile,
whether the disk can swap two files.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aeorsync.folder import held
from aeorsync.folder.root import SafeRoot
from aeorsync.runtime import renaming


class Steps:
    """Counts calls; kills this process at one of them."""

    def __init__(self, last: int, saves: Path | None) -> None:
        self.last = last
        self.saves = saves
        self.count = 0

    def dying(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The same, but counted."""

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.count == 2 and self.saves:
                (self.saves / "saved").write_text("mine")
                (self.saves / "saved").replace(self.saves / "file")
            return real(*args, **kwargs)

        return call


def main(path: Path, verb: str, last: int, *, saves: bool, swaps: bool) -> None:
    """Do it, as far as that goes."""
    if not swaps:
        renaming._renameat2 = None
    steps = Steps(last, path if saves else None)
    with SafeRoot(path, "0123abcd").folder() as folder:
        seen = folder.look("file")
        assert seen is not None
        for name in ("rename_new", "exchange", "replace"):
            setattr(renaming, name, steps.dying(getattr(renaming, name)))
        os.unlink = steps.dying(os.unlink)
        steps.count = 1
        try:
            if verb == "remove":
                folder.remove("file", seen)
            else:
                staged = folder.stage()
                staged.write(b"theirs")
                staged.finish(5, executable=False)
                folder.place(staged, "file", seen)
        except held.ChangedError:
            pass


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[2],
        int(sys.argv[3]),
        saves=sys.argv[4] == "1",
        swaps=sys.argv[5] == "1",
    )

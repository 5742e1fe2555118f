"""A folder on disk that files are fetched into, and nothing outside of it.

Every name below is walked from the open folder, component by component, never through a link: what
a server tells, and whoever swaps folders for links meanwhile, cannot lead elsewhere.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aeorsync.errors import BadRequestError, ConflictError

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Landing:
    """The folder. Blocking."""

    def __init__(self, root: Path) -> None:
        """Open it; it is made if missing.

        Raises:
            OSError: It cannot be made or opened.
        """
        root.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    @contextmanager
    def folder(self, names: list[str]) -> Iterator[Path]:
        """A name for a folder below that leads there as long as this is held, whatever happens.

        Raises:
            ConflictError: Something on the way is no folder.
            OSError: It cannot be made.
        """
        handle = self._walk(names)
        try:
            # The kernel's own name for what is open: no link on the way is followed again.
            yield Path(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)

    def make(self, names: list[str]) -> None:
        """Make a folder, and those above it."""
        os.close(self._walk(names))

    def link(self, names: list[str], target: str) -> bool:
        """Make a symbolic link; returns whether it was not there before.

        Raises:
            BadRequestError: The name or the target is none.
            ConflictError: Something else is there.
        """
        name = _checked(names[-1])
        if not target or "\0" in target:
            raise BadRequestError("the server told of a link that leads nowhere; it was left out")
        handle = self._walk(names[:-1])
        try:
            os.symlink(target, name, dir_fd=handle)
        except FileExistsError as error:
            try:
                same = os.readlink(name, dir_fd=handle) == target
            except OSError:
                same = False
            if not same:
                raise ConflictError("something else is there; it was left alone") from error
            return False
        finally:
            os.close(handle)
        return True

    def _walk(self, names: list[str]) -> int:
        handle = os.dup(self._handle)
        try:
            for name in names:
                below = _enter(handle, _checked(name))
                os.close(handle)
                handle = below
        except BaseException:
            os.close(handle)
            raise
        return handle


def _enter(handle: int, name: str) -> int:
    """Open a folder, made if missing."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=handle)
    try:
        return os.open(name, _FOLDER, dir_fd=handle)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        raise ConflictError(
            f"{name} is a link or a file here, and a folder there; it was left alone"
        ) from error


def _checked(name: str) -> str:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise BadRequestError(f"the server told of a file named {name!r}; it was left out")
    return name

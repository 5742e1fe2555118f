"""The folder of the user, so that nothing outside of it is ever touched.

The folder is held open, and every path below is walked from there component by component, on
folders that are held open, never through a link (``O_NOFOLLOW``). No path is remembered as safe:
somebody may swap folders for links at any moment. `held.HeldFolder` is what such a walk ends in.

    with root.folder("a/b") as folder:
        folder.look("c.txt")

*Gone*: `check` compares where the path of the folder leads with what is held open, and `RootId`
with what an earlier run saw. A disk that is not mounted is an error, not an empty folder.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import msgspec

from aeorsync.errors import AeorError, BadRequestError, StaleError, UnavailableError
from aeorsync.folder import facts
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.staging import Owner
from aeorsync.runtime import durable

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UMASK: Final = re.compile(r"^Umask:\s*([0-7]+)$", re.MULTILINE)
_NAME: Final = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
_MOVED: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class RootGoneError(UnavailableError):
    """The folder is not there, or is not the one it was: a disk may not be mounted."""


class LostError(StaleError):
    """A folder on the way is gone, or is something else now; nothing was changed."""


class DiskError(UnavailableError):
    """The disk refused; what was there is as it was."""


class BadNameError(BadRequestError):
    """The disk cannot hold such a name."""


class RootId(msgspec.Struct, frozen=True):
    """Which folder of which file system it is, the same after a restart.

    Attributes:
        inode: Of the folder.
        system: Id of the file system; 0 when it has none.
    """

    inode: int
    system: int

    @classmethod
    def parse(cls, text: str) -> "RootId":
        """Read what `str` gave."""
        inode, _, system = text.partition(":")
        return cls(int(inode), int(system))

    def __str__(self) -> str:
        return f"{self.inode}:{self.system}"


class SafeRoot:
    """A folder, held open. Safe from any thread; blocking."""

    def __init__(self, path: Path, tag: str, known: RootId | None = None) -> None:
        """Open the folder.

        Args:
            path: Of the folder; it may be a link to one.
            tag: Eight hex digits in the names of our temporary files: whose they are.
            known: What an earlier run found there.

        Raises:
            RootGoneError: It is not there, or not the one that is known.
        """
        self.path = path
        self.tag = tag
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            text = f"the folder {path} cannot be opened ({error.strerror}); nothing was changed"
            raise RootGoneError(text) from error
        found = os.fstat(self._handle)
        self._seen = found.st_dev, found.st_ino
        self.id = RootId(found.st_ino, os.fstatvfs(self._handle).f_fsid)
        self.owner = Owner(tag, found.st_dev, 0o777 & ~_umask(), self._leads_to)
        if known not in {None, self.id}:
            self.close()
            raise RootGoneError(
                f"{path} is not the folder it was: is its disk mounted? Nothing was changed. If"
                " it was replaced on purpose, forget what was agreed and start again"
            )

    def close(self) -> None:
        """Let go of the folder."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """See whether the folder is still where it was.

        Raises:
            RootGoneError: It is not.
        """
        with suppress(OSError):
            found = self.path.stat()
            if (found.st_dev, found.st_ino) == self._seen:
                return
        raise RootGoneError(
            f"{self.path} is gone, or another folder is there now: is its disk mounted? Nothing"
            " more was changed"
        )

    @contextmanager
    def folder(self, path: str = "") -> Iterator[HeldFolder]:
        """Hold a folder open.

        Raises:
            LostError: It is not there, or something on the way is no folder.
            DiskError: The disk refused.
        """
        with told(path):
            handle = self.walk(path)
        try:
            yield HeldFolder(self.owner, handle, path)
        finally:
            os.close(handle)

    def walk(self, path: str) -> int:
        """Open a folder; the caller closes it.

        Raises:
            OSError: It is not there, something on the way is no folder, or we may not read it.
        """
        handle = os.dup(self._handle)
        for component in path.split("/") if path else ():
            try:
                below = os.open(component, _OPEN, dir_fd=handle)
            finally:
                os.close(handle)
            handle = below
        return handle

    def sync(self) -> None:
        """Make everything durable that was done on the disk of the folder.

        Raises:
            DiskError: The disk failed.
        """
        with told(""):
            durable.sync_system(self._handle)

    def _leads_to(self, path: str, folder: int) -> bool:
        try:
            handle = self.walk(path)
        except OSError:
            return False
        try:
            return os.path.sameopenfile(handle, folder)
        finally:
            os.close(handle)

    def look(self, path: str) -> facts.Fingerprint | None:
        """How an entry looks now; None when nothing is there, or something special.

        Raises:
            DiskError: The disk refused.
        """
        try:
            with self.folder(facts.parent(path)) as folder:
                return folder.look(facts.name(path)) if path else facts.FOLDER
        except LostError:
            return None


@contextmanager
def told(path: str) -> Iterator[None]:
    """Say what the system refused in the words of the package.

    Raises:
        LostError: See above.
        DiskError: See above.
        BadNameError: See above.
    """
    try:
        yield
    except AeorError:
        raise
    except OSError as error:
        shown = facts.printable(path) or "the folder"
        reason = error.strerror or str(error)
        if error.errno in _MOVED:
            raise LostError(f"{shown} changed meanwhile ({reason}); it is looked at again") from (
                error
            )
        if error.errno in _NAME:
            raise BadNameError(f"this disk cannot hold the name {shown} ({reason})") from error
        raise DiskError(f"the disk refused {shown}: {reason}; what was there is kept") from error


def _umask() -> int:
    """The mask for the modes of new files; reading it must not change it, even for a moment."""
    with suppress(OSError):
        found = _UMASK.search(Path("/proc/self/status").read_text())
        if found is not None:
            return int(found[1], 8)
    return 0o022

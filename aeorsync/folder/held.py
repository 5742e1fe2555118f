"""One folder below the root, held open: what may be done to its entries, by name.

Names are single components, checked by `names.flaw`; nothing follows a link. What changes an
entry says what it expects there: a fingerprint that was seen, or None for "nothing". The user may
change anything at any moment, also between our look and our rename, so no call trusts the look
alone:

    put over nothing     the rename itself demands that the name is free
    put over something   both swap names; then what came away is compared with what was expected
    delete               the entry gets a name of ours; then it is compared; then it is deleted

What came away and is not as expected, or is open for writing in another program, goes back where
it was, and the call raises `ChangedError`. Should the user have been quicker there as well, it
gets a name of its own beside (``name (rescued 1f3a)``). Nobody's bytes are ever lost; the worst
that may happen is that a name stands for the wrong version of two for some microseconds.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Never

from aeorsync.core.paths import MAX_NAME
from aeorsync.core.versions import Kind
from aeorsync.errors import ConflictError, StaleError
from aeorsync.folder import facts, names, temps
from aeorsync.folder.facts import Fingerprint
from aeorsync.folder.staging import Owner, Staged, with_executable
from aeorsync.runtime import chance, durable, leases, renaming

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_AGAIN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ChangedError(StaleError):
    """What is there is not what was expected; it is as the user left it."""


class NameTakenError(ConflictError):
    """The disk takes two names for the same; what has the name is kept."""


class HeldFolder:
    """A folder that is held open by whoever made this; for one thread at a time."""

    def __init__(self, owner: Owner, handle: int, path: str) -> None:
        """Take a folder.

        Args:
            owner: Of the root.
            handle: The open folder; the caller closes it.
            path: That led there.
        """
        self.owner = owner
        self.handle = handle
        self.path = path

    def stat(self, name: str) -> os.stat_result | None:
        """What the system says of an entry; None when there is none."""
        try:
            return os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def look(self, name: str) -> Fingerprint | None:
        """How an entry looks; None when there is none, or something special."""
        found = self.stat(name)
        return found and Fingerprint.of(found)

    def mode(self, name: str) -> int | None:
        """Permission bits of a file; None when it is none."""
        found = self.stat(name)
        return found.st_mode & 0o777 if found and stat.S_ISREG(found.st_mode) else None

    def open(self, name: str) -> int:
        """Open a file for reading; the caller closes it.

        Raises:
            ChangedError: It is no file.
            OSError: It is not there, or we may not read it.
        """
        try:
            handle = os.open(name, _READ, dir_fd=self.handle)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                self._changed(name)
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            self._changed(name)
        return handle

    def read_link(self, name: str) -> str:
        """Where a link points."""
        return os.readlink(name, dir_fd=self.handle)

    def make_folder(self, name: str) -> None:
        """Make a folder; harmless where one is.

        Raises:
            ChangedError: Something else is there.
            NameTakenError: It is there by another name.
        """
        self._demand_place()
        try:
            os.mkdir(name, 0o777, dir_fd=self.handle)
        except FileExistsError:
            self._demand_exact(name)
            if self.look(name) != facts.FOLDER:
                self._changed(name)

    def remove_folder(self, name: str) -> bool:
        """Remove an empty folder; False when it is not empty.

        Raises:
            ChangedError: It is no folder.
        """
        try:
            os.rmdir(name, dir_fd=self.handle)
        except FileNotFoundError:
            return True
        except NotADirectoryError:
            self._changed(name)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            return False
        return True

    def stage(self) -> Staged:
        """Make an empty file under a name of ours."""
        name = temps.staged(self.owner.tag)
        handle = os.open(name, _MAKE, 0o600, dir_fd=self.handle)
        return Staged(self.handle, name, handle, facts.inode(os.fstat(handle)), self.owner.mode)

    def restage(self, name: str) -> Staged | None:
        """Take up what an earlier run staged; None when it is not there."""
        found = temps.parse(name)
        if found is None or (found.tag, found.role) != (self.owner.tag, "s"):
            return None
        try:
            handle = os.open(name, _AGAIN, dir_fd=self.handle)
        except OSError:
            return None
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
            os.close(handle)
            return None
        return Staged(self.handle, name, handle, facts.inode(seen), self.owner.mode, seen.st_size)

    def stage_link(self, target: str, mtime_ns: int) -> Staged:
        """Make a symbolic link under a name of ours."""
        name = temps.staged(self.owner.tag)
        os.symlink(target, name, dir_fd=self.handle)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=self.handle, follow_symlinks=False)
        found = os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        return Staged(self.handle, name, -1, facts.inode(found), self.owner.mode)

    def place(self, staged: Staged, name: str, expected: Fingerprint | None) -> Fingerprint:
        """Give what was staged here its name, in place of what is expected there.

        Returns:
            How it looks in its place.

        Raises:
            ChangedError: Something else is there; it is kept, and what was staged as well.
            NameTakenError: It is there by another name; likewise.
            OSError: The disk refused; likewise.
        """
        self._demand_place()
        staged.folder = self.handle
        if expected is None:
            self._put_new(staged, name)
        else:
            self._put_over(staged, name, expected)
        placed = self.look(name)
        if placed is None or placed.inode != staged.inode:
            # Replaced already; the next scan finds that.
            self._changed(name)
        return placed

    def remove(self, name: str, expected: Fingerprint) -> None:
        """Delete a file or a link.

        Raises:
            ChangedError: It is not as expected; it is kept.
            OSError: The disk refused; it is kept.
        """
        self._demand_place()
        self._demand(name, expected)
        os.unlink(self._displace(name, expected), dir_fd=self.handle)

    def move(self, name: str, folder: "HeldFolder", to_name: str, expected: Fingerprint) -> None:
        """Give an entry, also a folder, another name that is free.

        Raises:
            ChangedError: It is not as expected, or the new name is taken; both are kept.
            OSError: The disk refused; likewise.
        """
        folder._demand_place()  # noqa: SLF001 - a folder like this one
        self._demand(name, expected)
        try:
            with self._expecting(name):
                renaming.rename_new(self.handle, name, folder.handle, to_name)
        except FileExistsError:
            folder._demand_exact(to_name)  # noqa: SLF001 - likewise
            folder._changed(to_name)  # noqa: SLF001 - likewise
        found = folder.look(to_name)
        if found is not None and not found.is_like(expected):
            with suppress(OSError):
                renaming.rename_new(folder.handle, to_name, self.handle, name)
            self._changed(name)

    def touch(
        self, name: str, seen: Fingerprint, mtime_ns: int, *, executable: bool, syncs: bool = True
    ) -> Fingerprint:
        """Set the times and the executable bit of a file whose content stays.

        ``syncs`` makes that durable; else the caller does, before it is written down anywhere.

        Raises:
            ChangedError: It is not as expected.
            OSError: The disk refused, or the file is not ours.
        """
        handle = self.open(name)
        try:
            found = os.fstat(handle)
            if Fingerprint.of(found) != seen:
                self._changed(name)
            mode = found.st_mode & 0o777
            if seen.executable != executable:
                os.fchmod(handle, with_executable(mode, executable=executable))
            os.utime(handle, ns=(mtime_ns, mtime_ns))
            if syncs:
                durable.sync_whole(handle)
            after = Fingerprint.of(os.fstat(handle))
        finally:
            os.close(handle)
        if after is None or after.size != seen.size:
            self._changed(name)
        return after

    def sync(self) -> None:
        """Make the names in this folder durable."""
        durable.sync_handle(self.handle)

    def give_back(self, away: str, name: str) -> str:
        """Give an entry under a name of ours its own name back, or one beside when it is taken.

        Returns:
            The name it has now.
        """
        wanted = name
        while True:
            try:
                renaming.rename_new(self.handle, away, self.handle, wanted)
            except FileExistsError:
                wanted = _rescued(name)
            else:
                return wanted

    def _displace(self, name: str, expected: Fingerprint) -> str:
        """Give something a name of ours, if it is as expected."""
        away = temps.displaced(self.owner.tag)
        with self._expecting(name):
            renaming.rename_new(self.handle, name, self.handle, away)
        if not self._is_unchanged(away, expected):
            self.give_back(away, name)
            self._changed(name)
        return away

    def _put_new(self, staged: Staged, name: str) -> None:
        try:
            renaming.rename_new(self.handle, staged.name, self.handle, name)
        except FileExistsError:
            self._demand_exact(name)
            self._changed(name)
        staged.name = ""

    def _put_over(self, staged: Staged, name: str, expected: Fingerprint) -> None:
        self._demand(name, expected)
        self._demand_exact(name)
        # From here on a crash may leave the user's file under this name: it says how to tell.
        armed = temps.armed(self.owner.tag, staged.inode)
        renaming.replace(self.handle, staged.name, self.handle, armed)
        staged.name = armed
        try:
            with self._expecting(name):
                renaming.exchange(self.handle, armed, self.handle, name)
        except renaming.NoExchangeError:
            self._put_over_plainly(staged, name, expected)
            return
        if self._is_unchanged(armed, expected):
            os.unlink(armed, dir_fd=self.handle)
            staged.name = ""
            return
        self._put_back(staged, name)
        self._changed(name)

    def _put_over_plainly(self, staged: Staged, name: str, expected: Fingerprint) -> None:
        """Where names cannot be swapped: nothing has the name for a moment, a crash included."""
        away = self._displace(name, expected)
        try:
            # Should we not come back from this, the next run gives it back.
            self._put_new(staged, name)
        except OSError:
            self.give_back(away, name)
            raise
        except ChangedError:
            os.unlink(away, dir_fd=self.handle)
            raise
        os.unlink(away, dir_fd=self.handle)

    def _put_back(self, staged: Staged, name: str) -> None:
        """Undo a swap: what came away is not what was expected."""
        armed, staged.name = staged.name, ""
        with suppress(FileNotFoundError):
            renaming.exchange(self.handle, armed, self.handle, name)
            found = self.stat(armed)
            if found is not None and facts.inode(found) == staged.inode:
                staged.name = armed
                return
            # Ours was replaced within these microseconds: that is the newest, and shown again.
            with suppress(FileNotFoundError):
                renaming.exchange(self.handle, armed, self.handle, name)
        self.give_back(armed, name)

    def _is_unchanged(self, name: str, expected: Fingerprint) -> bool:
        """Whether what came away is as expected, and nobody can be writing to it."""
        found = self.look(name)
        if found is None or not found.is_like(expected):
            return False
        if found.kind is not Kind.FILE:
            return True
        try:
            handle = os.open(name, _READ, dir_fd=self.handle)
        except PermissionError:
            # We may not read it, but it is as it was when we wrote it.
            return True
        try:
            if leases.is_open_for_writing(handle):
                return False
            after = Fingerprint.of(os.fstat(handle))
            return after is not None and after.is_like(expected)
        finally:
            os.close(handle)

    def _demand_place(self) -> None:
        """Raise if the folder is not where it was: what is put there might be outside."""
        if not self.owner.leads_to(self.path, self.handle):
            shown = facts.printable(self.path)
            raise ChangedError(f"{shown} was moved away meanwhile; it is looked at again")

    def is_misnamed(self, name: str) -> bool:
        """Whether what has the name goes by another one that the disk takes for the same."""
        found = self.stat(name)
        others = [self.stat(other) for other in names.variants(name)]
        if found is None or not any(other and other.st_ino == found.st_ino for other in others):
            return False
        with os.scandir(self.handle) as entries:
            return all(entry.name != name for entry in entries)

    def _demand_exact(self, name: str) -> None:
        if self.is_misnamed(name):
            shown = facts.printable(facts.join(self.path, name))
            raise NameTakenError(
                f"{shown} cannot be written: this disk takes it for the name of something else"
                " that is there, which is kept; rename one of them"
            )

    def _demand(self, name: str, expected: Fingerprint) -> None:
        if self.look(name) != expected:
            self._changed(name)

    @contextmanager
    def _expecting(self, name: str) -> Iterator[None]:
        """Turn "not there" into "changed"."""
        try:
            yield
        except FileNotFoundError:
            self._changed(name)

    def _changed(self, name: str) -> Never:
        path = facts.printable(facts.join(self.path, name))
        raise ChangedError(f"{path} changed or is in use by another program; it is kept as it is")


def _rescued(name: str) -> str:
    """Another name beside ``name``, of a length that the disk can hold."""
    mark = f" (rescued {chance.token_hex(2)})"
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > MAX_NAME // 4:
        stem, dot, suffix = name, "", ""
    room = MAX_NAME - len(f"{mark}{dot}{suffix}".encode())
    short = stem.encode()[:room].decode(errors="ignore")
    return f"{short}{mark}{dot}{suffix}"

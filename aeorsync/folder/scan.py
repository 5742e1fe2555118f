"""What changed on the disk since both sides last agreed.

Every folder is listed and every entry looked at (`stat`), since nothing else tells what a program
did; nothing is read whose fingerprint is as agreed. Names come sorted, a folder before what is in
it, so two scans of one state tell the same.

    the folder's listing            then
    --------------------            ----
    has the digest that was seen    nothing in it changed: its rows are not read (`Ledger.seen`)
    has another one                 it is compared with its rows, slice by slice

    the entry                       then
    ---------                       ----
    as its row                      nothing, unless the row is racy: then as below
    a file, other times or inode    it is read; the same content means only that it was touched
    a file, other size; a new one   it is read; where that is wanted, not before it is sent
    a link, other times             its target is read
    gone, also of another kind      everything agreed below it is gone as well

A file that changes while it is read is left out, listed, and found by the next scan. So are names
that cannot travel, special files, what we may not read, and other file systems inside the folder:
of those nothing counts as gone.

Memory is bounded by the largest single folder: its names, and the stats of one slice.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from aeorsync.folder import facts, listing
from aeorsync.folder.compare import Comparison, Desk
from aeorsync.folder.facts import Flaw, Found, Trouble
from aeorsync.folder.held import ChangedError, HeldFolder
from aeorsync.folder.ignore import FILE_NAME, Ignore
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.root import SafeRoot, told
from aeorsync.runtime.clock import WallClock

_BATCH: Final = 512
_HELD: Final = 64
"""So many levels of folders are held open; deeper ones are walked to again."""
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Frame(msgspec.Struct):
    """A folder on the way down.

    Attributes:
        folder: It; its handle is -1 where it is too deep to be held.
        rules: Of it.
        rest: Names of the folders in it that were not visited yet.
    """

    folder: HeldFolder
    rules: Ignore
    rest: Iterator[str] = msgspec.field(default_factory=lambda: iter(()))

    def close(self) -> None:
        if self.folder.handle >= 0:
            os.close(self.folder.handle)
        self.folder.handle = -1


class Scan:
    """One look at the folder, or at some of it. For one thread at a time; blocking."""

    def __init__(
        self,
        root: SafeRoot,
        ledger: Ledger,
        rules: Ignore,
        clock: WallClock,
        tell: Callable[[Trouble], None],
        *,
        defers: bool = False,
    ) -> None:
        """Prepare.

        Args:
            root: The folder.
            ledger: What was agreed.
            rules: Those of the command line.
            clock: To know what is too young to be sure of.
            tell: Takes what has to be left out.
            defers: Whether what certainly changed is read by whoever sends it (`Found.is_unread`).
        """
        self._root = root
        self._rules = rules
        has_copies = bool(ledger.copies())
        self._desk = Desk(ledger, clock, tell, has_copies=has_copies, defers=defers)
        self._seen: list[tuple[str, bytes]] = []
        self.files = 0
        """Entries looked at so far, folders aside."""
        self.temps: list[str] = []
        """Paths of temporary files that were met."""

    def all(self) -> Iterator[Found]:
        """Everything that is not as agreed.

        Raises:
            RootGoneError: The folder is not there (any more); what was told before is void.
            UnavailableError: The disk refused the folder itself, or the ledger.
        """
        self._root.check()
        yield from self._walk(self._top())
        self._root.check()
        self._flush()

    def some(self, paths: Iterable[str]) -> Iterator[Found]:
        """What is not as agreed at some paths, below them, and beside them.

        Raises:
            RootGoneError: As `all`.
            UnavailableError: Likewise.
        """
        self._root.check()
        done: set[str] = set()
        for path, named in sorted(self._folders_of(paths).items()):
            if not done.isdisjoint(facts.ways(path)):
                continue
            frame = self._reach(path)
            if frame is None:
                continue
            yield from self._walk(frame, named)
            done.update(facts.join(path, name) for name in named)
        self._root.check()
        self._flush()

    def _folders_of(self, paths: Iterable[str]) -> dict[str, set[str]]:
        """The folders to compare, each with the names in it that are to be walked."""
        folders: dict[str, set[str]] = {}
        for path in paths:
            above, name = facts.parent(path), facts.name(path)
            # Where the folder is gone, one above has to tell.
            while above and self._root.look(above) != facts.FOLDER:
                above, name = facts.parent(above), facts.name(above)
            folders.setdefault(above, set()).update({name} - {""})
        return folders

    def _top(self) -> _Frame:
        with self._root.folder() as top, told(FILE_NAME):
            rules = self._rules.enter_top(top)
            return _Frame(HeldFolder(top.owner, os.dup(top.handle), ""), rules)

    def _reach(self, path: str) -> _Frame | None:
        """The frame of a folder; None when it takes no part."""
        frame = self._top()
        for name in path.split("/") if path else ():
            below = None
            if not frame.rules.ignores(name, is_folder=True):
                below = self._enter(frame, name)
            frame.close()
            if below is None:
                return None
            frame = below
        return frame

    def _walk(self, top: _Frame, named: set[str] | None = None) -> Iterator[Found]:
        """Compare a folder and all below, or below only what is new or named."""
        stack = [top]
        try:
            yield from self._visit(top, len(stack), named)
            while stack:
                name = next(stack[-1].rest, None)
                if name is None:
                    stack.pop().close()
                elif (below := self._enter(stack[-1], name)) is not None:
                    stack.append(below)
                    yield from self._visit(below, len(stack))
        finally:
            for frame in stack:
                frame.close()

    def _enter(self, frame: _Frame, name: str) -> _Frame | None:
        """Open a folder in a folder; None when that cannot be, which is told."""
        path = facts.join(frame.folder.path, name)
        try:
            if frame.folder.handle < 0:
                handle = self._root.walk(path)
            else:
                handle = os.open(name, _OPEN, dir_fd=frame.folder.handle)
        except OSError as error:
            self._desk.refuse(path, error)
            return None
        folder = HeldFolder(frame.folder.owner, handle, path)
        below = self._begin(frame, folder, name)
        if below is None:
            os.close(handle)
        return below

    def _begin(self, frame: _Frame, folder: HeldFolder, name: str) -> _Frame | None:
        """The frame of a folder that was opened; None when it takes no part, which is told."""
        if os.fstat(folder.handle).st_dev != folder.owner.device:
            what = "is on another file system; sync that on its own"
            self._desk.leave(folder.path, Flaw.SPECIAL, what)
            return None
        try:
            return _Frame(folder, frame.rules.enter(name, folder))
        except (OSError, ChangedError):
            what = f"is left out with all that is in it: its {FILE_NAME} cannot be read"
            self._desk.leave(folder.path, Flaw.UNREADABLE, what)
            return None

    def _visit(self, frame: _Frame, depth: int, named: set[str] | None = None) -> Iterator[Found]:
        """Compare one folder, and say which folders in it come next."""
        folder, rules = frame.folder, frame.rules
        since = self._desk.clock.now_ns()
        try:
            found = listing.read(folder.handle)
            digest = listing.digest(found, folder.handle, rules.salt)
        except OSError as error:
            self._desk.refuse(folder.path, error)
            return
        self.files += len(found.others)
        below, new = found.folders, set[str]()
        self.temps += [facts.join(folder.path, name) for name in found.temps]
        if digest != self._desk.ledger.seen(folder.path):
            comparison = Comparison(self._desk, folder, rules, since)
            yield from comparison.run(found)
            new = comparison.new
            below = [name for name in below if name not in comparison.closed]
            if comparison.is_settled:
                self._seen.append((folder.path, digest))
            self._put_down()
        if rules.salt:
            below = [name for name in below if not rules.ignores(name, is_folder=True)]
        if named is not None:
            below = [name for name in below if name in named or name in new]
        frame.rest = iter(below)
        if depth > _HELD:
            frame.close()

    def _put_down(self) -> None:
        if len(self._seen) + len(self._desk.fresh) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._seen and not self._desk.fresh:
            return
        with self._desk.ledger.transaction(lasts=False):
            for path, fingerprint, is_racy in self._desk.fresh:
                self._desk.ledger.refresh(path, fingerprint, is_racy=is_racy)
            self._desk.ledger.see(self._seen)
        self._seen, self._desk.fresh = [], []

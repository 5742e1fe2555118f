"""One folder as it is against its rows in the ledger: what is not as agreed."""

import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from aeorsync.core.versions import Kind
from aeorsync.folder import content, facts, listing, names
from aeorsync.folder.content import ReadError
from aeorsync.folder.facts import FOLDER, Agreed, Copy, Fingerprint, Flaw, Found, Trouble
from aeorsync.folder.held import ChangedError, HeldFolder
from aeorsync.folder.ignore import Ignore
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.listing import GONE, Listing, Look
from aeorsync.runtime.clock import WallClock

Row: TypeAlias = tuple[Any, ...]
"""A row of `ledger_rows.ROWS` without its name."""
Known: TypeAlias = dict[str, Row]


class Desk(msgspec.Struct):
    """What a scan works with, and what it puts down for the ledger.

    Attributes:
        ledger: What was agreed.
        clock: To know what is too young to be sure of.
        tell: Takes what has to be left out.
        has_copies: Whether there are any conflict copies.
        defers: Whether files that certainly changed are left to be read by whoever sends them.
        fresh: Paths whose fingerprint moved though nothing that counts did.
    """

    ledger: Ledger
    clock: WallClock
    tell: Callable[[Trouble], None]
    has_copies: bool
    defers: bool = False
    fresh: list[tuple[str, Fingerprint, bool]] = msgspec.field(default_factory=list)

    def leave(self, path: str, flaw: Flaw, what: str) -> None:
        """Tell that a path is left out."""
        shown = facts.printable(path)
        self.tell(Trouble(shown, flaw, f"{shown or 'the folder'} {what}"))

    def refuse(self, path: str, error: OSError) -> None:
        """Tell what the system said of a path."""
        if isinstance(error, PermissionError):
            self.leave(path, Flaw.UNREADABLE, "may not be read; change its permissions")
        elif isinstance(error, FileNotFoundError | NotADirectoryError):
            self.leave(path, Flaw.CHANGING, "changed meanwhile; it is looked at again")
        else:
            reason = error.strerror or str(error)
            self.leave(path, Flaw.DISK, f"cannot be read ({reason}); it was left as it is")


class Comparison:
    """One folder against its rows.

    Attributes:
        is_settled: Whether the next scan need not look at it again while it stays like that.
        new: Names of folders in it that were not agreed on.
        closed: Names of folders in it that take no part.
    """

    def __init__(self, desk: Desk, folder: HeldFolder, rules: Ignore, since_ns: int) -> None:
        """Prepare.

        Args:
            desk: Of the scan.
            folder: To be compared, held open.
            rules: Of it.
            since_ns: When its listing began to be read.
        """
        self._desk = desk
        self._folder = folder
        self._rules = rules
        self._since = since_ns
        self._copies = desk.ledger.copies(folder.path) if desk.has_copies else {}
        self.is_settled = True
        self.new: set[str] = set()
        self.closed: set[str] = set()

    def run(self, found: Listing) -> Iterator[Found]:
        """What in the folder is not as agreed, sorted by name, slice by slice."""
        for name in found.broken:
            if not self._rules.ignores(name, is_folder=False):
                self._leave(name, Flaw.NAME, "is left out: the name is not UTF-8")
        start, first, left = 0, "", len(found.others)
        for some, looks in found.slices(self._folder.handle):
            left -= len(some)
            last = some[-1] if left else None
            rows = self._desk.ledger.rows(self._folder.path, first, last)
            known = {row[0]: row[1:] for row in rows}
            yield from self._others(some, looks, known)
            stop = bisect_left(found.folders, last) if last else len(found.folders)
            yield from self._folders(found.folders[start:stop], known)
            yield from self._gone(known)
            if self.is_settled and listing.are_young(looks, self._since):
                self.is_settled = False
            start, first = stop, f"{last}\0"
        for path, copy in self._copies.items():
            yield from self._without(path, copy)

    def _others(self, some: list[str], looks: list[Look], known: Known) -> Iterator[Found]:
        for name, look in zip(some, looks, strict=True):
            row = known.pop(name, None)
            if row is not None and _is_as(row, look):
                continue
            path = facts.join(self._folder.path, name)
            if path not in self._copies and self._rules.ignores(name, is_folder=False):
                self._forget(name, row)
            else:
                yield from self._other(path, look, row)

    def _other(self, path: str, look: Look, row: Row | None) -> Iterator[Found]:
        """Something other than a folder that is not as its row, or has none."""
        name = facts.name(path)
        copy = self._copies.pop(path, None)
        if look == GONE:
            self._leave(name, Flaw.CHANGING, "is being changed; the next scan sees to it")
            return
        fingerprint = listing.fingerprint(look)
        flaw = names.flaw(path) if row is None else None
        if fingerprint is None:
            self._leave(name, Flaw.SPECIAL, "is left out: it is no file, folder or link")
        elif flaw is not None:
            self._leave(name, Flaw.NAME, f"is left out: {flaw}")
        elif copy is not None:
            if fingerprint != copy.fingerprint:
                yield from self._read(path, fingerprint, None, copy)
        else:
            was = self._desk.ledger.agreed(path) if row is not None else None
            if was is None or was.is_racy or was.fingerprint != fingerprint:
                yield from self._read(path, fingerprint, was, None)

    def _read(
        self, path: str, fingerprint: Fingerprint, was: Agreed | None, copy: Copy | None
    ) -> Iterator[Found]:
        """Read what may have changed, and tell if it did."""
        if was is not None and was.kind is Kind.DIRECTORY:
            yield from self._gone_below(path)
        try:
            found = self._reading(path, fingerprint, was, copy)
        except OSError as error:
            self.is_settled = False
            self._desk.refuse(path, error)
            return
        except (ChangedError, ReadError):
            self._leave(facts.name(path), Flaw.CHANGING, "is changing; the next scan sees to it")
            return
        if found is not None:
            yield self._found(found)

    def _reading(
        self, path: str, fingerprint: Fingerprint, was: Agreed | None, copy: Copy | None
    ) -> Found | None:
        now = self._desk.clock.now_ns()
        name = facts.name(path)
        if fingerprint.kind is Kind.SYMLINK:
            target = self._folder.read_link(name)
            if self._folder.look(name) != fingerprint:
                raise ReadError
            if (flaw := names.target_flaw(target)) is not None:
                self._leave(name, Flaw.NAME, f"is left out: {flaw}")
                return None
            found = Found(path, fingerprint, was, None, target, copy, fingerprint.is_racy(now))
            value = target.encode()
        elif copy is None and self._may_wait(name, was, fingerprint):
            racy = fingerprint.is_racy(now)
            return Found(path, fingerprint, was, is_racy=racy, is_unread=True)
        else:
            fingerprint, data = content.read_file(self._folder, name)
            found = Found(path, fingerprint, was, data, "", copy, fingerprint.is_racy(now))
            value = data.hash
        if copy is not None and copy.content == value:
            self._desk.ledger.add_copy(path, replace(copy, fingerprint=fingerprint))
            self.is_settled = False
            return None
        if copy is not None and copy.is_announced:
            self._desk.ledger.drop_copy(path)
            found = replace(found, copy=None)
        if was is not None and value == was.content and _is_untouched(was, fingerprint):
            self._desk.fresh.append((path, fingerprint, found.is_racy))
            self.is_settled &= not found.is_racy
            return None
        return found

    def _may_wait(self, name: str, was: Agreed | None, now: Fingerprint) -> bool:
        """Whether somebody else may read a file: it cannot hold what was agreed on."""
        if not self._desk.defers:
            return False
        if was is not None and (was.kind, was.fingerprint.size) == (now.kind, now.size):
            return False
        return os.access(name, os.R_OK, dir_fd=self._folder.handle, effective_ids=True)

    def _folders(self, some: list[str], known: Known) -> Iterator[Found]:
        for name in some:
            row = known.pop(name, None)
            if self._rules.ignores(name, is_folder=True):
                self._forget(name, row)
            elif self._rules.passes(name):
                self._forget(name, row, below=False)
                self.new.add(name)
            elif row is None or row[0] != Kind.DIRECTORY:
                yield from self._new_folder(name)

    def _new_folder(self, name: str) -> Iterator[Found]:
        path = facts.join(self._folder.path, name)
        flaw = names.flaw(path)
        if flaw is not None:
            self.closed.add(name)
            self._leave(name, Flaw.NAME, f"is left out with all that is in it: {flaw}")
            return
        self.new.add(name)
        yield self._found(Found(path, FOLDER, self._desk.ledger.agreed(path)))

    def _gone(self, known: Known) -> Iterator[Found]:
        for name, row in known.items():
            is_folder = row[0] == Kind.DIRECTORY
            if self._rules.ignores(name, is_folder=is_folder):
                self._forget(name, row)
                continue
            path = facts.join(self._folder.path, name)
            if is_folder and self._rules.passes(name):
                self._forget(name, row, below=False)
            else:
                yield self._found(Found(path, None, self._desk.ledger.agreed(path)))
            if is_folder:
                yield from self._gone_below(path)

    def _gone_below(self, path: str) -> Iterator[Found]:
        for below, was in self._desk.ledger.below(path):
            yield self._found(Found(below, None, was))
        for below, copy in self._desk.ledger.copies().items():
            if facts.is_inside(below, path):
                yield from self._without(below, copy)

    def _without(self, path: str, copy: Copy) -> Iterator[Found]:
        """A copy that is not there: somebody deleted it, or a crash kept it from being written."""
        if copy.is_announced:
            self._desk.ledger.drop_copy(path)
            self.is_settled = False
        else:
            yield self._found(Found(path, None, copy=copy))

    def _forget(self, name: str, row: Row | None, *, below: bool = True) -> None:
        """What takes no part is nothing that was agreed: it must not seem gone some day."""
        path = facts.join(self._folder.path, name)
        if row is not None and below:
            self._desk.ledger.forget_below(path)
        elif row is not None:
            self._desk.ledger.forget([path])

    def _found(self, found: Found) -> Found:
        self.is_settled = False
        return found

    def _leave(self, name: str, flaw: Flaw, what: str) -> None:
        self.is_settled = False
        self._desk.leave(facts.join(self._folder.path, name), flaw, what)


def _is_as(row: Row, look: Look) -> bool:
    """Whether a file or a link looks as its row says, and that can be believed."""
    mode = look[0]
    if row[6] or row[1:5] != look[1:]:
        return False
    if stat.S_ISREG(mode):
        return (row[0], row[5]) == (Kind.FILE, bool(mode & stat.S_IXUSR))
    return stat.S_ISLNK(mode) and bool(row[0] == Kind.SYMLINK)


def _is_untouched(agreed: Agreed, now: Fingerprint) -> bool:
    """Whether nothing that travels differs, given equal content."""
    was = agreed.fingerprint
    return (was.kind, was.mtime_ns, was.executable) == (now.kind, now.mtime_ns, now.executable)

"""A head in the making: edits on top of a view, and the commit they amount to.

One draft serves one group commit. Each operation of the group runs between `begin` and `keep` (or
`undo`), sees what the ones before it left, and leaves nothing when it fails. No I/O but reads.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

import msgspec

from aeorsync.core import clock, tree
from aeorsync.core.finder import Finder
from aeorsync.core.merge import Sight, join, see
from aeorsync.core.paths import MAX_PATH, TreePath, from_key, to_key
from aeorsync.core.versions import (
    Content,
    Dot,
    Entry,
    Kind,
    Vector,
    Version,
    covers,
    decode_entry,
    encode_entry,
)
from aeorsync.errors import BadRequestError, ConflictError
from aeorsync.storage.base import Change, Commit
from aeorsync.storage.collisions import ConflictMarks
from aeorsync.storage.states import State, sight_of, state_of
from aeorsync.storage.views import NodeCache, View, below

MAX_OPEN_VERSIONS = 64
"""Concurrent versions a client may pile up on one path before somebody has to resolve."""

_MAX_READ = 20_000
"""Entries of the view that a draft remembers."""


class Draft:
    """Edits on top of one view. Belongs to the writer thread.

    Attributes:
        now_ms: Milliseconds since the Unix epoch.
        owns_incarnation: Whether this process minted dots under the present incarnation.
        ended: Last dots of the incarnations that ended in this draft.
        operations: How many were kept.
        made: The commit it came to; None before, and where nothing changed.
    """

    def __init__(
        self, view: View, now_ms: int, new_incarnation: Callable[[], int], session: int | None
    ) -> None:
        """Start with no edits.

        Args:
            view: The head to build on.
            now_ms: The wall clock, in milliseconds since the Unix epoch.
            new_incarnation: Makes an id to mint dots under.
            session: Incarnation under which this process minted before; None if it did not.
        """
        self._view = view
        self._live = Finder(view.head.root, view.cache.read)
        self._dead = Finder(view.head.graves, view.cache.read)
        self.now_ms = now_ms
        self._new_incarnation = new_incarnation
        self._incarnation = view.head.incarnation
        self.owns_incarnation = self._incarnation == session
        self._n = view.head.n
        self._stamp = view.head.stamp
        self._kept: dict[bytes, Entry] = {}
        self._kept_via: dict[bytes, int] = {}
        self._open: dict[bytes, Entry] = {}
        self._open_via: dict[bytes, int] = {}
        self._asked: set[bytes] = set()
        self._read: dict[bytes, Entry | None] = {}
        self._mark = (self._incarnation, self._n, self.owns_incarnation, 0)
        self.ended: list[Dot] = []
        self._forgotten, self._open_forgotten = set[bytes](), set[bytes]()
        self._order: list[bytes] = []  # keys edited so far, also by what was undone
        self._merged: set[bytes] = set()
        self.operations = 0
        self.made: Commit | None = None

    def begin(self) -> None:
        """Start an operation."""
        self._open, self._open_via = {}, {}
        self._asked, self._open_forgotten = set(), set()
        self._mark = (self._incarnation, self._n, self.owns_incarnation, len(self.ended))

    def keep(self) -> None:
        """End an operation and keep its edits."""
        self.operations += 1
        self._kept.update(self._open)
        self._kept_via.update(self._open_via)
        self._forgotten |= self._open_forgotten
        self._open, self._open_via, self._open_forgotten = {}, {}, set()

    def undo(self) -> None:
        """End an operation and forget its edits and dots."""
        self._open, self._open_via, self._open_forgotten = {}, {}, set()
        self._incarnation, self._n, self.owns_incarnation, ended = self._mark
        del self.ended[ended:]

    @property
    def view(self) -> View:
        """The head this is built on, without any edits."""
        return self._view

    @property
    def node(self) -> int:
        """Id of this node."""
        return self._view.head.node

    def may_collide(self, path: TreePath) -> None:
        """Look, at commit, whether what was written at a path makes a file and a folder of one."""
        self._merged.add(to_key(path))

    # Reading

    def entry(self, key: bytes) -> Entry | None:
        """The entry at a key, live or deleted, with this draft's edits."""
        self._asked.add(key)
        return self._open.get(key) or self._kept.get(key) or self._before(key)

    def _before(self, key: bytes) -> Entry | None:
        """The entry at a key without any edits; remembered, since each is asked for often."""
        if key in self._read:
            return self._read[key]
        if len(self._read) >= _MAX_READ:
            self._read.clear()
        data = self._live.get(key) or self._dead.get(key)
        entry = self._read[key] = None if data is None else decode_entry(data)
        return entry

    def live(self, path: TreePath) -> Sight | None:
        """What readers will see at a path, if it is live."""
        return sight_of(self.entry(to_key(path)))

    def inside(self, path: TreePath) -> list[bytes]:
        """Keys of all that is live below a path, in tree order."""
        keys = {key for key, _ in self._view.walk(path, system=True)}
        for key, is_live in self._edited_inside(to_key(path)):
            (keys.add if is_live else keys.discard)(key)
        return sorted(keys)

    def has_inside(self, path: TreePath) -> bool:
        """Whether anything is live below a path."""
        key = to_key(path)
        edited = dict(self._edited_inside(key))
        if any(edited.values()):
            return True
        return bool(self.inside(path)) if edited else self._live.has(*below(key))

    def is_free(self, key: bytes) -> bool:
        """Whether nothing ever was at a key, nor is anything live below it."""
        if self.entry(key) is not None:
            return False
        start, stop = key + b"\0", key + b"\x01"
        at = bisect_left(self._order, start)
        if at < len(self._order) and self._order[at] < stop:
            return not self.has_inside(from_key(key))
        return not self._live.has(start, stop)

    def _edited_inside(self, folder: bytes) -> Iterator[tuple[bytes, bool]]:
        """Keys below a folder that this draft has edited, and whether each is live."""
        start, stop = below(folder)
        first = bisect_left(self._order, start)
        last = len(self._order) if stop is None else bisect_left(self._order, stop)
        for key in self._order[first:last]:
            entry = self._open.get(key) or self._kept.get(key)
            if entry is not None:
                yield key, see(entry).is_live

    def brought(self) -> set[Content]:
        """Files that the operation under way wants to be readable."""
        return {
            version.content
            for entry in self._open.values()
            for version in entry.versions
            if version.kind == Kind.FILE and not version.deleted
        }

    def knew(self) -> set[Content]:
        """Files in the entries that the operation under way looked at, as they were before.

        What was deleted does not count: of that the bytes need not be here.
        """
        entries = (self._kept.get(key) or self._before(key) for key in self._asked)
        versions = (version for entry in entries if entry for version in entry.versions)
        return {version.content for version in versions if not version.deleted}

    # Writing

    def write(
        self, path: TreePath, state: State, context: Vector | None = None, stamp: int = 0
    ) -> Version:
        """Add a new version of a path.

        Args:
            path: Where.
            state: What it becomes.
            context: What the writer had seen; None for all that is there now. A version the
                context does not cover stays beside the new one as a conflict.
            stamp: Of what is only stated again; 0 for one of now.

        Raises:
            BadRequestError: The path is too long, as what is moved to a longer one may be.
            ConflictError: The path holds too many unresolved versions already.
        """
        key = to_key(path)
        if len(key) >= MAX_PATH:
            raise BadRequestError(f"{path[:100]}... would be longer than {MAX_PATH} bytes")
        entry = self.entry(key)
        if context is None:
            context = entry.context if entry else ()
        self._notice_copied_database(context)
        if entry is not None and not all(covers(context, v.dot) for v in entry.versions):
            # "Up to n" must never take in a version that stays beside the new one: under numbers
            # of its own the new one can be known without knowing those.
            self._renew_incarnation()
        version = self._mint(state, context, stamp)
        merged = join(entry, Entry((version,)))
        if len(merged.versions) > MAX_OPEN_VERSIONS:
            raise ConflictError(
                f"{path} has {MAX_OPEN_VERSIONS} unresolved versions; resolve them first"
            )
        self._set(key, merged, via=0)
        return version

    def write_first(self, key: bytes, state: State, context: Vector = ()) -> Version:
        """Add the first version of a path that is free; see `is_free` and `write`."""
        if len(key) >= MAX_PATH:
            raise BadRequestError(
                f"{from_key(key)[:100]}... would be longer than {MAX_PATH} bytes"
            )
        if context:
            self._notice_copied_database(context)
        version = self._mint(state, context)
        self._set(key, Entry((version,)), via=0)
        return version

    def merge(self, key: bytes, theirs: Entry, via: int) -> bool:
        """Join what a peer knows of a key into ours; returns whether that changed anything."""
        ours, sent = self.entry(key), theirs
        self._notice_copied_database(theirs.context)
        for version in theirs.versions:
            self._stamp = clock.observe(self._stamp, version.stamp)
        merged = theirs if ours is None else join(*self._part_equal_dots(ours, theirs))
        if merged == ours:
            return False
        self._set(key, merged, via=via if merged == sent else 0)
        self._merged.add(key)
        return True

    def note_merged(self, key: bytes) -> None:
        """Say that a key came from elsewhere, so a file may have met a folder of its name."""
        self._merged.add(key)

    def forget(self, key: bytes, entry: Entry) -> bool:
        """Take a grave out of the trees, leaving nothing; returns whether it was still so.

        The feed does not tell of it: nobody has to do anything about it. A grave that this draft
        edits, before or after, stays.
        """
        if self.entry(key) != entry or see(entry).is_live:
            return False
        self._open_forgotten.add(key)
        return True

    def _mint(self, state: State, context: Vector, stamp: int = 0) -> Version:
        if not self.owns_incarnation:
            # The database may be an older copy of itself, put back: never reuse its numbers.
            self._renew_incarnation()
        self._stamp = clock.next_stamp(self._stamp, self.now_ms)
        self._n += 1
        return Version(
            kind=int(state.kind),
            deleted=state.deleted,
            content=state.content,
            target=state.target,
            content_type=state.content_type,
            executable=state.executable,
            mtime=state.mtime,
            created=state.created,
            stamp=stamp or self._stamp,
            node=self.node,
            incarnation=self._incarnation,
            n=self._n,
            vector=context,
            base=state.base,
        )

    def _set(self, key: bytes, entry: Entry, via: int) -> None:
        if key not in self._open and key not in self._kept:
            insort(self._order, key)
        self._open[key] = entry
        self._open_via[key] = via

    def _notice_copied_database(self, seen: Vector) -> None:
        """Go on as a new incarnation when somebody has seen dots of ours that we have not.

        Then this database lives twice, and the next dot would name two things.
        """
        for incarnation, n in seen:
            if incarnation == self._incarnation and n > self._n:
                self._renew_incarnation()
                return

    def _renew_incarnation(self) -> None:
        if self._n:
            self.ended.append((self._incarnation, self._n))
        self._incarnation, self._n = self._new_incarnation(), 0
        self.owns_incarnation = True

    def _part_equal_dots(self, ours: Entry, theirs: Entry) -> tuple[Entry, Entry]:
        """Give one of two versions that go by the same dot a new one, so both are kept.

        Only a copied database mints such dots. The version with the smaller bytes keeps the
        dot, on every node, so nodes agree.
        """
        mine = {version.dot: version for version in ours.versions}
        hers = {version.dot: version for version in theirs.versions}
        clashes = [dot for dot in mine.keys() & hers.keys() if mine[dot] != hers[dot]]
        if not clashes:
            return ours, theirs
        for dot in clashes:
            first, second = sorted((mine[dot], hers[dot]), key=msgspec.msgpack.encode)
            self._renew_incarnation()
            mine[dot] = hers[dot] = first
            renamed = self._mint(state_of(second), second.vector)
            mine[renamed.dot] = renamed
        return _entry_of(mine), _entry_of(hers)

    # Committing

    def commit(self, cache: NodeCache) -> Commit | None:
        """The commit that all kept operations amount to; None when nothing changed."""
        before = self._view.head
        visible: dict[bytes, bytes | None] = {}
        graves: dict[bytes, bytes | None] = {}
        changes: list[Change] = []
        marks = ConflictMarks(self)
        for key, entry in self._kept.items():
            old = self._before(key)
            if old == entry:
                continue
            was, now = None if old is None else see(old), see(entry)
            home, other = (visible, graves) if now.is_live else (graves, visible)
            home[key] = encode_entry(entry)
            if was is not None and was.is_live != now.is_live:
                other[key] = None
            changes.append(
                Change(
                    seq=before.seq + len(changes) + 1,
                    key=key,
                    was=_kind(was),
                    now=_kind(now),
                    via=self._kept_via[key],
                )
            )
            if was is not None or key in self._merged or now.losers or not now.is_live:
                marks.note(key, was, now, is_merged=key in self._merged)
        graves.update(dict.fromkeys(self._forgotten - self._kept.keys()))
        if not changes and not graves:
            return None
        live = tree.edit(before.root, cache.read, visible)
        dead = tree.edit(before.graves, cache.read, graves)
        after = msgspec.structs.replace(
            before,
            root=live.root,
            graves=dead.root,
            seq=changes[-1].seq if changes else before.seq,
            stamp=self._stamp,
            incarnation=self._incarnation,
            n=self._n,
        )
        self.made = Commit(
            before=before,
            after=after,
            nodes={**live.made, **dead.made},
            dropped=(live.dropped | dead.dropped) - live.made.keys() - dead.made.keys(),
            changes=changes,
            conflicts=marks.found,
        )
        return self.made


def _entry_of(versions: dict[Dot, Version]) -> Entry:
    """The maximal ones of some versions."""
    kept = (
        versions[dot]
        for dot in sorted(versions)
        if not any(covers(other.vector, dot) for other in versions.values())
    )
    return Entry(tuple(kept))


def _kind(sight: Sight | None) -> int:
    return sight.winner.kind if sight is not None and sight.is_live else 0

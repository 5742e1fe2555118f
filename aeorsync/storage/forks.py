r"""Forks: a second state of the tree that can be written.

A fork is the tree it began with, kept, and what was changed since, as ordinary entries in the
system namespace: so it is durable, replicates and merges by the same code as everything.

    in the fork        in the tree
    -----------        -----------
    /a.txt written     /.aeordb-system/forks/<id>/a.txt
    /a.txt deleted     the same, live, with the content type `GONE`: a grave there would only
                       mean that the fork has nothing to say of the path
    not touched        nothing; readers see the tree it began with

Every write also writes the fork's record again, as it is. So who deletes the fork while somebody
else, elsewhere, writes into it has not deleted that: the record is in conflict and stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter

import msgspec

from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import see
from aeorsync.core.paths import MAX_PATH, ROOT, TreePath, ancestors, from_key, parent, to_key
from aeorsync.core.versions import (
    Content,
    Entry,
    Kind,
    Vector,
    Version,
    decode_entry,
    encode_entry,
)
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.runtime import chance
from aeorsync.storage.changes import make_folder
from aeorsync.storage.draft import Draft
from aeorsync.storage.states import State, state_of
from aeorsync.storage.version_records import Fork
from aeorsync.storage.views import View, below

GONE = "\0gone"
"""Content type of a deletion in a fork; no header can spell it."""
_NOTHING = Content(content_hash(b""), 0)


def new_fork_id() -> str:
    """A random id, short because it is a part of every path of the fork."""
    return chance.token_hex(8)


@dataclass(frozen=True, slots=True)
class ForkLens:
    """A fork as a state of the tree; see `storage.lenses.Lens`."""

    fork: Fork

    def view(self, view: View) -> View:
        """See `Lens`."""
        return ForkView(view, self.fork)

    def draft(self, draft: Draft, /) -> Draft:
        """See `Lens`."""
        return ForkDraft(draft, self.fork)


class ForkView(View):
    """The tree as a fork has it."""

    def __init__(self, view: View, fork: Fork) -> None:
        base = view.at(*fork.trees)
        super().__init__(base.head, view.cache, lambda _: view.close())
        self._changed = view
        self._base = base
        self._folder = to_key(fork.folder)

    def live_data(self, key: bytes) -> bytes | None:
        """See `View`."""
        data = self._changed.live_data(_over(self._folder, key))
        if data is None:
            return self._base.live_data(key)
        entry = _as_seen(decode_entry(data))
        return encode_entry(entry) if entry is not None and see(entry).is_live else None

    def live_items(
        self, start: bytes = b"", stop: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `View`."""
        end = self._folder + b"\x01" if stop is None else _over(self._folder, stop)
        first = len(self._folder) + 1
        over = self._changed.live_items(_over(self._folder, start), end)
        changed = ((key[first:], 0, data) for key, data in over if len(key) >= first)
        kept = ((key, 1, data) for key, data in self._base.live_items(start, stop))
        for key, rows in groupby(merge(changed, kept, key=itemgetter(0, 1)), itemgetter(0)):
            _, is_kept, data = next(rows)
            if is_kept:
                yield key, data
                continue
            entry = _as_seen(decode_entry(data))
            if entry is not None and see(entry).is_live:
                yield key, encode_entry(entry)

    def entry(self, key: bytes) -> Entry | None:
        """See `View`."""
        data = self._changed.live_data(_over(self._folder, key))
        entry = None if data is None else _as_seen(decode_entry(data))
        return self._base.entry(key) if entry is None else entry

    def has_inside(self, key: bytes) -> bool:
        """See `View`."""
        return next(self.live_items(*below(key)), None) is not None


class ForkDraft(Draft):
    """Edits of a fork, as edits of the tree that holds it."""

    def __init__(self, draft: Draft, fork: Fork) -> None:
        """Look through a draft, with the edits it has.

        Raises:
            NotFoundError: The fork is gone.
        """
        if draft.live(fork.path) is None:
            raise NotFoundError(f"there is no fork {fork.name}")
        self.now_ms = draft.now_ms
        self._view = ForkView(draft.view, fork)
        self._draft = draft
        self._base = draft.view.at(*fork.trees)
        self._fork = fork
        self._folder = to_key(fork.folder)
        self._is_noted = False

    def entry(self, key: bytes) -> Entry | None:
        """See `Draft`."""
        over = self._draft.entry(_over(self._folder, key))
        entry = None if over is None else _as_seen(over)
        return self._base.entry(key) if entry is None else entry

    def inside(self, path: TreePath) -> list[bytes]:
        """See `Draft`."""
        keys = {key for key, _ in self._base.walk(path)}
        for key, is_live in self._changed_inside(path):
            (keys.add if is_live else keys.discard)(key)
        return sorted(keys)

    def has_inside(self, path: TreePath) -> bool:
        """See `Draft`."""
        changed = dict(self._changed_inside(path))
        return any(changed.values()) or any(key not in changed for key, _ in self._base.walk(path))

    def is_free(self, key: bytes) -> bool:
        """See `Draft`."""
        return self.entry(key) is None and not self.has_inside(from_key(key))

    def write_first(self, key: bytes, state: State, context: Vector = ()) -> Version:
        """See `Draft`."""
        return self.write(from_key(key), state, context)

    def write(
        self, path: TreePath, state: State, context: Vector | None = None, stamp: int = 0
    ) -> Version:
        """See `Draft`."""
        target = _path(self._fork, path)
        room = MAX_PATH - len(self._folder) - 1
        if len(to_key(path)) >= room:
            text = f"{path[:100]}... is too long for a fork, where a path has up to {room} bytes"
            raise BadRequestError(text)
        self._note()
        if state.deleted:
            state = _gone(state)
        version = self._draft.write(target, state, context, stamp)
        seen = _as_seen(Entry((version,)))
        return version if seen is None else seen.versions[0]

    def may_collide(self, path: TreePath) -> None:
        """See `Draft`; what a fork holds are records, and in no conflict with each other."""

    def _note(self) -> None:
        """Write the record again, so that nobody deletes the fork without knowing of this."""
        sight = self._draft.live(self._fork.path)
        if sight is None:
            raise NotFoundError(f"there is no fork {self._fork.name}")
        if not self._is_noted:
            self._draft.write(self._fork.path, state_of(sight.winner))
            self._is_noted = True

    def _changed_inside(self, path: TreePath) -> Iterator[tuple[bytes, bool]]:
        """Keys below a path that the fork has changed, and whether each is live in it."""
        for key in self._draft.inside(_path(self._fork, path)):
            own = key[len(self._folder) + 1 :]
            entry = self.entry(own)
            yield own, entry is not None and see(entry).is_live


@dataclass(frozen=True, slots=True)
class Promoted:
    """What became of a fork that was promoted.

    Attributes:
        paths: How many paths it had changed.
        conflicts: How many of them the tree had changed, too, in another way.
    """

    paths: int
    conflicts: int


def promote(draft: Draft, fork: Fork) -> Promoted:
    """Apply what a fork changed to the tree; what changed there since stays beside it.

    The fork itself is left as it is.
    """
    base = draft.view.at(*fork.trees)
    folder = to_key(fork.folder)
    keys = draft.inside(fork.folder)
    changed: list[TreePath] = []
    for key in keys:
        entry = draft.entry(key)
        seen = None if entry is None else _as_seen(entry)
        path = from_key(key[len(folder) + 1 :])
        if seen is not None and _promote_one(draft, base, path, seen):
            changed.append(path)
    sights = [sight for path in changed if (sight := draft.live(path)) is not None]
    return Promoted(len(changed), sum(1 for sight in sights if sight.losers))


def discard(draft: Draft, fork: Fork) -> None:
    """Delete all that a fork is."""
    for key in reversed(draft.inside(fork.folder)):
        _delete(draft, from_key(key))
    _delete(draft, fork.path)


def _promote_one(draft: Draft, base: View, path: TreePath, entry: Entry) -> bool:
    """Write one path of a fork as somebody who had seen what the fork began with."""
    before = base.entry(to_key(path))
    context = before.context if before is not None else ()
    was = None if before is None else see(before)
    edited = was.winner.content.hash if was is not None and was.is_live else b""
    sight = see(entry)
    if not sight.is_live:
        if was is None or not was.is_live or draft.live(path) is None:
            return False
        draft.write(path, state_of(was.winner, deleted=True, base=edited), context)
        return True
    lives = filter(None, map(draft.live, ancestors(path)))
    above = next(lives, None)
    # Where a file is in the way both are kept, as when two nodes make them.
    if (above is None or above.winner.kind == Kind.DIRECTORY) and parent(path) != ROOT:
        make_folder(draft, parent(path))
    for version in sorted((sight.winner, *sight.losers), key=lambda version: version.rank):
        draft.write(path, state_of(version, base=edited), context)
    draft.may_collide(path)
    return True


def _delete(draft: Draft, path: TreePath) -> None:
    sight = draft.live(path)
    if sight is not None:
        draft.write(path, state_of(sight.winner, deleted=True, base=b""))


def _gone(state: State) -> State:
    return State(
        kind=Kind.FILE,
        content=_NOTHING,
        content_type=GONE,
        mtime=state.mtime,
        created=state.created,
        base=state.base,
    )


def _as_seen(entry: Entry) -> Entry | None:
    """An entry of a fork's folder as the fork's readers see it; None when it says nothing."""
    versions = [version for version in entry.versions if not version.deleted]
    if not versions:
        return None
    return Entry(tuple(map(_version_as_seen, versions)))


def _version_as_seen(version: Version) -> Version:
    if version.content_type != GONE:
        return version
    return msgspec.structs.replace(version, deleted=True, content_type="")


def _over(folder: bytes, key: bytes) -> bytes:
    """Where the fork in a folder keeps what it has at a key."""
    return folder + b"\0" + key


def _path(fork: Fork, path: TreePath) -> TreePath:
    return fork.folder if path == ROOT else TreePath(fork.folder + path)

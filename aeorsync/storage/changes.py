"""What a caller can do to a path, as decisions on a draft.

Each function reads the draft, decides, and writes versions into it, or raises and leaves
everything as it was. None does I/O of its own. Those that go through a folder take the access of
who asked (`storage.bounds`); may they do it at the path itself, their caller has made sure.
"""

from typing import Literal, TypeAlias

import msgspec

from aeorsync.core.access import EVERYTHING, Access, Op, missing
from aeorsync.core.paths import ROOT, TreePath, ancestors, is_inside, join, name, to_key
from aeorsync.core.versions import Content, Entry, Kind, Vector, Version
from aeorsync.errors import BadRequestError, ConflictError, NotFoundError, PreconditionError
from aeorsync.storage.bases import edited, edited_from, stated
from aeorsync.storage.bounds import (
    demand_copy,
    demand_move,
    demand_put,
    has_known,
    is_taken,
    within,
)
from aeorsync.storage.draft import Draft
from aeorsync.storage.states import State, sight_of, state_of

Tags: TypeAlias = tuple[Vector | None, ...] | Literal["*"] | None
"""Contexts named by an If-Match or If-None-Match header; None in it matches nothing."""


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """What a writer demands of, or knows about, the state it changes.

    Attributes:
        if_match: Refuse with 412 unless the current entry is one of these ("*": any).
        if_none_match: Refuse with 412 if the current entry is one of these ("*": any).
        base: What the writer had seen; a newer version it had not seen stays as a conflict.
            None: it has seen what is there.
        states_again: Write also what is there already, so that it is the newest.
    """

    if_match: Tags = None
    if_none_match: Tags = None
    base: Vector | None = None
    states_again: bool = False


NO_CONDITIONS = Conditions()


class FileState(msgspec.Struct, frozen=True, gc=False):
    """A file as its writer states it; None keeps what is there, or takes a default."""

    content: Content
    content_type: str
    executable: bool | None = None
    mtime: int | None = None

    def is_stated_by(self, version: Version) -> bool:
        """Whether a version says all of this already."""
        return (
            version.kind == Kind.FILE
            and not version.deleted
            and version.content.hash == self.content.hash
            and version.content_type == self.content_type
            and self.executable in (None, version.executable)
            and self.mtime in (None, version.mtime)
        )


class LinkState(msgspec.Struct, frozen=True, gc=False):
    """A symlink as its writer states it; None takes a default.

    Attributes:
        target: Where it points.
        content: Hash and size of the target's text.
        mtime: Nanoseconds since the Unix epoch.
    """

    target: str
    content: Content
    mtime: int | None = None

    def is_stated_by(self, version: Version) -> bool:
        """Whether a version says all of this already."""
        return (
            version.kind == Kind.SYMLINK
            and not version.deleted
            and version.target == self.target
            and self.mtime in (None, version.mtime)
        )


def put_file(
    draft: Draft,
    path: TreePath,
    file: FileState,
    conditions: Conditions = NO_CONDITIONS,
    *,
    has_folder: bool = False,
) -> Version:
    """Create or replace a file. Stating again what is there already changes nothing.

    With ``has_folder`` this operation made sure before that the folder it is in is one.
    """
    key = to_key(path)
    if key and conditions.if_match is None and draft.is_free(key):
        return _put_first(draft, path, key, file, conditions.base or (), has_folder=has_folder)
    entry = _check(draft, path, conditions)
    old = sight_of(entry)
    if old is not None and old.winner.kind == Kind.DIRECTORY:
        raise ConflictError(f"{path} is a folder")
    if old is None and draft.has_inside(path):
        raise ConflictError(f"{path} is a folder")
    again = stated(entry, old, conditions.base, file.is_stated_by)
    if again is not None and not conditions.states_again:
        return again
    previous = edited(entry, conditions.base) or (old.winner if old is not None else None)
    if not has_folder:
        _make_parents(draft, path)
    executable = file.executable
    if executable is None:
        executable = previous.executable if previous is not None else False
    state = State(
        kind=Kind.FILE,
        content=file.content,
        content_type=file.content_type,
        executable=executable,
        mtime=draft.now_ms * 1_000_000 if file.mtime is None else file.mtime,
        created=previous.created if previous is not None else draft.now_ms,
        base=edited_from(entry, conditions.base),
    )
    return draft.write(path, state, conditions.base)


def put_link(
    draft: Draft, path: TreePath, link: LinkState, conditions: Conditions = NO_CONDITIONS
) -> Version:
    """Create or replace a symlink. Stating again what is there already changes nothing."""
    entry = _check(draft, path, conditions)
    old = sight_of(entry)
    if (old is not None and old.winner.kind == Kind.DIRECTORY) or (
        old is None and draft.has_inside(path)
    ):
        raise ConflictError(f"{path} is a folder")
    again = stated(entry, old, conditions.base, link.is_stated_by)
    if again is not None and not conditions.states_again:
        return again
    previous = old.winner if old is not None else None
    _make_parents(draft, path)
    state = State(
        kind=Kind.SYMLINK,
        content=link.content,
        target=link.target,
        mtime=draft.now_ms * 1_000_000 if link.mtime is None else link.mtime,
        created=previous.created if previous is not None else draft.now_ms,
        base=edited_from(entry, conditions.base),
    )
    return draft.write(path, state, conditions.base)


def make_folder(draft: Draft, path: TreePath, mtime: int | None = None) -> bool:
    """Make a folder and those above it; returns whether it was not there before.

    Args:
        draft: Where to write.
        path: Of the folder.
        mtime: For a folder that is new, in nanoseconds since the Unix epoch; None for now.
    """
    if path == ROOT:
        raise BadRequestError("the root is always there")
    old = draft.live(path)
    if old is not None and old.winner.kind != Kind.DIRECTORY:
        raise ConflictError(f"{path} is a file")
    existed = old is not None
    _make_parents(draft, path)
    if old is None:
        _write_folder(draft, path, mtime)
    return not existed


def delete(
    draft: Draft,
    path: TreePath,
    *,
    recursive: bool = False,
    conditions: Conditions = NO_CONDITIONS,
    access: Access = EVERYTHING,
) -> Kind:
    """Delete a file, a symlink, or a folder (an empty one, unless ``recursive``)."""
    _check(draft, path, conditions)
    sight = draft.live(path)
    is_leaf = sight is not None and sight.winner.kind != Kind.DIRECTORY
    if not (is_leaf or recursive) and has_known(draft, path, access):
        raise BadRequestError(f"{path} is not empty; delete what is in it, or ask for recursive")
    keys = draft.inside(path) if recursive and not is_leaf else []
    inside = within(keys, access, Op.DELETE)
    if sight is None and not inside:
        raise missing(path)
    for one in reversed(inside):
        delete_one(draft, one, None)
    if sight is not None:
        delete_one(draft, path, conditions.base)
    return Kind(sight.winner.kind) if sight is not None else Kind.DIRECTORY


def rename(
    draft: Draft,
    path: TreePath,
    to: TreePath,
    conditions: Conditions = NO_CONDITIONS,
    *,
    access: Access = EVERYTHING,
) -> Kind:
    """Move a file, a symlink, or a folder with all that is in it; no content moves.

    Versions in conflict move along and stay in conflict. Nobody comes to read by it what they
    could not read before.
    """
    if path == to:
        raise BadRequestError("source and destination are the same")
    if ROOT in (path, to):
        raise BadRequestError("the root cannot be moved or replaced")
    if is_inside(to, path):
        raise BadRequestError(f"{path} cannot be moved into itself")
    _check(draft, path, conditions)
    sight = draft.live(path)
    inside = within(draft.inside(path), access, Op.UPDATE)
    if sight is None and not inside:
        raise missing(path)
    moved = {source: TreePath(to + source[len(path) :]) for source in (path, *inside)}
    for source, target in moved.items():
        demand_move(draft, source, target, access)
    kind = Kind(sight.winner.kind) if sight is not None else Kind.DIRECTORY
    if is_taken(draft, to, access, kind):
        raise ConflictError(f"{to} exists already")
    _make_parents(draft, to)
    for source, target in moved.items():
        _move_one(draft, source, target)
    return kind


def copy(
    draft: Draft, path: TreePath, folder: TreePath, access: Access = EVERYTHING
) -> list[TreePath]:
    """Copy a file, symlink or folder into a folder under its own name; returns what was made.

    An existing folder of that name is filled up; an existing file or symlink is replaced.
    """
    to = join(folder, name(path))
    if path in (ROOT, to, folder) or is_inside(folder, path):
        raise BadRequestError(f"{path} cannot be copied onto or into itself")
    sight = draft.live(path)
    inside = within(draft.inside(path), access, Op.READ)
    is_leaf = sight is not None and sight.winner.kind != Kind.DIRECTORY
    may = access.may(path, Op.READ) or (not is_leaf and access.may_enter(path))
    if not may or (sight is None and not inside):
        raise missing(path)
    made = []
    if sight is None:
        demand_put(draft, to, access)
        make_folder(draft, to)
    sources = [path] if sight is not None else []
    for source in [*sources, *inside]:
        target = TreePath(to + source[len(path) :])
        demand_copy(draft, source, target, access)
        _copy_one(draft, source, target)
        made.append(target)
    return made


def restore(draft: Draft, path: TreePath, access: Access = EVERYTHING) -> Version:
    """Bring back what was deleted last at a path."""
    entry = draft.entry(to_key(path))
    last = None if entry is None else last_of(entry)
    if is_taken(draft, path, access, Kind.DIRECTORY if last is None else last.kind):
        raise ConflictError(f"{path} exists; rename or delete it first")
    if last is None:
        raise nothing_deleted(path)
    _make_parents(draft, path)
    return draft.write(path, state_of(last, deleted=False, base=b""))


def last_of(entry: Entry) -> Version:
    """The version of a deleted path that is brought back."""
    return max(entry.versions, key=lambda version: version.rank)


def nothing_deleted(path: TreePath) -> NotFoundError:
    """The error of a path where there is nothing to bring back."""
    return NotFoundError(f"nothing was deleted at {path}")


def _put_first(
    draft: Draft, path: TreePath, key: bytes, file: FileState, base: Vector, *, has_folder: bool
) -> Version:
    """Create a file where nothing ever was: so there is nothing to compare it with."""
    if not has_folder:
        _make_parents(draft, path)
    now = draft.now_ms
    state = State(
        kind=Kind.FILE,
        content=file.content,
        content_type=file.content_type,
        executable=bool(file.executable),
        mtime=now * 1_000_000 if file.mtime is None else file.mtime,
        created=now,
    )
    return draft.write_first(key, state, base)


def _check(draft: Draft, path: TreePath, conditions: Conditions) -> Entry | None:
    """The entry at a path, if the conditions hold.

    Raises:
        PreconditionError: They do not.
    """
    if path == ROOT:
        raise BadRequestError("the root is not a file")
    entry = draft.entry(to_key(path))
    if conditions.if_match is None and conditions.if_none_match is None:
        return entry
    current = entry.context if entry is not None and draft.live(path) is not None else None
    if conditions.if_match is not None and not _is_among(current, conditions.if_match):
        raise PreconditionError(f"{path} is not the version If-Match names; nothing was changed")
    if conditions.if_none_match is not None and _is_among(current, conditions.if_none_match):
        raise PreconditionError(f"{path} exists as If-None-Match names; nothing was changed")
    return entry


def _is_among(current: Vector | None, tags: Tags) -> bool:
    return current is not None and (tags == "*" or (tags is not None and current in tags))


def _make_parents(draft: Draft, path: TreePath) -> None:
    """Make the folders above a path."""
    missing = []
    for folder in ancestors(path):
        sight = draft.live(folder)
        if sight is not None:
            if sight.winner.kind != Kind.DIRECTORY:
                raise ConflictError(f"{folder} is a file, not a folder")
            break
        missing.append(folder)
    for folder in reversed(missing):
        _write_folder(draft, folder)


def _write_folder(draft: Draft, path: TreePath, mtime: int | None = None) -> None:
    now = draft.now_ms
    mtime = now * 1_000_000 if mtime is None else mtime
    draft.write(path, State(kind=Kind.DIRECTORY, mtime=mtime, created=now))


def delete_one(draft: Draft, path: TreePath, base: Vector | None) -> Version:
    """Delete what is live at a path, and nothing inside it.

    Args:
        draft: Where to write.
        path: The path.
        base: What the writer had seen; a version it does not cover stays. None for all.
    """
    entry, sight = draft.entry(to_key(path)), draft.live(path)
    if entry is None or sight is None:
        raise NotFoundError(f"not found: {path}")
    version = edited(entry, base)
    gone = version or sight.winner
    # Who had not seen this version did not delete it: it stays, in conflict with the deletion.
    knew = base is None or version is not None or base == entry.context
    state = state_of(gone, deleted=True, base=gone.content.hash if knew else b"")
    return draft.write(path, state, base)


def _move_one(draft: Draft, source: TreePath, target: TreePath) -> None:
    entry, sight = draft.entry(to_key(source)), draft.live(source)
    if entry is None or sight is None:
        return
    there = draft.entry(to_key(target))
    context = there.context if there is not None else ()
    # From one context, so that versions in conflict stay beside each other.
    for version in sorted((sight.winner, *sight.losers), key=lambda version: version.rank):
        draft.write(target, state_of(version, base=b""), context)
    # What was a file and a folder of one name is so in its new place, too.
    draft.may_collide(target)
    delete_one(draft, source, None)


def _copy_one(draft: Draft, source: TreePath, target: TreePath) -> None:
    sight = draft.live(source)
    if sight is None:
        return
    version = sight.winner
    if version.kind == Kind.DIRECTORY:
        make_folder(draft, target)
    elif version.kind == Kind.SYMLINK:
        put_link(draft, target, LinkState(version.target, version.content))
    else:
        file = FileState(version.content, version.content_type, version.executable, version.mtime)
        put_file(draft, target, file)

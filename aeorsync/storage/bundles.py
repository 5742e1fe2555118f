"""Many changes of one writer that happen together or not at all.

    deletes, folders, files, links      in this order, each list in its own

A bundle runs as one operation of the writer, so whatever raises leaves nothing, and readers see
the state before or the state after. An error names its ``path``.

Whoever edits a version that lost a conflict may state the one that won again in the same bundle,
so that what readers see does not swap: then a file is listed twice, each with a base of its own.
Sent a second time, because nobody heard the answer, such a pair changes nothing, as one file does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import msgspec

from aeorsync.core.access import Access, Op, missing
from aeorsync.core.knowledge import Knowledge
from aeorsync.core.merge import see
from aeorsync.core.paths import ROOT, TreePath, to_key
from aeorsync.core.versions import Entry, Kind, Vector, Version, covers
from aeorsync.errors import AeorError, BadRequestError, PreconditionError, StaleError
from aeorsync.storage.bases import stated
from aeorsync.storage.bounds import demand_new, demand_put, has_known
from aeorsync.storage.changes import (
    Conditions,
    FileState,
    LinkState,
    delete_one,
    make_folder,
    put_file,
    put_link,
)
from aeorsync.storage.draft import Draft
from aeorsync.storage.states import sight_of


class Put(msgspec.Struct, frozen=True, gc=False):
    """A file or link to make or replace; ``base`` is what was edited, see `Conditions`."""

    path: TreePath
    state: FileState | LinkState
    base: Vector | None = None


class Folder(msgspec.Struct, frozen=True, gc=False):
    """A folder to make; ``mtime`` in nanoseconds since the Unix epoch, None for now."""

    path: TreePath
    mtime: int | None = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Something to delete; ``base`` is what was seen of it, ``is_folder`` that it was a folder."""

    path: TreePath
    base: Vector | None = None
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one writer wants.

    Attributes:
        access: What they may do.
        deletes: Deepest first.
        folders: To make.
        puts: Files, then links.
        refuses: Whether a version that a base had not seen refuses all of it; otherwise it stays,
            as a conflict.
        known: What this node knew before. Who deletes a file that has not come here yet is
            refused: nothing here could tell it, when it comes, that it was deleted. None where
            nobody is to be refused for that.
    """

    access: Access
    deletes: Sequence[Delete] = ()
    folders: Sequence[Folder] = ()
    puts: Sequence[Put] = ()
    refuses: bool = False
    known: Knowledge | None = None


class Done(msgspec.Struct, frozen=True, gc=False):
    """What became of one path.

    Attributes:
        path: Where.
        version: The version that stands for the change; None where nothing was to be done.
        is_conflict: Whether others stand beside it now.
    """

    path: TreePath
    version: Version | None = None
    is_conflict: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a bundle; each list in the order of the bundle's."""

    deletes: list[Done]
    folders: list[Done]
    puts: list[Done]


def run(draft: Draft, bundle: Bundle) -> Outcome:
    """Make the changes of a bundle.

    Raises:
        AeorError: One cannot be made; ``path`` says where.
    """
    return Outcome(
        [_delete(draft, bundle, change) for change in bundle.deletes],
        [_make_folder(draft, bundle, change) for change in bundle.folders],
        list(_put_all(draft, bundle)),
    )


class about:  # noqa: N801 - used like a function, of which there are thousands a commit
    """Let errors of a ``with`` block name the path they are about."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if isinstance(error, AeorError):
            error.details.setdefault("path", self._path)


# Deleting


def _delete(draft: Draft, bundle: Bundle, change: Delete) -> Done:
    path = change.path
    with about(path):
        if path == ROOT:
            raise BadRequestError("the root cannot be deleted")
        if not bundle.access.may(path, Op.DELETE):
            raise missing(path)
        entry = draft.entry(to_key(path))
        sight = sight_of(entry)
        if entry is None or sight is None or _knows_nothing(entry, change.base):
            # What was deleted is gone, or replaced by what the writer never saw.
            _refuse_unheard(bundle, entry, change)
            return Done(path, is_conflict=sight is not None and bool(sight.losers))
        if change.is_folder and sight.winner.kind != Kind.DIRECTORY:
            return Done(path, is_conflict=bool(sight.losers))
        if sight.winner.kind == Kind.DIRECTORY:
            if change.base is not None and not covers(change.base, sight.winner.dot):
                return Done(path)
            if has_known(draft, path, bundle.access):
                raise BadRequestError(f"{path} is not empty; nothing was changed")
        was = len(sight.losers)
        _refuse_unseen(bundle, entry, change.base, path)
        version = delete_one(draft, path, change.base)
        return _done(draft, bundle, path, version, was)


def _knows_nothing(entry: Entry, base: Vector | None) -> bool:
    """Whether this very deletion was made before, and something newer stands beside it."""
    if base is None or any(covers(base, v.dot) for v in entry.versions if not v.deleted):
        return False
    return any(version.deleted and version.vector == base for version in entry.versions)


def _refuse_unheard(bundle: Bundle, entry: Entry | None, change: Delete) -> None:
    """Refuse to delete what is not here and, by all that is known, has never been."""
    if change.base is None or bundle.known is None:
        return
    here = entry.context if entry is not None else ()
    if any(not covers(here, dot) and bundle.known.get(dot[0], 0) < dot[1] for dot in change.base):
        raise StaleError(
            f"{change.path} is not here yet as its base has it; nothing was changed, try again"
        )


# Making


def _make_folder(draft: Draft, bundle: Bundle, change: Folder) -> Done:
    path = change.path
    with about(path):
        if draft.live(path) is None or not bundle.access.may_enter(path):
            demand_new(draft, path, bundle.access)
        is_new = make_folder(draft, path, change.mtime)
        sight = draft.live(path)
        return Done(path, sight.winner if is_new and sight is not None else None)


def _put_all(draft: Draft, bundle: Bundle) -> Iterator[Done]:
    counts: dict[TreePath, int] = {}
    for change in bundle.puts:
        counts[change.path] = counts.get(change.path, 0) + 1
    settled: dict[TreePath, list[Version] | None] = {}
    folders: set[str] = set()
    for change in bundle.puts:
        path = change.path
        if counts[path] == 1:
            # No put makes anything else of a folder, so each is looked at once.
            folder = path.rpartition("/")[0]
            try:
                done = _put(draft, bundle, change, has_folder=folder in folders)
            except AeorError as error:
                error.details.setdefault("path", path)
                raise
            folders.add(folder)
            yield done
            continue
        with about(path):
            if path not in settled:
                together = [other for other in bundle.puts if other.path == path]
                settled[path] = _all_stated(draft, bundle, path, together)
            found = settled[path]
            if found is None:
                yield _put(draft, bundle, change, is_again=True)
            else:
                yield _done(draft, bundle, path, found.pop(0), 64)


def _all_stated(
    draft: Draft, bundle: Bundle, path: TreePath, changes: Sequence[Put]
) -> list[Version] | None:
    """The versions that say already what several changes of one path state, the winner last."""
    entry, sight = draft.entry(to_key(path)), draft.live(path)
    demand_put(draft, path, bundle.access)
    found = [stated(entry, sight, change.base, change.state.is_stated_by) for change in changes]
    versions = [version for version in found if version is not None]
    if sight is None or len(versions) < len(changes) or versions[-1] != sight.winner:
        return None
    return versions


def _put(
    draft: Draft, bundle: Bundle, change: Put, *, is_again: bool = False, has_folder: bool = False
) -> Done:
    path = change.path
    entry = draft.entry(to_key(path))
    demand_put(draft, path, bundle.access)
    conditions = Conditions(base=change.base, states_again=is_again)
    if entry is None and isinstance(change.state, FileState):
        # There is nothing that it could be in conflict with.
        return Done(path, put_file(draft, path, change.state, conditions, has_folder=has_folder))
    sight = sight_of(entry)
    was = 0 if sight is None else len(sight.losers)
    if bundle.refuses and (
        is_again or stated(entry, sight, change.base, change.state.is_stated_by) is None
    ):
        _refuse_unseen(bundle, entry, change.base, path)
    if isinstance(change.state, FileState):
        version = put_file(draft, path, change.state, conditions, has_folder=has_folder)
    else:
        version = put_link(draft, path, change.state, conditions)
    return _done(draft, bundle, path, version, was)


# What a base had not seen


def _refuse_unseen(
    bundle: Bundle, entry: Entry | None, base: Vector | None, path: TreePath
) -> None:
    """Refuse a base that covers none of the versions that stand, where that is demanded."""
    if not bundle.refuses or base is None or entry is None:
        return
    sight = see(entry)
    if sight.is_live and not any(covers(base, v.dot) for v in (sight.winner, *sight.losers)):
        raise _unseen(path)


def _done(draft: Draft, bundle: Bundle, path: TreePath, version: Version, was: int) -> Done:
    entry = draft.entry(to_key(path))
    losers = 0 if entry is None else len(see(entry).losers)
    if bundle.refuses and losers > was:
        raise _unseen(path)
    return Done(path, version, losers > 0)


def _unseen(path: TreePath) -> PreconditionError:
    return PreconditionError(f"{path} was changed since its base; nothing was changed")

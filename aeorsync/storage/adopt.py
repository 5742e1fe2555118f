"""Making versions of what an AeorDB node changed; it sends none.

`adopt` runs in the writer thread and decides on the entry as it is then, so nothing that was
written here meanwhile is overlooked. Doing it again changes nothing: what was adopted is found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aeorsync.core.foreign import (
    CUT,
    Had,
    absolute_target,
    context_of_change,
    cut,
    file_mark,
    link_mark,
    union,
)
from aeorsync.core.hashing import chunk_id, content_hash, hasher
from aeorsync.core.manifest import DENSITY, SLACK, ReferenceList
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, ancestors, to_key
from aeorsync.core.versions import NO_CONTENT, Content, Entry, Kind, Vector, Version, covers
from aeorsync.errors import CorruptError
from aeorsync.storage.compression import pack
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.states import State, state_of


@dataclass(frozen=True, slots=True)
class Finding:
    """What somebody changed on a peer.

    Attributes:
        path: Where.
        mark: Of what is there now; see `core.foreign`.
        kind: What is there now; None for nothing.
        content: Of a file: its bytes, all of them here and proven.
        content_type: Of a file, if known.
        target: Of a symlink.
        had: What the peer had there before; None for nothing.
    """

    path: TreePath
    mark: bytes
    kind: Kind | None = None
    content: Content = NO_CONTENT
    content_type: str = ""
    target: str = ""
    had: Had | None = None


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a finding.

    Attributes:
        had: What the peer has now, with what it has thereby seen; None for nothing.
        changed: Whether a version was made.
        conflict: Whether the path is in conflict now.
    """

    had: Had | None
    changed: bool = False
    conflict: bool = False


def adopt(draft: Draft, finding: Finding) -> Adopted:
    """Make a version of what a peer changed, if there is none yet.

    Raises:
        AeorError: The path cannot be written; nothing was changed.
    """
    entry = draft.entry(to_key(finding.path))
    if finding.kind is None:
        return _adopt_deletion(draft, finding, entry)
    context = None if entry is None else _known_as(finding, entry)
    if context is not None:
        seen = union(context, () if finding.had is None else finding.had.context)
        return Adopted(Had(finding.kind, finding.mark, seen))
    context = context_of_change(finding.had, entry)
    _make_parents(draft, finding.path)
    state = _state(draft, finding, entry, context)
    version = draft.write(finding.path, state, context)
    draft.note_merged(to_key(finding.path))
    seen = union(version.vector, (version.dot,))
    return Adopted(
        Had(finding.kind, finding.mark, seen),
        changed=True,
        conflict=_is_conflict(draft, finding.path),
    )


def _adopt_deletion(draft: Draft, finding: Finding, entry: Entry | None) -> Adopted:
    standing = [] if entry is None else [v for v in entry.versions if _is_leaf(v)]
    if not standing or finding.had is None:
        return Adopted(None)
    context = finding.had.context
    known = [version for version in standing if covers(context, version.dot)]
    # Without a base where it deleted something older than what is here: that stays beside it.
    best = max(known or standing, key=lambda version: version.rank)
    base = best.content.hash if len(known) == len(standing) == 1 else b""
    draft.write(finding.path, state_of(best, deleted=True, base=base), context)
    return Adopted(None, changed=True, conflict=_is_conflict(draft, finding.path))


def _known_as(finding: Finding, entry: Entry) -> Vector | None:
    """The context of a version here that is what was found, or was made from it."""
    equal = [version for version in entry.versions if _is_same(finding, version)]
    if equal:
        return union(*(union(version.vector, (version.dot,)) for version in equal))
    had: Vector = () if finding.had is None else finding.had.context
    # The peer holds what a version here was made from: then it has not seen that one yet.
    is_older = any(
        not version.deleted
        and version.kind == finding.kind
        and version.base == finding.content.hash != b""
        and not covers(had, version.dot)
        for version in entry.versions
    )
    return had if is_older else None


def _is_same(finding: Finding, version: Version) -> bool:
    if version.deleted or version.kind != finding.kind:
        return False
    if finding.kind == Kind.SYMLINK:
        return absolute_target(finding.path, version.target) == absolute_target(
            finding.path, finding.target
        )
    return version.content.hash == finding.content.hash


def _is_leaf(version: Version) -> bool:
    return not version.deleted and version.kind != Kind.DIRECTORY


def _state(draft: Draft, finding: Finding, entry: Entry | None, context: Vector) -> State:
    """The state to write; what AeorDB does not know of stays as it was."""
    seen = [] if entry is None else [v for v in entry.versions if covers(context, v.dot)]
    before = max(seen, key=lambda version: version.rank, default=None)
    is_edit = before is not None and not before.deleted
    content = finding.content
    if finding.kind == Kind.SYMLINK:
        target = finding.target.encode()
        content = Content(content_hash(target), len(target))
    return State(
        kind=finding.kind or Kind.FILE,
        content=content,
        target=finding.target,
        content_type=finding.content_type,
        executable=before.executable if before is not None and is_edit else False,
        mtime=draft.now_ms * 1_000_000,
        created=before.created if before is not None and is_edit else draft.now_ms,
        base=before.content.hash if before is not None and is_edit and len(seen) == 1 else b"",
    )


def _make_parents(draft: Draft, path: TreePath) -> None:
    """Make the folders above a path that are not there; a file in their place stays."""
    for folder in reversed(ancestors(path)):
        if draft.live(folder) is None:
            now = draft.now_ms
            state = State(kind=Kind.DIRECTORY, mtime=now * 1_000_000, created=now)
            draft.write(folder, state)


def _is_conflict(draft: Draft, path: TreePath) -> bool:
    entry = draft.entry(to_key(path))
    return entry is not None and bool(see(entry).losers)


# Files as AeorDB cuts them


def assemble(repository: Repository, ids: Sequence[bytes], size: int) -> Content:
    """Prove a file by reading all its pieces, and make the list of them. Blocking.

    Args:
        repository: Where the pieces are.
        ids: In file order.
        size: What the file is said to have, in bytes.

    Raises:
        CorruptError: A piece is missing or damaged, or they do not add up to the size.
    """
    if len(ids) > size // DENSITY + SLACK:
        raise CorruptError("the file is cut into more chunks than any file needs")

    def store(name: bytes, body: bytes) -> None:
        repository.receive([pack(name, body)])

    whole, total = hasher(), 0
    references = ReferenceList(store)
    for name in ids:
        data = repository.plain_chunk(name)
        whole.update(data)
        total += len(data)
        if data:
            references.add(name, len(data))
        if total > size:
            break
    if total != size:
        raise CorruptError(f"the chunks of the file do not add up to its {size} bytes")
    depth, refs = references.finish()
    return Content(whole.digest(), size, depth, refs)


def mark_of(repository: Repository, path: TreePath, version: Version) -> bytes:
    """The mark of a version that is no deletion and no folder. Blocking; may read all of a file.

    Raises:
        CorruptError: It cannot be read.
    """
    if version.kind == Kind.SYMLINK:
        return link_mark(path, version.target)
    return file_mark(_pieces(repository, version.content))


def _pieces(repository: Repository, content: Content) -> Iterator[bytes]:
    """The ids of a file's pieces, cut where AeorDB cuts."""
    if content.size <= CUT:
        pairs = [(name, size) for _, name, size in repository.references(content)]
        if len(pairs) <= 1:
            return iter([name for name, _ in pairs])
    elif all(
        size == CUT or offset + size == content.size
        for offset, _, size in repository.references(content)
    ):
        return (name for _, name, _ in repository.references(content))
    return (chunk_id(piece) for piece in cut(repository.read(content)))

"""One JSON page of changes, as AeorDB shapes it."""

from collections.abc import Callable

from aeorsync.api import seen
from aeorsync.cluster.walk import Step, gone
from aeorsync.core import seals
from aeorsync.core.foreign import absolute_target
from aeorsync.core.merge import Sight, is_same_state, see
from aeorsync.core.paths import TreePath, from_key
from aeorsync.core.versions import Entry, Kind, Version
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits
from aeorsync.wire.headers import NS_PER_MS, print_etag
from aeorsync.wire.protocol import (
    Changes,
    DiffReply,
    FileAdded,
    FolderAdded,
    LinkAdded,
    Loser,
    PathOnly,
)

PROJECTED_MAX = 512 * limits.MIB
"""Bytes of JSON that one answer of ``/sync/chunks`` may have, as `projected` counts them."""
_PAGE_WEIGHT = 16 * limits.MIB
_CHANGE_WEIGHT = 512
_CHUNK_WEIGHT = 2 * 67


def projected(size: int) -> int:
    """Return the bytes of JSON that a chunk of ``size`` bytes takes; AeorDB counts the same."""
    return size * 4 // 3 + 64 + 64


class DiffPage:
    """Collects changes until there are enough of them.

    A page ends after `limits.MAX_PAGE` changes or about `_PAGE_WEIGHT` bytes. An AeorDB node
    fetches all chunks of a page in one request, so what is for a peer also ends when they would
    not fit into one answer. A single file may exceed all of these.
    """

    def __init__(
        self,
        repository: Repository,
        secret: bytes,
        *,
        exact: bool,
        bounds_chunks: bool,
        absolute_links: bool = False,
        packed: bool = False,
    ) -> None:
        """Start empty.

        Args:
            repository: Where manifests are read.
            secret: What ETags are sealed with.
            exact: Whether the reader's state is known exactly; see `cluster.walk`.
            bounds_chunks: Whether the chunks of the page must fit into one answer.
            absolute_links: Whether the reader knows no relative targets.
            packed: Whether the reader wants chunks as raw ids.
        """
        self._repository = repository
        self._secret = secret
        self._exact = exact
        self._bounds_chunks = bounds_chunks
        self._absolute_links = absolute_links
        self._packed = packed
        self._changes = Changes()
        self._chunks: dict[bytes, str] = {}
        self._beside: set[bytes] = set()
        self._count = 0
        self._weight = 0
        self._chunk_weight = 0

    def has_room_for(self, step: Step) -> bool:
        """Whether a path may be added; otherwise the page ends before it."""
        if not self._count or step.key is None:
            return True
        if self._count >= limits.MAX_PAGE or self._weight >= _PAGE_WEIGHT:
            return False
        if not self._bounds_chunks or step.entry is None:
            return True
        # Chunks are not smaller than 16 KiB on average, save the only one of a file.
        size = see(step.entry).winner.content.size
        return self._chunk_weight + projected(size) + size // 128 <= PROJECTED_MAX

    def add(self, step: Step) -> None:
        """Take one path; a mere move changes nothing."""
        if step.key is None:
            return
        path = from_key(step.key)
        entry = step.entry
        sight = None if entry is None else see(entry)
        now = sight.winner.kind if sight is not None and sight.is_live else 0
        was = 0
        if step.span is not None:
            was = step.span.was
            for kind in gone(step.span, now, exact=self._exact):
                self._weigh(path)
                self._gone_of(kind).append(PathOnly(path))
        if entry is not None and sight is not None and now:
            self._weigh(path)
            self._add_live(path, entry, sight, is_new=now != was)

    def add_for(self, key: bytes, entry: Entry | None, had: int) -> None:
        """Take one path for a reader of whom it is known what it has.

        Args:
            key: The path's.
            entry: What is here, live or deleted.
            had: The kind the reader has there; 0 for nothing.
        """
        path = from_key(key)
        sight = None if entry is None else see(entry)
        now = sight.winner.kind if sight is not None and sight.is_live else 0
        if had and had != now:
            self._weigh(path)
            self._gone_of(had).append(PathOnly(path))
        if entry is not None and sight is not None and now:
            self._weigh(path)
            self._add_live(path, entry, sight, is_new=now != had)

    @property
    def told(self) -> set[bytes]:
        """The chunks that the reader is told of, those of losers included."""
        return self._beside.union(self._chunks)

    def reply(self, token: str, *, more: bool, full: bool, begins: bool = False) -> DiffReply:
        """Return the page; nothing may be added afterwards.

        Args:
            token: What the reader is to send next.
            more: Whether it should do so at once.
            full: Whether this is a part of a listing, not a difference.
            begins: Whether the listing begins here.
        """
        for name in Changes.__struct_fields__:
            getattr(self._changes, name).sort(key=_path)
        return DiffReply(
            root_hash=token,
            changes=self._changes,
            chunk_hashes_needed=sorted(self._chunks.values()),
            more=more,
            full=full,
            begins=begins,
        )

    def _weigh(self, path: TreePath) -> None:
        self._count += 1
        self._weight += _CHANGE_WEIGHT + len(path)

    def _gone_of(self, kind: int) -> list[PathOnly]:
        match Kind(kind):
            case Kind.FILE:
                return self._changes.files_deleted
            case Kind.SYMLINK:
                return self._changes.symlinks_deleted
            case Kind.DIRECTORY:
                return self._changes.directories_deleted

    def _add_live(self, path: TreePath, entry: Entry, sight: Sight, *, is_new: bool) -> None:
        changes = self._changes
        match Kind(sight.winner.kind):
            case Kind.FILE:
                files = changes.files_added if is_new else changes.files_modified
                files.append(self._file(path, entry, sight))
            case Kind.SYMLINK:
                links = changes.symlinks_added if is_new else changes.symlinks_modified
                links.append(self._link(path, entry, sight))
            case Kind.DIRECTORY:
                # Nothing about a folder can be modified but what stands beside it.
                changes.directories_added.append(self._folder(path, entry, sight))

    def _file(self, path: TreePath, entry: Entry, sight: Sight) -> FileAdded:
        version = sight.winner
        names = []
        for _, name, size in self._repository.references(version.content):
            names.append(name)
            if name not in self._chunks:
                self._chunks[name] = name.hex()
                self._chunk_weight += projected(size)
        self._weight += _CHUNK_WEIGHT * len(names)
        return FileAdded(
            path=path,
            hash=seen.identity(path, version),
            size=version.content.size,
            content_type=version.content_type or None,
            chunk_hashes=[] if self._packed else [self._chunks[name] for name in names],
            chunk_ids=b"".join(names) if self._packed else b"",
            content_hash=version.content.hash.hex(),
            etag=self._etag(path, entry),
            mtime=version.mtime // NS_PER_MS,
            executable=version.executable,
            version=version.id,
            updated_at=version.updated,
            mtime_ns=version.mtime,
            base=self._base(path, entry, sight),
            losers=self._losers(path, entry, sight),
        )

    def _link(self, path: TreePath, entry: Entry, sight: Sight) -> LinkAdded:
        version = sight.winner
        return LinkAdded(
            path=path,
            hash=seen.identity(path, version),
            target=absolute_target(path, version.target)
            if self._absolute_links
            else version.target,
            etag=self._etag(path, entry),
            mtime=version.mtime // NS_PER_MS,
            version=version.id,
            updated_at=version.updated,
            mtime_ns=version.mtime,
            base=self._base(path, entry, sight),
            losers=self._losers(path, entry, sight),
        )

    def _folder(self, path: TreePath, entry: Entry, sight: Sight) -> FolderAdded:
        return FolderAdded(
            path=path,
            mtime_ns=sight.winner.mtime,
            base=self._base(path, entry, sight),
            losers=self._losers(path, entry, sight),
        )

    def _base(self, path: TreePath, entry: Entry, sight: Sight) -> str | None:
        """ETag of what readers see without its losers; None where there are none."""
        if not sight.losers:
            return None
        return self._etag_of(path, entry, lambda it: it not in sight.losers)

    def _losers(self, path: TreePath, entry: Entry, sight: Sight) -> list[Loser]:
        return [self._loser(path, entry, version) for version in sight.losers]

    def _loser(self, path: TreePath, entry: Entry, version: Version) -> Loser:
        is_file = version.kind == Kind.FILE and not version.deleted
        content = version.content
        names: list[bytes] = []
        if is_file:
            names += (name for _, name, _ in self._repository.references(content))
        self._beside.update(names)
        self._weight += _CHANGE_WEIGHT + _CHUNK_WEIGHT * len(names)
        return Loser(
            version=version.id,
            etag=self._etag_of(path, entry, lambda it: is_same_state(it, version)),
            kind=Kind(version.kind).name.lower(),
            deleted=version.deleted,
            size=content.size if is_file else 0,
            content_hash=content.hash.hex() if is_file else "",
            chunk_hashes=[] if self._packed else [name.hex() for name in names],
            chunk_ids=b"".join(names) if self._packed else b"",
            target=version.target,
            mtime_ns=version.mtime,
            executable=version.executable,
            node_id=version.node,
            updated_at=version.updated,
        )

    def _etag_of(self, path: TreePath, entry: Entry, wanted: Callable[[Version], bool]) -> str:
        """ETag of some of the versions at a path."""
        return self._etag(path, Entry(tuple(filter(wanted, entry.versions))))

    def _etag(self, path: TreePath, entry: Entry) -> str:
        return print_etag(seals.seal(self._secret, path, entry.context))


def _path(change: FileAdded | LinkAdded | FolderAdded | PathOnly) -> str:
    return change.path

"""Verifying a store: every byte, every reference, every rule.

1. *Chunks*: each is read and compared with its name.
2. *Trees*: live, graves, snapshots. Each node is compared with its name and with the rules of
   `core.tree`; each entry is decoded and checked as if a peer had sent it.
3. *Files*: each is read through its references and compared with its content hash and size.
4. *Records*: the database is sound (`storage.sums`), the feed has no gap and ends at the head,
   conflicts are listed.

What is wrong is named by path. Nothing is changed, unless to *repair*: then damaged chunks are
quarantined, so that an upload or a peer can bring them back, and chunks whose bytes are still in
the packs are indexed again. No version is ever removed.

Every byte of a file is read twice, as a chunk and as a part of the file; what snapshots share
with the current tree is not read again. Memory grows with the number of tree nodes (about 4 bytes
an entry) and with the damage, not with the data.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from aeorsync.core import tree
from aeorsync.core.hashing import content_hash, node_id
from aeorsync.core.manifest import pieces
from aeorsync.core.merge import see
from aeorsync.core.nodes import EMPTY, Node, decode_node
from aeorsync.core.paths import parse_key
from aeorsync.core.treecheck import Place, children, node_problem
from aeorsync.core.versions import (
    Content,
    Entry,
    Kind,
    Version,
    decode_entry,
    parse_entry,
    references,
)
from aeorsync.errors import AeorError, CorruptError
from aeorsync.runtime.redact import redact
from aeorsync.storage.base import Store
from aeorsync.storage.compression import unpack
from aeorsync.storage.content import Peeking, Reader
from aeorsync.storage.findings import CURRENT, DELETED, Verified
from aeorsync.storage.keeping import COMPLETE, LOST
from aeorsync.storage.kept_trees import KeptTree, kept_trees
from aeorsync.storage.progress import Progress, quiet
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import SNAPSHOTS
from aeorsync.storage.views import NodeCache, View

_PAGE = 1000
_PEEK = 16


def verify(
    repository: Repository, progress: Progress = quiet, *, repair: bool = False
) -> Verified:
    """Look at everything; blocking, for as long as it takes to read all data twice.

    Args:
        repository: Of a node that does not run, or at rest.
        progress: Told how it goes.
        repair: Mend what can be mended here.

    Raises:
        CorruptError: The database itself cannot be read any further.
    """
    with repository.view() as view:
        run = _Run(repository, view, progress)
        run.look_at_chunks()
        run.look_at_trees()
        run.look_at_records(repair=repair)
        return run.finish(repair=repair)


@dataclass(frozen=True, slots=True)
class _Failed:
    """A file that could not be read through."""

    path: str
    content: Content
    tree: str


class _Run:
    """One verification."""

    def __init__(self, repository: Repository, view: View, progress: Progress) -> None:
        self._repository = repository
        self._store: Store = repository.store
        self._view = view
        self._progress = progress
        self._reader = Reader(Peeking(self._store))
        self._cache = NodeCache(self._store)
        self._damaged: set[bytes] = set()
        self._failed: list[_Failed] = []
        self._seen: set[bytes] = {EMPTY}
        self._conflicts: set[bytes] = set()
        self._was_hidden = False
        self._were_whole = {*repository.notes(COMPLETE), *repository.notes(LOST)}
        self._absent: set[bytes] | None = None
        """What has not come of a tree that is on its way here; None in any other."""
        self.found = Verified()

    # Chunks

    def look_at_chunks(self) -> None:
        """Compare every chunk with its name."""
        total, after = self._store.sizes().chunks, b""
        while rows := self._store.chunk_rows(after, _PAGE):
            after = rows[-1].id
            for start in range(0, len(rows), _PEEK):
                self._look_at([row.id for row in rows[start : start + _PEEK]])
            self.found.chunks += len(rows)
            self.found.chunk_bytes += sum(row.stored for row in rows)
            self._progress("chunks", self.found.chunks, total)

    def _look_at(self, names: list[bytes]) -> None:
        found = {chunk.id: chunk for chunk in self._store.peek(names)}
        for name in names:
            try:
                unpack(found[name])
            except (CorruptError, KeyError):
                self._damaged.add(name)

    # Trees

    def look_at_trees(self) -> None:
        """Check every tree, and every file in it."""
        head = self._view.head
        self._load_conflicts()
        for key, data in self._walk(head.root, CURRENT):
            self._check(key, data, CURRENT)
        for key in sorted(self._conflicts):
            if self._current(key) is None:
                self.found.add("conflict", _shown(key), "is listed as a conflict and is not there")
        for key, data in self._walk(head.graves, DELETED):
            self._check(key, data, DELETED, is_grave=True)
        self._was_hidden = self._hides_snapshots
        if not self._was_hidden:
            self._look_at_snapshots()

    @property
    def _hides_snapshots(self) -> bool:
        """Whether the records of snapshots cannot be read."""
        return any(failed.path.startswith(SNAPSHOTS) for failed in self._failed)

    def _look_at_snapshots(self) -> None:
        try:
            trees = kept_trees(self._repository)
        except CorruptError as error:
            self.found.add("snapshot", None, f"their list cannot be read: {error.message}")
            trees = []
        # What they share is looked at as a part of one that has to be here.
        for kept in sorted(trees, key=self._may_be_absent):
            self._absent = set() if self._may_be_absent(kept) else None
            if self._absent is None and self._store.missing_nodes([kept.root]):
                self.found.add("snapshot", None, "its tree is not here", kept.name)
                continue
            for key, data in self._walk(kept.root, kept.name):
                self._check(key, data, kept.name, is_grave=kept.is_grave)
            if self._absent and kept.name not in self.found.awaited:
                self.found.awaited.append(kept.name)
        self._absent = None
        self._look_at_other_nodes()

    def _may_be_absent(self, kept: KeptTree) -> bool:
        """Whether a tree was made elsewhere, and has never been here whole."""
        return kept.node != self._view.head.node and kept.root.hex() not in self._were_whole

    def _walk(self, root: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
        """The items of a tree, as far as they can be read and were not seen before."""
        waiting = [Place(root)]
        while waiting:
            place = waiting.pop()
            if place.name in self._seen:
                continue
            if self._is_awaited(place.name):
                continue
            self._seen.add(place.name)
            node, problem = self._node(place.name)
            if node is not None:
                problem = node_problem(place, node)
            if problem is not None or node is None:
                self.found.add("node", _where(place), f"{_lost(place)}: {problem}", where)
            if node is None:
                continue
            if node.level:
                # Of a misshapen node all that can be reached is still looked at.
                waiting += reversed(children(place, node))
            else:
                yield from zip(node.keys, node.values, strict=True)

    def _is_awaited(self, name: bytes) -> bool:
        """Whether a node of a tree that is on its way here has not come; notes it."""
        if self._absent is None or not self._store.missing_nodes([name]):
            return False
        self._absent.add(name)
        return True

    def _node(self, name: bytes) -> tuple[Node | None, str | None]:
        self.found.nodes += 1
        self._progress("trees", self.found.nodes, 0)
        try:
            body = self._store.node(name)
            if node_id(body) != name:
                return None, f"tree node {name.hex()} does not match its name"
            return decode_node(body), None
        except CorruptError as error:
            return None, error.message

    def _look_at_other_nodes(self) -> None:
        """Nodes of no tree may be garbage, but must be what they are called."""
        after = b""
        while names := self._store.node_names(after, _PAGE):
            after = names[-1]
            for name in names:
                if name not in self._seen:
                    _, problem = self._node(name)
                    if problem is not None:
                        self.found.add("node", None, f"{problem}; nothing needs it")

    # Entries and files

    def _check(self, key: bytes, data: bytes, where: str, *, is_grave: bool = False) -> None:
        path = _shown(key)
        self.found.entries += 1
        try:
            parse_key(key, allow_system=True)
            entry = parse_entry(data)
        except AeorError as error:
            self.found.add("entry", path, error.message, where)
            return
        sight = see(entry)
        if sight.is_live == is_grave:
            word = "live among deletions" if is_grave else "a deletion among what is live"
            self.found.add("entry", path, f"it is {word}", where)
        if where == CURRENT and sight.losers and key not in self._conflicts:
            self.found.add("conflict", path, "is in conflict and not listed as one")
        known = frozenset() if where == CURRENT else self._contents_now(key)
        for version in entry.versions:
            if version.content not in known:
                self._check_content(path, version, where)

    def _contents_now(self, key: bytes) -> frozenset[Content]:
        """Files of the current entry, which have been read through already."""
        entry = self._current(key) or Entry(())
        return frozenset(v.content for v in entry.versions if not v.deleted)

    def _current(self, key: bytes) -> Entry | None:
        try:
            data = tree.get(self._view.head.root, self._cache.read, key)
        except CorruptError:
            return None
        return None if data is None else decode_entry(data)

    def _check_content(self, path: str, version: Version, where: str) -> None:
        content = version.content
        if version.kind == Kind.SYMLINK:
            if content_hash(version.target.encode()) != content.hash:
                self.found.add("entry", path, "the link's target is not of its hash", where)
        elif version.deleted:
            # What was deleted need not be here, but what is here must be right.
            if self._damaged and not self._damaged.isdisjoint(self._needed(content)):
                self._failed.append(_Failed(path, content, where))
        elif version.kind == Kind.FILE:
            self.found.files += 1
            self._progress("files", self.found.files, 0)
            if self._problem(content) is None:
                return
            if self._absent is None or not self._damaged.isdisjoint(self._needed(content)):
                self._failed.append(_Failed(path, content, where))
            else:
                self._absent.add(content.hash)

    def _problem(self, content: Content) -> str | None:
        try:
            self._reader.check_content(content)
        except CorruptError as error:
            return error.message
        return None

    def _needed(self, content: Content) -> set[bytes]:
        """Chunks of a file, as far as its manifest can be read."""
        needed = {name for name, _ in references(content.refs)}
        with suppress(CorruptError):
            needed.update(pieces(content, self._reader.piece))
        with suppress(CorruptError):
            needed.update(name for _, name, _ in self._reader.references(content))
        return needed

    # Records

    def look_at_records(self, *, repair: bool) -> None:
        """Check the rows of the database, and the feed against the head."""
        for kind, text in self._store.problems(repair=repair):
            self.found.add(kind, None, text)
        last: int | None = None
        while rows := self._store.changes(0 if last is None else last, _PAGE):
            for row in rows:
                if last is not None and row.seq != last + 1:
                    self.found.add("feed", None, f"rows {last + 1} to {row.seq - 1} are missing")
                last = row.seq
        head = self._view.head
        if last is not None and last < head.seq:
            self.found.add("feed", None, f"it ends at {last} and the head at {head.seq}")

    def _load_conflicts(self) -> None:
        after = b""
        while keys := self._store.conflicts(after, _PAGE):
            after = keys[-1]
            self._conflicts.update(keys)

    # The end

    def finish(self, *, repair: bool) -> Verified:
        """Mend what can be mended if that is wished, and say what is left."""
        if repair:
            self._repair()
        blamed = self._blamed()
        if self._was_hidden and not self._hides_snapshots:
            self._look_at_snapshots()
            if repair:
                self._repair()
        elif self._was_hidden:
            self.found.add("snapshot", None, "their records are damaged, so none was looked at")
        for failed in self._failed:
            problem = self._problem(failed.content)
            if problem is not None:
                self.found.add("file", failed.path, problem, failed.tree)
        left = self._damaged - blamed
        for name in sorted(left):
            self.found.add("chunk", None, f"chunk {name.hex()} is damaged; no file needs it")
        return self.found

    def _blamed(self) -> set[bytes]:
        """Chunks of the files that cannot be read, as far as their manifests can be."""
        return {name for failed in self._failed for name in self._needed(failed.content)}

    def _repair(self) -> None:
        self._store.quarantine(self._damaged)
        wanted = self._damaged | self._blamed()
        recovered: set[bytes] = set()
        while found := self._store.recover({n for n in wanted if not self._store.peek([n])}):
            recovered |= found
            # What a manifest names is known only now that it is here again.
            wanted = self._blamed()
        self._failed = [f for f in self._failed if self._problem(f.content) is not None]
        self.found.recovered += len(recovered)
        self.found.quarantined += len(self._damaged - recovered)
        self._damaged = set()


def _where(place: Place) -> str | None:
    return None if place.last is None else _shown(place.last)


def _lost(place: Place) -> str:
    if place.last is None:
        return "the whole tree"
    first = "the first entry" if place.after is None else f"what follows {_shown(place.after)}"
    return f"from {first} to {_shown(place.last)}"


def _shown(key: bytes) -> str:
    """A key as a path for people, whatever is in it."""
    return redact("/" + key.decode("utf-8", "replace").replace("\0", "/"))

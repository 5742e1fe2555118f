"""Exporting a tree into one file; its layout is in `storage.archive`.

Entries are written with all their versions, and each chunk they need once. With a *base* the file
is a patch: the entries that differ from those of a snapshot, and the chunks that no file of that
snapshot has.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from aeorsync.core.diff import diff
from aeorsync.core.manifest import pieces
from aeorsync.core.merge import see
from aeorsync.core.nodes import EMPTY
from aeorsync.core.versions import (
    Content,
    Entry,
    Kind,
    decode_entry,
    encode_entry,
)
from aeorsync.errors import BadRequestError, CorruptError, NotFoundError
from aeorsync.runtime.redact import redact
from aeorsync.storage.archive import (
    FORMAT,
    ArchiveEncoder,
    ArchiveWriter,
    Catalog,
    Header,
    Items,
)
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.content import Peeking, Reader
from aeorsync.storage.progress import Progress, quiet
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import snapshots
from aeorsync.storage.views import NodeCache, View

_PAGE_ITEMS = 500
_PAGE_BYTES = 512 << 10
_BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: entries, chunks, and the bytes of the whole file."""

    entries: int
    chunks: int
    size: int


@dataclass(frozen=True, slots=True)
class _Tree:
    name: str
    root: bytes
    is_now: bool = False


def export(
    repository: Repository,
    path: Path,
    *,
    now_ms: int,
    snapshot: str | None = None,
    base: str | None = None,
    progress: Progress = quiet,
) -> Exported:
    """Write the current tree, or that of a snapshot, into a new file; durable.

    Args:
        repository: Whose.
        path: Of the file.
        now_ms: The wall clock, in milliseconds since the Unix epoch.
        snapshot: Name or id of a snapshot; None for what is there now, deletions included.
        base: Name or id of a snapshot whose reader has all of it: write only what differs.
        progress: Told how it goes.

    Raises:
        NotFoundError: There is no such snapshot.
        ConflictError: There is such a file already.
        CorruptError: A file is damaged here; nothing was written.
        UnavailableError: The disk refused; nothing was written.
    """
    with ArchiveWriter(path) as writer, closing(Catalog()) as catalog:
        with repository.view() as view:
            source = _Source(repository, view, catalog, progress)
            header, parts = source.plan(now_ms, snapshot, base)
            writer.header(header)
            for part in parts:
                if isinstance(part, StoredChunk):
                    writer.chunk(part)
                else:
                    writer.entries(part)
        size = writer.finish()
    return Exported(source.entries, source.chunks, size)


def stream(
    repository: Repository,
    *,
    now_ms: int,
    snapshot: str | None = None,
    base: str | None = None,
) -> Generator[bytes, None, None]:
    """The same file, piece by piece; its arguments are those of `export`. Blocking.

    What is refused is refused before the first piece. Whoever stops reading in between has a file
    that nobody takes for whole.
    """
    encoder = ArchiveEncoder()
    with closing(Catalog()) as catalog, repository.view() as view:
        source = _Source(repository, view, catalog, quiet)
        header, parts = source.plan(now_ms, snapshot, base)
        yield encoder.header(header)
        for part in parts:
            if isinstance(part, StoredChunk):
                yield encoder.chunk(part)
            else:
                yield encoder.entries(part)
        yield encoder.end()


def _find(repository: Repository, name: str) -> _Tree:
    if name.lower() == repository.head.root.hex():
        return _Tree("current", repository.head.root, is_now=True)
    known = snapshots(repository)
    found = [s for s in known if name in (s.name, s.id)]
    found = found or [s for s in known if name.lower() == s.root][-1:]
    if not found:
        raise NotFoundError(f"there is no snapshot {name}; nothing was written")
    if len(found) > 1:
        ids = ", ".join(snapshot.id for snapshot in found)
        raise BadRequestError(f"several snapshots are named {name}; name one by its id: {ids}")
    return _Tree(found[0].name, bytes.fromhex(found[0].root))


@dataclass(slots=True)
class _Source:
    """Where an export gets its entries and chunks."""

    repository: Repository
    view: View
    catalog: Catalog
    progress: Progress
    entries: int = 0
    chunks: int = 0
    _reader: Reader = field(init=False)
    _cache: NodeCache = field(init=False)

    def __post_init__(self) -> None:
        self._reader = Reader(Peeking(self.repository.store))
        self._cache = NodeCache(self.repository.store)

    def plan(
        self, now_ms: int, snapshot: str | None, base: str | None
    ) -> tuple[Header, Iterator[StoredChunk | Items]]:
        """The header, and what follows it; see `export`."""
        head = self.view.head
        target = (
            _find(self.repository, snapshot)
            if snapshot
            else _Tree("current", head.root, is_now=True)
        )
        below = _find(self.repository, base) if base else _Tree("", EMPTY)
        header = Header(
            format=FORMAT,
            created=now_ms,
            node=head.node,
            root=target.root,
            name=target.name,
            base=below.root if base else b"",
            base_name=below.name,
        )
        if base:
            self.leave_out(below.root)
        items = self.items(below.root, target.root, is_now=target.is_now)
        return header, self._parts(_pages(items))

    def leave_out(self, root: bytes) -> None:
        """Take every chunk of a tree for written."""
        for key, data in self._items(EMPTY, root):
            for content in _live_files(decode_entry(data)):
                for name in self._needed(key, content):
                    self.catalog.add(name)
            self.progress("base", 0, 0)

    def items(self, base: bytes, root: bytes, *, is_now: bool) -> Iterator[tuple[bytes, bytes]]:
        """Entries that differ from those of the base, in tree order; deletions among them."""
        yield from self._items(base, root)
        if is_now and base == EMPTY:
            yield from self.view.graves(system=True)

    def _items(self, base: bytes, root: bytes) -> Iterator[tuple[bytes, bytes]]:
        read = self._cache.read
        for key, _, new in diff(base, root, read, read):
            data = new if new is not None else self._grave(key)
            if data is not None:
                yield key, data

    def _grave(self, key: bytes) -> bytes | None:
        entry = self.view.entry(key)
        return encode_entry(entry) if entry is not None and not see(entry).is_live else None

    def _parts(self, pages: Iterator[Items]) -> Iterator[StoredChunk | Items]:
        """Pages of entries, and before each the chunks it needs."""
        for page in pages:
            for key, data in page:
                for content in _live_files(decode_entry(data)):
                    for name in self._needed(key, content):
                        yield from self._chunk(key, name)
            yield page
            self.entries += len(page)
            self.progress("entries", self.entries, 0)

    def _chunk(self, key: bytes, name: bytes) -> Iterator[StoredChunk]:
        if self.catalog.find(name) is not None:
            return
        found = self.repository.store.peek([name])
        try:
            unpack(found[0])
        except (IndexError, CorruptError) as error:
            raise _damaged(key, f"chunk {name.hex()} is missing or damaged") from error
        self.catalog.add(name)
        self.chunks += 1
        yield found[0]

    def _needed(self, key: bytes, content: Content) -> Iterator[bytes]:
        """Chunks of a file, its manifest first."""
        try:
            yield from pieces(content, self._reader.piece)
            yield from (name for _, name, _ in self._reader.references(content))
        except CorruptError as error:
            raise _damaged(key, error.message) from error


def _live_files(entry: Entry) -> list[Content]:
    return [v.content for v in entry.versions if v.kind == Kind.FILE and not v.deleted]


def _damaged(key: bytes, text: str) -> CorruptError:
    return CorruptError(
        f"{_shown(key)} cannot be exported: {text}; nothing was written; see aeorsync verify"
    )


def _pages(items: Iterator[tuple[bytes, bytes]]) -> Iterator[Items]:
    page: Items = []
    size = 0
    for item in items:
        page.append(item)
        size += len(item[0]) + len(item[1])
        if len(page) >= _PAGE_ITEMS or size >= _PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _shown(key: bytes) -> str:
    return redact("/" + key.decode("utf-8", "replace").replace("\0", "/"))

"""Exporting a store into one file, and importing it again.

Export writes entries with all their versions, and each chunk they need once. With a *base* it
writes a patch: the entries that differ from those of a snapshot, and the chunks that no file of
that snapshot has.

Import treats the file as a peer's word: entries are joined, so what was changed on both sides
becomes a conflict, nothing is lost, and importing twice is importing once. In this order:

1. every check, chunk and entry of the file is verified;
2. every file in it that is news here is read through and compared with its content hash;
3. the chunks are stored;
4. the entries are joined, a page a commit.

Whatever is wrong shows in 1 or 2, and then nothing was changed. A crash in 3 or 4 leaves some of
it; importing again brings the rest.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from aeorsync.core.diff import diff
from aeorsync.core.manifest import pieces
from aeorsync.core.merge import see
from aeorsync.core.nodes import EMPTY
from aeorsync.core.paths import ROOT, parse_key
from aeorsync.core.versions import (
    Content,
    Entry,
    Kind,
    covers,
    decode_entry,
    encode_entry,
    parse_entry,
)
from aeorsync.errors import AeorError, BadRequestError, CorruptError, NotFoundError
from aeorsync.runtime.redact import redact
from aeorsync.storage.archive import (
    FORMAT,
    ArchiveReader,
    ArchiveWriter,
    Catalog,
    End,
    Header,
)
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.content import Peeking, Reader
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import snapshots
from aeorsync.storage.views import NodeCache, View, is_system_key
from aeorsync.wire.framing import Kind as Frame
from aeorsync.wire.framing import parse_chunk

_PAGE_ITEMS = 500
_PAGE_BYTES = 512 << 10
_BATCH_BYTES = 8 << 20

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much is done, of how much; 0 when that is not known)."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: entries, chunks, and the bytes of the whole file."""

    entries: int
    chunks: int
    size: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        header: What the file says of itself.
        entries: Entries in the file.
        skipped: Those of the system namespace, when they were not asked for.
        changed: Entries that are different here now.
        conflicts: How many of them are in conflict.
    """

    header: Header
    entries: int = 0
    skipped: int = 0
    changed: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class _Tree:
    name: str
    root: bytes


def export(
    repository: Repository,
    path: Path,
    *,
    now_ms: int,
    snapshot: str | None = None,
    base: str | None = None,
    progress: Progress = lambda *_: None,
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
    with repository.view() as view, closing(Catalog()) as catalog:
        head = view.head
        target = _find(repository, snapshot) if snapshot else _Tree("current", head.root)
        below = _find(repository, base) if base else _Tree("", EMPTY)
        source = _Source(repository, view, catalog, progress)
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
            source.leave_out(below.root)
        with ArchiveWriter(path) as writer:
            writer.header(header)
            for page in _pages(source.items(below.root, target.root, is_now=not snapshot)):
                source.write(writer, page)
            size = writer.finish()
    return Exported(source.entries, source.chunks, size)


def _find(repository: Repository, name: str) -> _Tree:
    found = [s for s in snapshots(repository) if name in (s.name, s.id)]
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

    def write(self, writer: ArchiveWriter, page: list[tuple[bytes, bytes]]) -> None:
        """Write some entries, and before them the chunks they need."""
        for key, data in page:
            entry = decode_entry(data)
            for content in _live_files(entry):
                for name in self._needed(key, content):
                    self._write_chunk(writer, key, name)
        writer.entries(page)
        self.entries += len(page)
        self.progress("entries", self.entries, 0)

    def _write_chunk(self, writer: ArchiveWriter, key: bytes, name: bytes) -> None:
        if self.catalog.find(name) is not None:
            return
        found = self.repository.store.peek([name])
        try:
            unpack(found[0])
        except (IndexError, CorruptError) as error:
            raise _damaged(key, f"chunk {name.hex()} is missing or damaged") from error
        writer.chunk(found[0])
        self.catalog.add(name)
        self.chunks += 1

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


def _pages(items: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    page: list[tuple[bytes, bytes]] = []
    size = 0
    for item in items:
        page.append(item)
        size += len(item[0]) + len(item[1])
        if len(page) >= _PAGE_ITEMS or size >= _PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


# Import


def import_archive(
    repository: Repository,
    path: Path,
    *,
    system: bool = False,
    progress: Progress = lambda *_: None,
) -> Imported:
    """Join what an export holds into this store; durable.

    Args:
        repository: Into which.
        path: Of the file.
        system: Whether API keys and the other records of the system namespace come too.
        progress: Told how it goes.

    Raises:
        BadRequestError: The file is no export, torn or altered, or breaks a rule; nothing was
            changed.
        CorruptError: It needs chunks that neither it nor this store has, as a patch does whose
            base is not here; nothing was changed.
        UnavailableError: The file cannot be read, or the disk refused.
    """
    with ArchiveReader(path) as archive, closing(Catalog()) as catalog:
        work = _Import(repository, archive, catalog, system, progress)
        found = work.verify()
        work.read_through(found.header)
        work.store_chunks()
        return work.apply(found)


@dataclass(slots=True)
class _Import:
    """One import."""

    repository: Repository
    archive: ArchiveReader
    catalog: Catalog
    system: bool
    progress: Progress

    def verify(self) -> Imported:
        """Check the whole file by itself, and note where its chunks are."""
        header = Header(0, 0, 0, b"", "")
        entries = chunks = skipped = 0
        for at, (kind, payload) in self.archive.frames():
            self.progress("verifying", at, self.archive.size)
            if kind is Frame.HEADER:
                header = self.archive.parse_header(payload)
            elif kind is Frame.CHUNK:
                chunk = StoredChunk(*parse_chunk(payload))
                _check(chunk)
                self.catalog.add(chunk.id, at, len(payload))
                chunks += 1
            elif kind is Frame.ENTRIES:
                items = _parse(payload)
                entries += len(items)
                skipped += sum(not self._takes(key) for key, _ in items)
                self._check_stamps(items)
            elif kind is Frame.END and payload != msgspec.msgpack.encode(End(entries, chunks)):
                raise BadRequestError("the file does not hold what its end says")
        return Imported(header, entries, 0 if self.system else skipped)

    def _takes(self, key: bytes) -> bool:
        return self.system or not is_system_key(key)

    def _check_stamps(self, items: list[tuple[bytes, Entry]]) -> None:
        for key, entry in items:
            if self.repository.is_too_far_ahead(entry):
                text = f"{_shown(key)} was written in the future; check the clock of this machine"
                raise BadRequestError(f"{text}; nothing was changed")

    def _pages(self, doing: str) -> Iterator[list[tuple[bytes, Entry]]]:
        for at, (kind, payload) in self.archive.frames():
            self.progress(doing, at, self.archive.size)
            if kind is Frame.ENTRIES:
                yield [(key, entry) for key, entry in _parse(payload) if self._takes(key)]

    def read_through(self, header: Header) -> None:
        """Compare every file that is news here with its content hash."""
        reader = Reader(_Both(self.archive, self.catalog, self.repository))
        with self.repository.view() as view:
            for page in self._pages("reading through"):
                for key, entry in page:
                    for content in _news(view.entry(key), entry):
                        try:
                            reader.check_content(content)
                        except CorruptError as error:
                            raise _incomplete(key, header, error) from error

    def store_chunks(self) -> None:
        """Store what we lack."""
        batch: list[StoredChunk] = []
        size = 0
        for at, (kind, payload) in self.archive.frames():
            self.progress("storing", at, self.archive.size)
            if kind is Frame.CHUNK:
                batch.append(StoredChunk(*parse_chunk(payload)))
                size += len(payload)
            if size >= _BATCH_BYTES or (kind is Frame.END and batch):
                self.repository.receive(batch)
                batch, size = [], 0

    def apply(self, found: Imported) -> Imported:
        """Join the entries."""
        changed = conflicts = 0
        for page in self._pages("applying"):
            applied = self.repository.apply(page, 0).result()
            changed += applied.changed
            conflicts += applied.conflicts
        return Imported(found.header, found.entries, found.skipped, changed, conflicts)


class _Both:
    """The chunks of an archive and of a store together; see `storage.content.ChunkSource`."""

    def __init__(self, archive: ArchiveReader, catalog: Catalog, repository: Repository) -> None:
        self._archive = archive
        self._catalog = catalog
        self._store = repository.store

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        found: list[StoredChunk] = []
        for name in ids:
            place = self._catalog.find(name)
            found += self._store.peek([name]) if place is None else [self._archive.chunk(*place)]
        return found

    def quarantine(self, ids: Collection[bytes]) -> None:
        """See the contract."""


def _check(chunk: StoredChunk) -> None:
    try:
        unpack(chunk)
    except CorruptError as error:
        raise BadRequestError(f"{error.message}; nothing was changed") from error


def _parse(payload: bytes) -> list[tuple[bytes, Entry]]:
    """Checked entries.

    Raises:
        BadRequestError: One breaks a rule.
    """
    try:
        items = msgspec.msgpack.decode(payload, type=list[tuple[bytes, bytes]])
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRequestError(
            f"the file holds no entries: {error}; nothing was changed"
        ) from error
    return [(key, _parse_entry(key, data)) for key, data in items]


def _parse_entry(key: bytes, data: bytes) -> Entry:
    try:
        if parse_key(key, allow_system=True) == ROOT:
            raise BadRequestError("the root is no entry")
        return parse_entry(data)
    except AeorError as error:
        text = f"{_shown(key)} in the file breaks a rule: {error.message}; nothing was changed"
        raise BadRequestError(text) from error


def _news(ours: Entry | None, theirs: Entry) -> list[Content]:
    """Files in their entry that ours does not know."""
    known = () if ours is None else ours.versions
    return [
        version.content
        for version in theirs.versions
        if version.kind == Kind.FILE
        and not version.deleted
        and version not in known
        and not any(covers(other.vector, version.dot) for other in known)
    ]


def _incomplete(key: bytes, header: Header, error: CorruptError) -> CorruptError:
    text = f"{_shown(key)} cannot be had from this file: {error.message}; nothing was changed"
    if header.base:
        text += f"; it is a patch to snapshot {header.base_name}: import that first"
    return CorruptError(text)


def _shown(key: bytes) -> str:
    return redact("/" + key.decode("utf-8", "replace").replace("\0", "/"))

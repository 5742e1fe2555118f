"""Importing what `storage.exporting` wrote.

The file is taken as a peer's word: entries are joined, so what was changed on both sides becomes a
conflict, nothing is lost, and importing twice is importing once. In this order:

1. every check, chunk and entry of the file is verified;
2. every file in it that is news here is read through and compared with its content hash;
3. the chunks are stored;
4. the entries are joined, a page a commit.

Whatever is wrong shows in 1 or 2, and then nothing was changed. A crash in 3 or 4 leaves some of
it; importing again brings the rest.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aeorsync.core.paths import ROOT, parse_key
from aeorsync.core.versions import Content, Entry, Kind, covers, parse_entry
from aeorsync.errors import UNREADABLE, AeorError, BadRequestError, CorruptError
from aeorsync.runtime.redact import redact
from aeorsync.storage.archive import ArchiveReader, Catalog, End, Header
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.content import Reader
from aeorsync.storage.progress import Progress, quiet
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import is_system_key
from aeorsync.wire.framing import Kind as Frame
from aeorsync.wire.framing import parse_chunk

_BATCH_BYTES = 8 << 20


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


def import_archive(
    repository: Repository,
    path: Path,
    *,
    system: bool = False,
    progress: Progress = quiet,
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
    except UNREADABLE as error:
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

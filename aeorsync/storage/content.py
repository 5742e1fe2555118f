"""Bytes of whole files: in as a stream, out as a range."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from aeorsync.core.chunking import Chunker
from aeorsync.core.hashing import chunk_id, content_hash, hasher
from aeorsync.core.manifest import (
    ReferenceList,
    check_piece,
    check_references,
    data_references,
)
from aeorsync.core.versions import Content
from aeorsync.errors import CorruptError
from aeorsync.runtime.ahead import HasherAhead
from aeorsync.storage.base import Store, StoredChunk
from aeorsync.storage.compression import pack, unchecked, unpack

_READ_BATCH = 1 << 20
"""Plain bytes read at a time."""
_PROVE_BATCH = 4 << 20
"""The same, where nobody waits for the first of them."""


class LostChunkError(CorruptError):
    """Chunks that a file needs are damaged or missing here; a peer may hold them.

    Attributes:
        chunks: Their ids.
    """

    def __init__(self, message: str, chunks: Collection[bytes]) -> None:
        super().__init__(message)
        self.chunks = frozenset(chunks)


class Upload:
    """One file on its way in. Feed it in order from one thread at a time, then `finish`.

    An upload that is dropped half-way leaves chunks nobody refers to, and nothing else.
    """

    def __init__(self, store: Store, ended: Callable[[Content], None]) -> None:
        """Begin.

        Args:
            store: Takes the chunks.
            ended: Told the content in the end; see `storage.holdings`.
        """
        self._store = store
        self._ended = ended
        self._chunker = Chunker()
        self._whole = hasher()
        self._references = ReferenceList(self._add_piece)
        self._waiting: list[tuple[bytes, bytes | memoryview]] = []
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes; best a few MiB at a time.

        Raises:
            UnavailableError: The disk refused them.
        """
        self.size += len(data)
        self._whole.update(data)
        for chunk in self._chunker.feed(data):
            self._add_chunk(chunk)
        self._store_waiting()

    def finish(self) -> Content:
        """Take the end of the file; its chunks are durable with the next commit."""
        rest = self._chunker.finish()
        if rest:
            self._add_chunk(rest)
        depth, refs = self._references.finish()
        self._store_waiting()
        content = Content(self._whole.digest(), self.size, depth, refs)
        self._ended(content)
        return content

    def _add_chunk(self, chunk: bytes | memoryview) -> None:
        name = chunk_id(chunk)
        self._waiting.append((name, chunk))
        self._references.add(name, len(chunk))

    def _add_piece(self, name: bytes, body: bytes) -> None:
        self._waiting.append((name, body))

    def _store_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        fresh = self._store.missing([name for name, _ in waiting])
        # Compressing is the dear part, so it is done only for what the store lacks.
        wanted = {name: pack(name, data) for name, data in waiting if name in fresh}
        self._store.put_chunks(list(wanted.values()), are_missing=True)


class ChunkSource(Protocol):
    """Where a `Reader` gets its chunks; a `Store` is one."""

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """Chunks in the order asked, unchecked; those not held are left out."""

    def quarantine(self, ids: Collection[bytes]) -> None:
        """Take note that these are damaged."""


class Peeking:
    """A store whose damaged chunks are left where they are; see `ChunkSource`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        return self._store.peek(ids)

    def quarantine(self, ids: Collection[bytes]) -> None:
        """See the contract."""


def adds_up(
    store: ChunkSource, batches: Iterable[Sequence[tuple[bytes, int]]], size: int, expected: bytes
) -> bool:
    """Whether stored chunks are, one after another, the bytes that have a hash. Blocking.

    They are not hashed one by one for that: the hash of the whole covers each byte of each, so if
    it is right they all are, and if it is not nothing is believed.

    Args:
        store: Holds them.
        batches: Their ids and sizes, in the order of the file; each batch is read at once.
        size: Of all of them, about.
        expected: The hash.
    """
    with HasherAhead(size) as whole:
        try:
            for batch in batches:
                names = list(dict.fromkeys(name for name, _ in batch))
                stored = {chunk.id: chunk for chunk in store.chunks(names)}
                for name, length in batch:
                    plain = unchecked(stored[name]) if name in stored else b""
                    if len(plain) != length:
                        return False
                    whole.update(plain)
        except CorruptError:
            return False
        return whole.digest() == expected


class Reader:
    """Reads checked bytes out of a store. Safe from any thread."""

    def __init__(self, store: ChunkSource) -> None:
        self._store = store

    def chunk(self, name: bytes) -> bytes | memoryview:
        """Plain bytes of one chunk, checked.

        Raises:
            LostChunkError: It is missing or damaged.
        """
        found = self._store.chunks([name])
        if not found:
            raise _missing([name])
        return self._unpack(found[0])

    def piece(self, name: bytes) -> bytes:
        """A manifest piece, for `core.manifest`."""
        return bytes(self.chunk(name))

    def references(self, content: Content) -> Iterator[tuple[int, bytes, int]]:
        """(offset, id, size) of all data chunks of a file, in order."""
        return data_references(content, self.piece)

    def read(
        self, content: Content, start: int = 0, stop: int | None = None
    ) -> Iterator[bytes | memoryview]:
        """Bytes ``start`` to ``stop`` of a file, in pieces of about 1 MiB or less.

        Raises:
            LostChunkError: A chunk is missing or damaged; what was yielded before was right.
            CorruptError: The list of chunks breaks a rule; likewise.
        """
        end = content.size if stop is None else stop
        for batch in self._batches(content, start, end, _READ_BATCH):
            yield from self._read_batch(batch, start, end)

    def check_content(self, content: Content) -> None:
        """Read a whole file and compare it with its content hash.

        Raises:
            CorruptError: They differ, or a chunk is missing or damaged.
        """
        if self._adds_up(content):
            return
        # Slowly, chunk by chunk: so it is found which of them is to blame.
        whole = hasher()
        for data in self.read(content):
            whole.update(data)
        if whole.digest() != content.hash:
            raise CorruptError("the chunks of a file do not add up to its content hash")

    def _adds_up(self, content: Content) -> bool:
        """Whether what is stored is the file; see `adds_up`."""
        batches = (
            [(name, size) for _, name, size in batch]
            for batch in self._batches(content, 0, content.size, _PROVE_BATCH)
        )
        return adds_up(self._store, batches, content.size, content.hash)

    def _batches(
        self, content: Content, start: int, end: int, most: int
    ) -> Iterator[list[tuple[int, bytes, int]]]:
        """The references to some bytes of a file, so many bytes at a time or a little more."""
        batch: list[tuple[int, bytes, int]] = []
        size = 0
        for reference in data_references(content, self.piece, start, end):
            batch.append(reference)
            size += reference[2]
            if size >= most:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _unpack(self, chunk: StoredChunk) -> bytes | memoryview:
        try:
            return unpack(chunk)
        except CorruptError as error:
            # Whoever has the right bytes may put them again now.
            self._store.quarantine([chunk.id])
            raise LostChunkError(error.message, [chunk.id]) from error

    def _read_batch(
        self, batch: list[tuple[int, bytes, int]], start: int, stop: int
    ) -> Iterator[bytes | memoryview]:
        found: dict[bytes, StoredChunk] = {
            chunk.id: chunk for chunk in self._store.chunks([name for _, name, _ in batch])
        }
        lost = [name for _, name, _ in batch if name not in found]
        for offset, name, size in batch:
            if name not in found:
                self._store.quarantine(lost)  # noted, so that they are fetched again
                raise _missing(lost)
            plain = self._unpack(found[name])
            if len(plain) != size:
                raise CorruptError(f"chunk {name.hex()} has another size than its file says")
            low, high = max(0, start - offset), min(size, stop - offset)
            yield plain if (low, high) == (0, size) else memoryview(plain)[low:high]


def lacking(
    store: Store, reader: Reader, contents: Collection[Content]
) -> tuple[dict[bytes, int], bool]:
    """What is missing of some files; see `Repository.lacking`."""
    # In the order of the files throughout: so it is fetched, sent and stored, and read again.
    level = dict.fromkeys((content.depth, content.refs) for content in contents)
    data: dict[bytes, int] = {}
    while level:
        # Each piece once a level, however often it is named: a list may repeat itself.
        pieces: dict[tuple[int, bytes, int], None] = {}
        for depth, refs in level:
            pairs = check_references(refs)
            if depth:
                pieces.update(((depth, name, size), None) for name, size in pairs)
            else:
                data.update(pairs)
        unknown = store.missing({name for _, name, _ in pieces})
        if unknown:
            return {name: 0 for _, name, _ in pieces if name in unknown}, True
        level = dict.fromkeys(
            (depth - 1, check_piece(reader.piece(name), size)) for depth, name, size in pieces
        )
    unknown = store.missing(data)
    return {name: size for name, size in data.items() if name in unknown}, False


def _missing(names: Sequence[bytes]) -> LostChunkError:
    return LostChunkError(f"chunk {names[0].hex()} is missing from this node", names)


def is_content_of(content: Content, data: bytes | memoryview) -> bool:
    """Whether these bytes are the file."""
    return len(data) == content.size and content_hash(data) == content.hash

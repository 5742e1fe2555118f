"""The chunks of files that come here: from the disk where it has them, else from the server.

A *larder* says where on the disk chunks lie, by what the ledger remembers of files: the old
version of the same path, and other files of the very same content. Nothing of that is believed:
each chunk is hashed when it is read, and one that is not there any more is fetched.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Self

from aeorsync.core.hashing import HASH_SIZE, chunk_id
from aeorsync.errors import AeorError, CorruptError
from aeorsync.folder.content import read_place
from aeorsync.folder.facts import Place, name, places
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.plan import Take
from aeorsync.folder.reading import Holder
from aeorsync.folder.root import SafeRoot, told
from aeorsync.folder.server import Server
from aeorsync.runtime.squeeze import expand
from aeorsync.wire.framing import Chunk, Codec
from aeorsync.wire.limits import KIB

MIN_TWIN: Final = 64 * KIB
"""A smaller file is fetched rather than copied from another one here."""


class Where(NamedTuple):
    """Where on the disk a chunk may lie."""

    path: str
    place: Place


Larder = dict[bytes, Where]


def chunk_ids(chunks: bytes) -> list[bytes]:
    """The ids in a joined list."""
    return [chunks[at : at + HASH_SIZE] for at in range(0, len(chunks), HASH_SIZE)]


def larder(ledger: Ledger, take: Take) -> Larder:
    """Where chunks of a file may lie on the disk. Blocking."""
    wanted = take.told
    found: Larder = {}
    if take.was is not None and take.was.chunks and take.here == take.was.fingerprint:
        found.update((place.id, Where(take.path, place)) for place in places(take.was.chunks))
    if wanted.size >= MIN_TWIN:
        for path, agreed in ledger.by_content(wanted.content, limit=2):
            for place in places(agreed.chunks):
                found.setdefault(place.id, Where(path, place))
    return found


async def fetch(server: Server, ids: Iterable[bytes]) -> list[Chunk]:
    """Fetch chunks; those the server has not are left out."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    return [chunk async for chunk in server.chunks(wanted) if isinstance(chunk, Chunk)]


def unpack(chunk: Chunk) -> bytes:
    """The bytes of a chunk that came from the server.

    Raises:
        CorruptError: They are not those of its name.
    """
    plain = chunk.stored if chunk.codec is Codec.RAW else expand(chunk.stored, chunk.size)
    if len(plain) != chunk.size or chunk_id(plain) != chunk.id:
        raise CorruptError("the server sent a chunk that does not match its name")
    return bytes(plain)


class Pantry:
    """Chunks at hand: those fetched, and those on the disk. Blocking; for one thread at a time."""

    def __init__(self, root: SafeRoot, chunks: Sequence[Chunk], at_home: Larder) -> None:
        self._held = Holder(root)
        self._fetched = {chunk.id: chunk for chunk in chunks}
        self._at_home = at_home
        self._open: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.__exit__()
        for handle in self._open.values():
            os.close(handle)

    def get(self, wanted: bytes) -> bytes | None:
        """The bytes of a chunk; None when it is nowhere.

        Raises:
            CorruptError: The server sent something else.
        """
        chunk = self._fetched.get(wanted)
        if chunk is not None:
            return unpack(chunk)
        where = self._at_home.get(wanted)
        return None if where is None else self._read(where)

    def _read(self, where: Where) -> bytes | None:
        try:
            handle = self._open.get(where.path)
            if handle is None:
                if self._open:
                    # Files come one after the other; at most one is open.
                    os.close(self._open.popitem()[1])
                folder = self._held.folder_of(where.path)
                with told(where.path):
                    handle = folder.open(name(where.path))
                self._open[where.path] = handle
            return read_place(handle, where.place)
        except (AeorError, OSError):
            return None

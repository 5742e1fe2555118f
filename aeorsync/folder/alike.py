"""Chunks of the server as deltas against what they replaced in the file that is here.

Which old ones a new chunk replaced is told by both lists of chunks (`core.replaced`). The server
does not say how long the new ones are: together they have what the kept ones leave of the file.
What cannot be made of what is here, because it changed meanwhile, is fetched whole.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from aeorsync.core.hashing import chunk_id
from aeorsync.core.replaced import replaced
from aeorsync.errors import CorruptError
from aeorsync.folder.facts import places
from aeorsync.folder.fetching import Larder, Pantry, chunk_ids
from aeorsync.folder.plan import Take
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.server import Server
from aeorsync.runtime import bridge
from aeorsync.runtime.likeness import unlike
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.framing import Chunk, Codec

MIN_SIZE: Final = 4096
"""A smaller file is fetched as it is."""


class Came(NamedTuple):
    """What was fetched.

    Attributes:
        chunks: As they came, or made.
        bytes: Of these as they travelled.
    """

    chunks: list[Chunk]
    bytes: int


def bases_of(take: Take, at_home: Collection[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """What of a file that is here its new chunks probably are alike."""
    if take.was is None or not take.was.chunks or take.told.size < MIN_SIZE:
        return {}
    old = [(place.id, place.size) for place in places(take.was.chunks)]
    sizes = dict(old)
    names = chunk_ids(take.told.chunks)
    fresh = [name for name in names if name not in sizes]
    if not fresh:
        return {}
    rest = take.told.size - sum(sizes.get(name, 0) for name in names)
    each = max(1, rest // len(fresh))
    found = replaced(old, [(name, sizes.get(name, each)) for name in names], set(fresh))
    return {name: bases for name, bases in found.items() if set(bases) <= set(at_home)}


async def fetch_alike(
    server: Server, root: SafeRoot, ids: Iterable[bytes], bases: Bases, at_home: Larder
) -> Came:
    """Fetch chunks, some as deltas; those the server has not are left out.

    Args:
        server: Where from.
        root: The folder.
        ids: Which.
        bases: What is here and probably alike, by id.
        at_home: Where that lies.
    """
    wanted = list(dict.fromkeys(ids))
    known = {name: bases[name] for name in wanted if name in bases}
    came = [chunk async for chunk in server.chunks(wanted, known)] if wanted else []
    size = sum(len(chunk.stored) for chunk in came)
    chunks = [chunk for chunk in came if isinstance(chunk, Chunk)]
    deltas = [chunk for chunk in came if isinstance(chunk, Delta)]
    if deltas:
        made = await bridge.run(_make, root, deltas, known, at_home)
        chunks += made
        done = {chunk.id for chunk in made}
        rest = [delta.id for delta in deltas if delta.id not in done]
        again = (
            [one async for one in server.chunks(rest) if isinstance(one, Chunk)] if rest else []
        )
        chunks += again
        size += sum(len(chunk.stored) for chunk in again)
    return Came(chunks, size)


def _make(
    root: SafeRoot,
    deltas: Sequence[Delta],
    named: Mapping[bytes, Sequence[bytes]],
    at_home: Larder,
) -> list[Chunk]:
    """The chunks that some deltas make, each checked; without those that make something else."""
    made: list[Chunk] = []
    with Pantry(root, (), at_home) as pantry:
        for delta in deltas:
            parts = [pantry.get(base) for base in delta.bases if base in named[delta.id]]
            base = b"".join(part for part in parts if part is not None)
            try:
                plain = unlike(delta.stored, base, delta.size)
            except CorruptError:
                continue
            if chunk_id(plain) == delta.id:
                made.append(Chunk(delta.id, Codec.RAW, len(plain), plain))
    return made

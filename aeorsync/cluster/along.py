"""Small files that come with the news of them, so that a small write is there one exchange sooner.

Whoever tells sends along what was written there itself a moment ago: nobody else can have told of
it much earlier. What came from a peer is asked for, since whoever hears of it by two ways should
get it once. Whoever takes looks which of it is lacking, checks it like all that comes, and asks
for the rest as ever.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from aeorsync.core.versions import HASH_SIZE, REF_SIZE, Content
from aeorsync.errors import CorruptError
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.content import is_content_of
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing
from aeorsync.wire.framing import Chunk
from aeorsync.wire.limits import KIB

MOST_ALONG: Final = 16
"""Files that one page brings along, about; of more, asking costs little in comparison."""
_FEW: Final = 4 * MOST_ALONG
"""Files that are looked for here, at most, where nothing came along with the news of them."""
LARGEST_ALONG: Final = 4 * KIB
"""Bytes of the largest file that comes along: what the news of it take, in order of magnitude."""


class Along(msgspec.Struct, frozen=True):
    """What came along and was stored.

    Attributes:
        chunks: Chunks.
        bytes: Bytes of these as they were sent.
        is_all: Whether all files that the news need are here by now, and proven.
    """

    chunks: int = 0
    bytes: int = 0
    is_all: bool = False


NOTHING: Final = Along()


def along_frames(repository: Repository, contents: Iterable[Content]) -> list[bytes]:
    """The CHUNK frames of those of some files that are small. Blocking."""
    names = [content.refs[:HASH_SIZE] for content in contents if _is_small(content)]
    return [
        framing.encode_chunk(chunk.id, framing.Codec(chunk.codec), chunk.size, chunk.data)
        for chunk in (repository.stored_chunks(list(dict.fromkeys(names))) if names else ())
    ]


def take_along(
    repository: Repository,
    contents: Collection[Content],
    chunks: Sequence[Chunk],
    held: Collection[Content] = (),
) -> Along:
    """Store what of some chunks is lacking here, and right. Blocking; readable on return.

    What is wrong with them is found out by asking for them as ever. Of few small files what is
    here already is read, to prove them: then nothing is left to ask or to look for.

    Args:
        repository: Where to.
        contents: Files that news need.
        chunks: What came with the news.
        held: Files that our tree holds, which were proven when they came there.
    """
    are_small = all(map(_is_small, contents))
    if not contents or not (chunks or (are_small and len(contents) <= _FEW)):
        return NOTHING
    try:
        lacking, are_pieces = repository.lacking(list(contents))
        came = {} if are_pieces else {chunk.id: chunk for chunk in chunks if chunk.id in lacking}
        stored = [StoredChunk(*chunk) for chunk in came.values()]
        plain = dict(zip(came, repository.receive(stored), strict=True))
    except CorruptError:
        return NOTHING
    is_all = (
        are_small
        and plain.keys() >= lacking.keys()
        and all(content in held or _is_proven(repository, content, plain) for content in contents)
    )
    return Along(len(came), sum(len(chunk.stored) for chunk in came.values()), is_all)


def _is_proven(
    repository: Repository, content: Content, came: Mapping[bytes, bytes | memoryview]
) -> bool:
    """Whether a small file is what its hash says, by the chunk that came or that was here."""
    plain = came.get(content.refs[:HASH_SIZE])
    if plain is not None:
        return is_content_of(content, plain)
    try:
        repository.check_content(content)
    except CorruptError:
        return False
    return True


def _is_small(content: Content) -> bool:
    """Whether a file is one small chunk."""
    is_one = content.depth == 0 and len(content.refs) == REF_SIZE
    return is_one and content.size <= LARGEST_ALONG

"""What this node has that is probably like what it lacks: the files as they were.

A file that changed has most chunks in common with the one it replaced; for the others the peer is
told which old ones they replaced (`core.replaced`), and may send the difference.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final

from aeorsync.core.manifest import check_references
from aeorsync.core.merge import see
from aeorsync.core.replaced import Reference, replaced
from aeorsync.core.versions import Content, Entry, Kind
from aeorsync.errors import CorruptError
from aeorsync.storage.repository import Repository

MIN_SIZE: Final = 4096
"""A smaller file is fetched as it is."""
_MAX_CHUNKS: Final = 1 << 17
"""Of a longer list, as no usual file has, the rest is fetched as it is."""


def past_of(entry: Entry | None) -> Content | None:
    """The file that an entry shows here, if it is one worth comparing with."""
    if entry is None:
        return None
    shown = see(entry).winner
    is_file = shown.kind == Kind.FILE and not shown.deleted
    return shown.content if is_file and shown.content.size >= MIN_SIZE else None


def find_bases(
    repository: Repository,
    contents: Iterable[Content],
    pasts: Mapping[Content, Content],
    wanted: Mapping[bytes, int],
) -> dict[bytes, tuple[bytes, ...]]:
    """What is here and probably alike some wanted chunks, by their ids. Blocking.

    Args:
        repository: Where to look.
        contents: Files that lack these chunks, which are all data, or all manifest pieces.
        pasts: What was there before, of some of these files.
        wanted: The chunks, with the bytes expected of each; 0 for a piece.
    """
    found: dict[bytes, tuple[bytes, ...]] = {}
    for content in contents if pasts else ():
        past = pasts.get(content)
        if past is None or content.size < MIN_SIZE:
            continue
        # Whatever is wrong with a list is found out elsewhere.
        with suppress(CorruptError):
            if any(wanted.values()):
                old, new = _data(repository, past), _data(repository, content)
            elif content.depth == past.depth:
                old, new = check_references(past.refs), check_references(content.refs)
            else:
                continue
            found.update(replaced(old, new, wanted.keys()))
    return found


def _data(repository: Repository, content: Content) -> list[Reference]:
    some = islice(repository.references(content), _MAX_CHUNKS)
    return [(name, size) for _, name, size in some]

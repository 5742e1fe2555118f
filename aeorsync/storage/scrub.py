"""Looking for damage while the node goes on serving.

Every chunk and every tree node is read and compared with its name. A damaged chunk is quarantined,
as by any reader, so that it is fetched again from a peer; a damaged node is for a repair with
peers. Nothing else is changed, and no view is held open. `storage.verify` looks at more, with the
node at rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from aeorsync.core.hashing import node_id
from aeorsync.errors import CorruptError
from aeorsync.storage.content import LostChunkError
from aeorsync.storage.progress import Progress, quiet
from aeorsync.storage.repository import Repository

_STEP = 500


@dataclass(slots=True)
class Scrubbed:
    """What was looked at, and what was found.

    Attributes:
        chunks: Chunks that were read.
        chunk_bytes: Stored bytes of them.
        nodes: Tree nodes that were read.
        damaged_chunks: Ids of those that were damaged; they are quarantined.
        damaged_nodes: Tree nodes that do not match their name.
    """

    chunks: int = 0
    chunk_bytes: int = 0
    nodes: int = 0
    damaged_chunks: list[bytes] = field(default_factory=list)
    damaged_nodes: int = 0


def scrub(
    repository: Repository,
    progress: Progress = quiet,
    check: Callable[[], None] = lambda: None,
) -> Scrubbed:
    """Look at everything. Blocking, for as long as it takes to read all data once.

    Args:
        repository: Of a node that may be serving.
        progress: Told how it goes.
        check: Called now and then; what it raises ends the scrubbing.
    """
    found = Scrubbed()
    total = repository.store.sizes().chunks
    after = b""
    while rows := repository.store.chunk_rows(after, _STEP):
        after = rows[-1].id
        for row in rows:
            check()
            try:
                repository.plain_chunk(row.id)
            except LostChunkError:
                # One that was collected meanwhile is no damage.
                if repository.damage.is_lost(row.id):
                    found.damaged_chunks.append(row.id)
            found.chunks += 1
            found.chunk_bytes += row.stored
        progress("chunks", found.chunks, max(total, found.chunks))
    _scrub_nodes(repository, found, progress, check)
    return found


def _scrub_nodes(
    repository: Repository, found: Scrubbed, progress: Progress, check: Callable[[], None]
) -> None:
    after = b""
    while names := repository.store.node_names(after, _STEP):
        after = names[-1]
        check()
        for name in names:
            found.nodes += 1
            try:
                is_sound = node_id(repository.store.node(name)) == name
            except CorruptError:
                continue  # it went meanwhile
            found.damaged_nodes += not is_sound
        progress("nodes", found.nodes, 0)

"""`POST /system/gc`: collect garbage now, while the node goes on serving."""

import msgspec
from starlette.responses import Response

from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer
from aeorsync.api.jobs import collect
from aeorsync.api.parameters import Query
from aeorsync.errors import BadRequestError, BusyError, CorruptError, UnavailableError


class GcReply(msgspec.Struct, frozen=True):
    """What a collection did, or would do.

    Attributes:
        versions_scanned: Versions that were looked at.
        live_entries: Entries of the live tree.
        garbage_entries: Chunks and tree nodes that nothing refers to.
        reclaimed_bytes: Stored bytes of those chunks.
        duration_ms: How long it took.
        dry_run: Whether nothing was changed.
        garbage_chunks: The chunks among them.
        garbage_nodes: The tree nodes among them.
        freed_bytes: Bytes given back to the file system.
        packs: Pack files that were rewritten or removed.
        held_back: Why some or all of it was not collected; null when all was.
    """

    versions_scanned: int
    live_entries: int
    garbage_entries: int
    reclaimed_bytes: int
    duration_ms: int
    dry_run: bool
    garbage_chunks: int
    garbage_nodes: int
    freed_bytes: int
    packs: int
    held_back: str | None


async def gc(call: Call) -> Response:
    """Collect garbage; answers when it is done."""
    dry_run = Query(call.request.scope["query_string"]).flag("dry_run")
    wall = call.node.wall
    began = wall.monotonic()
    found = await collect(call.node, dry_run=dry_run)
    reply = GcReply(
        versions_scanned=found.versions,
        live_entries=found.live_entries,
        garbage_entries=found.chunks + found.nodes,
        reclaimed_bytes=found.chunk_bytes,
        duration_ms=round((wall.monotonic() - began) * 1000),
        dry_run=dry_run,
        garbage_chunks=found.chunks,
        garbage_nodes=found.nodes,
        freed_bytes=found.freed_bytes,
        packs=found.packs,
        held_back=found.held_back,
    )
    return answer(reply)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/system/gc",
        gc,
        "Collect garbage.",
        access=Access.ROOT,
        reply=GcReply,
        errors=(BadRequestError, BusyError, CorruptError, UnavailableError),
        parameters=(
            Parameter("dry_run", {"type": "boolean"}, "Only tell what would be collected."),
        ),
    ),
)

"""`GET /system/stats`: the node in figures, for people and dashboards; and `POST /system/repair`.

`/metrics` tells the same, and more, to Prometheus. Event streams are told the figures each 15 s as
`metrics`. Sums are since the start; what the store holds is counted anew every 5 s at most.
"""

import shutil
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api import health, reach
from aeorsync.api.endpoint import Access, Call, Endpoint, answer
from aeorsync.api.jobs import look_for_damage
from aeorsync.api.node import Node
from aeorsync.api.taskboard import Control
from aeorsync.cluster.verdict import Verdict, judge
from aeorsync.errors import DeniedError
from aeorsync.runtime import bridge
from aeorsync.runtime.bus import Bus
from aeorsync.storage import versions
from aeorsync.storage.writer import Committed
from aeorsync.wire.nodes import RepairReply

_RECENT_S: Final = 10.0


class Identity(msgspec.Struct, frozen=True):
    """Which node it is. Times are milliseconds since the Unix epoch."""

    node_id: int
    version: str
    database: str
    started_at: int
    uptime_ms: int


class Counts(msgspec.Struct, frozen=True):
    """How many there are; ``entries`` are files, symlinks and folders, the node's own too."""

    entries: int
    chunks: int
    conflicts: int
    snapshots: int
    forks: int
    peers: int
    event_streams: int


class Sizes(msgspec.Struct, frozen=True):
    """Bytes: of chunks as stored, of the database beside them, of the disk below."""

    chunk_bytes: int
    metadata_bytes: int
    disk_total: int
    disk_free: int


class Throughput(msgspec.Struct, frozen=True):
    """What was done since the start."""

    requests: int
    commits: int
    changes: int
    transferred_bytes: int
    transferred_files: int
    waiting: int


class HealthFacts(msgspec.Struct, frozen=True):
    """How the node is: by its disk, and by its peers (see `GET /sync/health`)."""

    status: str
    in_step: bool
    unhealthy_peers: int
    laggy_peers: int


class Memory(msgspec.Struct, frozen=True):
    """Bytes that the process takes: in memory, and of addresses."""

    resident_bytes: int
    virtual_bytes: int


class StatsReply(msgspec.Struct, frozen=True):
    """The node in figures."""

    identity: Identity
    counts: Counts
    sizes: Sizes
    throughput: Throughput
    health: HealthFacts
    memory: Memory


class MendReply(msgspec.Struct, frozen=True):
    """What looking for damage found, and what became of it.

    Attributes:
        chunks: Chunks that were read.
        chunk_bytes: Stored bytes of them.
        nodes: Tree nodes that were read.
        damaged_chunks: Chunks that were damaged; they are not served.
        recovered_chunks: Those of them that a peer gave; the rest is asked for again by and by.
        damaged_nodes: Tree nodes that were damaged.
        peers: How comparing the trees with the peers went.
        duration_ms: How long all of it took.
    """

    chunks: int
    chunk_bytes: int
    nodes: int
    damaged_chunks: int
    recovered_chunks: int
    damaged_nodes: int
    peers: RepairReply
    duration_ms: int


_recent: WeakKeyDictionary[Bus[Committed], tuple[float, StatsReply]] = WeakKeyDictionary()


async def show(call: Call) -> Response:
    """Tell the figures."""
    reach.demand_insight(call)
    return answer(await figures(call.node))


async def figures(node: Node) -> StatsReply:
    """The node in figures."""
    sums = list(node.tally.sums.values())
    links = _Links(
        peers=len(node.member.peers()),
        verdict=judge(node.member.peers(), node.wall.now_ms(), node.started_ms),
        bytes=sum(one.bytes for one in sums),
        files=sum(one.files for one in sums),
        streams=node.bus.listeners,
    )
    return await bridge.run(_figures, node, links)


async def recent_figures(node: Node) -> StatsReply:
    """The same, as of a few seconds ago: made once for all event streams."""
    now = node.wall.monotonic()
    made = _recent.get(node.bus)
    if made is None or not 0 <= now - made[0] < _RECENT_S:
        made = _recent[node.bus] = now, await figures(node)
    return made[1]


@dataclass(frozen=True, slots=True)
class _Links:
    """What only the event loop may look at."""

    peers: int
    verdict: Verdict
    bytes: int
    files: int
    streams: int


def _figures(node: Node, links: _Links) -> StatsReply:
    from aeorsync.api.exposition import sums  # noqa: PLC0415 - see there

    repository, now_ms = node.repository, node.wall.now_ms()
    held = node.meter.sizes(repository, node.wall)
    counted = sums(node.meter)
    disk = None if node.folder is None else shutil.disk_usage(node.folder)
    with repository.view() as view:
        entries = view.count()
    return StatsReply(
        identity=Identity(
            node_id=node.member.node_id,
            version=__version__,
            database=str(repository.database_id),
            started_at=node.started_ms,
            uptime_ms=max(0, now_ms - node.started_ms),
        ),
        counts=Counts(
            entries=entries,
            chunks=held.chunks,
            conflicts=held.conflicts,
            snapshots=len(versions.snapshots(repository)),
            forks=len(versions.forks(repository)),
            peers=links.peers,
            event_streams=links.streams,
        ),
        sizes=Sizes(
            chunk_bytes=held.chunk_bytes,
            metadata_bytes=held.metadata_bytes,
            disk_total=0 if disk is None else disk.total,
            disk_free=0 if disk is None else disk.free,
        ),
        throughput=Throughput(
            requests=int(counted.get("aeorsync_http_requests_total", 0)),
            commits=int(counted.get("aeorsync_commit_seconds_count", 0)),
            changes=int(counted.get("aeorsync_changes_total", 0)),
            transferred_bytes=links.bytes,
            transferred_files=links.files,
            waiting=repository.waiting,
        ),
        health=HealthFacts(
            status=health.judge(health.disk_use(node.folder)),
            in_step=links.verdict.is_healthy,
            unhealthy_peers=len(links.verdict.unhealthy),
            laggy_peers=len(links.verdict.laggy),
        ),
        memory=Memory(
            resident_bytes=int(counted.get("aeorsync_process_resident_memory_bytes", 0)),
            virtual_bytes=int(counted.get("aeorsync_process_virtual_memory_bytes", 0)),
        ),
    )


async def mend(call: Call) -> Response:
    """Look for damage, and mend what peers can help to mend."""
    node = call.node
    began = node.wall.monotonic()
    found: dict[str, Any] = await look_for_damage(node, Control(node.wall.monotonic))
    repaired = await node.member.repair(None)
    root = node.repository.head.root.hex()
    peers = RepairReply(results=repaired.results, skipped=repaired.skipped, root_hash=root)
    duration_ms = round((node.wall.monotonic() - began) * 1000)
    return answer(MendReply(**found, peers=peers, duration_ms=duration_ms))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/system/stats",
        show,
        "The node in figures.",
        access=Access.USER,
        reply=StatsReply,
        errors=(DeniedError,),
    ),
    Endpoint(
        "POST",
        "/system/repair",
        mend,
        "Look for damage, and mend it with the help of peers.",
        reply=MendReply,
    ),
)

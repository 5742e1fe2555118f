"""What tasks do. A task is a word and its arguments; here is what each word means.

gc         collect garbage
cleanup    forget what has outlived its time: snapshots by their retention, refresh tokens, keys
snapshot   keep the present tree, unless the latest snapshot has it
verify     read everything, quarantine what is damaged, fetch it again from peers
reindex    nothing: this node keeps no indexes that could be stale
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import msgspec

from aeorsync.api.node import Node
from aeorsync.api.taskboard import Control, Run
from aeorsync.errors import BadRequestError
from aeorsync.runtime import bridge
from aeorsync.storage import automatic, versions
from aeorsync.storage.gc import Collected
from aeorsync.storage.progress import Progress, quiet
from aeorsync.storage.scrub import scrub
from aeorsync.storage.taskbook import CronBook, Task, TaskBook
from aeorsync.storage.writer import Committed


class GcArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to collect garbage."""

    dry_run: bool = False


class NoArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to say."""


class ReindexArgs(msgspec.Struct, frozen=True):
    """What an AeorDB node is told to index; nothing here heeds it."""

    path: str = "/"
    force: bool = False
    metadata_only: bool = False
    index_flush_writes: int | None = None
    index_flush_ms: int | None = None


class Cleaned(msgspec.Struct, frozen=True):
    """What a cleanup forgot.

    Attributes:
        tokens_cleaned: Chains of refresh tokens that were over.
        links_cleaned: Always 0: there are no magic links.
        snapshots_pruned: Snapshots that had outlived their retention.
        keys_cleaned: API keys that have not worked for long.
    """

    tokens_cleaned: int
    links_cleaned: int
    snapshots_pruned: int
    keys_cleaned: int


def announce(node: Node, kind: str, payload: object) -> None:
    """Tell event streams that something happened. In the event loop only."""
    node.bulletins.post(kind, node.wall.now_ms(), payload)
    # Without changes: it only wakes who listens, so that they look.
    node.bus.publish(Committed(node.repository.head, ()))


async def collect(
    node: Node,
    *,
    dry_run: bool = False,
    progress: Progress = quiet,
    check: Callable[[], None] = lambda: None,
) -> Collected:
    """Collect garbage, and tell event streams of it."""
    began = node.wall.monotonic()
    if not dry_run:
        announce(node, "gc_started", {"dry_run": False})
    found = await bridge.run(node.collector.run, dry_run=dry_run, progress=progress, check=check)
    if not dry_run:
        duration_ms = round((node.wall.monotonic() - began) * 1000)
        announce(
            node,
            "gc_completed",
            {
                "versions_scanned": found.versions,
                "live_entries": found.live_entries,
                "garbage_entries": found.chunks + found.nodes,
                "reclaimed_bytes": found.chunk_bytes,
                "duration_ms": duration_ms,
                "dry_run": False,
            },
        )
    return found


async def clean_up(node: Node) -> Cleaned:
    """Forget what has outlived its time."""
    now_ms = node.wall.now_ms()
    pruned = await bridge.run(automatic.prune_snapshots, node.repository, now_ms)
    # Every node does; what several forget at once is forgotten once.
    chains, keys = await bridge.settle(await bridge.run(node.accounts.sweep, now_ms))
    return Cleaned(chains, links_cleaned=0, snapshots_pruned=pruned, keys_cleaned=keys)


async def look_for_damage(node: Node, control: Control) -> dict[str, Any]:
    """Read everything; fetch again what is damaged."""
    found = await bridge.run(scrub, node.repository, control.tell, control.check)
    lost = found.damaged_chunks
    if lost:
        control.tell("fetching", 0, len(lost))
        await node.member.rescue(lost)
    missing = await bridge.run(node.repository.missing, lost)
    return {
        "chunks": found.chunks,
        "chunk_bytes": found.chunk_bytes,
        "nodes": found.nodes,
        "damaged_chunks": len(lost),
        "recovered_chunks": len(lost) - len(missing),
        "damaged_nodes": found.damaged_nodes,
    }


async def _gc(node: Node, args: GcArgs, control: Control) -> dict[str, Any]:
    found = await collect(node, dry_run=args.dry_run, progress=control.tell, check=control.check)
    return asdict(found)


async def _cleanup(node: Node, _args: NoArgs, _control: Control) -> dict[str, Any]:
    return dict(msgspec.to_builtins(await clean_up(node)))


async def _snapshot(node: Node, _args: NoArgs, _control: Control) -> dict[str, Any]:
    repository = node.repository
    made = await bridge.settle(
        versions.commit(repository, partial(automatic.scheduled_snapshot, repository))
    )
    return {"snapshot": None if made is None else made.name}


async def _verify(node: Node, _args: NoArgs, control: Control) -> dict[str, Any]:
    return await look_for_damage(node, control)


async def _reindex(_node: Node, _args: ReindexArgs, _control: Control) -> dict[str, Any]:
    return {"indexes": 0, "note": "this node keeps no indexes, so there was nothing to do"}


_Job = Callable[[Node, Any, Control], Awaitable[dict[str, Any]]]
JOBS: Final[dict[str, tuple[type[msgspec.Struct], _Job]]] = {
    "gc": (GcArgs, _gc),
    "cleanup": (NoArgs, _cleanup),
    "snapshot": (NoArgs, _snapshot),
    "verify": (NoArgs, _verify),
    "reindex": (ReindexArgs, _reindex),
}


def check_job(task_type: str, args: dict[str, Any]) -> None:
    """Demand a task that we know how to do.

    Raises:
        BadRequestError: We do not.
    """
    if task_type not in JOBS:
        raise BadRequestError(f"task_type must be one of {', '.join(sorted(JOBS))}")
    try:
        msgspec.convert(args, JOBS[task_type][0])
    except msgspec.ValidationError as error:
        raise BadRequestError(f"the args of {task_type} do not fit: {error}") from error


def runner(node: Node) -> Run:
    """What does the tasks of a node."""

    async def run(task: Task, control: Control) -> dict[str, Any]:
        shape, job = JOBS[task.task_type]
        return await job(node, msgspec.convert(task.args, shape), control)

    return run


async def open_board(node: Node) -> None:
    """Let the board of a node take tasks."""
    book = await bridge.run(TaskBook, node.repository, node.wall.now_ms())
    cron = await bridge.run(CronBook, node.repository)

    def tell(task: Task) -> None:
        words = {"pending": "created", "running": "started"}
        kind = f"tasks_{words.get(task.status, task.status)}"
        told = {"id": task.id, "task_type": task.task_type, "status": task.status}
        announce(node, kind, {"tasks": [told]})

    node.tasks.open(book, cron, node.wall, tell)

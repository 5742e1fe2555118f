"""A link to a fake peer, and running it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aeorsync.cluster.link import Link
from aeorsync.cluster.peers import Direction, LinkBook, LinkRecord
from aeorsync.cluster.site import Site
from aeorsync.errors import ConflictError
from aeorsync.runtime.bus import Bus
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from tests.support.clock import FakeClock
from tests.support.peer import ADDRESS, FakePeer


def make_link(
    ours: Repository,
    peer: FakePeer,
    *,
    interval: float = 60,
    node_id: int | None = None,
    commits: Bus[Committed] | None = None,
    direction: Direction = Direction.BOTH,
) -> Link:
    site = Site(
        ours, ours.head.node, FakeClock(), peer.remote, interval, lambda: 0.0, commits=commits
    )
    record = LinkRecord(id=1, address=ADDRESS, node_id=node_id, direction=direction)
    LinkBook(ours).save(record)
    return Link(site, record, lambda _link, node: refuse_self(node, ours.head.node))


def refuse_self(node: int, own: int) -> None:
    if node == own:
        raise ConflictError("that address leads to this node itself")


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

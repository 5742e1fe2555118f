"""What a node does by itself now and then: collect garbage, forget keys that are long over."""

import asyncio
from collections.abc import Awaitable, Callable

from aeorsync.api.node import Node
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger

_HOUR_S = 3600
_SETTLE_S = 600
"""A node that has just started has better things to do."""

log = get_logger(__name__)


def collecting(node: Node, hours: int) -> Callable[[], Awaitable[None]]:
    """A background loop that collects garbage every so many hours, counted across restarts."""

    async def loop() -> None:
        while True:
            last = await bridge.run(node.collector.last_ms)
            due_ms = last + hours * _HOUR_S * 1000 - node.wall.now_ms()
            # A clock that was set back must not put it off for longer than one turn.
            await asyncio.sleep(max(_SETTLE_S, min(due_ms / 1000, hours * _HOUR_S)))
            found = await bridge.run(node.collector.run)
            log.info(
                "garbage collected",
                chunks=found.chunks,
                nodes=found.nodes,
                bytes=found.chunk_bytes,
                freed=found.freed_bytes,
                held_back=found.held_back,
            )

    return loop


def sweeping(node: Node) -> Callable[[], Awaitable[None]]:
    """A background loop that forgets keys and refresh tokens that are over, every hour.

    Every node does; what several forget at once is forgotten once.
    """

    async def loop() -> None:
        while True:
            await asyncio.sleep(_HOUR_S)
            sweep = await bridge.run(node.accounts.sweep, node.wall.now_ms())
            chains, keys = await bridge.settle(sweep)
            if chains or keys:
                log.info("keys swept", refresh_chains=chains, keys=keys)

    return loop

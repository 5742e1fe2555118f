"""What a node does by itself now and then: its timetable, and the garbage at the latest.

Both only ask for tasks; `api.taskboard` does them, one after the other. And every two minutes it
lets go of memory for what nobody reads any more.

    timetable    each item when it is due; what fell due several times meanwhile is done once
    overdue      garbage, when it was not collected for `--gc-interval` hours: a machine that
                 sleeps at night misses its 03:00 each day
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aeorsync.api.node import Node
from aeorsync.core.schedule import next_ms
from aeorsync.errors import AeorError
from aeorsync.runtime import bridge, memory
from aeorsync.runtime.log import get_logger
from aeorsync.storage.taskbook import CronItem

OVERDUE: Final = "overdue"
"""Stands for the item of the timetable in a task that no item asked for."""
_HOUR_MS: Final = 3_600_000
_SETTLE_S: Final = 600
"""A node that has just started has better things to do."""
_LOOK_S: Final = 10.0
_REST_S: Final = 120.0

log = get_logger(__name__)


def keeping_time(node: Node, look_s: float = _LOOK_S) -> Callable[[], Awaitable[None]]:
    """A background loop that asks for what is due."""

    async def loop() -> None:
        looked_ms = node.wall.now_ms()
        began = rested = node.wall.monotonic()
        while True:
            await asyncio.sleep(look_s)
            now_ms = node.wall.now_ms()
            if node.wall.monotonic() - rested > _REST_S:
                rested = node.wall.monotonic()
                node.repository.rest()
                memory.give_back()
            for item in due(node.tasks.timetable.all(), looked_ms, now_ms, node.gc_interval):
                await _ask(node, item.task_type, item.args, item.id)
            if node.wall.monotonic() - began > _SETTLE_S and await _is_overdue(node, now_ms):
                await _ask(node, "gc", {}, OVERDUE)
            # A clock that was set back must not make everything due once more.
            looked_ms = now_ms

    return loop


def due(items: list[CronItem], after_ms: int, now_ms: int, gc_interval: int) -> list[CronItem]:
    """The items that fell due after a moment and till now."""
    return [
        item
        for item in items
        if item.enabled
        and (item.task_type != "gc" or gc_interval)
        and next_ms(item.schedule, after_ms) <= now_ms
    ]


async def _is_overdue(node: Node, now_ms: int) -> bool:
    if not node.gc_interval:
        return False
    tasks = [task for task in node.tasks.all() if task.task_type == "gc"]
    tried = [task.created_at for task in tasks if task.cron == OVERDUE]
    if any(task.is_open for task in tasks) or (tried and 0 <= now_ms - tried[0] < _HOUR_MS):
        return False  # it is about to be done; or it failed, or was cancelled, just now
    last_ms = await bridge.run(node.collector.last_ms)
    return now_ms - last_ms >= node.gc_interval * _HOUR_MS


async def _ask(node: Node, task_type: str, args: dict[str, object], cron: str) -> None:
    """Ask for a task, unless the last one of the same item has not ended yet."""
    if any(task.cron == cron and task.is_open for task in node.tasks.all()):
        return
    try:
        await node.tasks.submit(task_type, args, cron)
    except AeorError as error:
        log.warning("task not begun", task=task_type, cron=cron, reason=error.message)

"""Doing several things side by side, as one.

Python's own ``TaskGroup`` forgets a cancellation that comes while it is failing, and after a
failure leaves its caller marked as cancelled (both until 3.13): a link that is stopped just as its
peer breaks would never stop.
"""

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all of ``work``; the first failure ends the others and is raised as it is.

    Whatever happens, nothing of it still runs afterwards.
    """
    import asyncio  # noqa: PLC0415  # as in `runtime.straight`

    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        # One reason is enough: what else fails follows from it, or will come up again.
        failure = next((f for task in tasks if task.done() and (f := task.exception())), None)
    finally:
        await _end(tasks)
    if failure is not None:
        raise failure


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel what still runs and wait until it has ended."""
    import asyncio  # noqa: PLC0415

    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: the event loop need not complain about it
    if cancelled is not None:
        raise cancelled

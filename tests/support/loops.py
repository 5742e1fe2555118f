"""Running a test's coroutine."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], seconds: float = 30) -> T:
    """Run it to its end, in an event loop of its own, but not for ever."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await coroutine

    return asyncio.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    """Let others work until something holds."""
    while not condition():  # noqa: ASYNC110  # what it is about has no event
        await asyncio.sleep(0.001)

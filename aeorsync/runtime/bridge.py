"""The door between the event loop and blocking code, which `runtime.threads` does.

*Cancelling waits*: a call that began in a thread cannot be stopped, so a cancelled caller goes on
only when the thread is done. Otherwise a closed request could still be writing while the next one,
or the shutdown, believes it is alone.

Where there is no loop (`runtime.straight`) there is no door: calls are made at once.
"""

import contextvars
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from aeorsync.errors import UnavailableError
from aeorsync.runtime import straight, threads

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

P = ParamSpec("P")
T = TypeVar("T")


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call blocking code in a thread and return what it returns.

    A call that is cancelled before its turn came is never made; one that has begun is waited for.
    """
    if straight.is_on():
        return _finished(function, args, kwargs)
    context = contextvars.copy_context()
    call = functools.partial(context.run, _finished, function, args, kwargs)
    future: Future[T] = threads.crew().submit(call)
    return await _result(future, on_cancel=future.cancel)


def begin(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
    """Have blocking code called in a thread meanwhile; `settle` waits for it."""
    call = functools.partial(_finished, function, args, kwargs)
    return threads.crew().submit(call)


async def settle(future: "Future[T]") -> T:
    """Return the result of a future that some thread completes.

    When the caller is cancelled this still waits for the thread; then it is the cancellation that
    is raised, whatever the result. The future itself is never cancelled: others may share it.

    Raises:
        UnavailableError: Whoever was to complete the future gave it up.
    """
    return await _result(future, on_cancel=None)


def _finished(function: Callable[..., T], args: Sequence[object], named: dict[str, object]) -> T:
    try:
        return function(*args, **named)
    except StopIteration as error:
        # No asyncio future can carry it: the caller would wait for ever.
        message = "blocking code raised StopIteration"
        raise RuntimeError(message) from error


async def _result(future: "Future[T]", on_cancel: Callable[[], object] | None) -> T:
    if future.done() and not future.cancelled():
        return future.result()
    import asyncio  # noqa: PLC0415  # there by now

    waiter = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if waiter.cancelled() and task is not None and not task.cancelling():
            # Nobody cancelled the caller, so it must not end as if somebody had.
            raise UnavailableError("The node is shutting down.") from error
        if on_cancel is not None:
            on_cancel()
        await _until_done(waiter)
        raise


async def _until_done(waiter: "asyncio.Future[T]") -> None:
    # Imported here, as it takes a while and most programs beside a server never cancel.
    import asyncio  # noqa: PLC0415  # there by now

    import anyio  # noqa: PLC0415

    # The scope holds back further cancelling by anyio, which would spin; the loop, by asyncio.
    with anyio.CancelScope(shield=True):
        while not waiter.done():
            try:
                await asyncio.wait((waiter,))
            except asyncio.CancelledError:
                continue

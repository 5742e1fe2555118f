"""Doing the work of coroutines with no event loop, for what is over before one would be there.

Loading an event loop takes longer than looking through ten thousand files. A pass is written as
coroutines, since many of them wait for much; one that has next to nothing to do is driven straight
through instead, by whoever would have run the loop:

    bridge.run          makes the call at once, in this thread
    begin               goes on with the other work up to its first `pause`, and does the rest of
                        it when it is awaited
    whatever else       would wait for a loop: a mistake, and told as one

So a request is sent, the disk is looked at while the other side thinks, and then its answer is
read. What cannot be done so has to find out before it has begun (`is_on`).
"""

import contextvars
from collections.abc import Awaitable, Coroutine, Generator, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_on: Final = contextvars.ContextVar("straight", default=False)


class Begun(Protocol[T_co]):
    """Work that goes on beside other work; to be awaited, or ended by `end`."""

    def __await__(self) -> Generator[Any, None, T_co]:
        """Its result."""

    def cancel(self) -> object:
        """Stop it."""


def is_on() -> bool:
    """Whether nobody runs an event loop here, and who calls is driven straight through."""
    return _on.get()


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Do all of ``work`` in this thread, and return what it returns."""
    token = _on.set(True)
    try:
        while True:
            try:
                _check(work.send(None))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
    finally:
        _on.reset(token)
        work.close()


def begin(work: Coroutine[Any, Any, T]) -> Begun[T]:
    """Begin some work beside that of the caller: a task, where there is a loop."""
    if is_on():
        return _Step(work)
    import asyncio  # noqa: PLC0415  # see the top

    return asyncio.create_task(work)


def by_now(begun: Begun[T]) -> T | None:
    """What something that was begun has come to; None where it goes on, or failed."""
    return begun.by_now if isinstance(begun, _Step) else None


async def end(some: Iterable[Begun[Any]]) -> None:
    """Stop what was begun and still goes on, and wait until it has ended."""
    begun = list(some)
    for one in begun:
        one.cancel()
    if begun and not is_on():
        import asyncio  # noqa: PLC0415  # there by now

        await asyncio.gather(*begun, return_exceptions=True)


def pause() -> Awaitable[None]:
    """Let the caller of `begin` go on: what comes now waits for others. Only where `is_on`."""
    return _Pause()


class _Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


class _Step(Generic[T]):
    """See `begin`."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._is_over = False
        self._result: T
        self._failure: Exception | None = None
        self._go_on()

    def _go_on(self) -> None:
        try:
            _check(self._work.send(None))
        except StopIteration as end:
            self._result = end.value
            self._is_over = True
        except Exception as error:  # noqa: BLE001  # for whoever awaits it
            self._failure = error
            self._is_over = True

    @property
    def by_now(self) -> T | None:
        return self._result if self._is_over and self._failure is None else None

    def __await__(self) -> Generator[Any, None, T]:
        while not self._is_over:
            self._go_on()
        if self._failure is not None:
            raise self._failure
        return self._result
        yield  # an awaitable is a generator, also where it never waits

    def cancel(self) -> None:
        self._work.close()


def _check(waited_for: object) -> None:
    if waited_for is not None:
        raise RuntimeError(f"nobody is there to wait for {waited_for!r}")

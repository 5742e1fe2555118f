"""Blocking work without threads.

InlineCrew      each call is made where it is handed over
DelayedCrew     each call is made a little later, as if a thread had had to wake up; who
                waits for a result all the same, in blocking code, does the work meanwhile
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property, partial
from random import Random
from threading import Condition
from typing import Any, TypeVar

T = TypeVar("T")


_ENDED = frozenset({"FINISHED", "CANCELLED", "CANCELLED_AND_NOTIFIED"})


class Light(Future[Any]):
    """A future without a lock, which is most of what one costs: there is only one thread."""

    def __init__(self) -> None:
        self._state = "PENDING"
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []

    @cached_property
    def _condition(self) -> Condition:  # type: ignore[override]  # made when it is needed
        """For the few that are waited for after all."""
        return Condition()

    def done(self) -> bool:
        return self._state in _ENDED

    def cancelled(self) -> bool:
        return self._state in _ENDED and self._state != "FINISHED"

    def set_running_or_notify_cancel(self) -> bool:
        if self._state != "PENDING":
            return super().set_running_or_notify_cancel()
        self._state = "RUNNING"
        return True

    def set_result(self, result: Any) -> None:  # noqa: ANN401
        if self._done_callbacks or self._state in _ENDED:
            super().set_result(result)
            return
        self._result, self._state = result, "FINISHED"

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401
        if self._state == "FINISHED" and self._exception is None:
            return self._result
        return super().result(timeout)


def _made(future: "Future[T]", call: Callable[[], T]) -> "Future[T]":
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  # it belongs to who asked
            future.set_exception(error)
    return future


class InlineAttendant:
    """Serves as soon as it is called; what is put in meanwhile is served next."""

    def __init__(self, serve: Callable[[], bool], is_waited_for: Callable[[], bool]) -> None:
        self._serve = serve
        self._is_waited_for = is_waited_for
        self._is_busy = False

    def promise(self) -> "Future[Any]":
        return Light()

    def call(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        # Not undone where serving dies: then the node is dead, and nobody serves any more.
        while self._is_waited_for():
            self._serve()
        self._is_busy = False

    def join(self) -> None:
        pass


class InlineCrew:
    """See `runtime.threads.Crew`."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        future = Light()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  # it belongs to who asked
            future.set_exception(error)
        return future

    def attend(
        self, name: str, serve: Callable[[], bool], is_waited_for: Callable[[], bool]
    ) -> InlineAttendant:
        del name
        return InlineAttendant(serve, is_waited_for)


class _Promise(Future[Any]):
    """A future whose owner works while somebody waits for it."""

    def __init__(self, attendant: InlineAttendant) -> None:
        super().__init__()
        self._attendant = attendant

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401
        if not self.done():
            self._attendant.call()
        return super().result(0 if timeout is None else timeout)


class DelayedAttendant(InlineAttendant):
    """Serves a little after it was called."""

    def __init__(
        self, crew: "DelayedCrew", serve: Callable[[], bool], is_waited_for: Callable[[], bool]
    ) -> None:
        super().__init__(serve, is_waited_for)
        self._crew = crew

    def promise(self) -> "Future[Any]":
        return _Promise(self)

    def call_later(self) -> None:
        """Serve when a thread would have woken up."""
        self._crew.later(self.call)

    def join(self) -> None:
        self.call()


class _Outer:
    """The face of a delayed attendant to those who put something in."""

    def __init__(self, inner: DelayedAttendant) -> None:
        self._inner = inner
        self.promise = inner.promise
        self.call = inner.call_later
        self.join = inner.join


class DelayedCrew:
    """See `runtime.threads.Crew`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: Random) -> None:
        self._loop = loop
        self._chance = chance

    def later(self, call: Callable[[], object]) -> None:
        """Do something soon: most often at once, sometimes only after a long while."""
        slow = self._chance.random()
        delay = self._chance.random() * (0.002 if slow < 0.95 else 0.2)
        self._loop.call_later(delay, call)

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        self.later(partial(_made, future, call))
        return future

    def attend(
        self, name: str, serve: Callable[[], bool], is_waited_for: Callable[[], bool]
    ) -> _Outer:
        del name
        return _Outer(DelayedAttendant(self, serve, is_waited_for))

"""Blocking work without threads: each call is made where it is handed over."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class InlineAttendant:
    """Serves as soon as it is called; what is put in meanwhile is served next."""

    def __init__(self, serve: Callable[[], bool]) -> None:
        self._serve = serve
        self._calls = 0
        self._is_busy = False

    def promise(self) -> "Future[Any]":
        return Future()

    def call(self) -> None:
        self._calls += 1
        if self._is_busy:
            return
        self._is_busy = True
        # Not undone where serving dies: then the node is dead, and nobody serves any more.
        while self._calls:
            self._calls -= 1
            self._serve()
        self._is_busy = False

    def join(self) -> None:
        pass


class InlineCrew:
    """See `runtime.threads.Crew`."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  # it belongs to who asked
            future.set_exception(error)
        return future

    def attend(self, name: str, serve: Callable[[], bool]) -> InlineAttendant:
        del name
        return InlineAttendant(serve)



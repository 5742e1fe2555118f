"""Who does blocking work: the threads of a node.

    a single call      `Crew.submit`    one of a pool of threads makes it
    a queue            `Crew.attend`    one thread of its own takes what waits in it, for ever

A simulation puts a crew of its own in place, for which one thread does everything, in an order
that it chooses.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

MAX_THREADS = 16
"""Threads mostly wait for the disk or hash without the interpreter lock; more of them would only
fight for it. What exceeds them waits its turn."""


class Attendant(Protocol):
    """Serves one queue; safe from any thread."""

    def promise(self) -> "Future[Any]":
        """A future that serving the queue will complete."""

    def call(self) -> None:
        """Something has been put into the queue."""

    def join(self) -> None:
        """Wait until the queue was served to its end."""


class Crew(Protocol):
    """Does blocking work."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Make a call soon."""

    def attend(
        self, name: str, serve: Callable[[], bool], is_waited_for: Callable[[], bool]
    ) -> Attendant:
        """Serve a queue.

        Args:
            name: For people.
            serve: Takes what waits in the queue, and waits where nothing does; False when that
                was the end of it.
            is_waited_for: Whether there is something in it; for a crew that cannot wait.
        """


class _Thread:
    """See `Attendant`; what it serves waits for the queue by itself."""

    def __init__(self, name: str, serve: Callable[[], bool]) -> None:
        self._serve = serve
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def promise(self) -> "Future[Any]":
        from concurrent.futures import Future  # noqa: PLC0415  # see `Threads`

        return Future()

    def call(self) -> None:
        pass

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while self._serve():
            pass


class Threads:
    """Real threads; see `Crew`."""

    @cached_property
    def _pool(self) -> "ThreadPoolExecutor":
        # Neither started nor loaded before it is needed: a short program never does.
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="aeorsync")

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """See `Crew`."""
        return self._pool.submit(call)

    def attend(
        self, name: str, serve: Callable[[], bool], is_waited_for: Callable[[], bool]
    ) -> Attendant:
        """See `Crew`."""
        del is_waited_for
        return _Thread(name, serve)


_crew: Crew = Threads()


def crew() -> Crew:
    """Who does blocking work in this process."""
    return _crew


@contextmanager
def done_by(other: Crew) -> Iterator[None]:
    """Have blocking work done by others, in the whole process; for simulations only."""
    global _crew  # noqa: PLW0603  # that is the point of it
    before, _crew = _crew, other
    try:
        yield
    finally:
        _crew = before

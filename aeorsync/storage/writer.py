"""Group commit: one thread turns many operations into one durable commit.

Operations wait in a queue; the writer takes all that wait, runs each on one shared draft, and
commits once. An operation that raises leaves nothing and fails alone. A future resolves only
when its operation is durable. An operation may ask for a commit of its own: then the head its
draft was opened on is exactly what it changes.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from aeorsync.errors import StaleError, UnavailableError
from aeorsync.runtime import threads
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.log import get_logger
from aeorsync.storage.base import Change, Commit, Head, Store
from aeorsync.storage.draft import Draft
from aeorsync.storage.holdings import Holdings
from aeorsync.storage.knowledge import KnowledgeBook
from aeorsync.storage.views import NodeCache, View

T = TypeVar("T")

_GROUP = 512
"""Operations one commit takes at most."""
_log = get_logger(__name__)


class Committed(msgspec.Struct, frozen=True):
    """One commit, as its listeners are told of it.

    Attributes:
        head: The head it published.
        changes: What changed, ascending; empty only where listeners are merely woken.
        seconds: From the moment its operations were taken up until it was durable.
    """

    head: Head
    changes: tuple[Change, ...]
    seconds: float = 0.0


class _Operation(msgspec.Struct, frozen=True):
    run: Callable[[Draft], Any]
    future: "Future[Any]"
    is_alone: bool


class Pins:
    """Which heads are being read, so that their nodes are kept; and nodes waiting to go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[int, int] = {}
        self._dropped: dict[bytes, int] = {}

    def take(self, head: Callable[[], Head]) -> Head:
        """Pin the current head and return it."""
        with self._lock:
            current = head()
            self._readers[current.seq] = self._readers.get(current.seq, 0) + 1
            return current

    def release(self, seq: int) -> None:
        """Undo one `take`."""
        with self._lock:
            left = self._readers[seq] - 1
            if left:
                self._readers[seq] = left
            else:
                del self._readers[seq]

    def prune(self, commit: Commit) -> Commit:
        """Put off the drops that a reader still needs; add those put off earlier."""
        with self._lock:
            for name in commit.nodes:
                self._dropped.pop(name, None)
            oldest = min(self._readers, default=commit.before.seq)
            ready = [name for name, seq in self._dropped.items() if seq <= oldest]
            return msgspec.structs.replace(commit, dropped=ready)

    def oldest(self) -> int | None:
        """The oldest head that is being read; None when none is."""
        with self._lock:
            return min(self._readers, default=None)

    def leftover(self) -> list[bytes]:
        """Nodes that nobody needs any more once all readers are gone."""
        with self._lock:
            return list(self._dropped)

    def settle(self, commit: Commit, dropped: set[bytes]) -> None:
        """Note what the commit, now durable, has dropped and removed."""
        with self._lock:
            for name in commit.dropped:
                self._dropped.pop(name, None)
            for name in dropped:
                # A commit that only forgets graves has no number of its own, and who reads the
                # state before it must not be taken for one who reads the state after it.
                self._dropped[name] = max(commit.after.seq, commit.before.seq + 1)


class Writer:
    """The only one that commits, in a thread of its own."""

    def __init__(
        self,
        store: Store,
        cache: NodeCache,
        pins: Pins,
        wall: WallClock,
        new_incarnation: Callable[[], int],
        knowledge: KnowledgeBook,
    ) -> None:
        self._store = store
        self._knowledge = knowledge
        self._cache = cache
        self._pins = pins
        self._wall = wall
        self._new_incarnation = new_incarnation
        self.holdings = Holdings(store)
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._held: _Operation | None = None
        self._listeners: list[Callable[[Committed], None]] = []
        self._session: int | None = None
        self._is_closed = False
        self._close_lock = threading.Lock()
        self._attendant = threads.crew().attend("aeorsync-writer", self._serve, self._waits)

    def listen(self, listener: Callable[[Committed], None], *, first: bool = False) -> None:
        """Call ``listener`` in the writer thread after each durable commit; it must not block.

        Args:
            listener: What to call.
            first: Before all that listen already.
        """
        # Anew, as the writer thread may be going through the old one.
        others = self._listeners
        self._listeners = [listener, *others] if first else [*others, listener]

    def submit(self, run: Callable[[Draft], T], *, alone: bool = False) -> "Future[T]":
        """Queue an operation. It may run more than once; its last run is the one that counts.

        Args:
            run: The operation.
            alone: Give it a commit of its own.
        """
        future: Future[T] = self._attendant.promise()
        with self._close_lock:
            if self._is_closed:
                future.set_exception(UnavailableError("this node is shutting down"))
                return future
            self._queue.put(_Operation(run, future, alone))
        self._attendant.call()
        return future

    @property
    def waiting(self) -> int:
        """Operations that wait for the next commit, about."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what is queued, then stop."""
        with self._close_lock:
            self._is_closed = True
            self._queue.put(None)
        self._attendant.call()
        self._attendant.join()

    def _waits(self) -> bool:
        return self._held is not None or not self._queue.empty()

    def _serve(self) -> bool:
        """Commit what waits; False when nothing will wait any more."""
        group, is_open = self._take_group()
        if group:
            self._commit_group(group)
        return is_open

    def _take_group(self) -> tuple[list[_Operation], bool]:
        group: list[_Operation] = []
        operation = self._held or self._queue.get()
        self._held = None
        while operation is not None:
            if operation.is_alone and group:
                self._held = operation
                return group, True
            if operation.future.set_running_or_notify_cancel():
                group.append(operation)
            if len(group) >= _GROUP or operation.is_alone:
                return group, True
            try:
                operation = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _commit_group(self, group: list[_Operation]) -> None:
        try:
            while True:
                with suppress(StaleError):
                    results, committed = self._attempt(group)
                    break
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers must hear of it
            for operation in group:
                operation.future.set_exception(error)
            return
        if committed is not None:
            self._tell(committed)
        for operation, (value, failure) in zip(group, results, strict=True):
            if failure is None:
                operation.future.set_result(value)
            else:
                operation.future.set_exception(failure)

    def _tell(self, committed: Committed) -> None:
        for listener in self._listeners:
            try:
                listener(committed)
            except Exception as error:  # noqa: BLE001 - the commit is durable, and others follow
                _log.error("a commit was not heard everywhere", reason=str(error))

    def _attempt(
        self, group: list[_Operation]
    ) -> tuple[list[tuple[Any, Exception | None]], Committed | None]:
        began = self._wall.monotonic()
        head = self._pins.take(self._store.head)
        with View(head, self._cache, self._pins.release) as view:
            draft = Draft(view, self._wall.now_ms(), self._new_incarnation, self._session)
            results = [self._run_one(draft, operation) for operation in group]
            commit = draft.commit(self._cache)
        if commit is None:
            self._store.flush()
            return results, None
        self._knowledge.end(draft.ended)
        pruned = self._pins.prune(commit)
        self._store.commit(pruned)
        self._pins.settle(pruned, set(commit.dropped))
        self._cache.forget(pruned.dropped)
        if draft.owns_incarnation:
            self._session = commit.after.incarnation
        if not commit.changes:
            return results, None
        seconds = self._wall.monotonic() - began
        return results, Committed(commit.after, tuple(commit.changes), seconds)

    def _run_one(self, draft: Draft, operation: _Operation) -> tuple[Any, Exception | None]:
        draft.begin()
        try:
            value = operation.run(draft)
            self.holdings.check(draft)
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            draft.undo()
            return None, error
        draft.keep()
        return value, None

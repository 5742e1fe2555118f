"""The tasks of a node: who waits, what runs, how far it is.

    POST ──> submit ──> the book (durable) ──> serve, one after the other ──> the book
                                                  └── Control: progress out, cancelling in

One task runs at a time: all of them read or write the whole store, and two would only be slower.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from aeorsync.errors import AeorError, ConflictError, UnavailableError
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.log import get_logger
from aeorsync.storage.taskbook import CronBook, Task, TaskBook

_BROKEN: Final = "something went wrong on this node; its log says what"
_log = get_logger(__name__)


class TaskCancelledError(AeorError):
    """Somebody cancelled the task, or the node is stopping."""

    def __init__(self) -> None:
        super().__init__("the task was cancelled")


@dataclass(slots=True)
class Control:
    """What a running task is told, and what it tells. Safe from any thread.

    Attributes:
        began: When the present step began, on the monotonic clock.
        now: The monotonic clock.
        step: What it is doing.
        done: How much of it is done.
        total: Of how much; 0 when nobody knows.
    """

    now: Callable[[], float]
    began: float = 0.0
    step: str | None = None
    done: int = 0
    total: int = 0
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, step: str, done: int, total: int) -> None:
        """Note how far it is; see `storage.progress`."""
        if step != self.step:
            self.step, self.began = step, self.now()
        self.done, self.total = done, total

    def cancel(self) -> None:
        """Let it end at its next `check`."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether it is to end."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """End here if that is wanted.

        Raises:
            TaskCancelledError: It is.
        """
        if self.is_cancelled:
            raise TaskCancelledError

    @property
    def progress(self) -> float | None:
        """Share of the present step that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def eta_ms(self) -> int | None:
        """Milliseconds till the present step is done, if it goes on like that."""
        if not self.total or not self.done:
            return None
        return round((self.now() - self.began) * 1000 * max(0, self.total - self.done) / self.done)


Run = Callable[[Task, Control], Awaitable[dict[str, Any]]]
Tell = Callable[[Task], None]


class TaskBoard:
    """The tasks of a node, and its timetable. Belongs to one event loop."""

    def __init__(self) -> None:
        self._wall: WallClock | None = None
        self._book: TaskBook | None = None
        self._cron: CronBook | None = None
        self._tell: Tell = lambda _: None
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._running: tuple[str, Control] | None = None

    def open(self, book: TaskBook, cron: CronBook, wall: WallClock, tell: Tell) -> None:
        """Begin to take tasks.

        Args:
            book: The tasks.
            cron: The timetable.
            wall: The clock.
            tell: Called whenever the status of a task changed.
        """
        self._book, self._cron, self._wall, self._tell = book, cron, wall, tell

    @property
    def _open(self) -> tuple[TaskBook, WallClock]:
        if self._book is None or self._wall is None:
            raise UnavailableError("this node runs no tasks now; try again later")
        return self._book, self._wall

    @property
    def timetable(self) -> CronBook:
        """What is done by the clock; change it by `changing` only.

        Raises:
            UnavailableError: There is none yet.
        """
        if self._cron is None:
            raise UnavailableError("this node has no timetable now; try again later")
        return self._cron

    async def changing(self, change: Callable[[CronBook], None]) -> None:
        """Change the timetable; durable on return."""
        timetable = self.timetable
        async with self._turn:
            await bridge.run(change, timetable)

    def all(self) -> list[Task]:
        """All tasks, the latest first."""
        return self._open[0].all()

    def get(self, task_id: str) -> Task:
        """One task.

        Raises:
            NotFoundError: There is none of that id.
        """
        return self._open[0].get(task_id)

    def control(self, task_id: str) -> Control | None:
        """How far a task is, while it runs."""
        return self._running[1] if self._running and self._running[0] == task_id else None

    async def submit(self, task_type: str, args: dict[str, Any], cron: str | None = None) -> Task:
        """Note a task, to be done when its turn comes; durable on return.

        Raises:
            ConflictError: Too many wait.
            UnavailableError: The node runs no tasks now.
        """
        book, wall = self._open
        async with self._turn:
            task = await bridge.run(book.add, task_type, args, wall.now_ms(), cron)
        self._tell(task)
        self._wake.set()
        return task

    async def cancel(self, task_id: str) -> Task:
        """End a task that waits or runs.

        Raises:
            NotFoundError: There is none of that id.
            ConflictError: It has ended already.
        """
        task = self.get(task_id)
        if not task.is_open:
            raise ConflictError(f"the task has ended already: it is {task.status}")
        changed = await self._change(
            task_id, status="cancelled", completed_at=self._open[1].now_ms()
        )
        control = self.control(task_id)
        if control is not None:
            control.cancel()
        return changed

    async def serve(self, run: Run) -> None:
        """Do what is asked for, for ever."""
        book, _ = self._open
        while True:
            waiting = [task for task in reversed(book.all()) if task.status == "pending"]
            if waiting:
                await self._do(waiting[0], run)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _do(self, task: Task, run: Run) -> None:
        wall = self._open[1]
        control = Control(wall.monotonic)
        self._running = task.id, control
        try:
            task = await self._change(task.id, status="running", started_at=wall.now_ms())
            if task.status == "running":
                changes = await _outcome(run, task, control)
                now_ms = wall.now_ms()
                await self._change(
                    task.id, completed_at=now_ms, checkpoint=control.step, **changes
                )
        finally:
            self._running = None

    async def _change(self, task_id: str, **changes: Any) -> Task:  # noqa: ANN401 - of Task
        """Change a task that has not ended; returns it as it is then."""
        book, _ = self._open
        async with self._turn:
            task = book.get(task_id)
            if not task.is_open:
                return task
            changed = msgspec.structs.replace(task, **changes)
            await bridge.run(book.save, changed)
        self._tell(changed)
        return changed


async def _outcome(run: Run, task: Task, control: Control) -> dict[str, Any]:
    """What a task comes to; when we are cancelled it ends first, and stays noted as running."""
    work = asyncio.ensure_future(run(task, control))
    try:
        return {"status": "completed", "result": await asyncio.shield(work)}
    except asyncio.CancelledError:
        control.cancel()
        with suppress(Exception):
            await work
        raise
    except TaskCancelledError:
        return {"status": "cancelled"}
    except AeorError as error:
        return {"status": "failed", "error": error.message}
    except Exception as error:  # noqa: BLE001 - whatever it was, the next one's turn comes
        _log.error("task failed", task=task.task_type, id=task.id, exc_info=error)
        return {"status": "failed", "error": _BROKEN}

"""What a node does in the background, on demand and by the clock: its tasks, and its timetable.

Both are notes: node-local records that do not replicate, for each node looks after itself.

    pending ── running ── completed | failed
       └──────────┴────── cancelled
                  └────── interrupted: the node stopped meanwhile; found at its next start

The last `MAX_ENDED` tasks that ended are kept.
"""

from typing import Any, Final, Literal

import msgspec

from aeorsync.core.schedule import check_schedule
from aeorsync.errors import BadRequestError, ConflictError, NotFoundError
from aeorsync.runtime import chance
from aeorsync.storage.repository import Repository

MAX_ENDED: Final = 200
MAX_WAITING: Final = 100
MAX_ITEMS: Final = 100
MAX_ID: Final = 64
_TASKS: Final = "tasks"
_CRON: Final = "cron"
_CARE: Final = "care"
_MADE: Final = "timetable"

Status = Literal["pending", "running", "completed", "failed", "cancelled", "interrupted"]
OPEN: Final[tuple[Status, ...]] = ("pending", "running")


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do once. Times are milliseconds since the Unix epoch.

    Attributes:
        id: Random; names it for ever.
        task_type: What to do.
        args: How.
        status: How it stands.
        created_at: When it was asked for.
        started_at: When it was begun.
        completed_at: When it ended, however it did.
        error: Why it failed, or was interrupted.
        checkpoint: What it is doing, in a word or two; of an ended one what it did last.
        result: What came of it.
        cron: Id of the item of the timetable that asked for it; None for a person.
    """

    id: str
    task_type: str
    args: dict[str, Any] = {}
    status: Status = "pending"
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    error: str | None = None
    checkpoint: str | None = None
    result: dict[str, Any] | None = None
    cron: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN


class CronItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do by the clock.

    Attributes:
        id: Names it.
        task_type: What to do.
        schedule: When: a cron expression, in UTC.
        args: How.
        enabled: Whether it is done.
    """

    id: str
    task_type: str
    schedule: str
    args: dict[str, Any] = {}
    enabled: bool = True


DEFAULT_ITEMS: Final = (
    CronItem(id="cleanup", task_type="cleanup", schedule="0 * * * *"),
    CronItem(id="gc", task_type="gc", schedule="0 3 * * *"),
)
"""What the timetable of a new node has."""


class TaskBook:
    """The tasks of one node. Blocking; safe from one thread at a time."""

    def __init__(self, repository: Repository, now_ms: int) -> None:
        """Read what there is; what was running when the node stopped is interrupted."""
        self._repository = repository
        self._tasks: dict[str, Task] = {}
        found = [
            msgspec.json.decode(data, type=Task) for data in repository.notes(_TASKS).values()
        ]
        for task in sorted(found, key=lambda task: (task.created_at, task.id)):
            self._tasks[task.id] = task
            if task.status == "running":
                self.save(
                    msgspec.structs.replace(
                        task,
                        status="interrupted",
                        completed_at=now_ms,
                        error="the node stopped meanwhile; start the task again",
                    )
                )

    def all(self) -> list[Task]:
        """All tasks, the latest first."""
        return list(reversed(self._tasks.values()))

    def get(self, task_id: str) -> Task:
        """One task.

        Raises:
            NotFoundError: There is none of that id.
        """
        task = self._tasks.get(task_id)
        if task is None:
            raise NotFoundError(f"there is no task {task_id[:MAX_ID]}")
        return task

    def add(
        self, task_type: str, args: dict[str, Any], now_ms: int, cron: str | None = None
    ) -> Task:
        """Note a new task; durable on return.

        Raises:
            ConflictError: Too many wait already.
        """
        if sum(task.is_open for task in self._tasks.values()) >= MAX_WAITING:
            raise ConflictError(f"{MAX_WAITING} tasks are waiting already; try again later")
        task = Task(
            id=str(chance.uuid()), task_type=task_type, args=args, created_at=now_ms, cron=cron
        )
        self.save(task)
        self._forget()
        return task

    def save(self, task: Task) -> None:
        """Note how a task stands; durable on return."""
        self._repository.set_note(_TASKS, task.id, msgspec.json.encode(task))
        self._tasks[task.id] = task

    def _forget(self) -> None:
        ended = [task for task in self._tasks.values() if not task.is_open]
        for task in ended[: max(0, len(ended) - MAX_ENDED)]:
            self._repository.set_note(_TASKS, task.id, None)
            del self._tasks[task.id]


class CronBook:
    """The timetable of one node. Blocking; safe from one thread at a time."""

    def __init__(self, repository: Repository) -> None:
        """Read what there is; a new node gets `DEFAULT_ITEMS`."""
        self._repository = repository
        found = (
            msgspec.json.decode(data, type=CronItem) for data in repository.notes(_CRON).values()
        )
        self._items = {item.id: item for item in found}
        if repository.note(_CARE, _MADE) is None:
            for item in DEFAULT_ITEMS:
                if item.id not in self._items:
                    self._save(item)
            repository.set_note(_CARE, _MADE, b"1")

    def all(self) -> list[CronItem]:
        """All items, by their ids."""
        return sorted(self._items.values(), key=lambda item: item.id)

    def get(self, item_id: str) -> CronItem:
        """One item.

        Raises:
            NotFoundError: There is none of that id.
        """
        item = self._items.get(item_id)
        if item is None:
            raise NotFoundError(f"the timetable has no {item_id[:MAX_ID]}")
        return item

    def add(self, item: CronItem) -> None:
        """Add an item; durable on return.

        Raises:
            BadRequestError: Its id or schedule makes no sense.
            ConflictError: The id is taken, or there are too many items.
        """
        if item.id in self._items:
            raise ConflictError(f"the timetable has {item.id} already")
        if len(self._items) >= MAX_ITEMS:
            raise ConflictError(f"a timetable has at most {MAX_ITEMS} items")
        if not 0 < len(item.id) <= MAX_ID or not item.id.isprintable() or "/" in item.id:
            raise BadRequestError(f"an id has 1 to {MAX_ID} characters, and no slash")
        self._save(item)

    def change(self, item: CronItem) -> None:
        """Put an item in the place of that of its id; durable on return."""
        self.get(item.id)
        self._save(item)

    def remove(self, item_id: str) -> None:
        """Take an item out; durable on return.

        Raises:
            NotFoundError: There is none of that id.
        """
        self.get(item_id)
        self._repository.set_note(_CRON, item_id, None)
        del self._items[item_id]

    def _save(self, item: CronItem) -> None:
        check_schedule(item.schedule)
        self._repository.set_note(_CRON, item.id, msgspec.json.encode(item))
        self._items[item.id] = item

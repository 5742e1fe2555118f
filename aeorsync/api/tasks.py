"""`/system/tasks` and `/system/cron`: what this node does in the background, and when."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint, answer
from aeorsync.api.jobs import Cleaned, GcArgs, ReindexArgs, check_job, clean_up
from aeorsync.api.node import Node
from aeorsync.core.schedule import check_schedule, next_ms
from aeorsync.errors import (
    UNREADABLE,
    BadRequestError,
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    UnavailableError,
)
from aeorsync.runtime import chance
from aeorsync.storage.taskbook import CronItem, Task


class TaskReply(msgspec.Struct, frozen=True, kw_only=True):
    """A task; see `storage.taskbook.Task` for what its fields say.

    Attributes:
        progress: Share of the present step that is done, 0 to 1; absent when nobody knows.
        eta_ms: Milliseconds till that step is done; likewise.
    """

    id: str
    task_type: str
    args: dict[str, Any]
    status: str
    created_at: int
    started_at: int | None
    completed_at: int | None
    error: str | None
    checkpoint: str | None
    result: dict[str, Any] | None
    cron: str | None
    progress: float | UnsetType = UNSET
    eta_ms: int | UnsetType = UNSET


class TasksReply(msgspec.Struct, frozen=True):
    """Tasks, the latest first."""

    items: list[TaskReply]


class TaskBegun(msgspec.Struct, frozen=True):
    """A task that waits for its turn, or was cancelled."""

    id: str
    task_type: str
    status: str


class TaskCancelled(msgspec.Struct, frozen=True):
    """A task that was cancelled."""

    id: str
    status: str


class CronRequest(msgspec.Struct, frozen=True):
    """An item for the timetable."""

    task_type: str
    schedule: str
    id: str | None = None
    args: dict[str, Any] = {}
    enabled: bool = True


class CronChange(msgspec.Struct, frozen=True):
    """What is to be different of an item."""

    task_type: str | UnsetType = UNSET
    schedule: str | UnsetType = UNSET
    args: dict[str, Any] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class CronReply(msgspec.Struct, frozen=True):
    """An item of the timetable.

    Attributes:
        id: Names it.
        task_type: What to do.
        schedule: When: a cron expression, in UTC.
        args: How.
        enabled: Whether it is done.
        next_run_at: When it is due next, in milliseconds since the Unix epoch; null for never.
    """

    id: str
    task_type: str
    schedule: str
    args: dict[str, Any]
    enabled: bool
    next_run_at: int | None


class CronListing(msgspec.Struct, frozen=True):
    """The timetable, by ids."""

    items: list[CronReply]


class CronRemoved(msgspec.Struct, frozen=True):
    """An item is out of the timetable."""

    id: str
    deleted: bool


async def list_tasks(call: Call) -> Response:
    """List the tasks."""
    return answer(TasksReply([_task(call.node, task) for task in call.node.tasks.all()]))


async def show_task(call: Call) -> Response:
    """Show a task."""
    return answer(_task(call.node, call.node.tasks.get(_id(call))))


async def cancel_task(call: Call) -> Response:
    """End a task that waits or runs."""
    task = await call.node.tasks.cancel(_id(call))
    return answer(TaskCancelled(task.id, task.status))


async def begin_gc(call: Call) -> Response:
    """Collect garbage in the background."""
    return await _begin(call, "gc", await _args(call, GcArgs))


async def begin_reindex(call: Call) -> Response:
    """Say that there is nothing to index."""
    return await _begin(call, "reindex", await _args(call, ReindexArgs))


async def clean(call: Call) -> Response:
    """Forget what has outlived its time; answers when it is done."""
    return answer(await clean_up(call.node))


async def list_items(call: Call) -> Response:
    """List the timetable."""
    items = call.node.tasks.timetable.all()
    return answer(CronListing([_item(call.node, item) for item in items]))


async def add_item(call: Call) -> Response:
    """Add an item to the timetable."""
    request = await call.body(CronRequest)
    item = CronItem(
        id=str(chance.uuid()) if request.id is None else request.id,
        task_type=request.task_type,
        schedule=request.schedule,
        args=request.args,
        enabled=request.enabled,
    )
    check_job(item.task_type, item.args)
    await call.node.tasks.changing(lambda book: book.add(item))
    return answer(_item(call.node, item), 201)


async def change_item(call: Call) -> Response:
    """Change an item of the timetable."""
    old = call.node.tasks.timetable.get(_id(call))
    request = await call.body(CronChange)
    fields = {name: getattr(request, name) for name in CronChange.__struct_fields__}
    changes = {name: value for name, value in fields.items() if value is not UNSET}
    item = msgspec.structs.replace(old, **changes)
    check_job(item.task_type, item.args)
    check_schedule(item.schedule)
    await call.node.tasks.changing(lambda book: book.change(item))
    return answer(_item(call.node, item))


async def remove_item(call: Call) -> Response:
    """Take an item out of the timetable."""
    item_id = _id(call)
    await call.node.tasks.changing(lambda book: book.remove(item_id))
    return answer(CronRemoved(item_id, deleted=True))


def _id(call: Call) -> str:
    return str(call.request.scope["path_params"]["id"])


async def _args(call: Call, shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The arguments in the body; an empty one says nothing."""
    data = await call.bytes(_MAX_ARGS)
    if not data.strip():
        return {}
    try:
        return dict(msgspec.to_builtins(msgspec.json.decode(data, type=shape)))
    except msgspec.ValidationError as error:
        raise InvalidFieldError(f"the body does not fit: {error}") from error
    except UNREADABLE as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error


async def _begin(call: Call, task_type: str, args: dict[str, Any]) -> Response:
    task = await call.node.tasks.submit(task_type, args)
    return answer(TaskBegun(task.id, task.task_type, task.status))


def _task(node: Node, task: Task) -> TaskReply:
    control = node.tasks.control(task.id)
    progress = None if control is None else control.progress
    eta_ms = None if control is None else control.eta_ms
    return TaskReply(
        id=task.id,
        task_type=task.task_type,
        args=task.args,
        status=task.status,
        created_at=task.created_at,
        started_at=task.started_at,
        completed_at=task.completed_at,
        error=task.error,
        checkpoint=task.checkpoint if control is None else control.step,
        result=task.result,
        cron=task.cron,
        progress=UNSET if progress is None else progress,
        eta_ms=UNSET if eta_ms is None else eta_ms,
    )


def _item(node: Node, item: CronItem) -> CronReply:
    is_done = item.enabled and (item.task_type != "gc" or bool(node.gc_interval))
    return CronReply(
        id=item.id,
        task_type=item.task_type,
        schedule=item.schedule,
        args=item.args,
        enabled=item.enabled,
        next_run_at=next_ms(item.schedule, node.wall.now_ms()) if is_done else None,
    )


_MAX_ARGS = 64 * 1024
_BODY = (BadRequestError, InvalidFieldError)

ENDPOINTS = (
    Endpoint(
        "GET",
        "/system/tasks",
        list_tasks,
        "List the tasks, the latest first.",
        reply=TasksReply,
        errors=(UnavailableError,),
    ),
    Endpoint(
        "GET",
        "/system/tasks/{id}",
        show_task,
        "Show a task.",
        reply=TaskReply,
        errors=(NotFoundError, UnavailableError),
    ),
    Endpoint(
        "DELETE",
        "/system/tasks/{id}",
        cancel_task,
        "Cancel a task that waits or runs.",
        reply=TaskCancelled,
        errors=(NotFoundError, ConflictError, UnavailableError),
    ),
    Endpoint(
        "POST",
        "/system/tasks/gc",
        begin_gc,
        "Collect garbage in the background.",
        request=GcArgs,
        reply=TaskBegun,
        errors=(*_BODY, ConflictError, UnavailableError),
    ),
    Endpoint(
        "POST",
        "/system/tasks/reindex",
        begin_reindex,
        "Index anew; there is nothing to index here, so it does nothing.",
        request=ReindexArgs,
        reply=TaskBegun,
        errors=(*_BODY, ConflictError, UnavailableError),
    ),
    Endpoint(
        "POST",
        "/system/tasks/cleanup",
        clean,
        "Forget what has outlived its time.",
        reply=Cleaned,
    ),
    Endpoint(
        "GET",
        "/system/cron",
        list_items,
        "List what is done by the clock.",
        reply=CronListing,
        errors=(UnavailableError,),
    ),
    Endpoint(
        "POST",
        "/system/cron",
        add_item,
        "Do something by the clock.",
        request=CronRequest,
        reply=CronReply,
        status=201,
        errors=(*_BODY, ConflictError, UnavailableError),
    ),
    Endpoint(
        "PATCH",
        "/system/cron/{id}",
        change_item,
        "Change what is done by the clock.",
        request=CronChange,
        reply=CronReply,
        errors=(*_BODY, NotFoundError, UnavailableError),
    ),
    Endpoint(
        "DELETE",
        "/system/cron/{id}",
        remove_item,
        "Stop doing something by the clock.",
        reply=CronRemoved,
        errors=(NotFoundError, UnavailableError),
    ),
)

"""`/system/tasks` and `/system/cron`."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from aeorsync.api import jobs
from aeorsync.api.jobs import open_board, runner
from aeorsync.runtime import memory
from aeorsync.server.housekeeping import OVERDUE, due, keeping_time
from aeorsync.storage.gc import GRACE_MS
from aeorsync.storage.taskbook import MAX_ENDED, CronItem, TaskBook
from tests.api.conftest import Browser, running
from tests.support.clock import FakeClock

HOUR = 3_600_000


@pytest.fixture
def call(loop: asyncio.Runner, tmp_path: Path) -> Iterator[Browser]:
    """A node that does its tasks."""
    context = running(tmp_path)
    here = loop.run(context.__aenter__())

    async def begin() -> asyncio.Task[None]:
        await open_board(here.node)
        return asyncio.create_task(here.node.tasks.serve(runner(here.node)))

    serving = loop.run(begin())
    yield Browser(loop, here)

    async def end() -> None:
        serving.cancel()
        await asyncio.wait({serving})

    loop.run(end())
    loop.run(context.__aexit__(None, None, None))


def ended(call: Browser, task_id: str) -> dict[str, Any]:
    """How a task ended."""
    while True:
        task: dict[str, Any] = call("GET", f"/system/tasks/{task_id}").json()
        if task["status"] not in {"pending", "running"}:
            return task
        call.run(asyncio.sleep(0.01))


def begin(call: Browser, kind: str, **args: object) -> str:
    reply = call("POST", f"/system/tasks/{kind}", json=args)
    assert reply.status_code == 200, reply.text
    assert (reply.json()["task_type"], reply.json()["status"]) == (kind, "pending")
    task_id: str = reply.json()["id"]
    return task_id


def test_garbage_is_collected_in_the_background(call: Browser) -> None:
    for body in (b"old " * 100, b"new " * 100):
        call("PUT", "/files/a.txt", content=body)
    wall = call.here.node.wall
    assert isinstance(wall, FakeClock)
    wall.now += 2 * GRACE_MS
    told = ended(call, begin(call, "gc", dry_run=True))
    assert (told["status"], told["result"]["chunks"]) == ("completed", 1)
    done = ended(call, begin(call, "gc"))
    assert (done["status"], done["error"], done["result"]["chunks"]) == ("completed", None, 1)
    assert done["started_at"] >= done["created_at"]
    assert done["completed_at"] is not None
    assert [task["id"] for task in call("GET", "/system/tasks").json()["items"]] == [
        done["id"],
        told["id"],
    ]


def test_a_body_can_be_left_out_but_not_be_wrong(call: Browser) -> None:
    assert call("POST", "/system/tasks/gc").status_code == 200
    assert call("POST", "/system/tasks/gc", content=b"{").status_code == 400
    assert call("POST", "/system/tasks/gc", json={"dry_run": 1}).status_code == 422


def test_reindexing_says_that_there_is_nothing_to_do(call: Browser) -> None:
    task = ended(call, begin(call, "reindex", path="/", force=True))
    assert task["status"] == "completed"
    assert task["result"]["indexes"] == 0


def test_what_fails_says_why_and_the_next_one_is_done(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setitem(jobs.JOBS, "reindex", (jobs.ReindexArgs, fail))
    task = ended(call, begin(call, "reindex"))
    assert task["status"] == "failed"
    assert "log" in task["error"]
    assert ended(call, begin(call, "gc"))["status"] == "completed"


def test_a_task_that_runs_tells_how_far_it_is_and_can_be_cancelled(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, wall = threading.Event(), call.here.node.wall
    assert isinstance(wall, FakeClock)

    async def slow(_node: object, _args: object, control: Any) -> dict[str, Any]:  # noqa: ANN401
        control.tell("counting", 0, 10)
        wall.now += 1000
        control.tell("counting", 2, 10)
        reached.set()
        while True:
            await asyncio.sleep(0.01)
            control.check()

    monkeypatch.setitem(jobs.JOBS, "reindex", (jobs.ReindexArgs, slow))
    task_id, waiting = begin(call, "reindex"), begin(call, "gc")
    while not reached.is_set():
        call.run(asyncio.sleep(0.01))
    task = call("GET", f"/system/tasks/{task_id}").json()
    assert (task["status"], task["checkpoint"]) == ("running", "counting")
    assert task["progress"] == 0.2
    assert 4000 <= task["eta_ms"] < 5000
    assert call("DELETE", f"/system/tasks/{waiting}").json() == {
        "id": waiting,
        "status": "cancelled",
    }
    assert call("DELETE", f"/system/tasks/{task_id}").json()["status"] == "cancelled"
    again = call("DELETE", f"/system/tasks/{task_id}")
    assert again.status_code == 409
    assert ended(call, begin(call, "gc"))["status"] == "completed"
    assert call("GET", f"/system/tasks/{waiting}").json()["started_at"] is None


def test_only_root_sees_tasks_and_an_unknown_one_is_missing(call: Browser) -> None:
    assert call("GET", "/system/tasks/no").status_code == 404
    assert call("DELETE", "/system/tasks/no").status_code == 404
    user = call.here.mint(subject="b9d0ffb4-0000-4000-8000-000000000001")
    for method, url in (
        ("GET", "/system/tasks"),
        ("POST", "/system/tasks/gc"),
        ("POST", "/system/tasks/cleanup"),
        ("GET", "/system/cron"),
        ("POST", "/system/cron"),
        ("GET", "/system/lifecycle"),
        ("PUT", "/system/lifecycle"),
    ):
        assert call(method, url, token=user).status_code == 403


def test_what_ran_when_the_node_stopped_is_interrupted_and_what_waited_is_done(
    call: Browser,
) -> None:
    repository = call.here.node.repository
    book = TaskBook(repository, 1)
    ran, waits = book.add("gc", {}, 1), book.add("gc", {}, 2)
    book.save(msgspec.structs.replace(ran, status="running", started_at=1))
    later = TaskBook(repository, 9)
    assert [task.status for task in later.all()] == ["pending", "interrupted"]
    assert later.get(ran.id).completed_at == 9
    assert "again" in str(later.get(ran.id).error)
    assert later.get(waits.id).is_open


def test_the_past_of_tasks_is_bounded(call: Browser) -> None:
    book = TaskBook(call.here.node.repository, 1)
    for n in range(MAX_ENDED + 20):
        book.save(msgspec.structs.replace(book.add("gc", {}, n), status="completed"))
    assert MAX_ENDED <= len(book.all()) <= MAX_ENDED + 1
    assert len(TaskBook(call.here.node.repository, 1).all()) == len(book.all())


def test_a_new_node_cleans_up_each_hour_and_collects_each_night(call: Browser) -> None:
    items = call("GET", "/system/cron").json()["items"]
    told = [(item["id"], item["schedule"], item["enabled"]) for item in items]
    assert told == [("cleanup", "0 * * * *", True), ("gc", "0 3 * * *", True)]
    assert all(item["next_run_at"] > call.here.node.wall.now_ms() for item in items)


def test_the_timetable_can_be_changed_and_stays_so(call: Browser) -> None:
    item = {"id": "nightly", "task_type": "snapshot", "schedule": "30 1 * * *"}
    made = call("POST", "/system/cron", json=item)
    assert made.status_code == 201
    assert made.json() | item == made.json()
    assert call("POST", "/system/cron", json=item).status_code == 409
    changed = call("PATCH", "/system/cron/nightly", json={"enabled": False})
    assert (changed.json()["enabled"], changed.json()["next_run_at"]) == (False, None)
    assert changed.json()["schedule"] == "30 1 * * *"
    gone = call("DELETE", "/system/cron/gc")
    assert gone.json() == {"id": "gc", "deleted": True}
    assert call("DELETE", "/system/cron/gc").status_code == 404
    assert call("PATCH", "/system/cron/gc", json={}).status_code == 404
    call.run(open_board(call.here.node))
    ids = [one["id"] for one in call("GET", "/system/cron").json()["items"]]
    assert ids == ["cleanup", "nightly"]


def test_an_item_without_an_id_gets_one(call: Browser) -> None:
    body = {"task_type": "verify", "schedule": "0 0 * * 0"}
    made = call("POST", "/system/cron", json=body).json()
    assert call("DELETE", f"/system/cron/{made['id']}").status_code == 200


@pytest.mark.parametrize(
    "bad",
    [
        {"schedule": "hourly"},
        {"schedule": "0 0 31 2 *"},
        {"task_type": "format-disk"},
        {"args": {"fast": True}},
        {"id": ""},
        {"id": "a/b"},
    ],
)
def test_an_item_that_makes_no_sense_is_refused(call: Browser, bad: dict[str, Any]) -> None:
    item = {"task_type": "gc", "schedule": "0 3 * * *", "id": "x"} | bad
    assert call("POST", "/system/cron", json=item).status_code == 400
    change = {name: value for name, value in bad.items() if name != "id"}
    if change:
        assert call("PATCH", "/system/cron/gc", json=change).status_code == 400
    assert call("GET", "/system/cron").json()["items"][-1]["schedule"] == "0 3 * * *"


def test_what_is_due_is_done_once_however_late(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What all the tests have made is much to search.
    monkeypatch.setattr(memory, "give_back", lambda: None)
    node, wall = call.here.node, call.here.node.wall
    assert isinstance(wall, FakeClock)

    async def sleep_for(hours: int) -> list[tuple[str, str | None]]:
        keeping = asyncio.create_task(_loop(keeping_time(node, 0.01)))
        await asyncio.sleep(0.05)
        wall.now += hours * HOUR
        await asyncio.sleep(0.2)
        keeping.cancel()
        await asyncio.wait({keeping})
        return [(task.task_type, task.cron) for task in node.tasks.all()]

    assert sorted(call.run(sleep_for(49))) == [("cleanup", "cleanup"), ("gc", "gc")]


def test_garbage_waits_no_longer_than_the_interval(call: Browser) -> None:
    node, wall = call.here.node, call.here.node.wall
    assert isinstance(wall, FakeClock)
    call("DELETE", "/system/cron/gc")
    call("DELETE", "/system/cron/cleanup")

    async def go_on() -> list[str | None]:
        keeping = asyncio.create_task(_loop(keeping_time(node, 0.01)))
        await asyncio.sleep(0.05)
        wall.now += 601_000
        for _ in range(3):
            await asyncio.sleep(0.1)
        keeping.cancel()
        await asyncio.wait({keeping})
        return [task.cron for task in node.tasks.all()]

    assert call.run(go_on()) == [OVERDUE]


def test_memory_for_what_nobody_reads_is_let_go_of_every_two_minutes(call: Browser) -> None:
    node, wall = call.here.node, call.here.node.wall
    assert isinstance(wall, FakeClock)

    async def rests(seconds: int) -> int:
        with patch.object(type(node.repository), "rest") as rest:
            keeping = asyncio.create_task(_loop(keeping_time(node, 0.01)))
            await asyncio.sleep(0.05)
            wall.now += seconds * 1000
            await asyncio.sleep(0.1)
            keeping.cancel()
            await asyncio.wait({keeping})
            return rest.call_count

    assert call.run(rests(60)) == 0
    assert call.run(rests(121)) == 1


def test_without_an_interval_the_clock_collects_nothing() -> None:
    items = [
        CronItem(id="gc", task_type="gc", schedule="0 3 * * *"),
        CronItem(id="c", task_type="cleanup", schedule="0 3 * * *"),
        CronItem(id="off", task_type="cleanup", schedule="0 3 * * *", enabled=False),
    ]
    assert [item.id for item in due(items, 0, 24 * HOUR, 24)] == ["gc", "c"]
    assert [item.id for item in due(items, 0, 24 * HOUR, 0)] == ["c"]
    assert due(items, 5 * HOUR, 4 * HOUR, 24) == []


async def _loop(loop: Any) -> None:  # noqa: ANN401 - a loop
    await loop()

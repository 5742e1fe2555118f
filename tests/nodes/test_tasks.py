"""Tasks, the timetable and lifecycle of real nodes: what outlives them, what replicates."""

from pathlib import Path
from typing import Any

import httpx

from tests.support.nodes import NodeProcess, pair, wait_until

APP = "https://app.example"


def ended(client: httpx.Client, task_id: str) -> dict[str, Any]:
    def is_over() -> bool:
        status = client.get(f"/system/tasks/{task_id}").json()["status"]
        return status not in {"pending", "running"}

    wait_until(is_over)
    found: dict[str, Any] = client.get(f"/system/tasks/{task_id}").json()
    return found


def test_tasks_and_the_timetable_outlive_a_crash(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a", "--cors-origins", APP) as node:
        with node.client() as client:
            client.put("/files/a", content=b"1").raise_for_status()
            task = client.post("/system/tasks/gc").json()
            assert ended(client, task["id"])["status"] == "completed"
            item = {"id": "often", "task_type": "verify", "schedule": "*/5 * * * *"}
            client.post("/system/cron", json=item).raise_for_status()
            client.delete("/system/cron/cleanup").raise_for_status()
            client.put("/system/lifecycle", json={"snapshot_writes_enabled": False})
            preflight = {"Origin": APP, "Access-Control-Request-Method": "PUT"}
            asked = client.request("OPTIONS", "/files/a", headers=preflight)
            assert asked.status_code == 204
        node.kill()
        node.start()
        with node.client() as client:
            assert client.get(f"/system/tasks/{task['id']}").json()["status"] == "completed"
            ids = [one["id"] for one in client.get("/system/cron").json()["items"]]
            assert ids == ["gc", "often"]
            assert client.post("/versions/snapshots", json={"name": "s"}).status_code == 403


def test_what_is_kept_how_long_is_for_all_and_the_timetable_for_one(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b), a.client() as here, b.client() as there:
        rules = {"snapshot_retention": {"auto_months": 2}}
        here.put("/system/lifecycle", json=rules).raise_for_status()
        here.post(
            "/system/cron", json={"id": "x", "task_type": "snapshot", "schedule": "0 1 * * *"}
        ).raise_for_status()

        def kept() -> int:
            told = there.get("/system/lifecycle").json()
            return int(told["snapshot_retention"]["auto_months"])

        wait_until(lambda: kept() == 2)
        ids = [one["id"] for one in there.get("/system/cron").json()["items"]]
        assert ids == ["cleanup", "gc"]


def test_a_repair_fetches_from_a_peer_what_is_damaged_here(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b), a.client() as here, b.client() as there:
        here.put("/files/a", content=b"precious" * 10_000).raise_for_status()
        wait_until(lambda: there.get("/files/a").status_code == 200)
        a.stop()
        packs = sorted((tmp_path / "a" / "packs").glob("*.pack"))
        data = packs[-1].read_bytes()
        at = data.find(b"precious")
        assert at > 0
        packs[-1].write_bytes(data[:at] + b"PRECIOUS" + data[at + 8 :])
        a.start()
        with a.client() as again:
            # The link to the peer needs a moment; each try looks at everything.
            def is_whole() -> bool:
                told = again.post("/system/repair").json()
                return bool(told["damaged_chunks"] == told["recovered_chunks"])

            wait_until(is_whole)
            assert again.get("/files/a").content == b"precious" * 10_000

"""`POST /system/gc`."""

from threading import Event

from aeorsync.storage.gc import GRACE_MS
from tests.api.conftest import Browser
from tests.support.clock import FakeClock


def fill(call: Browser) -> None:
    for body in (b"old " * 100, b"new " * 100):
        assert call("PUT", "/files/a.txt", content=body).status_code == 201
    wall = call.here.node.wall
    assert isinstance(wall, FakeClock)
    wall.now += 2 * GRACE_MS


def test_a_dry_run_tells_and_a_run_does(call: Browser) -> None:
    fill(call)
    told = call("POST", "/system/gc?dry_run=true").json()
    assert told["dry_run"] is True
    assert told["garbage_chunks"] == 1
    assert told["live_entries"] == 1
    assert told["versions_scanned"] >= 1
    assert told["held_back"] is None
    done = call("POST", "/system/gc").json()
    assert done["dry_run"] is False
    assert done["garbage_chunks"] == 1
    assert done["garbage_entries"] == done["garbage_chunks"] + done["garbage_nodes"]
    assert done["reclaimed_bytes"] == told["reclaimed_bytes"] > 0
    assert done["freed_bytes"] > 0
    assert done["duration_ms"] >= 0
    assert call("GET", "/files/a.txt").content == b"new " * 100
    assert call("POST", "/system/gc").json()["garbage_entries"] == 0


def test_only_root_may_collect(call: Browser) -> None:
    for token in ("", call.here.mint(subject="b9d0ffb4-0000-4000-8000-000000000001")):
        assert call("POST", "/system/gc", token=token).status_code in {401, 403}
    assert call("POST", "/system/gc", token=call.here.mint(scope="sync")).status_code == 403


def test_a_wrong_parameter_is_refused(call: Browser) -> None:
    assert call("POST", "/system/gc?dry_run=maybe").status_code == 400


def test_a_second_collection_at_a_time_is_refused(call: Browser) -> None:
    collector = call.here.node.collector
    refused = Event()

    def progress(*_: object) -> None:
        if not refused.is_set():
            refused.set()
            answer = call("POST", "/system/gc")
            assert (answer.status_code, answer.json()["code"]) == (409, "BUSY")

    collector.run(progress=progress)
    assert refused.is_set()


def test_a_node_that_stops_says_so(call: Browser) -> None:
    call.here.node.collector.stop()
    answer = call("POST", "/system/gc")
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")

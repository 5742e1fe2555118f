"""`/system/lifecycle`, and what it means for snapshots."""

from tests.api.conftest import Browser
from tests.support.clock import FakeClock

DAY = 86_400_000


def names(call: Browser) -> list[str]:
    return [item["name"] for item in call("GET", "/versions/snapshots").json()["items"]]


def pass_days(call: Browser, days: int) -> None:
    wall = call.here.node.wall
    assert isinstance(wall, FakeClock)
    wall.now += days * DAY


def rules(call: Browser, **changes: object) -> None:
    assert call("PUT", "/system/lifecycle", json=changes).status_code == 200


def test_at_first_snapshots_may_be_made_and_stay_for_ever(call: Browser) -> None:
    expected = {
        "snapshot_writes_enabled": True,
        "snapshot_retention": {"auto_months": 0, "manual_months": 0},
        "snapshot_before_delete": False,
    }
    assert call("GET", "/system/lifecycle").json() == expected


def test_what_is_left_out_stays_as_it_was(call: Browser) -> None:
    rules(call, snapshot_retention={"auto_months": 3})
    rules(call, snapshot_retention={"manual_months": 12})
    rules(call, snapshot_writes_enabled=False)
    told = call("GET", "/system/lifecycle").json()
    assert told["snapshot_retention"] == {"auto_months": 3, "manual_months": 12}
    assert told["snapshot_writes_enabled"] is False


def test_rules_that_make_no_sense_are_refused(call: Browser) -> None:
    for bad in (
        {"snapshot_retention": {"auto_months": -1}},
        {"snapshot_retention": {"auto_months": 1201}},
        {"snapshot_writes_enabled": "no"},
    ):
        assert call("PUT", "/system/lifecycle", json=bad).status_code == 422
    assert call("PUT", "/system/lifecycle", content=b"{").status_code == 400


def test_where_snapshots_are_off_none_is_made_and_nothing_is_replaced(call: Browser) -> None:
    call("PUT", "/files/a", content=b"old")
    call("POST", "/versions/snapshots", json={"name": "s"})
    call("PUT", "/files/a", content=b"new")
    rules(call, snapshot_writes_enabled=False, snapshot_before_delete=True)
    for method, url, body in (
        ("POST", "/versions/snapshots", {"name": "t"}),
        ("POST", "/versions/restore", {"name": "s"}),
        ("POST", "/versions/restore/a", {"snapshot": "s"}),
    ):
        reply = call(method, url, json=body)
        assert (reply.status_code, reply.json()["code"]) == (403, "FORBIDDEN")
        assert "/system/lifecycle" in reply.json()["error"]
    assert call("GET", "/files/a").content == b"new"
    assert call("DELETE", "/files/a").status_code == 200
    assert names(call) == ["s"]
    rules(call, snapshot_writes_enabled=True)
    assert call("POST", "/versions/restore", json={"name": "s"}).status_code == 200
    assert call("GET", "/files/a").content == b"old"


def test_a_cleanup_forgets_what_has_outlived_its_time_and_nothing_else(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    call("POST", "/versions/snapshots", json={"name": "old"})
    call("PUT", "/files/a", content=b"2")
    call("POST", "/versions/restore/a", json={"snapshot": "old"})  # makes an automatic one
    automatic = next(name for name in names(call) if name.startswith("auto-"))
    pass_days(call, 40)
    call("PUT", "/files/a", content=b"3")
    call("POST", "/versions/snapshots", json={"name": "new"})
    clean = "/system/tasks/cleanup"
    kept = {"tokens_cleaned": 0, "links_cleaned": 0, "snapshots_pruned": 0, "keys_cleaned": 0}
    assert call("POST", clean).json() == kept
    rules(call, snapshot_retention={"auto_months": 1, "manual_months": 2})
    assert call("POST", clean).json()["snapshots_pruned"] == 1
    assert (automatic in names(call), len(names(call))) == (False, 2)
    pass_days(call, 40)
    assert call("POST", clean).json()["snapshots_pruned"] == 1
    assert names(call) == ["new"]


def test_a_snapshot_before_deletions_is_made_when_wanted_once_a_minute(call: Browser) -> None:
    for name in "abcd":
        call("PUT", f"/files/{name}", content=name.encode())
    assert call("DELETE", "/files/a").status_code == 200
    assert names(call) == []
    rules(call, snapshot_before_delete=True)
    assert call("DELETE", "/files/gone").status_code == 404
    assert names(call) == []
    call("DELETE", "/files/b")
    call("DELETE", "/files/c")
    assert len(names(call)) == 1
    name = names(call)[0]
    assert name.startswith("auto-pre-delete 20")
    assert call("GET", f"/files/b?snapshot={name}").content == b"b"
    wall = call.here.node.wall
    assert isinstance(wall, FakeClock)
    wall.now += 60_000
    call("DELETE", "/files/d")
    assert len(names(call)) == 2


def test_rules_are_on_every_node_and_no_file_shows_them(call: Browser) -> None:
    before = call.here.node.repository.head.root
    rules(call, snapshot_before_delete=True)
    assert call.here.node.repository.head.root != before
    assert call("GET", "/files/.aeordb-system/lifecycle.json").status_code == 404

"""Snapshots: kept, read, renamed, forgotten, brought back."""

import pytest

from aeorsync.api import lenses
from aeorsync.api.node import Node
from aeorsync.core.paths import SYSTEM
from aeorsync.storage.lenses import Lens
from tests.api.conftest import Browser
from tests.support.repositories import files, put


def snap(call: Browser, name: str) -> dict[str, object]:
    answer = call("POST", "/versions/snapshots", json={"name": name})
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


def text(call: Browser, url: str) -> str:
    answer = call("GET", url)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture
def old(call: Browser) -> dict[str, object]:
    """A snapshot of files that are all different, gone or moved by now."""
    call("PUT", "/files/d/a.txt", content=b"first")
    call("PUT", "/files/gone.txt", content=b"gone")
    call("PUT", "/links/l", json={"target": "d/a.txt"})
    made = snap(call, "one")
    call("PUT", "/files/d/a.txt", content=b"second")
    call("PUT", "/files/new.txt", content=b"new")
    call("DELETE", "/files/gone.txt")
    call("DELETE", "/links/l")
    return made


def test_a_snapshot_has_the_fields_that_clients_know(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    root = call.here.node.repository.head.root.hex()
    body = {"name": "one", "metadata": {"why": "before the move"}}
    made = call("POST", "/versions/snapshots", json=body)
    assert made.status_code == 201
    found = made.json()
    assert found["root_hash"] == root
    assert found["metadata"] == {"type": "manual", "why": "before the move"}
    assert found["available"] is True
    assert call("GET", "/versions/snapshots").json() == {"items": [found]}


def test_a_snapshot_reads_as_it_was(call: Browser, old: dict[str, object]) -> None:
    for which in (
        f"snapshot=one&x={old['id']}",
        f"snapshot={old['id']}",
        f"version={old['root_hash']}",
    ):
        assert text(call, f"/files/d/a.txt?{which}") == "first"
        assert text(call, f"/files/gone.txt?{which}") == "gone"
        assert text(call, f"/files/l?{which}") == "first"
        assert call("GET", f"/links/l?{which}").json()["target"] == "d/a.txt"
        assert call("GET", f"/files/new.txt?{which}").status_code == 404
        listed = call("GET", f"/files/?depth=-1&sort=size&order=desc&{which}").json()["items"]
        assert [item["path"] for item in listed] == ["/l", "/d/a.txt", "/gone.txt"]
        rooted = call("GET", f"/files?{which}").json()
        assert [item["name"] for item in rooted["items"]] == ["d", "gone.txt", "l"]
    assert text(call, "/files/d/a.txt") == "second"


@pytest.mark.usefixtures("old")
def test_the_past_keeps_to_ranges_and_conditions(call: Browser) -> None:
    url = "/files/d/a.txt?snapshot=one"
    part = call("GET", url, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.text) == (206, "irs")
    head = call("HEAD", url)
    assert head.headers["x-aeordb-size"] == "5"
    tag = head.headers["etag"]
    assert call("GET", url, headers={"If-None-Match": tag}).status_code == 304
    assert call("GET", "/files/d/a.txt", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.usefixtures("old")
def test_the_present_root_is_a_version_too(call: Browser) -> None:
    root = call.here.node.repository.head.root.hex()
    assert text(call, f"/files/d/a.txt?version={root}") == "second"
    call("PUT", "/files/d/a.txt", content=b"third")
    assert call("GET", f"/files/d/a.txt?version={root}").status_code == 404


@pytest.mark.usefixtures("old")
def test_the_present_is_read_as_it_was_though_others_write_meanwhile(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = call.here.node.repository
    whole = lenses.through

    def through(node: Node, lens: Lens) -> Node:
        for number in range(3):
            put(repository, "/d/a.txt", b"%d" % number)
        return whole(node, lens)

    monkeypatch.setattr(lenses, "through", through)
    root = repository.head.root.hex()
    assert text(call, f"/files/d/a.txt?version={root}") == "second"


@pytest.mark.usefixtures("old")
def test_a_version_that_only_a_snapshot_has_is_read_by_its_id(call: Browser) -> None:
    version = call("HEAD", "/files/d/a.txt?snapshot=one").headers["x-aeorsync-version"]
    assert text(call, f"/files/d/a.txt?version={version}") == "first"
    assert call("GET", f"/files/gone.txt?version={version}").status_code == 404


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("PUT", "/files/x?snapshot=one"),
        ("PUT", "/links/x?snapshot=one"),
        ("DELETE", "/files/new.txt?snapshot=one"),
        ("PATCH", "/files/new.txt?snapshot=one"),
        ("POST", "/files/mkdir?snapshot=one"),
        ("POST", "/files/copy?version=" + "ab" * 32),
        ("POST", "/files/restore?snapshot=one"),
        ("GET", "/files/deleted?snapshot=one"),
        ("POST", "/sync/conflicts/new.txt?snapshot=one"),
        ("GET", "/files/new.txt?version=zz"),
        ("GET", "/files/new.txt?fork=f&snapshot=one"),
    ],
)
@pytest.mark.usefixtures("old")
def test_the_past_is_not_written(call: Browser, method: str, url: str) -> None:
    before = call.here.node.repository.head
    answer = call(
        method, url, content=b'{"to": "/y", "path": "/y", "paths": [], "destination": ""}'
    )
    assert answer.status_code == 400, answer.text
    assert call.here.node.repository.head == before


@pytest.mark.parametrize(
    "which", ["snapshot=two", "version=" + "ab" * 32, "version=abcd", "fork=f"]
)
@pytest.mark.usefixtures("old")
def test_what_nobody_keeps_is_not_found(call: Browser, which: str) -> None:
    assert call("GET", f"/files/d/a.txt?{which}").status_code == 404
    assert call("GET", f"/files?{which}").status_code == 404


@pytest.mark.usefixtures("old")
def test_a_name_is_taken_once_and_saying_it_again_is_harmless(call: Browser) -> None:
    assert call("POST", "/versions/snapshots", json={"name": "one"}).status_code == 409
    two = snap(call, "two")
    again = call("POST", "/versions/snapshots", json={"name": "two"})
    assert again.status_code == 200
    assert again.json() == {**two, "duplicate": True}
    assert snap(call, "three")["id"] != two["id"]


@pytest.mark.parametrize(
    "name",
    ["", " a", "a/b", "a\nb", ".", "..", "x" * 256, "é" * 128, "ab" * 32, "AB" * 16, "12" * 8],
)
def test_names_that_nobody_could_use_are_refused(call: Browser, name: str) -> None:
    assert call("POST", "/versions/snapshots", json={"name": name}).status_code == 400
    assert call("POST", "/versions/forks", json={"name": name}).status_code == 400
    assert call("GET", "/versions/snapshots").json() == {"items": []}


def test_metadata_is_bounded(call: Browser) -> None:
    body = {"name": "a", "metadata": {"x": "y" * 20_000}}
    assert call("POST", "/versions/snapshots", json=body).status_code == 400
    assert call("POST", "/versions/snapshots", json={"name": 1}).status_code == 422


def test_a_snapshot_is_renamed(call: Browser, old: dict[str, object]) -> None:
    snap(call, "two")
    assert call("PATCH", "/versions/snapshots/one", json={"name": "two"}).status_code == 409
    assert call("PATCH", "/versions/snapshots/none", json={"name": "x"}).status_code == 404
    renamed = call("PATCH", "/versions/snapshots/one", json={"name": "first"})
    assert renamed.json() == {"renamed": True, "from": "one", "to": "first", "id": old["id"]}
    assert call("GET", "/files/gone.txt?snapshot=one").status_code == 404
    assert text(call, "/files/gone.txt?snapshot=first") == "gone"


def test_a_snapshot_is_forgotten(call: Browser, old: dict[str, object]) -> None:
    deleted = call("DELETE", f"/versions/snapshots/{old['id']}")
    assert deleted.json() == {"deleted": True, "id": old["id"], "name": "one"}
    assert call("GET", "/files/gone.txt?snapshot=one").status_code == 404
    assert call("DELETE", "/versions/snapshots/one").status_code == 404
    assert call("GET", "/versions/snapshots").json() == {"items": []}


def test_everything_comes_back_and_what_was_replaced_is_kept(
    call: Browser, old: dict[str, object]
) -> None:
    restored = call("POST", "/versions/restore", json={"name": "one"}).json()
    auto = restored.pop("auto_snapshot")
    assert restored == {"restored": True, "id": old["id"], "name": "one", "changed": 4}
    assert auto.startswith("auto-pre-restore 20")
    assert files(call.here.node.repository) == {"/d/a.txt": b"first", "/gone.txt": b"gone"}
    assert call("GET", "/links/l").json()["target"] == "d/a.txt"
    assert text(call, f"/files/new.txt?snapshot={auto}") == "new"
    assert text(call, f"/files/d/a.txt?snapshot={auto}") == "second"
    kinds = [
        item["metadata"]["type"] for item in call("GET", "/versions/snapshots").json()["items"]
    ]
    assert kinds == ["manual", "auto"]
    again = call("POST", "/versions/restore", json={"id": old["id"]}).json()
    assert (again["changed"], again["auto_snapshot"]) == (0, None)
    back = call("POST", "/versions/restore", json={"name": auto})
    assert back.json()["changed"] == 4
    assert files(call.here.node.repository) == {"/d/a.txt": b"second", "/new.txt": b"new"}


@pytest.mark.usefixtures("old")
def test_restoring_leaves_keys_and_snapshots_alone(call: Browser) -> None:
    _, record = call.here.make_key()
    snap(call, "two")
    call("POST", "/versions/restore", json={"name": "one"})
    assert call.here.node.accounts.by_id(record.key_id) == record
    names = [item["name"] for item in call("GET", "/versions/snapshots").json()["items"]]
    assert names[:2] == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "status"), [({}, 400), ({"name": "none"}, 404), ({"id": "ab"}, 404), ({"id": 7}, 422)]
)
@pytest.mark.usefixtures("old")
def test_restoring_what_is_not_there_changes_nothing(
    call: Browser, body: dict[str, object], status: int
) -> None:
    before = call.here.node.repository.head
    assert call("POST", "/versions/restore", json=body).status_code == status
    assert call.here.node.repository.head == before


def test_one_file_comes_back(call: Browser, old: dict[str, object]) -> None:
    restored = call("POST", "/versions/restore/d/a.txt", json={"snapshot": "one"}).json()
    assert restored["auto_snapshot"].startswith("auto-pre-restore ")
    assert (restored["path"], restored["size"]) == ("/d/a.txt", 5)
    assert restored["from_snapshot"] == "one"
    assert text(call, "/files/d/a.txt") == "first"
    assert text(call, "/files/new.txt") == "new"
    assert call("GET", "/files/gone.txt").status_code == 404
    assert call("POST", "/versions/restore/gone.txt", json={"id": old["id"]}).status_code == 200
    assert text(call, "/files/gone.txt") == "gone"
    again = call("POST", "/versions/restore/gone.txt", json={"version": old["root_hash"]}).json()
    assert (again["auto_snapshot"], again["from_version"]) == (None, old["root_hash"])


@pytest.mark.usefixtures("old")
def test_one_version_comes_back(call: Browser) -> None:
    version = call("HEAD", "/files/d/a.txt?snapshot=one").headers["x-aeorsync-version"]
    restored = call("POST", "/versions/restore/d/a.txt", json={"version": version}).json()
    assert (restored["from_snapshot"], restored["from_version"]) == ("one", version)
    assert text(call, "/files/d/a.txt") == "first"


@pytest.mark.usefixtures("old")
def test_a_folder_comes_back_with_all_that_was_in_it(call: Browser) -> None:
    call("PUT", "/files/d/more.txt", content=b"more")
    restored = call("POST", "/versions/restore/d", json={"snapshot": "one"}).json()
    assert (restored["changed"], restored["size"]) == (2, 0)
    assert files(call.here.node.repository) == {"/d/a.txt": b"first", "/new.txt": b"new"}


@pytest.mark.usefixtures("old")
def test_a_file_comes_back_where_its_folder_is_gone_or_a_folder_has_come(call: Browser) -> None:
    call("DELETE", "/files/d?recursive=true")
    call("POST", "/versions/restore/d/a.txt", json={"snapshot": "one"})
    assert text(call, "/files/d/a.txt") == "first"
    call("PUT", "/files/gone.txt/inside", content=b"x")
    call("POST", "/versions/restore/gone.txt", json={"snapshot": "one"})
    assert text(call, "/files/gone.txt") == "gone"
    call("DELETE", "/files/d?recursive=true")
    call("PUT", "/files/d", content=b"a file now")
    answer = call("POST", "/versions/restore/d/a.txt", json={"snapshot": "one"})
    assert answer.status_code == 409
    assert text(call, "/files/d") == "a file now"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("new.txt", {"snapshot": "one"}, 404),
        ("d/a.txt", {"snapshot": "none"}, 404),
        ("d/a.txt", {"version": "ab-1"}, 404),
        ("d/a.txt", {"version": "ab" * 32}, 404),
        ("d/a.txt", {"version": "nonsense"}, 400),
        ("d/a.txt", {}, 400),
        ("", {"snapshot": "one"}, 400),
        (f"{SYSTEM[1:]}/x", {"snapshot": "one"}, 404),
        ("d/a.txt?fork=f", {"snapshot": "one"}, 400),
    ],
)
@pytest.mark.usefixtures("old")
def test_bringing_back_what_was_not_there_changes_nothing(
    call: Browser, path: str, body: dict[str, str], status: int
) -> None:
    before = call.here.node.repository.head
    assert call("POST", f"/versions/restore/{path}", json=body).status_code == status
    assert call.here.node.repository.head == before


def test_what_was_in_conflict_is_in_conflict_again(call: Browser) -> None:
    call("PUT", "/files/a", content=b"mine")
    call("PUT", "/files/a", content=b"theirs", headers={"X-AeorSync-Base": '""'})
    snap(call, "torn")
    call("POST", "/sync/dismiss/a")
    call("PUT", "/files/a", content=b"later")
    call("POST", "/versions/restore", json={"name": "torn"})
    shown = call("GET", "/sync/conflicts/a").json()
    assert len(shown["versions"]) == 2
    found = {text(call, version["href"]) for version in shown["versions"]}
    assert found == {"mine", "theirs"}


def test_the_history_of_a_path_is_what_snapshots_saw(call: Browser) -> None:
    assert call("GET", "/versions/history/a").status_code == 404
    call("PUT", "/files/other", content=b"1")
    snap(call, "empty")
    call("PUT", "/files/a", content=b"1")
    one = snap(call, "one")
    snap(call, "same")
    call("PUT", "/files/a", content=b"22")
    two = snap(call, "two")
    call("DELETE", "/files/a")
    snap(call, "none")
    call("PUT", "/files/a", content=b"333")
    found = call("GET", "/versions/history/a").json()
    rows = [(row["snapshot"], row["change_type"], row.get("size")) for row in found["history"]]
    assert found["path"] == "a"
    assert rows == [
        ("HEAD", "added", 3),
        ("none", "deleted", None),
        ("two", "modified", 2),
        ("one", "added", 1),
    ]
    assert [row["id"] for row in found["history"]][2:] == [two["id"], one["id"]]
    old = found["history"][3]
    assert text(call, f"/files/a?version={old['version']}") == "1"
    assert old["timestamp"] == one["created_at"]
    few = call("GET", "/versions/history/a?limit=2").json()["history"]
    assert few == found["history"][:2]
    assert call("GET", "/versions/history/a?limit=0").status_code == 400


@pytest.mark.usefixtures("old")
def test_a_deletion_is_the_end_of_a_history(call: Browser) -> None:
    rows = call("GET", "/versions/history/gone.txt").json()["history"]
    assert [(row["snapshot"], row["change_type"]) for row in rows] == [
        ("HEAD", "deleted"),
        ("one", "added"),
    ]
    assert "version" not in rows[0]


@pytest.mark.usefixtures("old")
def test_who_may_do_nothing_sees_no_versions(call: Browser) -> None:
    user = call.here.mint(subject="11111111-1111-1111-1111-111111111111")
    for method, url, status in (
        ("GET", "/versions/snapshots", 403),
        ("GET", "/files/d/a.txt?snapshot=one", 404),
        ("GET", "/versions/history/d/a.txt", 404),
        ("GET", "/versions/forks", 403),
        ("POST", "/versions/snapshots", 403),
        ("POST", "/versions/forks", 403),
    ):
        assert call(method, url, token=user).status_code == status
        assert call(method, url, token="").status_code == 401

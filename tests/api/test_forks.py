"""Forks: written like the tree, seen by nobody else, applied or dropped."""

import json

import pytest

from aeorsync.core.tokens import SYNC
from tests.api.conftest import Browser
from tests.support.repositories import files


def names(call: Browser, url: str) -> list[str]:
    answer = call("GET", url)
    assert answer.status_code == 200, answer.text
    return [item["path"] for item in answer.json()["items"]]


@pytest.fixture
def fork(call: Browser) -> dict[str, object]:
    """A fork ``f`` of a tree with a few files."""
    call("PUT", "/files/d/a.txt", content=b"a")
    call("PUT", "/files/d/b.txt", content=b"b")
    call("PUT", "/files/c.txt", content=b"c")
    answer = call("POST", "/versions/forks", json={"name": "f"})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def test_a_fork_has_the_fields_that_clients_know(call: Browser, fork: dict[str, object]) -> None:
    assert (fork["name"], fork["base"], fork["available"]) == ("f", None, True)
    assert call("GET", "/versions/forks").json() == {"items": [fork]}
    assert call("POST", "/versions/forks", json={"name": "f"}).status_code == 409
    answer = call("POST", "/versions/forks", json={"name": "g", "base": "none"})
    assert answer.status_code == 404


@pytest.mark.parametrize("which", ["name", "id"])
def test_what_is_done_in_a_fork_is_done_there_only(
    call: Browser, fork: dict[str, object], which: str
) -> None:
    before = files(call.here.node.repository)
    query = f"fork={fork[which]}"
    assert call("GET", f"/files/c.txt?{query}").text == "c"
    call("PUT", f"/files/c.txt?{query}", content=b"c in the fork")
    call("PUT", f"/files/new/n.txt?{query}", content=b"n")
    call("DELETE", f"/files/d/a.txt?{query}")
    call("PATCH", f"/files/d/b.txt?{query}", json={"to": "/moved.txt"})
    call("POST", f"/files/mkdir?{query}", json={"path": "/empty"})
    call("POST", f"/files/copy?{query}", json={"paths": ["/c.txt"], "destination": "/empty"})
    call("PUT", f"/links/l?{query}", json={"target": "c.txt"})
    assert names(call, f"/files?depth=-1&{query}") == [
        "/c.txt",
        "/empty/c.txt",
        "/l",
        "/moved.txt",
        "/new/n.txt",
    ]
    assert names(call, f"/files?{query}") == [
        "/d",
        "/empty",
        "/new",
        "/c.txt",
        "/l",
        "/moved.txt",
    ]
    assert call("GET", f"/files/l?{query}").text == "c in the fork"
    assert call("GET", f"/links/l?{query}").json()["target"] == "c.txt"
    assert call("GET", f"/files/d/a.txt?{query}").status_code == 404
    assert names(call, f"/files/d/?{query}") == []
    assert files(call.here.node.repository) == before
    assert names(call, "/files?depth=-1") == ["/d/a.txt", "/d/b.txt", "/c.txt"]


@pytest.mark.usefixtures("fork")
def test_a_fork_does_not_see_what_the_tree_does_later(call: Browser) -> None:
    call("PUT", "/files/c.txt", content=b"later")
    call("PUT", "/files/later.txt", content=b"later")
    call("DELETE", "/files/d?recursive=true")
    assert names(call, "/files?depth=-1&fork=f") == ["/d/a.txt", "/d/b.txt", "/c.txt"]
    assert call("GET", "/files/c.txt?fork=f").text == "c"


@pytest.mark.usefixtures("fork")
def test_what_was_deleted_in_a_fork_can_be_there_again(call: Browser) -> None:
    assert call("DELETE", "/files/d?recursive=true&fork=f").status_code == 200
    assert call("GET", "/files/d/?fork=f").status_code == 404
    assert call("DELETE", "/files/d/a.txt?fork=f").status_code == 404
    call("PUT", "/files/d/a.txt?fork=f", content=b"again")
    assert names(call, "/files/d?fork=f") == ["/d/a.txt"]


@pytest.mark.usefixtures("fork")
def test_conditions_hold_in_a_fork_by_its_own_tags(call: Browser) -> None:
    outside = call("HEAD", "/files/c.txt").headers["etag"]
    inside = call("HEAD", "/files/c.txt?fork=f").headers["etag"]
    url = "/files/c.txt?fork=f"
    assert call("PUT", url, content=b"1", headers={"If-Match": outside}).status_code == 412
    written = call("PUT", url, content=b"1", headers={"If-Match": inside})
    assert written.status_code == 201
    assert call("PUT", url, content=b"2", headers={"If-Match": inside}).status_code == 412
    assert call("GET", url, headers={"If-None-Match": written.headers["etag"]}).status_code == 304
    based = call("PUT", url, content=b"2", headers={"X-AeorSync-Base": inside})
    assert based.json()["conflict"] is True
    assert call("PUT", url, content=b"2", headers={"X-AeorSync-Base": outside}).status_code == 400
    assert call("GET", "/sync/conflicts").json()["items"] == []


@pytest.mark.usefixtures("fork")
def test_a_promoted_fork_is_the_tree_and_is_gone(call: Browser) -> None:
    call("PUT", "/files/c.txt?fork=f", content=b"new c")
    call("DELETE", "/files/d/a.txt?fork=f")
    call("PUT", "/files/x/y.txt?fork=f", content=b"y")
    call("PUT", "/files/d/b.txt", content=b"b, meanwhile")
    promoted = call("POST", "/versions/forks/f/promote").json()
    auto = promoted.pop("auto_snapshot")
    assert promoted == {"promoted": True, "name": "f", "changed": 4, "conflicts": 0}
    assert files(call.here.node.repository) == {
        "/c.txt": b"new c",
        "/d/b.txt": b"b, meanwhile",
        "/x/y.txt": b"y",
    }
    assert call("GET", f"/files/c.txt?snapshot={auto}").text == "c"
    assert call("GET", "/versions/forks").json() == {"items": []}
    assert call("GET", "/files/c.txt?fork=f").status_code == 404
    assert call("PUT", "/files/c.txt?fork=f", content=b"").status_code == 404
    assert call("POST", "/versions/forks/f/promote").status_code == 404


@pytest.mark.usefixtures("fork")
def test_where_the_tree_was_changed_too_both_are_kept(call: Browser) -> None:
    call("PUT", "/files/c.txt?fork=f", content=b"forked")
    call("PUT", "/files/c.txt", content=b"main")
    call("PUT", "/files/same.txt?fork=f", content=b"same")
    call("PUT", "/files/same.txt", content=b"same")
    call("DELETE", "/files/d/a.txt?fork=f")
    call("PUT", "/files/d/a.txt", content=b"edited")
    call("PUT", "/files/d/b.txt?fork=f", content=b"edited")
    call("DELETE", "/files/d/b.txt")
    promoted = call("POST", "/versions/forks/f/promote").json()
    assert promoted["conflicts"] == 3
    found = {item["path"]: item for item in call("GET", "/sync/conflicts").json()["items"]}
    assert sorted(found) == ["/c.txt", "/d/a.txt", "/d/b.txt"]
    hrefs = [version["href"] for version in found["/c.txt"]["versions"]]
    assert {call("GET", href).text for href in hrefs} == {"forked", "main"}
    assert call("GET", "/files/d/a.txt").text == "edited"
    assert call("GET", "/files/d/b.txt").text == "edited"


def test_what_was_deleted_long_ago_comes_with_a_fork_without_a_conflict(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    call("DELETE", "/files/a")
    call("POST", "/versions/forks", json={"name": "f"})
    call("PUT", "/files/a?fork=f", content=b"2")
    assert call("POST", "/versions/forks/f/promote").json()["conflicts"] == 0
    assert call("GET", "/files/a").text == "2"


@pytest.mark.usefixtures("fork")
def test_a_folder_in_place_of_a_file_is_kept_beside_it(call: Browser) -> None:
    call("PUT", "/files/x/y?fork=f", content=b"inside")
    call("PUT", "/files/x", content=b"file")
    call("POST", "/versions/forks/f/promote")
    (conflict,) = call("GET", "/sync/conflicts").json()["items"]
    hrefs = [version["href"] for version in conflict["versions"] if version["href"]]
    assert [call("GET", href).text for href in hrefs] == ["file"]
    assert call("GET", "/files/x/y").text == "inside"


@pytest.mark.usefixtures("fork")
def test_an_abandoned_fork_leaves_nothing(call: Browser) -> None:
    before = files(call.here.node.repository)
    call("PUT", "/files/c.txt?fork=f", content=b"forked")
    assert call("DELETE", "/versions/forks/f").json() == {"abandoned": True, "name": "f"}
    assert call("GET", "/versions/forks").json() == {"items": []}
    assert call("GET", "/files/c.txt?fork=f").status_code == 404
    assert files(call.here.node.repository) == before
    with call.here.node.repository.view() as view:
        left = [key for key, _ in view.walk(system=True) if b"forks\0" in key]
    assert left == []
    call("POST", "/versions/forks", json={"name": "f"})
    assert call("GET", "/files/c.txt?fork=f").text == "c"


def test_a_fork_may_begin_with_a_snapshot_and_outlives_it(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    call("POST", "/versions/snapshots", json={"name": "s"})
    call("PUT", "/files/a", content=b"2")
    made = call("POST", "/versions/forks", json={"name": "f", "base": "s"}).json()
    assert made["base"] == "s"
    call("DELETE", "/versions/snapshots/s")
    for number in range(30):
        call("PUT", f"/files/{number}", content=b"x")
    assert call("GET", "/files/a?fork=f").text == "1"
    call("PUT", "/files/a?fork=f", content=b"3")
    assert call("POST", "/versions/forks/f/promote").json()["conflicts"] == 1


@pytest.mark.usefixtures("fork")
def test_a_path_that_is_too_long_for_a_fork_is_refused(call: Browser) -> None:
    path = "/".join(["x" * 250] * 16) + "/" + "y" * 60
    assert call("PUT", f"/files/{path}", content=b"").status_code == 201
    answer = call("PUT", f"/files/{path}?fork=f", content=b"")
    assert answer.status_code == 400
    assert "too long for a fork" in answer.json()["error"]


@pytest.mark.usefixtures("fork")
def test_a_fork_is_hidden_from_whoever_does_not_ask_for_it(call: Browser) -> None:
    call("PUT", "/files/secret-plan.txt?fork=f", content=b"secret bytes")
    told = json.dumps(call("POST", "/sync/diff", json={}).json())
    assert "secret-plan" not in told
    assert call("GET", "/files/.aeordb-system/forks").status_code == 404
    assert "secret-plan" not in call("GET", "/files?depth=-1").text
    assert "secret-plan" not in call("GET", "/files/deleted").text


@pytest.mark.usefixtures("fork")
def test_a_filter_holds_for_what_is_in_forks_too(call: Browser) -> None:
    for path in ("docs/a", "private/b"):
        call("PUT", f"/files/{path}?fork=f", content=b"x")
    peer = call.here.mint(scope=SYNC)
    asked = {"paths": ["/docs/**"]}
    told = call("POST", "/sync/diff", json=asked, token=peer).json()["changes"]["files_added"]
    inside = [item["path"].split("/", 4)[4] for item in told if item["path"].count("/") > 3]
    assert inside == ["docs/a"]


@pytest.mark.usefixtures("fork")
def test_bytes_that_a_fork_shares_are_sent_to_those_who_may_have_them(call: Browser) -> None:
    call("PUT", "/files/p.txt?fork=f", content=b"promoted")
    call("POST", "/versions/forks/f/promote")
    told = call("POST", "/sync/diff", json={}).json()["changes"]["files_added"]
    chunk = next(item["chunk_hashes"] for item in told if item["path"] == "/p.txt")
    sent = call("POST", "/sync/chunks", json={"hashes": chunk}).json()["chunks"]
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/files/restore?fork=f"),
        ("GET", "/files/deleted?fork=f"),
        ("POST", "/versions/restore?fork=f"),
        ("POST", "/sync/dismiss/c.txt?fork=f"),
        ("PUT", "/files/c.txt?fork=f&version=ab-1"),
    ],
)
@pytest.mark.usefixtures("fork")
def test_what_a_fork_cannot_do_is_refused(call: Browser, method: str, url: str) -> None:
    before = call.here.node.repository.head
    assert call(method, url, json={"path": "/c.txt", "name": "x"}).status_code == 400
    assert call.here.node.repository.head == before

"""Deleting, moving, folders and copies."""

import pytest

from tests.api.conftest import Browser


def fill(call: Browser, *paths: str) -> None:
    for path in paths:
        assert call("PUT", f"/files{path}", content=path.encode()).status_code == 201


def everything(call: Browser) -> list[str]:
    return [item["path"] for item in call("GET", "/files?depth=-1").json()["items"]]


# DELETE


def test_a_file_is_deleted(call: Browser) -> None:
    fill(call, "/d/a")
    reply = call("DELETE", "/files/d/a")
    assert (reply.status_code, reply.json()) == (200, {"deleted": True, "path": "d/a"})
    assert call("GET", "/files/d/a").status_code == 404
    assert call("DELETE", "/files/d/a").status_code == 404


def test_a_symlink_is_deleted_and_not_what_it_points_at(call: Browser) -> None:
    fill(call, "/a")
    call("PUT", "/links/l", json={"target": "a"})
    reply = call("DELETE", "/files/l")
    assert reply.json() == {"deleted": True, "path": "l", "entry_type": "symlink"}
    assert call("GET", "/files/a").status_code == 200


def test_a_folder_is_deleted_only_when_empty_or_asked_for_all(call: Browser) -> None:
    fill(call, "/d/a", "/d/e/b", "/x")
    reply = call("DELETE", "/files/d")
    assert reply.status_code == 400
    assert "recursive" in reply.json()["error"]
    assert sorted(everything(call)) == ["/d/a", "/d/e/b", "/x"]
    reply = call("DELETE", "/files/d/?recursive=true")
    assert reply.json() == {"deleted": True, "path": "d", "entry_type": "directory"}
    assert everything(call) == ["/x"]
    call("POST", "/files/mkdir", json={"path": "/empty"})
    assert call("DELETE", "/files/empty").status_code == 200


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/files/", 400),
        ("/files/no", 404),
        ("/files/a/", 404),
        ("/files/a?recursive=perhaps", 400),
    ],
)
def test_a_deletion_that_makes_no_sense_is_refused(call: Browser, url: str, status: int) -> None:
    fill(call, "/a")
    assert call("DELETE", url).status_code == status
    assert everything(call) == ["/a"]


def test_a_deletion_can_demand_what_was_seen(call: Browser) -> None:
    old = call("PUT", "/files/a", content=b"1").headers["etag"]
    new = call("PUT", "/files/a", content=b"2").headers["etag"]
    assert call("DELETE", "/files/a", headers={"If-Match": old}).status_code == 412
    assert call("DELETE", "/files/a", headers={"If-Match": new}).status_code == 200


def test_a_deletion_of_an_older_version_keeps_the_newer_one(call: Browser) -> None:
    old = call("PUT", "/files/a", content=b"1").headers["etag"]
    call("PUT", "/files/a", content=b"2")
    assert call("DELETE", "/files/a", headers={"X-AeorSync-Base": old}).status_code == 200
    reply = call("GET", "/files/a")
    assert (reply.content, reply.headers["x-aeorsync-conflict"]) == (b"2", "true")


# PATCH


def test_a_file_is_moved_with_all_it_has(call: Browser) -> None:
    headers = {"X-AeorSync-Mode": "755", "X-AeorSync-Mtime": "1"}
    born = call("PUT", "/files/a.txt", content=b"x", headers=headers).json()["created_at"]
    reply = call("PATCH", "/files/a.txt", json={"to": "/new/b.txt"})
    assert reply.status_code == 200
    assert reply.json() == {"from": "/a.txt", "to": "/new/b.txt", "entry_type": "file"}
    moved = call("GET", "/files/new/b.txt")
    assert moved.content == b"x"
    assert moved.headers["x-aeordb-created"] == str(born)
    assert moved.headers["x-aeorsync-mode"] == "755"
    assert moved.headers["x-aeorsync-mtime"] == "1"
    assert call("GET", "/files/a.txt").status_code == 404


def test_a_symlink_is_moved_verbatim(call: Browser) -> None:
    call("PUT", "/links/l", json={"target": "../x"})
    assert call("PATCH", "/files/l", json={"to": "d/m"}).json()["entry_type"] == "symlink"
    assert call("GET", "/links/d/m").json()["target"] == "../x"


def test_a_folder_is_moved_with_all_that_is_in_it(call: Browser) -> None:
    fill(call, "/d/a", "/d/e/b")
    assert call("PATCH", "/files/d/", json={"to": "/x/y"}).json()["entry_type"] == "directory"
    assert sorted(everything(call)) == ["/x/y/a", "/x/y/e/b"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"to": ""}, 400),
        ({"to": "/a"}, 400),
        ({"to": "/b"}, 409),
        ({"to": "/d"}, 409),
        ({"to": "/b/c"}, 409),
        ({"to": "/x/../y"}, 400),
        ({"to": "/x//y"}, 400),
        ({"to": "/x\x00"}, 400),
        ({"to": "/"}, 400),
        ({"to": "/.aeordb-system/x"}, 404),
        ({"to": "/.AEORDB-system/x"}, 404),
        ({"to": 5}, 422),
        ({"to": None}, 422),
        ([], 422),
        ("to", 422),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(call: Browser, body: object, status: int) -> None:
    fill(call, "/a", "/b", "/d/e")
    assert call("PATCH", "/files/a", json=body).status_code == status
    assert sorted(everything(call)) == ["/a", "/b", "/d/e"]


@pytest.mark.parametrize("path", ["/files/no", "/files/a/", "/files/.aeordb-system/a"])
def test_what_is_not_there_cannot_be_moved(call: Browser, path: str) -> None:
    fill(call, "/a")
    assert call("PATCH", path, json={"to": "/x"}).status_code == 404


def test_a_move_can_demand_what_was_seen(call: Browser) -> None:
    old = call("PUT", "/files/a", content=b"1").headers["etag"]
    new = call("PUT", "/files/a", content=b"2").headers["etag"]
    late = call("PATCH", "/files/a", json={"to": "/b"}, headers={"If-Match": old})
    assert late.status_code == 412
    reply = call("PATCH", "/files/a", json={"to": "/b"}, headers={"If-Match": new})
    assert reply.status_code == 200


def test_the_body_of_a_move_is_limited(call: Browser) -> None:
    fill(call, "/a")
    body = b'{"to": "/b"}' + b" " * 65_536
    reply = call("PATCH", "/files/a", content=body)
    assert reply.status_code == 413


# POST /files/mkdir


def test_a_folder_is_made_with_those_above_it(call: Browser) -> None:
    reply = call("POST", "/files/mkdir", json={"path": "d/e/f"})
    assert reply.status_code == 201
    assert reply.json() == {"path": "/d/e/f", "entry_type": 3, "created": True}
    assert call("HEAD", "/files/d/e/f").headers["x-aeordb-type"] == "directory"


def test_making_a_folder_again_changes_nothing(call: Browser) -> None:
    call("POST", "/files/mkdir", json={"path": "/d"})
    fill(call, "/d/a")
    reply = call("POST", "/files/mkdir", json={"path": "/d"})
    assert (reply.status_code, reply.json()["created"]) == (201, False)
    assert everything(call) == ["/d/a"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 400), ("", 400), ("/a", 409), ("/a/b", 409), ("/.aeordb-system/x", 404), ("/..", 400)],
)
def test_a_folder_that_cannot_be_is_refused(call: Browser, path: str, status: int) -> None:
    fill(call, "/a")
    assert call("POST", "/files/mkdir", json={"path": path}).status_code == status


def test_a_file_may_be_called_like_an_endpoint(call: Browser) -> None:
    for name in ("mkdir", "copy", "restore", "deleted"):
        assert call("PUT", f"/files/{name}", content=name.encode()).status_code == 201
        assert call("GET", f"/files/{name}").content == name.encode()
        assert call("DELETE", f"/files/{name}").status_code == 200


# POST /files/copy


def test_files_and_folders_are_copied_into_a_folder(call: Browser) -> None:
    fill(call, "/a", "/d/b", "/d/e/c")
    reply = call("POST", "/files/copy", json={"paths": ["/a", "d"], "destination": "/to"})
    assert reply.status_code == 200
    assert reply.json() == {
        "copied": ["/to/a", "/to/d", "/to/d/b", "/to/d/e", "/to/d/e/c"],
    }
    assert call("GET", "/files/to/d/e/c").content == b"/d/e/c"
    assert call("GET", "/files/a").content == b"/a"


def test_each_source_fails_alone(call: Browser) -> None:
    fill(call, "/a", "/b")
    sources = ["/a", "/no", "/x/../y", "/.aeordb-system/api-keys", "/b"]
    reply = call("POST", "/files/copy", json={"paths": sources, "destination": "/to"})
    assert reply.status_code == 200
    assert reply.json()["copied"] == ["/to/a", "/to/b"]
    errors = reply.json()["errors"]
    assert [error.partition(": ")[0] for error in errors] == sources[1:4]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"paths": ["/a"]}, 422),
        ({"destination": "/to"}, 422),
        ({"paths": "/a", "destination": "/to"}, 422),
        ({"paths": [1], "destination": "/to"}, 422),
        ({"paths": ["/a"], "destination": "/.aeordb-system"}, 404),
        ({"paths": ["/a"], "destination": "/x/.."}, 400),
        ({"paths": [], "destination": "/to"}, 200),
    ],
)
def test_a_copy_that_makes_no_sense_is_refused(call: Browser, body: object, status: int) -> None:
    fill(call, "/a")
    assert call("POST", "/files/copy", json=body).status_code == status
    assert everything(call) == ["/a"]


def test_a_thousand_copies_at_a_time_are_enough(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    body = {"paths": ["/no"] * 1000, "destination": "/n"}
    assert call("POST", "/files/copy", json=body).status_code == 200
    body["paths"] = ["/a"] * 1001
    reply = call("POST", "/files/copy", json=body)
    assert (reply.status_code, reply.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert call("GET", "/files/n").status_code == 404

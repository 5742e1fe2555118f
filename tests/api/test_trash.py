"""What was deleted can be seen, and brought back."""

import pytest

from aeorsync.api import rescue, trash
from aeorsync.core import paths
from aeorsync.errors import CorruptError
from aeorsync.runtime import bridge
from aeorsync.storage import changes
from tests.api.conftest import Browser
from tests.support.repositories import put


def gone(call: Browser, **query: object) -> list[str]:
    reply = call("GET", "/files/deleted", params=query)
    assert reply.status_code == 200
    return [item["path"] for item in reply.json()["items"]]


def delete(call: Browser, *paths: str) -> None:
    for path in paths:
        call("PUT", f"/files{path}", content=b"was here")
        assert call("DELETE", f"/files{path}").status_code == 200


def test_deletions_are_listed_latest_first(call: Browser) -> None:
    delete(call, "/d/a", "/d/e/b", "/c")
    reply = call("GET", "/files/deleted?path=/").json()
    assert [item["path"] for item in reply["items"]] == ["/c", "/d/e/b", "/d/a"]
    assert reply["total"] == 3
    first = reply["items"][0]
    assert (first["name"], first["reason"], first["entry_type"]) == ("c", "deleted", 2)
    assert first["deleted_at"] > reply["items"][1]["deleted_at"]


def test_deletions_can_be_asked_for_by_path(call: Browser) -> None:
    delete(call, "/d/a", "/d/e/b", "/c")
    assert gone(call) == ["/c", "/d/e/b", "/d/a"]
    assert gone(call, path="/d") == ["/d/e/b", "/d/a"]
    assert gone(call, path="/d/a") == ["/d/a"]
    assert gone(call, path="/x") == []


def test_the_limit_leaves_out_the_eldest_but_counts_them(call: Browser) -> None:
    delete(call, "/a", "/b", "/c")
    reply = call("GET", "/files/deleted?path=/&limit=2").json()
    assert ([item["path"] for item in reply["items"]], reply["total"]) == (["/c", "/b"], 3)
    assert call("GET", "/files/deleted?limit=0").json() == {"items": [], "total": 3}


def test_what_came_back_is_not_listed(call: Browser) -> None:
    delete(call, "/a")
    call("PUT", "/files/a", content=b"new")
    assert gone(call) == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=-1", 400),
        ("limit=x", 400),
        ("path=/a/../b", 400),
        ("path=/.aeordb-system", 404),
        ("path=%00", 400),
        ("path=%ff", 400),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(call: Browser, query: str, status: int) -> None:
    assert call("GET", f"/files/deleted?{query}").status_code == status


def test_a_folder_called_deleted_can_be_listed(call: Browser) -> None:
    call("PUT", "/files/deleted/a", content=b"1")
    assert call("GET", "/files/deleted").json()["items"][0]["path"] == "/deleted/a"
    assert gone(call, path="/") == []


def test_a_deletion_is_taken_back(call: Browser) -> None:
    headers = {"X-AeorSync-Mode": "755", "Content-Type": "text/x-mine"}
    call("PUT", "/files/d/a", content=b"precious", headers=headers)
    call("DELETE", "/files/d?recursive=1")
    reply = call("POST", "/files/restore", json={"path": "/d/a"})
    assert (reply.status_code, reply.json()) == (200, {"restored": True, "path": "/d/a"})
    back = call("GET", "/files/d/a")
    assert back.content == b"precious"
    assert back.headers["content-type"] == "text/x-mine"
    assert back.headers["x-aeorsync-mode"] == "755"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/never", 404),
        ("/here", 409),
        ("/d", 409),
        ("/.aeordb-system/x", 404),
        ("/a/../b", 400),
    ],
)
def test_what_was_not_deleted_cannot_be_restored(call: Browser, path: str, status: int) -> None:
    call("PUT", "/files/here", content=b"1")
    call("PUT", "/files/d/x", content=b"1")
    reply = call("POST", "/files/restore", json={"path": path})
    assert reply.status_code == status


def test_a_file_whose_bytes_are_gone_is_not_restored(call: Browser) -> None:
    delete(call, "/a")
    repository = call.here.node.repository
    store = repository._store
    store.missing = set  # type: ignore[assignment]
    reply = call("POST", "/files/restore", json={"path": "/a"})
    assert reply.status_code == 404
    assert "no longer" in reply.json()["error"]


def test_a_file_that_is_not_what_its_hash_says_is_not_restored(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(call, "/a")
    repository = call.here.node.repository

    def lie(_content: object) -> None:
        text = "the chunks of a file do not add up to its content hash"
        raise CorruptError(text)

    monkeypatch.setattr(repository, "check_content", lie)
    root = repository.head.root
    reply = call("POST", "/files/restore", json={"path": "/a"})
    assert (reply.status_code, reply.json()["code"]) == (500, "CORRUPT")
    assert repository.head.root == root


def test_what_is_brought_back_is_what_was_looked_at(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(call, "/a")
    rescued = rescue.rescued

    async def overtaken(node, *rest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202
        found = await rescued(node, *rest)
        await bridge.run(put, node.repository, "/a", b"deleted later")
        path = paths.parse("/a")
        await bridge.settle(node.repository.commit(lambda draft: changes.delete(draft, path)))
        return found

    monkeypatch.setattr(trash, "rescued", overtaken)
    reply = call("POST", "/files/restore", json={"path": "/a"})
    assert (reply.status_code, reply.json()["code"]) == (409, "STALE")
    assert call("GET", "/files/a").status_code == 404
    monkeypatch.undo()
    assert call("POST", "/files/restore", json={"path": "/a"}).status_code == 200
    assert call("GET", "/files/a").content == b"deleted later"

"""`POST /files/fetch`: many files, or parts of them, in one answer."""

import base64
import random
from typing import Any

import pytest
from httpx import Response

from aeorsync.wire import limits
from tests.api.conftest import Browser

TEXT = "one\ntwo\nthré\nfour"


def fill(call: Browser, **files: bytes) -> None:
    for name, data in files.items():
        assert call("PUT", f"/files/d/{name}", content=data).status_code == 201


def fetch(call: Browser, *items: dict[str, Any], **fields: Any) -> Response:  # noqa: ANN401 - JSON
    return call("POST", "/files/fetch", json={"items": list(items), **fields})


def one(call: Browser, item: dict[str, Any]) -> dict[str, Any]:
    reply = fetch(call, item)
    assert (reply.status_code, reply.json()["has_errors"]) == (200, False), reply.text
    found: dict[str, Any] = reply.json()["items"][0]
    return found


def test_paths_give_an_object_of_files_by_their_paths(call: Browser) -> None:
    fill(call, a=TEXT.encode(), b=b"")
    stored = call("PUT", "/files/d/a", content=TEXT.encode()).json()
    found = call("POST", "/files/fetch", json={"paths": ["/d/a", "d/b"]}).json()
    assert list(found) == ["/d/a", "d/b"]
    assert found["/d/a"] == {
        "path": "/d/a",
        "name": "a",
        "content": TEXT,
        "lossy": False,
        **{
            name: stored[name]
            for name in (
                "size",
                "created_at",
                "updated_at",
                "content_type",
                "content_hash",
                "etag",
            )
        },
    }
    assert (found["d/b"]["path"], found["d/b"]["content"]) == ("/d/b", "")
    assert call("POST", "/files/fetch", json={"paths": []}).json() == {}


def test_items_say_what_they_are(call: Browser) -> None:
    fill(call, a=TEXT.encode())
    found = one(call, {"path": "/d/a", "id": 7})
    assert found["id"] == 7
    assert found["content"] == TEXT
    assert found["range"] == {"mode": "full", "start": 0, "end": 18, "pointer": None}
    assert (found["size"], found["source_size"], found["status"]) == (18, 18, 200)
    assert found["truncated"] is False
    assert one(call, {"path": "/d/a"})["id"] == "/d/a"


@pytest.mark.parametrize(
    ("span", "content", "at"),
    [
        ({"mode": "bytes", "start": 4, "end": 7}, "two", (4, 7)),
        ({"mode": "bytes", "start": 14}, "four", (14, 18)),
        ({"mode": "bytes", "start": 18}, "", (18, 18)),
        ({"mode": "bytes", "end": 99}, TEXT, (0, 18)),
        ({"mode": "lines", "start": 1, "end": 3}, "two\nthré\n", (1, 3)),
        ({"mode": "lines", "start": 3}, "four", (3, None)),
        ({"mode": "lines", "start": 0, "end": 0}, "", (0, 0)),
        ({"mode": "lines", "start": 9}, "", (9, None)),
    ],
)
def test_a_range_gives_a_part(
    call: Browser, span: dict[str, Any], content: str, at: tuple[int, int | None]
) -> None:
    fill(call, a=TEXT.encode())
    found = one(call, {"path": "/d/a", "range": span})
    assert found["content"] == content
    assert (found["range"]["start"], found["range"]["end"]) == at
    assert (found["status"], found["source_size"]) == (206, 18)
    assert found["size"] == len(content.encode())


def test_a_pointer_gives_one_value_of_a_document(call: Browser) -> None:
    fill(call, a=b'{"x": [1.50, {"y": 2}]}', b=b"no")
    span = {"mode": "json_pointer", "pointer": "/x/1"}
    found = one(call, {"path": "/d/a", "range": span})
    assert (found["content"], found["size"]) == ('{"y": 2}', 8)
    assert found["range"]["pointer"] == "/x/1"
    for path, pointer, status in (("/d/a", "/z", 404), ("/d/a", "z", 400), ("/d/b", "", 400)):
        item = {"path": path, "range": {"mode": "json_pointer", "pointer": pointer}}
        assert fetch(call, item).status_code == status


def test_bytes_that_are_no_text_come_whole_as_base64(call: Browser) -> None:
    data = random.Random(1).randbytes(3_000_001)
    fill(call, a=data)
    found = one(call, {"path": "/d/a", "encoding": "base64"})
    assert base64.b64decode(found["content"]) == data
    lossy = one(call, {"path": "/d/a"})
    assert lossy["content"] == data.decode("utf-8", "replace")
    assert (lossy["lossy"], found["lossy"]) == (True, False)


def test_text_is_the_same_wherever_pieces_end(call: Browser) -> None:
    text = 'é€😀\\"\n' * 400_000
    fill(call, a=text.encode())
    found = one(call, {"path": "/d/a"})
    assert found["content"] == text
    assert found["lossy"] is False


def test_an_item_can_be_cut(call: Browser) -> None:
    fill(call, a=TEXT.encode())
    found = one(call, {"path": "/d/a", "max_bytes": 5})
    assert (found["content"], found["truncated"], found["status"]) == ("one\nt", True, 206)


def test_what_is_missing_or_wrong_refuses_all(call: Browser) -> None:
    fill(call, a=b"1")
    bad: dict[int, dict[str, Any]] = {
        404: {"path": "/d/no"},
        409: {"path": "/d/a", "content_hash": "00" * 32},
        416: {"path": "/d/a", "range": {"mode": "bytes", "start": 2}},
        400: {"path": "/d/../a"},
        422: {"path": "/d/a", "range": {"mode": "words"}},
    }
    for status, item in bad.items():
        reply = fetch(call, {"path": "/d/a"}, item)
        assert reply.status_code == status
    assert fetch(call, {"path": "/d"}).status_code == 404
    assert fetch(call, {"path": "/.aeordb-system/x"}).status_code == 404
    assert call("POST", "/files/fetch", json={}).status_code == 400
    assert call("POST", "/files/fetch", json={"paths": [], "items": []}).status_code == 400


def test_errors_can_be_told_item_by_item(call: Browser) -> None:
    fill(call, a=b"12345")
    reply = fetch(
        call,
        {"path": "/d/no", "id": "x"},
        {"path": "/d/a"},
        {"path": "/d/a", "content_hash": "00" * 32},
        {"path": "/d/a"},
        continue_on_error=True,
        max_bytes=6,
    )
    assert (reply.status_code, reply.json()["has_errors"]) == (200, True)
    items = reply.json()["items"]
    assert [item["status"] for item in items] == [404, 200, 409, 413]
    assert (items[0]["id"], items[0]["code"]) == ("x", "NOT_FOUND")
    body = {"paths": ["/d/a", "/no"], "continue_on_error": True}
    found = call("POST", "/files/fetch", json=body).json()
    assert (found["/d/a"]["content"], found["/no"]["status"]) == ("12345", 404)


def test_the_right_content_hash_is_no_reason_to_refuse(call: Browser) -> None:
    stored = call("PUT", "/files/a", content=b"1").json()
    assert one(call, {"path": "/a", "content_hash": stored["content_hash"]})["content"] == "1"


def test_limits_are_kept(call: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(call, a=b"12345")
    assert fetch(call, {"path": "/d/a"}, max_bytes=4).status_code == 413
    assert fetch(call, {"path": "/d/a"}, max_bytes=-1).status_code == 400
    assert fetch(call, {"path": "/d/a"}, max_bytes=limits.MAX_FETCH + 1).status_code == 400
    monkeypatch.setattr(limits, "MAX_FETCH_ITEMS", 2)
    assert fetch(call, *([{"path": "/d/a"}] * 3)).status_code == 413


@pytest.mark.parametrize(
    "span",
    [{"mode": "lines", "start": 9, "end": 10}, {"mode": "json_pointer", "pointer": "/0"}],
)
def test_what_is_looked_through_is_bounded_although_little_is_sent(
    call: Browser, monkeypatch: pytest.MonkeyPatch, span: dict[str, Any]
) -> None:
    fill(call, a=b"[1,\n2,\n3]")
    item = {"path": "/d/a", "range": span}
    assert fetch(call, *[item] * 3).status_code == 200
    monkeypatch.setattr(limits, "MAX_FETCH", 25)
    assert fetch(call, *[item] * 2, max_bytes=20).status_code == 200
    assert fetch(call, *[item] * 3, max_bytes=20).status_code == 413


def test_links_are_followed_and_the_past_can_be_fetched(call: Browser) -> None:
    fill(call, a=b"old")
    call("PUT", "/links/l", json={"target": "/d/a"})
    assert call("POST", "/versions/snapshots", json={"name": "s"}).status_code == 201
    fill(call, a=b"new")
    body = {"paths": ["/l"]}
    assert call("POST", "/files/fetch", json=body).json()["/l"]["content"] == "new"
    past = call("POST", "/files/fetch?snapshot=s", json=body).json()
    assert past["/l"]["content"] == "old"

"""GET of a folder: rows, their order, and which of them."""

import pytest

from aeorsync.core.hashing import symlink_identity
from tests.api.conftest import Browser


def fill(call: Browser, *paths: str) -> None:
    for path in paths:
        assert call("PUT", f"/files{path}", content=path.encode()).status_code == 201


def listed(call: Browser, path: str, **query: str | int) -> list[str]:
    reply = call("GET", f"/files{path}", params=query)
    assert reply.status_code == 200
    return [item["path"] for item in reply.json()["items"]]


def test_a_folder_is_listed_with_folders_first_and_names_without_case(call: Browser) -> None:
    fill(call, "/d/b.txt", "/d/A.txt", "/d/Z/inner", "/d/a/inner", "/d/c.txt", "/other")
    assert listed(call, "/d") == ["/d/a", "/d/Z", "/d/A.txt", "/d/b.txt", "/d/c.txt"]
    assert listed(call, "/d/") == listed(call, "/d")


def test_a_row_tells_all_about_a_file(call: Browser) -> None:
    stored = call(
        "PUT",
        "/files/d/a.txt",
        content=b"hello",
        headers={"X-AeorSync-Mtime": "1500.75", "X-AeorSync-Mode": "755"},
    ).json()
    reply = call("GET", "/files/d").json()
    assert reply == {
        "items": [
            {
                "path": "/d/a.txt",
                "name": "a.txt",
                "entry_type": 2,
                "hash": stored["hash"],
                "size": 5,
                "created_at": stored["created_at"],
                "updated_at": stored["updated_at"],
                "content_type": "text/plain",
                "content_hash": stored["content_hash"],
                "etag": stored["etag"],
                "mtime": 1500,
                "executable": True,
                "conflict": False,
            }
        ],
        "total": 1,
        "limit": None,
        "offset": 0,
    }


def test_a_row_tells_where_a_symlink_points(call: Browser) -> None:
    call("PUT", "/links/l", json={"target": "../x"})
    (row,) = call("GET", "/files").json()["items"]
    assert (row["entry_type"], row["target"], row["content_type"]) == (8, "../x", None)
    assert row["hash"] == symlink_identity("/l", "../x").hex()
    assert row["size"] == 4


def test_a_row_of_a_folder_has_no_content(call: Browser) -> None:
    call("POST", "/files/mkdir", json={"path": "/made"})
    (row,) = call("GET", "/files").json()["items"]
    assert (row["entry_type"], row["size"], row["hash"]) == (3, 0, "")
    assert row["content_type"] is None
    assert row["content_hash"] is None
    assert row["etag"]


def test_an_etag_of_a_listing_is_good_for_a_write(call: Browser) -> None:
    fill(call, "/a")
    (row,) = call("GET", "/files").json()["items"]
    reply = call("PUT", "/files/a", content=b"2", headers={"If-Match": row["etag"]})
    assert reply.status_code == 201


def test_the_root_can_be_listed_in_any_spelling(call: Browser) -> None:
    fill(call, "/a")
    for path in ("/files", "/files/", "//files", "/files//"):
        assert call.raw("GET", path.encode()).json()["total"] == 1


def test_an_empty_folder_is_listed_empty(call: Browser) -> None:
    assert call("GET", "/files").json() == {"items": [], "total": 0, "limit": None, "offset": 0}
    call("POST", "/files/mkdir", json={"path": "/d"})
    assert listed(call, "/d") == []
    assert call("GET", "/files/nothing").status_code == 404


def test_the_system_and_its_like_are_not_listed(call: Browser) -> None:
    fill(call, "/.aeordb-config/cors.json", "/.hidden", "/d/.aeordb-x")
    call.here.make_key()
    assert listed(call, "") == ["/d", "/.hidden"]
    assert listed(call, "", depth=-1) == ["/d/.aeordb-x", "/.hidden"]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (1, ["/d/1", "/d/e/2"]),
        (2, ["/d/1", "/d/e/2", "/d/e/f/3"]),
        (-1, ["/d/1", "/d/e/2", "/d/e/f/3", "/d/e/f/g/4"]),
        (999, ["/d/1", "/d/e/2", "/d/e/f/3", "/d/e/f/g/4"]),
    ],
)
def test_a_depth_lists_the_files_below(call: Browser, depth: int, expected: list[str]) -> None:
    fill(call, "/d/1", "/d/e/2", "/d/e/f/3", "/d/e/f/g/4", "/x")
    call("POST", "/files/mkdir", json={"path": "/d/empty"})
    assert listed(call, "/d", depth=depth) == expected


@pytest.mark.parametrize(
    ("glob", "depth", "expected"),
    [
        ("*.txt", 0, ["/a.txt", "/b.txt"]),
        ("[!a]*", 0, ["/d", "/b.txt"]),
        ("*.txt", -1, ["/a.txt", "/b.txt", "/d/c.txt"]),
        ("/d/*", -1, ["/d/c.txt"]),
        ("/**", -1, ["/a.txt", "/b.txt", "/d/c.txt"]),
        ("nothing", -1, []),
        ("", 0, ["/d", "/a.txt", "/b.txt"]),
    ],
)
def test_a_glob_chooses(call: Browser, glob: str, depth: int, expected: list[str]) -> None:
    fill(call, "/a.txt", "/b.txt", "/d/c.txt")
    assert listed(call, "", glob=glob, depth=depth) == expected


def test_a_page_is_a_part_and_tells_of_the_whole(call: Browser) -> None:
    fill(call, *(f"/d/{at}" for at in range(7)))
    reply = call("GET", "/files/d", params={"limit": 3, "offset": 2}).json()
    assert [item["name"] for item in reply["items"]] == ["2", "3", "4"]
    assert (reply["total"], reply["limit"], reply["offset"]) == (7, 3, 2)
    assert listed(call, "/d", offset=6) == ["/d/6"]
    assert listed(call, "/d", offset=99) == []
    assert listed(call, "/d", limit=0) == []


@pytest.mark.parametrize(
    ("sort", "order", "expected"),
    [
        ("name", "asc", ["f", "a", "bbb", "cc"]),
        ("name", "desc", ["f", "cc", "bbb", "a"]),
        ("size", "asc", ["f", "cc", "a", "bbb"]),
        ("size", "desc", ["f", "bbb", "a", "cc"]),
        ("created_at", "asc", ["f", "bbb", "a", "cc"]),
        ("updated_at", "asc", ["f", "a", "cc", "bbb"]),
        ("updated_at", "desc", ["f", "bbb", "cc", "a"]),
    ],
)
def test_rows_are_sorted_as_asked(
    call: Browser, sort: str, order: str, expected: list[str]
) -> None:
    for name, data in (("bbb", b""), ("a", b"22"), ("cc", b"1"), ("bbb", b"333"), ("f/x", b"")):
        call("PUT", f"/files/{name}", content=data)
    reply = call("GET", "/files", params={"sort": sort, "order": order}).json()
    assert [item["name"] for item in reply["items"]] == expected


@pytest.mark.parametrize(
    "query",
    [
        "depth=-2",
        "depth=x",
        "depth=1.5",
        "depth=99999999999999999999",
        "limit=-1",
        "limit=ten",
        "limit=%D9%A1",
        "offset=-1",
        "sort=mood",
        "order=up",
        "glob=%5Bopen",
        "glob=***",
        "glob=" + "a" * 2000,
        "glob=%ff",
    ],
)
def test_options_that_make_no_sense_are_refused(call: Browser, query: str) -> None:
    for path in ("/files", "/files/"):
        reply = call("GET", f"{path}?{query}")
        assert reply.status_code == 400
        assert reply.json()["code"] == "INVALID_INPUT"


def test_a_conflict_shows_in_its_row(call: Browser) -> None:
    fill(call, "/a")
    call("PUT", "/files/a", content=b"mine", headers={"X-AeorSync-Base": '""'})
    (row,) = call("GET", "/files").json()["items"]
    assert row["conflict"] is True
    same = call("GET", "/files/a").headers["etag"]
    assert row["etag"] == same

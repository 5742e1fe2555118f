"""Batches of changes that contradict themselves, or the tree: all happens, or nothing, and what is
there afterwards is a tree: nothing lies below a file or a link, and no name is two things.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from aeorsync.core.hashing import chunk_id
from tests.api.conftest import Browser

BODY: Final = b"x"
HEX: Final = chunk_id(BODY).hex()
MAX: Final = (1 << 63) - 1


def file(path: str, **more: object) -> dict[str, Any]:
    return {"files": [{"path": path, "chunks": [HEX], **more}]}


def link(path: str, target: str = "/there", **more: object) -> dict[str, Any]:
    return {"links": [{"path": path, "target": target, **more}]}


def folder(path: str, **more: object) -> dict[str, Any]:
    return {"folders": [{"path": path, **more}]}


def deleted(path: str, **more: object) -> dict[str, Any]:
    return {"deletes": [{"path": path, **more}]}


def both(*parts: dict[str, Any]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in parts:
        for name, items in part.items():
            joined.setdefault(name, []).extend(items)
    return joined


def shape(call: Browser) -> dict[str, str]:
    """What is where."""
    found: dict[str, str] = {}
    waiting = [""]
    while waiting:
        place = waiting.pop()
        for item in call("GET", f"/files{place}?limit=1000").json()["items"]:
            found[item["path"]] = str(item["entry_type"])
            if item["entry_type"] == 3:
                waiting.append(item["path"])
    return found


def is_tree(found: dict[str, str]) -> bool:
    parents = {path.rpartition("/")[0] for path in found} - {""}
    return all(found.get(parent) == "3" for parent in parents)


@pytest.fixture(autouse=True)
def chunk(call: Browser) -> None:
    call.raw("PUT", f"/blobs/chunks/{HEX}".encode(), BODY)
    for body in (file("/f"), link("/l"), folder("/d"), file("/full/x"), file("/gone")):
        assert call("POST", "/blobs/commit", json=body).status_code == 200
    assert call("DELETE", "/files/gone").status_code == 200


MAKERS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "file": file,
    "link": link,
    "folder": folder,
}


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations_with_replacement(MAKERS, 2)])
def test_one_name_twice_in_a_batch_is_refused(call: Browser, one: str, other: str) -> None:
    before = shape(call)
    for first, second in (("/n", "/n"), ("/n/", "/n"), ("/n/m", "/n/m")):
        batch = both(MAKERS[one](first), MAKERS[other](second))
        status = call("POST", "/blobs/commit", json=batch).status_code
        # Two folders of one name are one.
        assert status == (200 if (one, other) == ("folder", "folder") else 400), (first, second)
    if (one, other) != ("folder", "folder"):
        assert shape(call) == before
    assert is_tree(shape(call))


@pytest.mark.parametrize("upper", ["file", "link"])
@pytest.mark.parametrize("lower", MAKERS)
def test_nothing_is_put_below_what_the_same_batch_makes_no_folder(
    call: Browser, upper: str, lower: str
) -> None:
    before = shape(call)
    batch = both(MAKERS[upper]("/n"), MAKERS[lower]("/n/m/o"))
    assert call("POST", "/blobs/commit", json=batch).status_code in {400, 409}
    assert shape(call) == before


@pytest.mark.parametrize("parent", ["/f", "/l", "/gone"])
@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_is_put_below_a_file_or_a_link(call: Browser, parent: str, kind: str) -> None:
    status = call("POST", "/blobs/commit", json=MAKERS[kind](f"{parent}/m/n")).status_code
    assert status == (200 if parent == "/gone" else 409)
    assert is_tree(shape(call))


def swaps() -> Iterator[tuple[str, dict[str, Any], int]]:
    yield "a file for a folder with something in it", file("/full"), 409
    yield "a link for a folder with something in it", link("/full"), 409
    yield "a folder for a file", folder("/f"), 409
    yield "a folder for a link", folder("/l"), 409
    yield "a file for a link", file("/l"), 200
    yield "a link for a file", link("/f"), 200
    yield (
        "a folder emptied for a file",
        both(deleted("/full/x"), deleted("/full"), file("/full")),
        200,
    )
    yield "a file deleted for a folder", both(deleted("/f"), file("/f/inner")), 200
    yield "a link deleted for a folder", both(deleted("/l"), file("/l/inner")), 200
    yield "a folder deleted that is not empty", deleted("/full"), 400
    yield "a folder deleted before what is in it", both(deleted("/full"), deleted("/full/x")), 400
    yield "the root deleted", deleted("/"), 400
    yield "the root made a file", file("/"), 400
    yield "a deletion of nothing", deleted("/nothing/at/all"), 200


@pytest.mark.parametrize(
    ("name", "batch", "expected"), [*swaps()], ids=lambda part: str(part)[:40]
)
def test_what_takes_the_place_of_something_else(
    call: Browser, name: str, batch: dict[str, Any], expected: int
) -> None:
    before = shape(call)
    reply = call("POST", "/blobs/commit", json=batch)
    assert reply.status_code == expected, (name, reply.text)
    if expected != 200:
        assert shape(call) == before
    assert is_tree(shape(call))


TARGETS: Final = {
    "/absolute": 200,
    "../f": 200,
    "..": 200,
    "../../../etc/passwd": 200,
    "/proc/self/fd/3": 200,
    "/" + "../" * 30 + "etc/passwd": 200,
    "x/" * 2000: 200,
    "/.aeordb-system/x": 404,
    "n": 400,
    "/n": 400,
    "": 400,
    "a\0b": 400,
    "a\nb": 400,
    "\x1b[2J": 400,
    "x" * 4097: 400,
}
"""What a link holds is data; where it leads out of the tree, nobody follows it."""


def test_a_link_is_kept_as_it_is_or_refused_and_leads_nowhere_outside(call: Browser) -> None:
    for target, expected in TARGETS.items():
        by_commit = call("POST", "/blobs/commit", json=link("/n", target)).status_code
        call("DELETE", "/files/n")
        by_put = call("PUT", "/links/n", json={"target": target}).status_code
        assert {by_commit, by_put} <= ({200, 201} if expected == 200 else {expected}), target
        if expected == 200:
            assert call("GET", "/links/n").json()["target"] == target
            if target != "../f":
                assert call("GET", "/files/n").status_code in {400, 404}, target
        call("DELETE", "/files/n")


def test_links_that_lead_in_circles_or_on_and_on_are_followed_only_so_far(call: Browser) -> None:
    for at in range(60):
        assert (
            call("POST", "/blobs/commit", json=link(f"/chain{at}", f"/chain{at + 1}")).status_code
            == 200
        )
    for one, other in (("/a", "/b"), ("/b", "/a")):
        assert call("POST", "/blobs/commit", json=link(one, other)).status_code == 200
    for path in ("/chain0", "/a"):
        assert call("GET", f"/files{path}").status_code in {400, 404, 409, 508}


NUMBERS: Final = {
    "mtime_ns": {0: 200, -1: 200, -(1 << 62) + 1: 200, 1 << 62: 400, MAX: 400, -MAX: 400},
    "size": {1: 200, 0: 400, 2: 400, -1: 400, MAX: 400},
}


def test_numbers_at_the_edges(call: Browser) -> None:
    for field, some in NUMBERS.items():
        for number, expected in some.items():
            batch = file("/n", **{field: number})
            status = call("POST", "/blobs/commit", json=batch).status_code
            assert status == expected, (field, number)


NO_NUMBERS: Final = ("1e3", "1.5", '"1"', "true", "1" + "0" * 400, "NaN", "[]", "0x1", "01", "-")
NO_MODES: Final = ("7777", "4755", "0o755", "-1", "999", "1e3", "\u0667\u0665\u0665", "")
NO_TIMES: Final = ("1e400", "inf", "nan", "-", "1.0000001", "9" * 17, "0x1", "1_0")


def test_what_is_no_number_no_mode_and_no_time_is_refused(call: Browser) -> None:
    for field, number in itertools.product(NUMBERS, NO_NUMBERS):
        body = f'{{"files":[{{"path":"/n","chunks":["{HEX}"],"{field}":{number}}}]}}'
        reply = call("POST", "/blobs/commit", content=body.encode())
        assert reply.status_code in {400, 422}, (field, number)
    for name, texts in (("X-AeorSync-Mode", NO_MODES), ("X-AeorSync-Mtime", NO_TIMES)):
        for text in texts:
            headers = {name.encode(): text.encode()}
            reply = call("PUT", "/files/n", content=b"x", headers=headers)
            assert reply.status_code == 400, (name, text)
    assert call("GET", "/files/n").status_code == 404


def test_a_folder_is_not_moved_into_itself_and_cycles_of_moves_end(call: Browser) -> None:
    for path in ("/d/e", "/d/e/f", "/d"):
        assert call("PATCH", "/files/d", json={"to": path}).status_code in {400, 409}
    assert call("PATCH", "/files/", json={"to": "/x"}).status_code in {400, 404, 405, 409}
    for source, target in (("/d", "/t"), ("/full", "/d"), ("/t", "/full")):
        assert call("PATCH", f"/files{source}", json={"to": target}).status_code == 200
    assert shape(call)["/d/x"] == "2"
    assert is_tree(shape(call))


HASHES: Final = {
    "no hash": ["x" * 64],
    "too short": [HEX[:62]],
    "too long": [HEX + "00"],
    "empty": [""],
    "unknown": ["00" * 32],
    "another word for it": ["sha256:" + HEX],
    "a space": [f" {HEX}"],
}


def test_a_file_of_chunks_that_are_none_is_refused(call: Browser) -> None:
    for name, chunks in HASHES.items():
        body = {"files": [{"path": "/n", "chunks": chunks}]}
        status = call("POST", "/blobs/commit", json=body).status_code
        assert status in {400, 404, 409, 412, 422}, name
    assert call("GET", "/files/n").status_code == 404


def test_a_wrong_hash_of_the_whole_file_is_refused(call: Browser) -> None:
    body = file("/n", content_hash="00" * 32)
    assert call("POST", "/blobs/commit", json=body).status_code in {400, 409, 422}
    body = {"files": [{"path": "/n", "chunks": [HEX] * 1_000_001}]}
    assert call("POST", "/blobs/commit", json=body).status_code == 413
    assert call("GET", "/files/n").status_code == 404

"""Who did not hear what became of a commit asks again, under the name they gave it."""

from aeorsync.api import commit_book
from aeorsync.api.commit_book import CommitBook, Remembered
from aeorsync.core.paths import parse
from aeorsync.storage.bundles import Done, Outcome
from tests.api.conftest import Browser


def test_the_answer_can_be_heard_again_and_names_the_version_that_was_deleted_since(
    call: Browser,
) -> None:
    body = {"op": "mine", "files": [{"path": "/a", "base": "", "chunks": []}]}
    answer = call("POST", "/blobs/commit", json=body)
    assert call("DELETE", "/files/a").status_code == 200
    again = call("GET", "/blobs/commits/mine")
    assert again.status_code == 200
    assert again.json() == answer.json()
    seen = {"/a": {key: answer.json()["files"][0][key] for key in ("version", "etag")}}
    assert call("POST", "/sync/seen", json={"versions": seen}).json()["past"] == ["/a"]


def test_nothing_is_told_of_what_failed_has_no_name_or_is_of_somebody_else(call: Browser) -> None:
    body = {"op": "bad", "files": [{"path": "/a", "chunks": ["0" * 64]}]}
    assert call("POST", "/blobs/commit", json=body).status_code == 400
    good = {"files": [{"path": "/a", "chunks": []}]}
    assert call("POST", "/blobs/commit", json=good).status_code == 200
    assert call("POST", "/blobs/commit", json={**good, "op": "good"}).status_code == 200
    key, _ = call.here.make_key()
    for op, token in (("bad", None), ("unheard", None), ("good", key)):
        fields = {} if token is None else {"token": token}
        assert call("GET", f"/blobs/commits/{op}", **fields).status_code == 404
    assert call("GET", "/blobs/commits/good").status_code == 200


def test_a_name_that_is_too_long_is_refused(call: Browser) -> None:
    body = {"op": "x" * 65, "files": [{"path": "/a", "chunks": []}]}
    assert call("POST", "/blobs/commit", json=body).status_code == 422


def test_the_oldest_are_forgotten_first_and_the_last_never() -> None:
    book = CommitBook()
    few, many = (
        Remembered(Outcome([], [], [Done(parse("/a"))] * count), 0)
        for count in (commit_book.MAX_CHANGES // 4, commit_book.MAX_CHANGES + 1)
    )
    for number in range(5):
        book.keep(b"me", f"{number}", few)
        book.keep(b"me", f"{number}", few)
    assert [book.find(b"me", f"{number}") is few for number in range(5)] == [False, *[True] * 4]
    book.keep(b"me", "large", many)
    assert book.find(b"me", "large") is many
    assert book.find(b"me", "4") is None
    assert book.find(b"you", "large") is None

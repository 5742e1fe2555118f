"""What became of a version that a reader holds: it stands, it is past, or it was never seen."""

from typing import Any

import pytest

from aeorsync.api.standing import Fate, fate_of
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.versions import Entry
from tests.api.conftest import Browser
from tests.support.repositories import entry_at, get, memory_repository, put


def held(call: Browser, path: str) -> dict[str, Any]:
    """The version that stands at a path, as a reader of changes is told of it."""
    changes = call("POST", "/sync/diff", json={}).json()["changes"]
    [file] = [one for one in changes["files_added"] if one["path"] == path]
    return {"version": file["version"], "etag": file["etag"]}


def ask(call: Browser, token: str | None = None, **versions: dict[str, Any]) -> Any:  # noqa: ANN401
    body = {"versions": {f"/{name}": one for name, one in versions.items()}}
    reply = call("POST", "/sync/seen", json=body, **({} if token is None else {"token": token}))
    assert reply.status_code == 200
    return reply.json()


def write(call: Browser, path: str, text: str) -> None:
    assert call("PUT", f"/files{path}", content=text).status_code == 201


def test_a_version_stands_until_it_is_replaced_or_deleted(call: Browser) -> None:
    write(call, "/a", "1")
    write(call, "/b", "1")
    a, b = held(call, "/a"), held(call, "/b")
    assert ask(call, a=a, b=b) == {"stands": ["/a", "/b"], "past": []}
    write(call, "/a", "2")
    assert call("DELETE", "/files/b").status_code == 200
    assert ask(call, a=a, b=b) == {"stands": [], "past": ["/a", "/b"]}


def test_both_versions_of_a_conflict_stand(call: Browser) -> None:
    write(call, "/a", "0")
    before = held(call, "/a")
    write(call, "/a", "1")
    one = held(call, "/a")
    fields = {"X-AeorSync-Base": before["etag"]}
    assert call("PUT", "/files/a", content="2", headers=fields).status_code == 201
    assert ask(call, a=one)["stands"] == ["/a"]
    assert ask(call, a=before)["past"] == ["/a"]


def test_what_was_not_given_out_for_a_path_was_never_seen_there(call: Browser) -> None:
    write(call, "/a", "1")
    write(call, "/b", "1")
    a = held(call, "/a")
    nothing: dict[str, list[str]] = {"stands": [], "past": []}
    assert ask(call, b=a) == nothing
    incarnation, _, number = a["version"].partition("-")
    forged = [f"{incarnation}-{int(number, 16) + 1:x}", f"0{a['version']}", "", "-", "x-y", "1-1"]
    for version in forged:
        assert ask(call, a={**a, "version": version}) == nothing
    for etag in ("", '"x"', "*", a["etag"][:-3] + 'A"'):
        assert ask(call, a={**a, "etag": etag}) == nothing


def test_nothing_is_said_of_what_a_key_may_not_read(call: Browser) -> None:
    write(call, "/open", "1")
    write(call, "/secret", "1")
    some = {"open": held(call, "/open"), "secret": held(call, "/secret")}
    key, _ = call.here.make_key(rules=(KeyRule("/open", "-r--l---"),))
    assert ask(call, key, **some) == {"stands": ["/open"], "past": []}


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_deletion_that_was_forgotten_is_still_one(*, is_forgotten: bool) -> None:
    repository = memory_repository()
    version = put(repository, "/a", b"1")
    entry = entry_at(repository, "/a")
    assert entry is not None
    assert get(repository, "/a") == b"1"
    known = repository.known()
    assert fate_of(entry, version.dot, known) is Fate.STANDS
    assert fate_of(None, version.dot, known if is_forgotten else {}) is (
        Fate.PAST if is_forgotten else Fate.UNSEEN
    )
    repository.close()


def test_a_version_of_which_a_copy_knows_nothing_is_unseen() -> None:
    repository = memory_repository()
    put(repository, "/a", b"1")
    before = entry_at(repository, "/a")
    known = repository.known()
    later = put(repository, "/a", b"2")
    assert before is not None
    assert fate_of(before, later.dot, known) is Fate.UNSEEN
    assert fate_of(Entry((later,)), before.versions[0].dot, {}) is Fate.PAST
    repository.close()


def test_too_many_are_refused(call: Browser) -> None:
    some = {f"/{number}": {"version": "1-1", "etag": "x"} for number in range(10_001)}
    assert call("POST", "/sync/seen", json={"versions": some}).status_code == 413
    broken = {"versions": {"a\0": {"version": "1-1", "etag": "x"}}}
    assert call("POST", "/sync/seen", json=broken).status_code == 400

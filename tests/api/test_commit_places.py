"""Who stands where a commit begins is told where it ends, and misses nothing by that."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import parse
from aeorsync.storage.changes import delete
from aeorsync.storage.draft import Draft
from tests.api.blobs import commit, file, upload
from tests.api.conftest import Browser
from tests.support.loops import until

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(params=["root", "a key with rules"])
def token(request: pytest.FixtureRequest, call: Browser) -> str | None:
    upload(call, b"one", b"two")
    assert call("PUT", "/files/d/one", content=b"one").status_code == 201
    assert call("PUT", "/files/d/two", content=b"two").status_code == 201
    assert call("PUT", "/files/hidden", content=b"hidden").status_code == 201
    if request.param == "root":
        return None
    rules = (KeyRule("/d/**", "crudl---"),)
    return call.here.make_key(user_id=uuid4(), rules=rules)[0]


@pytest.fixture
def diff(call: Browser, token: str | None) -> Ask:
    """What changed since a place; the changed paths and where that leads to."""

    def ask(since: str | None = None) -> dict[str, Any]:
        reply = call("POST", "/sync/diff", json={"since_root_hash": since}, **_as(token))
        assert reply.status_code == 200, reply.text
        told: dict[str, Any] = reply.json()
        assert not told["more"]
        return told

    return ask


def _as(token: str | None) -> dict[str, Any]:
    return {} if token is None else {"token": token}


def paths(told: dict[str, Any]) -> set[str]:
    return {one["path"] for some in told["changes"].values() for one in some}


def test_the_answer_says_where_its_sender_stands(
    call: Browser, diff: Ask, token: str | None
) -> None:
    begin = diff()["root_hash"]
    first = commit(call, file("/d/new", b"one"), since_root_hash=begin, **_as(token)).json()
    second = commit(
        call,
        folders=[{"path": "/d/folder"}],
        links=[{"path": "/d/link", "target": "new"}],
        deletes=[{"path": "/d/one"}],
        since_root_hash=first["root_hash"],
        **_as(token),
    ).json()
    end = diff(second["root_hash"])
    assert (end["root_hash"], paths(end), end["full"]) == (second["root_hash"], set(), False)
    assert paths(diff(first["root_hash"])) == {"/d/folder", "/d/link", "/d/one"}
    assert "/d/new" in paths(diff(begin))


def test_what_changes_nothing_leads_to_where_it_began(
    call: Browser, diff: Ask, token: str | None
) -> None:
    begin = diff()["root_hash"]
    asked = {"files": [file("/d/new", b"one", base="", mtime_ns=5)], "on_conflict": "keep"}
    first = commit(call, **asked, since_root_hash=begin, **_as(token)).json()
    again = commit(call, **asked, since_root_hash=first["root_hash"], **_as(token)).json()
    assert again["root_hash"] == first["root_hash"] != begin


@pytest.mark.parametrize("where", ["/d/two", "/hidden"])
def test_who_has_not_heard_of_everything_is_to_ask(
    call: Browser, diff: Ask, token: str | None, where: str
) -> None:
    begin = diff()["root_hash"]
    assert call("PUT", f"/files{where}", content=b"meanwhile").status_code == 201
    reply = commit(call, file("/d/new", b"one"), since_root_hash=begin, **_as(token)).json()
    assert reply["root_hash"] == ""
    assert commit(call, file("/d/new", b"two"), **_as(token)).json()["root_hash"] == ""


@pytest.mark.parametrize("since", ["", "00" * 32, "no place", "x" * 100_000])
def test_a_place_that_is_none_is_as_none(call: Browser, token: str | None, since: str) -> None:
    reply = commit(call, file("/d/new", b"one"), since_root_hash=since, **_as(token))
    assert (reply.status_code, reply.json()["root_hash"]) == (200, "")


def test_who_leaves_a_conflict_is_to_ask(call: Browser, diff: Ask, token: str | None) -> None:
    begin = diff()["root_hash"]
    beside = file("/d/one", b"two", base="")
    reply = commit(call, beside, since_root_hash=begin, **_as(token)).json()
    assert reply["files"][0]["conflict"]
    assert reply["root_hash"] == ""


def test_folders_that_were_not_named_are_told(call: Browser, diff: Ask, token: str | None) -> None:
    begin = diff()["root_hash"]
    wanted = file("/d/so/far/in", b"one")
    reply = commit(call, wanted, since_root_hash=begin, **_as(token)).json()
    assert reply["above"] == ["/d/so", "/d/so/far"]
    assert reply["root_hash"] == diff(begin)["root_hash"]
    assert paths(diff(begin)) == {"/d/so", "/d/so/far", "/d/so/far/in"}


def test_where_a_folder_came_for_what_was_deleted_is_to_be_asked(
    call: Browser, diff: Ask, token: str | None
) -> None:
    begin = diff()["root_hash"]
    gone, inside = [{"path": "/d/one"}], file("/d/one/in", b"one")
    reply = commit(call, inside, deletes=gone, since_root_hash=begin, **_as(token)).json()
    assert reply["root_hash"] == ""
    begin = diff()["root_hash"]
    gone, inside = [{"path": "/d/two"}], file("/d/two/in", b"one")
    named = [{"path": "/d/two"}]
    reply = commit(
        call, inside, deletes=gone, folders=named, since_root_hash=begin, **_as(token)
    ).json()
    assert reply["root_hash"] == diff(begin)["root_hash"]


def test_what_lies_over_a_deletion_is_to_be_asked(
    call: Browser, diff: Ask, token: str | None
) -> None:
    commit(call, deletes=[{"path": "/d/one"}])
    begin = diff()["root_hash"]
    upload(call, b"one", **_as(token))
    again = file("/d/one", b"one", base="")
    reply = commit(call, again, since_root_hash=begin, **_as(token)).json()
    assert not reply["files"][0]["conflict"]
    assert reply["root_hash"] == ""  # its ETag does not cover the deletion


def test_who_shares_a_commit_with_others_is_to_ask(call: Browser) -> None:
    upload(call, b"mine", b"theirs")
    begin = call("POST", "/sync/diff", json={}).json()["root_hash"]
    call("PUT", "/files/brief", content=b"brief")
    repository, runs, goes = call.here.node.repository, threading.Event(), threading.Event()

    def hold(draft: Draft) -> None:
        delete(draft, parse("/brief"))
        runs.set()
        goes.wait(20)

    repository.commit(hold)
    assert runs.wait(20)
    wanted = {"files": [file("/p", b"mine", base="")], "since_root_hash": begin}

    async def both() -> dict[str, Any]:
        mine = asyncio.ensure_future(call.client.post("/blobs/commit", json=wanted))
        await until(lambda: repository.waiting == 1)
        theirs = asyncio.ensure_future(call.client.put("/files/p", content=b"theirs"))
        await until(lambda: repository.waiting == 2)
        goes.set()
        assert (await theirs).status_code in {200, 201}
        told: dict[str, Any] = (await mine).json()
        return told

    assert call.run(both())["root_hash"] == ""
    assert call("GET", "/files/p").content == b"theirs"

"""Diff and events for keys with rules: what they may read, and nothing that counts the rest."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from aeorsync.api import sse
from aeorsync.api.news import CONFLICT, EntryTold, News
from aeorsync.cluster import walk
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import parse
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.api.conftest import Browser, running
from tests.api.streams import Served, Stream, served

Script = Callable[[Served], Awaitable[None]]
Run = Callable[[Script], None]
RULES = (KeyRule("/open/secret{,/**}", "--------"), KeyRule("/open/**", "-r--l---"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script against a node of its own."""

    async def play(script: Script) -> None:
        async with running(tmp_path) as here, served(here) as there:
            await script(there)

    return lambda script: asyncio.run(play(script))


def diff(call: Browser, key: str, **body: object) -> Any:  # noqa: ANN401 - JSON
    reply = call("POST", "/sync/diff", json=body, token=key)
    assert reply.status_code == 200
    return reply.json()


def told(reply: Any) -> dict[str, list[str]]:  # noqa: ANN401 - JSON
    changes: dict[str, list[dict[str, str]]] = reply["changes"]
    return {kind: [one["path"] for one in found] for kind, found in changes.items() if found}


def put(call: Browser, *paths: str) -> None:
    for path in paths:
        assert call("PUT", f"/files{path}", content=path.encode()).status_code == 201


# Diff


def test_a_diff_tells_of_readable_paths_whatever_is_asked(call: Browser) -> None:
    put(call, "/open/a", "/open/secret/b", "/other/c")
    key, _ = call.here.make_key(rules=RULES)
    for asked in ({}, {"paths": ["**"]}, {"paths": ["/other/**", "/open/*"]}):
        reply = diff(call, key, **asked)
        assert told(reply) == {"files_added": ["/open/a"]}
        chunks = reply["changes"]["files_added"][0]["chunk_hashes"]
        assert reply["chunk_hashes_needed"] == chunks
    assert told(diff(call, key, paths=["/other/**"])) == {}


def test_changes_and_deletions_of_what_is_hidden_are_not_told(call: Browser) -> None:
    put(call, "/open/a", "/open/secret/b", "/other/c")
    key, _ = call.here.make_key(rules=RULES)
    first = diff(call, key)
    call("DELETE", "/files/open/secret?recursive=true")
    call("DELETE", "/files/other/c")
    put(call, "/other/d")
    second = diff(call, key, since_root_hash=first["root_hash"])
    assert told(second) == {}
    assert not second["full"]
    assert second["root_hash"] != first["root_hash"]
    call("DELETE", "/files/open/a")
    third = diff(call, key, since_root_hash=second["root_hash"])
    assert told(third) == {"files_deleted": ["/open/a"]}
    assert diff(call, key, since_root_hash=third["root_hash"])["root_hash"] == third["root_hash"]


def test_a_token_tells_nothing_and_a_root_is_none(call: Browser) -> None:
    put(call, "/open/a", "/other/c")
    key, _ = call.here.make_key(rules=RULES)
    head = call.here.node.repository.head
    token = diff(call, key)["root_hash"]
    assert head.root.hex() not in token
    assert bytes.fromhex(token).find(b"aeorsync page") < 0
    reply = diff(call, key, since_root_hash=head.root.hex())
    assert reply["full"]
    assert told(reply) == {"files_added": ["/open/a"]}


def test_a_token_is_good_under_the_rules_it_was_given_under(call: Browser) -> None:
    put(call, "/open/a", "/other/c")
    key, record = call.here.make_key(rules=RULES)
    token = diff(call, key)["root_hash"]
    wider = (*RULES, KeyRule("/other/**", "-r--l---"))
    call.here.make_key(key_id=record.key_id, key_hash=record.key_hash, rules=wider)
    reply = diff(call, key, since_root_hash=token)
    assert reply["full"]
    assert told(reply) == {"files_added": ["/open/a", "/other/c"]}


def test_no_page_is_empty_because_of_what_is_hidden(call: Browser) -> None:
    put(call, *(f"/a{number}" for number in range(30)), "/open/a", "/open/b")
    key, _ = call.here.make_key(rules=RULES)
    with patch.object(walk, "MAX_SCAN", 5):
        reply = diff(call, key)
        assert told(reply) == {"files_added": ["/open/a", "/open/b"]}
        assert not reply["more"]
        put(call, *(f"/b{number}" for number in range(30)), "/open/c")
        reply = diff(call, key, since_root_hash=reply["root_hash"])
        assert told(reply) == {"files_added": ["/open/c"]}
        assert not reply["more"]


def test_frames_are_refused_to_whom_rules_bind(call: Browser) -> None:
    key, _ = call.here.make_key(rules=RULES)
    reply = call("POST", "/sync/diff", json={}, token=key, headers={"Accept": FRAMES_TYPE})
    assert reply.status_code == 403


def test_roots_of_snapshots_go_by_other_names_that_work(call: Browser) -> None:
    put(call, "/open/a", "/other/c")
    call("POST", "/versions/snapshots", json={"name": "one"})
    call("PUT", "/files/open/a", content=b"later")
    key, _ = call.here.make_key(rules=RULES)
    [own] = call("GET", "/versions/snapshots").json()["items"]
    [seen] = call("GET", "/versions/snapshots", token=key).json()["items"]
    assert own["root_hash"] != seen["root_hash"]
    name = seen["root_hash"]
    assert call("GET", f"/files/open/a?version={name}", token=key).content == b"/open/a"
    assert call("GET", f"/files/other/c?version={name}", token=key).status_code == 404
    assert call("GET", f"/files/open/a?version={own['root_hash']}", token=key).status_code == 404
    rows = call("GET", "/versions/history/open/a", token=key).json()["history"]
    assert call.here.node.repository.head.root.hex() not in str(rows)
    assert len(rows) == 2


# Events


async def write(there: Served, *paths: str) -> None:
    async with there.here.client() as client:
        await asyncio.gather(*(client.put(f"/files{path}", content=b"1") for path in paths))


async def make_key(there: Served, **fields: Any) -> tuple[str, Any]:  # noqa: ANN401 - passed on
    return await asyncio.to_thread(lambda: there.here.make_key(**fields))


async def next_paths(stream: Stream) -> list[str]:
    event = await stream.of("entries_created")
    return [entry["path"] for entry in event.data["payload"]["entries"]]


def test_an_event_has_no_hidden_sibling(run: Run) -> None:
    async def script(there: Served) -> None:
        key, _ = await make_key(there, rules=RULES)
        await write(there, "/open/secret/first")
        async with there.listen("/system/events", key) as stream:
            assert (await stream.event()).kind == "server_ready"
            await write(there, "/open/secret/x", "/other/y", "/open/z", "/open/secret/w")
            assert await next_paths(stream) == ["/open/z"]
            await write(there, "/other/y2")
            await write(there, "/open/z2")
            assert await next_paths(stream) == ["/open/z2"]

    run(script)


def test_ids_are_sealed_and_a_stream_goes_on_from_them(run: Run) -> None:
    async def script(there: Served) -> None:
        key, _ = await make_key(there, rules=RULES)
        async with there.listen("/system/events", key) as stream:
            mark = (await stream.event()).mark
        assert "-" not in mark
        await write(there, "/open/a", "/other/b")
        async with there.listen(f"/system/events?last_event_id={mark}", key) as stream:
            assert "/open/a" in await next_paths(stream)
            assert stream.seen[-1].data["event_id"] == stream.seen[-1].mark
        for foreign in ("0-1", f"{there.here.node.repository.head.seq}-1", "ab" * 48):
            async with there.listen(f"/system/events?last_event_id={foreign}", key) as stream:
                await stream.of("reset")

    run(script)


def test_what_is_about_no_path_is_for_root(run: Run) -> None:
    async def script(there: Served) -> None:
        key, _ = await make_key(there, rules=(KeyRule("**", "crudlify"),))
        async with there.listen("/system/events", key) as stream:
            await stream.event()
            async with there.here.client() as client:
                await client.post("/versions/snapshots", json={"name": "one"})
            await write(there, "/a")
            assert (await stream.event()).kind == "entries_created"

    run(script)


@pytest.mark.parametrize("change", [{"is_revoked": True}, {"rules": RULES[1:]}, {"expires_at": 1}])
def test_a_stream_ends_as_soon_as_its_key_may_something_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    # Not by the timer: by what the feed tells.
    monkeypatch.setattr(sse, "CHECK_S", 60.0)

    async def script(there: Served) -> None:
        key, record = await make_key(there, rules=RULES)
        async with there.listen("/system/events", key) as stream:
            await stream.event()
            kept = {"key_id": record.key_id, "key_hash": record.key_hash, "rules": RULES}
            await make_key(there, **{**kept, **change})
            async with asyncio.timeout(5):
                await stream.rest()

    run(script)


def test_a_stream_outlives_what_is_said_of_other_keys(run: Run) -> None:
    async def script(there: Served) -> None:
        key, _ = await make_key(there, rules=RULES)
        async with there.listen("/system/events", key) as stream:
            await stream.event()
            await make_key(there, is_revoked=True)
            await write(there, "/open/a")
            assert await next_paths(stream) == ["/open/a"]

    run(script)


def test_a_file_is_in_no_conflict_with_a_folder_of_which_all_is_hidden() -> None:
    # Such a folder has no entry of its own, as those that AeorDB nodes make.
    entries = (
        EntryTold(parse("/open/a")),
        EntryTold(parse("/open/b")),
        EntryTold(parse("/open/c")),
    )
    inside = {
        parse("/open/a"): (parse("/open/a/secret"),),
        parse("/open/b"): (parse("/open/b/secret"), parse("/open/b/known")),
    }
    news = News(1, 1, CONFLICT, 0, entries, inside=inside)
    told = news.chosen(lambda _: True, lambda path: "secret" not in path, "1")
    assert told is not None
    payload = json.loads(told)["payload"]
    assert [entry["path"] for entry in payload["entries"]] == ["/open/b", "/open/c"]

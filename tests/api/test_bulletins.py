"""Events that are in no feed: collections, imports, figures; and the stream of one's own."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from aeorsync.api import sse
from aeorsync.core.apikeys import KeyRule
from tests.api.conftest import running
from tests.api.streams import Served, served

Script = Callable[[Served], Coroutine[Any, Any, None]]
EVERYTHING_RULES = (KeyRule("/**", "crudlify"), KeyRule("/", "crudlify"))


def serve(folder: Path, script: Script) -> None:
    async def main() -> None:
        async with running(folder) as here, served(here) as there:
            await script(there)

    asyncio.run(main())


def test_root_hears_of_collections_as_they_begin_and_end(tmp_path: Path) -> None:
    async def script(there: Served) -> None:
        async with there.listen("/system/events?events=gc_started,gc_completed") as stream:
            await stream.event()
            async with there.here.client() as client:
                await client.post("/system/gc?dry_run=true")
                done = (await client.post("/system/gc")).json()
            assert (await stream.event()).kind == "gc_started"
            told = await stream.event()
            assert told.kind == "gc_completed"
            payload = told.data["payload"]
            assert payload["live_entries"] == done["live_entries"]
            assert (payload["dry_run"], "duration_ms" in payload) == (False, True)

    serve(tmp_path, script)


def test_root_hears_of_imports(tmp_path: Path) -> None:
    async def script(there: Served) -> None:
        async with there.here.client() as client:
            await client.put("/files/a", content=b"1")
            sent = (await client.post("/versions/export")).content
            async with there.listen("/system/events?events=imports_completed") as stream:
                await stream.event()
                reply = await client.post("/versions/import", content=sent)
                assert (await stream.event()).data["payload"] == reply.json()

    serve(tmp_path, script)


def test_root_is_told_the_figures_with_each_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.05)

    async def script(there: Served) -> None:
        async with there.listen("/system/events") as stream:
            told = await stream.of("metrics")
            assert told.data["payload"]["identity"]["node_id"] == 7
            await stream.of("heartbeat")

    serve(tmp_path, script)


def test_who_is_bound_by_rules_hears_nothing_of_all_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.05)

    async def script(there: Served) -> None:
        key = there.here.make_key(rules=EVERYTHING_RULES)[0]
        async with (
            there.listen("/system/events", token=key) as stream,
            there.here.client() as client,
        ):
            await client.post("/system/gc")
            texts, heard = stream.response.aiter_text(), ""
            while heard.count("\n\n") < 5:
                heard += await anext(texts)
            kinds = {line for line in heard.split("\n") if line.startswith("event: ")}
            assert kinds <= {"event: server_ready", "event: heartbeat"}

    serve(tmp_path, script)


def test_nothing_is_addressed_to_anybody_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BEAT_S", 0.05)

    async def script(there: Served) -> None:
        async with there.listen("/events/me") as stream, there.here.client() as client:
            await client.put("/files/a", content=b"1")
            texts = stream.response.aiter_text()
            heard = ""
            while heard.count("\n\n") < 3:
                heard += await anext(texts)
            assert set(heard.split("\n\n")) == {": ping", ""}
        async with there.listen("/events/me", token="nobody") as stream:
            assert stream.response.status_code == 401

    serve(tmp_path, script)

"""Events: what is told, and that a break loses nothing."""

import asyncio
from contextlib import aclosing

import httpx
import pytest

from aeorsync.client import AsyncClient
from aeorsync.client.model import Event
from aeorsync.errors import UnavailableError
from tests.client.conftest import client_of, store
from tests.support.loops import run, until
from tests.support.nodes import NodeProcess


async def hear(client: AsyncClient, count: int, into: list[Event], prefix: str) -> None:
    kinds = ["entries_created", "connected"]
    async with aclosing(client.events(kinds, prefix=prefix)) as events:
        async for event in events:
            into.append(event)
            if len(paths(into)) == count:
                return


def paths(events: list[Event]) -> list[str]:
    told = [entry for event in events for entry in event.payload.get("entries", [])]
    return [entry["path"] for entry in told if entry["entry_type"] == "file"]


def test_events_of_a_folder_are_told_from_the_moment_of_connecting(
    node: NodeProcess, http: httpx.Client, folder: str
) -> None:
    async def main() -> list[Event]:
        heard: list[Event] = []
        async with client_of(node) as client:
            task = asyncio.create_task(hear(client, 2, heard, folder))
            await until(lambda: heard)
            for name in ("a", "b"):
                store(http, f"{folder}/{name}")
                store(http, f"/elsewhere{folder[1:]}/{name}")
                await asyncio.sleep(0.05)
            await task
        return heard

    heard = run(main())
    assert [event.kind for event in heard] == ["connected", "entries_created", "entries_created"]
    assert paths(heard) == [f"{folder}/a", f"{folder}/b"]
    assert heard[1].id
    assert heard[1].timestamp


def test_what_happens_while_the_server_is_away_is_told_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with NodeProcess(tmp_path_factory.mktemp("events") / "data") as node:

        async def main() -> list[Event]:
            heard: list[Event] = []
            async with client_of(node) as client:
                task = asyncio.create_task(hear(client, 3, heard, "/f"))
                await until(lambda: heard)
                with node.client() as http:
                    store(http, "/f/a")
                    await until(lambda: paths(heard))
                    node.kill()
                    node.start()
                    store(http, "/f/b")
                    store(http, "/f/c")
                await task
            return heard

        assert paths(run(main())) == ["/f/a", "/f/b", "/f/c"]


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    async def main() -> None:
        async with AsyncClient("http://127.0.0.1:1") as client:
            with pytest.raises(UnavailableError):
                async for _ in client.events():
                    pass
            with pytest.raises(UnavailableError):
                await client.stat("/")

    run(main(), seconds=3)

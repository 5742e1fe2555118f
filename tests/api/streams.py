"""A node on a socket of its own, and readers of its event streams."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from tests.api.conftest import Running

PATIENCE_S = 10.0


@dataclass
class Event:
    """One block of a stream; a mark has no kind, a sealed one no number."""

    id: int | None
    kind: str | None
    data: Any
    mark: str = ""


@dataclass
class Stream:
    """What a client reads."""

    response: httpx.Response
    _blocks: AsyncIterator[str]
    seen: list[Event] = field(default_factory=list)

    async def event(self) -> Event:
        """The next block."""
        async with asyncio.timeout(PATIENCE_S):
            event = _parse(await anext(self._blocks))
        self.seen.append(event)
        return event

    async def of(self, kind: str | None) -> Event:
        """The next block of a kind; others are passed over."""
        while (event := await self.event()).kind != kind:
            pass
        return event

    async def rest(self) -> list[Event]:
        """Everything up to the end of the stream, which must come."""
        async with asyncio.timeout(PATIENCE_S):
            return [_parse(block) async for block in self._blocks]


def _parse(block: str) -> Event:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        assert name not in fields
        fields[name] = value
    assert set(fields) in ({"id", "event", "data"}, {"", "id"})
    data = json.loads(fields["data"]) if "data" in fields else None
    number, dash, _ = fields["id"].partition("-")
    return Event(int(number) if dash else None, fields.get("event"), data, fields["id"])


async def _blocks(response: httpx.Response) -> AsyncIterator[str]:
    rest = ""
    async for text in response.aiter_text():
        assert "\r" not in text
        *whole, rest = (rest + text).split("\n\n")
        for block in whole:
            yield block


@dataclass
class Served:
    """A node that can be reached."""

    here: Running
    url: str
    server: uvicorn.Server

    @asynccontextmanager
    async def listen(
        self, path: str, token: str | None = None, **headers: str
    ) -> AsyncIterator[Stream]:
        """Open a stream."""
        bearer = self.here.token if token is None else token
        fields = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        async with (
            httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S) as client,
            client.stream("GET", path, headers={**fields, **headers}) as response,
        ):
            yield Stream(response, _blocks(response))


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that nobody tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what is waited for knows no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def served(here: Running) -> AsyncIterator[Served]:
    """Serve a node on the loopback."""
    config = uvicorn.Config(here.app, lifespan="off", log_config=None, proxy_headers=False)
    server = uvicorn.Server(config)
    # Named, because asyncio turns Nagle's algorithm off only where the protocol is.
    with socket.socket(proto=socket.IPPROTO_TCP) as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[door]))
        await until(lambda: server.started)
        try:
            yield Served(here, f"http://127.0.0.1:{port}", server)
        finally:
            here.node.bus.close()
            server.should_exit = True
            await task

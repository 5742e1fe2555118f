"""Servers in this process, with all that they answer, and none of the time it takes to start one.

A host is a node with its data folder; its clients call it through `Wire`, which counts steps and
may break at any of them, and two of them exchange what they have by the cycle that real links run.
What is put back is the data folder, as from a backup.
"""

import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, cast

import httpx

from aeorsync import AsyncClient
from aeorsync.cluster.cycle import Peering, run_cycle
from aeorsync.cluster.peers import LinkRecord
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.storage.repository import Repository
from tests.api.conftest import Running, running
from tests.support import simulation
from tests.support.repositories import open_repository

Hook = Callable[[str, bool], Awaitable[None] | None]
"""Told of each request before it is made, and after it was answered (True): may raise."""


class KilledError(BaseException):
    """The client dies here, as by ``kill -9``: nothing of ours may catch this."""


class Wire(httpx.AsyncBaseTransport):
    """From one client to one host, without a socket."""

    def __init__(self, host: "Host") -> None:
        self.host = host
        self.hook: Hook | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._tell(request.url.path, is_done=False)
        inner = httpx.ASGITransport(self.host.here.app, raise_app_exceptions=False)
        answer = await inner.handle_async_request(request)
        await self._tell(request.url.path, is_done=True)
        return answer

    async def _tell(self, path: str, *, is_done: bool) -> None:
        if self.hook is not None and (waiting := self.hook(path, is_done)) is not None:
            await waiting


class Host:
    """One node, in a folder of its own. Enter it in the event loop of its clients."""

    def __init__(self, folder: Path, number: int, wall: WallClock | None = None) -> None:
        self.folder = folder
        self.number = number
        self.wall = wall or SystemClock()
        self._stack = AsyncExitStack()
        folder.parent.mkdir(parents=True, exist_ok=True)
        open_repository(folder, number, self.wall).close()

    @property
    def repository(self) -> Repository:
        """Its files."""
        return self.here.node.repository

    async def start(self) -> None:
        """Open the folder."""
        self.here: Running = await self._stack.enter_async_context(
            running(self.folder, wall=self.wall)
        )

    async def stop(self) -> None:
        """Close it."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def client(self, wire: Wire | None = None, token: str | None = None) -> AsyncClient:
        """Somebody who calls it, as root unless they have another token, and is not patient."""
        bearer = token or self.here.token
        connection = Connection("http://node", lambda: bearer, wire or Wire(self))
        return AsyncClient("", connection=connection, patience_s=0)

    async def save(self) -> None:
        """Make a copy of the data folder, as a backup does while nobody works."""
        await self.stop()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.folder, self._copy)
        await self.start()

    async def put_back(self) -> None:
        """Put the last copy in the place of the data folder."""
        await self.stop()
        shutil.rmtree(self.folder)
        shutil.copytree(self._copy, self.folder)
        await self.start()

    @property
    def _copy(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.copy")


async def pull(asker: Host, server: Host) -> None:
    """Bring to one host what another has, by a whole cycle."""
    peering = Peering(
        asker.repository,
        cast("Remote", simulation.Wire(server.repository)),
        LinkRecord(id=server.number, address="http://peer", node_id=server.number),
        None,
        server.repository.database_id,
        asker.wall.now_ms(),
        asks_knowledge=True,
    )
    await run_cycle(peering)

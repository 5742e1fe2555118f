"""The client for programs that wait: `AsyncClient`, driven from a thread of its own.

    def                     async def
    iterator                asynchronous generator
    context manager         asynchronous context manager

Each method here is one of `AsyncClient`'s, with its parameters, its documentation and its logic.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from aeorsync.client.asynchronous import AsyncClient
from aeorsync.client.calling import PATIENCE_S
from aeorsync.client.model import Entry
from aeorsync.client.reading import Download
from aeorsync.runtime.portal import Portal

P = ParamSpec("P")
T = TypeVar("T")

_END: Final = object()


def _waits(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    @wraps(method)
    def waiting(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.portal.run(method(client.inner, *args, **kwargs))

    return waiting


def _iterates(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Client", P], Generator[T, None, None]]:
    @wraps(method)
    def iterating(
        client: "Client", /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, None, None]:
        source = method(client.inner, *args, **kwargs)
        try:
            while (item := client.portal.run(_next(source))) is not _END:
                yield item  # type: ignore[misc]  # it is no `_END`
        finally:
            client.portal.run(source.aclose())

    return iterating


async def _next(source: AsyncGenerator[T, None]) -> T | object:
    return await anext(source, _END)


class Reader:
    """A file being read; made by `Client.open`.

    Attributes:
        entry: What is read: its size, ETag, times.
    """

    def __init__(self, portal: Portal, download: Download) -> None:
        self._portal = portal
        self._download = download
        self._rest = b""
        self.entry: Entry = download.entry

    def __iter__(self) -> Iterator[bytes]:
        """The pieces, as they come."""
        while piece := self._piece():
            yield piece

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; all that follow when ``size`` is negative; none at the end."""
        if size < 0:
            return b"".join(self)
        piece = self._piece()
        self._rest = piece[size:]
        return piece[:size]

    def _piece(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return self._portal.run(_piece(self._download))


async def _piece(download: Download) -> bytes:
    return await anext(download, b"")


def _reads(
    method: Callable[Concatenate[AsyncClient, P], AbstractAsyncContextManager[Download]],
) -> Callable[Concatenate["Client", P], AbstractContextManager[Reader]]:
    @wraps(method)
    @contextmanager
    def reading(
        client: "Client", /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[Reader, None, None]:
        manager = method(client.inner, *args, **kwargs)
        download = client.portal.run(_enter(manager))
        try:
            yield Reader(client.portal, download)
        finally:
            client.portal.run(_leave(manager))

    return reading


async def _enter(manager: AbstractAsyncContextManager[Download]) -> Download:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[Download]) -> None:
    await manager.__aexit__(None, None, None)


class Client:
    """A server, as somebody to call; safe to use from several threads.

    Raises what `AsyncClient` does. Close it, or use it with ``with``.

    Example:
        >>> with Client("http://localhost:6830", key) as client:
        ...     client.put("/notes/hello.txt", b"hello")
        ...     for entry in client.list("/notes"):
        ...         print(entry.name, entry.size)
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        authorities: Path | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Prepare; nothing is connected yet. See `AsyncClient`."""
        self.inner = AsyncClient(url, key, authorities=authorities, patience_s=patience_s)
        self.portal = Portal()

    @property
    def address(self) -> str:
        """Base URL of the server."""
        return self.inner.address

    def close(self) -> None:
        """Let go of all connections and of the thread; harmless when repeated."""
        self.portal.run(self.inner.close())
        self.portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    call = _waits(AsyncClient.call)

    stat = _waits(AsyncClient.stat)
    exists = _waits(AsyncClient.exists)
    open = _reads(AsyncClient.open)
    read = _waits(AsyncClient.read)
    get = _waits(AsyncClient.get)
    put = _waits(AsyncClient.put)

    list = _iterates(AsyncClient.list)
    walk = _iterates(AsyncClient.walk)
    mkdir = _waits(AsyncClient.mkdir)
    link = _waits(AsyncClient.link)
    delete = _waits(AsyncClient.delete)
    move = _waits(AsyncClient.move)
    copy = _waits(AsyncClient.copy)
    trash = _waits(AsyncClient.trash)
    undelete = _waits(AsyncClient.undelete)

    history = _waits(AsyncClient.history)
    restore = _waits(AsyncClient.restore)
    snapshots = _waits(AsyncClient.snapshots)
    snapshot = _waits(AsyncClient.snapshot)
    rename_snapshot = _waits(AsyncClient.rename_snapshot)
    delete_snapshot = _waits(AsyncClient.delete_snapshot)
    forks = _waits(AsyncClient.forks)
    fork = _waits(AsyncClient.fork)
    promote = _waits(AsyncClient.promote)
    abandon = _waits(AsyncClient.abandon)

    conflicts = _waits(AsyncClient.conflicts)
    conflict = _waits(AsyncClient.conflict)
    resolve = _waits(AsyncClient.resolve)
    give_up = _waits(AsyncClient.give_up)

    events = _iterates(AsyncClient.events)

    keys = _waits(AsyncClient.keys)
    make_key = _waits(AsyncClient.make_key)
    revoke_key = _waits(AsyncClient.revoke_key)

    health = _waits(AsyncClient.health)
    status = _waits(AsyncClient.status)
    trigger = _waits(AsyncClient.trigger)

    blob_config = _waits(AsyncClient.blob_config)
    knows_deltas = _waits(AsyncClient.knows_deltas)
    diff = _waits(AsyncClient.diff)
    seen = _waits(AsyncClient.seen)
    check = _waits(AsyncClient.check)
    send_chunks = _waits(AsyncClient.send_chunks)
    parts = _waits(AsyncClient.parts)
    send_recipes = _waits(AsyncClient.send_recipes)
    commit = _waits(AsyncClient.commit)
    committed = _waits(AsyncClient.committed)
    chunks = _iterates(AsyncClient.chunks)

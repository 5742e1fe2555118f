"""The client for programs that are asynchronous themselves."""

from pathlib import Path

from aeorsync.client.calling import PATIENCE_S, connect
from aeorsync.client.conflicts import ConflictCalls
from aeorsync.client.getting import GetCalls
from aeorsync.client.keyring import KeyCalls
from aeorsync.client.listening import EventCalls
from aeorsync.client.nodes import NodeCalls
from aeorsync.client.trees import TreeCalls
from aeorsync.client.versions import VersionCalls
from aeorsync.client.writing import WriteCalls
from aeorsync.remote.connection import Connection


class AsyncClient(  # one server, so one thing to call
    GetCalls, WriteCalls, TreeCalls, VersionCalls, ConflictCalls, EventCalls, KeyCalls, NodeCalls
):
    """A server, as somebody to call; belongs to one event loop.

    Every call raises what `aeorsync.errors` has: `NotFoundError` for what is not there or not for
    this key, `UnavailableError` when the server cannot be reached, and so on. Calls may be made at
    the same time.

    Example:
        >>> async with AsyncClient("http://localhost:6830", key) as client:
        ...     await client.put("/notes/hello.txt", b"hello")
        ...     async for entry in client.list("/notes"):
        ...         print(entry.name, entry.size)
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        authorities: Path | None = None,
        patience_s: float = PATIENCE_S,
        connection: Connection | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: ``http://host:6830``, without a path.
            key: API key or token; None where the server wants none.
            authorities: PEM file of those whose certificates to believe, instead of the system's.
            patience_s: How long a server that has answered before is waited for when it cannot
                be reached, in seconds.
            connection: Another way to the server; then ``url``, ``key`` and ``authorities`` are
                not looked at.

        Raises:
            BadRequestError: ``url`` is not an address.
            StartupError: ``authorities`` cannot be used.
        """
        if connection is None:
            connection = connect(url, key, authorities)
        super().__init__(connection, patience_s)

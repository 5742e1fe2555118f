"""The client for who keeps a folder: no more of it is loaded than such a one needs."""

from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aeorsync.client.calling import Call, place
from aeorsync.client.syncing import SyncCalls
from aeorsync.remote.connection import Connection
from aeorsync.remote.trust import load_trust

PATIENCE_S: Final = 20.0
_CONNECTIONS: Final = 16


class FolderClient(SyncCalls):
    """A server, for `folder.session`; belongs to one event loop."""

    def __init__(
        self, url: str, key: str | None = None, *, authorities: Path | None = None
    ) -> None:
        """Prepare; nothing is connected yet. The arguments are those of `AsyncClient`.

        Raises:
            BadRequestError: ``url`` is not an address.
            StartupError: ``authorities`` cannot be used.
        """
        trust = None if authorities is None else load_trust(authorities)
        mint = None if key is None else lambda: key
        connection = Connection(url.rstrip("/"), mint, trust=trust, size=_CONNECTIONS)
        super().__init__(connection, PATIENCE_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def give_up(self, path: str, version: str) -> Any:  # noqa: ANN401  # not looked at
        """Drop one version that readers do not see; see `ConflictCalls`."""
        where = place("/sync/conflicts", path)
        return await self._ask(Call(method="POST", path=where, body={"give_up": version}), Any)

    def events(
        self, kinds: Iterable[str] = (), prefix: str | None = None, last_id: str | None = None
    ) -> AsyncGenerator[Any, None]:
        """Listen for ever; see `EventCalls`."""
        # Imported here: a single pass needs none of it.
        from aeorsync.client.listening import EventCalls  # noqa: PLC0415

        return self.beside(EventCalls).events(kinds, prefix, last_id)

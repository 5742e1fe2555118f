"""The client for who keeps a folder: no more of it is loaded than such a one needs."""

from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

from aeorsync.client.calling import PATIENCE_S, Call, connect, place
from aeorsync.client.syncing import SyncCalls
from aeorsync.remote.asking import Way


class FolderClient(SyncCalls):
    """A server, for `folder.session`; belongs to one event loop."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        authorities: Path | None = None,
        way: Way | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: As for `AsyncClient`, like the next two.
            key: See there.
            authorities: See there.
            way: How to get to the server; None for the usual one.

        Raises:
            BadRequestError: ``url`` is not an address.
            StartupError: ``authorities`` cannot be used.
        """
        super().__init__(way or connect(url, key, authorities), PATIENCE_S)

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

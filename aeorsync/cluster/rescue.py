"""Fetching chunks again that are damaged or missing here, from whichever peer holds them.

A reader that meets such a chunk waits while the active links are asked in turn, and then reads on
as if nothing had been. What nobody could give at once is tried again in the background, as are
chunks whose damage was found by anybody else (`storage.damage`); also after a restart.

Before anybody is asked, they are read once more where they lay: a disk, a cable, a mount may have
failed for a while.

A node that is asked to help does not ask others in turn, or two that both lack a chunk would ask
each other for ever.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from aeorsync.errors import AeorError, CorruptError
from aeorsync.remote.calls import Remote
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger
from aeorsync.storage.deltas import made
from aeorsync.storage.repository import Repository
from aeorsync.wire.deltas import Delta
from aeorsync.wire.framing import Chunk

DEADLINE_S: Final = 10.0
"""Longest time a reader waits for peers."""
PAUSE_S: Final = 15.0
"""Between two looks at what is damaged."""
MAX_PAUSE_S: Final = 3600.0
"""The same, where nothing could be had several times."""
BATCH: Final = 200
"""Chunks asked for at a time."""
_AT_ONCE: Final = 4
_log = get_logger(__name__)


class Rescue:
    """Brings chunks back. Belongs to one event loop."""

    def __init__(self, repository: Repository, dial: Callable[[], list[Remote]]) -> None:
        """Prepare; `run` is the part in the background.

        Args:
            repository: Where they are missing.
            dial: Makes ways to the peers that may be asked; whoever calls it closes them.
        """
        self._repository = repository
        self._dial = dial
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, names: Collection[bytes]) -> bool:
        """Ask the peers in turn for chunks; returns whether all of them are here now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S), self._turns:
                return not await self._ask_all(names)
        return False

    async def run(self) -> None:
        """Look for what is damaged, for ever, and bring it back."""
        pause = PAUSE_S
        while True:
            lost = await bridge.run(self._repository.damage.lost, BATCH)
            left = await self._ask_all(lost) if lost else set()
            if len(left) < len(lost):
                _log.info("damaged chunks fetched again", count=len(lost) - len(left))
            is_vain = bool(lost) and len(left) == len(lost)
            pause = min(pause * 2, MAX_PAUSE_S) if is_vain else PAUSE_S
            await asyncio.sleep(pause)

    async def _ask_all(self, names: Collection[bytes]) -> set[bytes]:
        """Ask each peer for what is still missing; returns what nobody gave."""
        # Where they lie they may be readable again: a disk can fail for a while.
        await bridge.run(self._repository.store.retry, names)
        # Somebody else may have brought them while we waited for our turn.
        missing = await bridge.run(self._repository.missing, names)
        for remote in self._dial():
            try:
                if missing:
                    await remote.chunks(sorted(missing), self._take, manner="held")
                    missing = await bridge.run(self._repository.missing, missing)
            except AeorError as error:
                _log.info("no help from a peer", peer=remote.address, reason=error.message)
            finally:
                await remote.close()
        return missing

    async def _take(self, chunks: list[Chunk | Delta]) -> None:
        await bridge.run(self._store, chunks)

    def _store(self, chunks: list[Chunk | Delta]) -> None:
        for chunk in made(self._repository, chunks):
            # One that does not match its name is as good as none; the next peer is asked.
            with suppress(CorruptError):
                self._repository.receive([chunk])

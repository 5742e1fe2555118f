"""Who belongs to the cluster, as a running node asks it.

Every node is written down before it is given entries, and before entries are taken from it: so a
deletion is forgotten only when all who could bring back what it deleted have heard of it (see
`core.knowledge`). A node that was removed is refused for ever: others may have forgotten what it
still remembers, so it has to begin anew, with no data and so with a new node id.
"""

import asyncio
from contextlib import suppress
from typing import Final

from aeorsync.cluster.twins import Twins
from aeorsync.errors import ConflictError, NotFoundError, RemovedError
from aeorsync.runtime import bridge
from aeorsync.storage.members import Members, Membership, is_about_members
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed

REMOVED: Final = "was removed from the cluster; stop it, and rejoin with an empty data folder"


class Roster:
    """The members. Belongs to one event loop.

    Attributes:
        node_id: This node's id.
        twins: Which runs of other nodes live.
    """

    def __init__(self, repository: Repository) -> None:
        """Look into a repository."""
        self.node_id = repository.head.node
        self._records = Members(repository)
        self._known: dict[int, Membership] = {}
        # Counted up by the writer thread, before whoever changed a record hears that it is done.
        self._age = 1
        self._known_age = 0
        self._loop = asyncio.get_running_loop()
        self._moved = asyncio.Event()
        self.twins = Twins(self._loop.time)
        repository.listen(self._notice)

    async def members(self) -> dict[int, Membership]:
        """All members by node id, removed ones too."""
        if self._known_age != self._age:
            age = self._age
            self._known = await bridge.run(self._records.all)
            self._known_age = age
        return self._known

    async def removed(self) -> set[int]:
        """Node ids of those that were removed."""
        return {member.node_id for member in (await self.members()).values() if member.is_removed}

    async def changed(self) -> None:
        """Wait until the members change, or have since this returned the last time."""
        await self._moved.wait()
        self._moved.clear()

    async def admit(self, node_id: int) -> None:
        """Write a node down, and ourselves, if that was not done; durable on return.

        Raises:
            RemovedError: It was removed, or we were.
        """
        pair = (self.node_id, node_id)
        for node in pair:
            await self.refuse_removed(node)
        known = await self.members()
        if not known.keys() >= {*pair}:
            await bridge.run(self._records.write, pair)

    async def is_removed(self, node_id: int) -> bool:
        """Whether a node was removed."""
        member = (await self.members()).get(node_id)
        return member is not None and member.is_removed

    async def refuse_removed(self, node_id: int) -> None:
        """Have nothing to do with a node that was removed.

        Raises:
            RemovedError: It was.
        """
        if await self.is_removed(node_id):
            who = "this node" if node_id == self.node_id else f"node {node_id}"
            raise RemovedError(f"{who} {REMOVED}")

    async def remove(self, node_id: int) -> Membership:
        """Remove a node for ever; removing it again changes nothing.

        Raises:
            NotFoundError: It is no member.
            ConflictError: It is this very node.
        """
        if node_id == self.node_id:
            raise ConflictError("a node cannot remove itself; ask another node of the cluster")
        known = await self.members()
        if node_id not in known:
            raise NotFoundError(f"node {node_id} is no member of this cluster")
        if not known[node_id].is_removed:
            await bridge.run(self._records.remove, node_id)
        return (await self.members())[node_id]

    def _notice(self, committed: Committed) -> None:
        if any(is_about_members(change) for change in committed.changes):
            self._age += 1
            # A closed loop has nobody who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._moved.set)

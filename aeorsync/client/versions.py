"""The past and the possible: history, snapshots, forks. Most of it needs a root key."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from aeorsync.client.calling import LONG_S, Call, Caller, place
from aeorsync.client.model import Fork, History, Promoted, Restored, Snapshot


class VersionCalls(Caller):
    """Look back, go back, try something else."""

    async def history(self, path: str, limit: int = 200) -> History:
        """Return what a path was in each snapshot, and is now, newest first.

        Raises:
            NotFoundError: No snapshot has it, and it is not there.
        """
        call = Call(
            method="GET",
            path=place("/versions/history", path),
            query={"limit": limit},
            deadline_s=LONG_S,
        )
        return await self._ask(call, History)

    async def restore(
        self, path: str | None = None, *, snapshot: str | None = None, version: str | None = None
    ) -> Restored:
        """Make everything, or a file or folder, what it was.

        Args:
            path: What; None for everything.
            snapshot: Name or id of the snapshot to take it from.
            version: Instead, for a file: id of the version.

        Returns:
            What was changed; what was there before is kept as ``auto_snapshot``.
        """
        body = {"snapshot": snapshot} if snapshot is not None else {"version": version}
        where = "/versions/restore"
        if path is None:
            # An id is looked for before a name, and may be given as either.
            body = {"name": snapshot}
        else:
            where = place(where, path)
        call = Call(method="POST", path=where, body=body, may_repeat=True, deadline_s=LONG_S)
        return await self._ask(call, Restored)

    async def snapshots(self) -> list[Snapshot]:
        """Return the snapshots, oldest first."""
        call = Call(method="GET", path="/versions/snapshots")
        return (await self._ask(call, _Snapshots)).items

    async def snapshot(self, name: str, metadata: Mapping[str, str] | None = None) -> Snapshot:
        """Keep everything as it is, under a name.

        Raises:
            ConflictError: The name is taken.
        """
        body = {"name": name, "metadata": dict(metadata or {})}
        return await self._ask(
            Call(method="POST", path="/versions/snapshots", body=body), Snapshot
        )

    async def rename_snapshot(self, snapshot: str, name: str) -> None:
        """Give a snapshot another name."""
        call = Call(
            method="PATCH", path=_one("/versions/snapshots", snapshot), body={"name": name}
        )
        await self._asked(call)

    async def delete_snapshot(self, snapshot: str) -> None:
        """Forget a snapshot; files that only it has are gone for good."""
        await self._asked(Call(method="DELETE", path=_one("/versions/snapshots", snapshot)))

    async def forks(self) -> list[Fork]:
        """Return the forks, oldest first."""
        return (await self._ask(Call(method="GET", path="/versions/forks"), _Forks)).items

    async def fork(self, name: str, base: str | None = None) -> Fork:
        """Begin a fork: a second state of everything, written with ``fork=``.

        Args:
            name: Its name.
            base: Name or id of the snapshot to begin with; None for the present.
        """
        body = {"name": name} if base is None else {"name": name, "base": base}
        return await self._ask(Call(method="POST", path="/versions/forks", body=body), Fork)

    async def promote(self, fork: str) -> Promoted:
        """Apply what a fork changed to the present, and end it.

        What was changed on both sides is kept as conflicts.
        """
        call = Call(
            method="POST", path=f"{_one('/versions/forks', fork)}/promote", deadline_s=LONG_S
        )
        return await self._ask(call, Promoted)

    async def abandon(self, fork: str) -> None:
        """End a fork and forget what it changed."""
        await self._asked(Call(method="DELETE", path=_one("/versions/forks", fork)))


def _one(prefix: str, name: str) -> str:
    return f"{prefix}/{quote(name, safe='')}"


class _Snapshots(msgspec.Struct, frozen=True):
    """A list."""

    items: list[Snapshot]


class _Forks(msgspec.Struct, frozen=True):
    """A list."""

    items: list[Fork]

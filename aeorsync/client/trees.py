"""Folders and what is done to paths: list, walk, move, copy, delete, link."""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Literal

import msgspec

from aeorsync.client.calling import LONG_S, Call, Caller, Query, place
from aeorsync.client.model import DIRECTORY, Copied, Entry, Page, Trashed, Written

MAX_ROWS: Final = 5_000
"""Entries asked for at a time."""
Sort = Literal["name", "size", "created_at", "updated_at"]


class TreeCalls(Caller):
    """What may be done to paths."""

    async def list(  # noqa: PLR0913  # how to list
        self,
        path: str = "/",
        *,
        glob: str | None = None,
        sort: Sort = "name",
        descending: bool = False,
        depth: int = 0,
        snapshot: str | None = None,
        fork: str | None = None,
    ) -> AsyncGenerator[Entry, None]:
        """Yield what is in a folder, folders first.

        Args:
            path: The folder.
            glob: Only what matches: with a slash the whole path, else the name.
            sort: By what.
            descending: The largest first.
            depth: 0: what is directly inside. n: files and links down to n levels further; -1:
                all of them.
            snapshot: Name or id of a snapshot to look into.
            fork: Name or id of a fork to look into.

        Raises:
            NotFoundError: No such folder.
            BadRequestError: It is a file.

        Example:
            >>> for entry in client.list("/photos", sort="size", descending=True):
            ...     print(entry.size, entry.name)
        """
        query: Query = {
            "glob": glob,
            "sort": sort,
            "order": "desc" if descending else "asc",
            "depth": depth,
            "snapshot": snapshot,
            "fork": fork,
            "limit": MAX_ROWS,
        }
        at, total = 0, 1
        # With a slash at its end, so that a file is not read instead.
        url = place("/files", path) + ("/" if path.strip("/") else "")
        while at < total:
            call = Call(method="GET", path=url, query={**query, "offset": at}, deadline_s=LONG_S)
            page = await self._ask(call, Page)
            for entry in page.items:
                yield entry
            at, total = at + MAX_ROWS, page.total

    async def walk(
        self,
        path: str = "/",
        *,
        depth: int | None = None,
        snapshot: str | None = None,
        fork: str | None = None,
    ) -> AsyncGenerator[Entry, None]:
        """Yield everything below a folder, each folder before what is in it.

        Symbolic links are told, not followed. What changes meanwhile may be told or not.

        Args:
            path: The folder.
            depth: How many levels; None for all.
            snapshot: Name or id of a snapshot to look into.
            fork: Name or id of a fork to look into.
        """
        deepest = None if depth is None else path.rstrip("/").count("/") + depth
        folders = deque([path])
        while folders:
            found: list[Entry] = []
            here = folders.popleft()
            if deepest is not None and here.rstrip("/").count("/") >= deepest:
                continue
            listing = self.list(here, snapshot=snapshot, fork=fork)
            async with aclosing(listing) as entries:
                async for entry in entries:
                    yield entry
                    if entry.entry_type == DIRECTORY:
                        found.append(entry)
            folders.extendleft(entry.path for entry in reversed(found))

    async def mkdir(self, path: str) -> bool:
        """Make a folder and those above it; returns whether it was not there before.

        Raises:
            ConflictError: A file is there, or above.
        """
        call = Call(method="POST", path="/files/mkdir", body={"path": path}, may_repeat=True)
        return (await self._ask(call, _Made)).created

    async def link(self, path: str, target: str, *, base: str | None = None) -> Written:
        """Make a symbolic link, or point it elsewhere.

        Args:
            path: Where.
            target: Where it points, kept as it is: relative to its folder, or absolute in the
                tree.
            base: ETag of what was edited; see `put`.
        """
        headers = None if base is None else {"X-AeorSync-Base": base or '""'}
        call = Call(
            method="PUT", path=place("/links", path), body={"target": target}, headers=headers
        )
        return await self._ask(call, Written)

    async def delete(
        self,
        path: str,
        *,
        recursive: bool = False,
        base: str | None = None,
        if_match: str | None = None,
        fork: str | None = None,
    ) -> None:
        """Delete a file, a link (not what it points at) or a folder.

        Args:
            path: Where.
            recursive: A folder with all that is in it, too.
            base: ETag of what was seen; what came since stays, in conflict with the deletion.
            if_match: Only if it still has this ETag.
            fork: Name or id of a fork to delete in.

        Raises:
            NotFoundError: Nothing is there.
            BadRequestError: A folder that is not empty, without ``recursive``.
            PreconditionError: It is not what ``if_match`` names any more.
        """
        conditions = {"X-AeorSync-Base": base, "If-Match": if_match}
        call = Call(
            method="DELETE",
            path=place("/files", path),
            query={"recursive": recursive or None, "fork": fork},
            headers={name: tag for name, tag in conditions.items() if tag is not None},
            deadline_s=LONG_S,
            # Who is not sure whether it went through would be told that nothing is there.
            may_repeat=False,
        )
        await self._asked(call)

    async def move(self, path: str, to: str, *, if_match: str | None = None) -> None:
        """Move a file, a link, or a folder with all that is in it, at once.

        Raises:
            NotFoundError: Nothing is at ``path``.
            ConflictError: Something is at ``to``; nothing was changed.
        """
        headers = None if if_match is None else {"If-Match": if_match}
        call = Call(
            method="PATCH",
            path=place("/files", path),
            body={"to": to},
            headers=headers,
            deadline_s=LONG_S,
        )
        await self._asked(call)

    async def copy(self, paths: Sequence[str], folder: str) -> Copied:
        """Copy files, links and folders into a folder, each under its own name.

        Returns:
            What was made, and why a source was not copied; each succeeds or fails alone.
        """
        body = {"paths": list(paths), "destination": folder}
        call = Call(
            method="POST", path="/files/copy", body=body, may_repeat=True, deadline_s=LONG_S
        )
        return await self._ask(call, Copied)

    async def trash(self, path: str | None = None, limit: int = 1_000) -> Sequence[Trashed]:
        """Return what was deleted at and below a path, the latest first."""
        call = Call(
            method="GET", path="/files/deleted", query={"path": path or "/", "limit": limit}
        )
        return (await self._ask(call, _Trash)).items

    async def undelete(self, path: str) -> None:
        """Bring back what was deleted last at a path; of a folder not what was in it.

        Raises:
            NotFoundError: Nothing was deleted there.
            ConflictError: Something is there.
        """
        await self._asked(Call(method="POST", path="/files/restore", body={"path": path}))


class _Made(msgspec.Struct, frozen=True):
    """Whether a folder was made."""

    created: bool = True


class _Trash(msgspec.Struct, frozen=True):
    """What was deleted."""

    items: list[Trashed]

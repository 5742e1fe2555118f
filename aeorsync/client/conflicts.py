"""Calls about paths with versions that wait for somebody to decide."""

import msgspec

from aeorsync.client.calling import Call, Caller, place
from aeorsync.client.model import Conflict, Resolved


class Conflicts(msgspec.Struct, frozen=True):
    """Conflicts in tree order; ``more`` says that there are others behind them."""

    items: list[Conflict]
    more: bool = False


class ConflictCalls(Caller):
    """See them, settle them."""

    async def conflicts(self) -> list[Conflict]:
        """Return the conflicts, in tree order; of very many (10 000) the first.

        Example:
            >>> for conflict in client.conflicts():
            ...     print(conflict.path, [version.id for version in conflict.versions])
        """
        return (await self._conflicts()).items

    async def conflict(self, path: str) -> Conflict:
        """Return one conflict.

        Raises:
            NotFoundError: There is none at the path.
        """
        return await self._ask(Call(method="GET", path=_place(path)), Conflict)

    async def resolve(
        self, path: str, pick: str = "winner", if_match: str | None = None
    ) -> Resolved:
        """Settle a conflict, for all nodes.

        Args:
            path: Where.
            pick: Id of the version that is to stay, also of a deletion; or ``winner``,
                ``loser``.
            if_match: ``etag`` of the conflict as it was shown.

        Raises:
            PreconditionError: It is not what was shown any more; nothing was changed.
            NotFoundError: No conflict, or no such version.
        """
        headers = None if if_match is None else {"If-Match": if_match}
        call = Call(method="POST", path=_place(path), body={"pick": pick}, headers=headers)
        return await self._ask(call, Resolved)

    async def give_up(self, path: str, version: str, if_match: str | None = None) -> Resolved:
        """Drop one version that readers do not see; what they see, and other losers, stay.

        Args:
            path: Where.
            version: Its id.
            if_match: ``etag`` of the conflict as it was shown.

        Raises:
            NotFoundError: No conflict, or no such version.
            ConflictError: It is the version that readers see.
        """
        headers = None if if_match is None else {"If-Match": if_match}
        body = {"give_up": version}
        call = Call(method="POST", path=_place(path), body=body, headers=headers)
        return await self._ask(call, Resolved)

    async def _conflicts(self) -> Conflicts:
        return await self._ask(Call(method="GET", path="/sync/conflicts"), Conflicts)


def _place(path: str) -> str:
    return place("/sync/conflicts", path)

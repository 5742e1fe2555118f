"""Calls about the server itself and its peers, as plain JSON of the protocol."""

from typing import Any, Literal

from aeorsync.client.calling import LONG_S, Call, Caller

Json = dict[str, Any]


class NodeCalls(Caller):
    """How it is, and who it is linked to."""

    async def health(self) -> Json:
        """Return ``status`` and ``version``; needs no key."""
        return await self._json(Call(method="GET", path="/system/health"))

    async def status(self) -> Json:
        """Return who the server is, its root hash and its peers."""
        return await self._json(Call(method="GET", path="/sync/status"))

    async def trigger(
        self,
        *,
        peer: int | None = None,
        direction: Literal["pull", "push"] = "pull",
        force: bool = False,
    ) -> Json:
        """Pull from the peers now (or push to them), and wait for it.

        Args:
            peer: Only this node id.
            direction: Which way.
            force: Also where clocks do not agree.

        Returns:
            ``peers_synced``, ``peers_failed``, ``results``: one peer's failure is no error here.
        """
        query = {"peer": peer, "direction": direction, "force_activate": force or None}
        call = Call(
            method="POST", path="/sync/trigger", query=query, may_repeat=True, deadline_s=LONG_S
        )
        return await self._json(call)

    async def _json(self, call: Call) -> Json:
        return await self._ask(call, Json)

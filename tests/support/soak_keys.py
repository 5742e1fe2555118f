"""Keys that are made, used on all nodes, and revoked: then they open nothing any more.

A key that was revoked on one node is refused there with the next request; on the others as soon
as they hear of it, which is timed as any other change. An event stream with it ends within five
seconds after that. Amid trouble (a node or a wire is away) only the node that revoked is judged.
"""

import asyncio
import random
import time
from typing import Final

import aiohttp
import msgspec

from tests.support.soak_calls import Caller, Weather, stopped
from tests.support.soak_watch import slack_of

LIMIT_S: Final = 5.0
_ARRIVES_S: Final = 30.0


class Keys:
    """Who makes keys and takes them back."""

    def __init__(self, caller: Caller, weather: Weather, folder: str, seed: int) -> None:
        """Make keys for one folder.

        Args:
            caller: Asks as root.
            weather: Tells whether all nodes can be judged.
            folder: The keys open it, and nothing else.
            seed: Of all choices.
        """
        self._caller = caller
        self._weather = weather
        self._folder = folder
        self._random = random.Random(seed)

    async def live(self) -> None:
        """One key, from its making to its end."""
        ring = self._caller.ring
        maker, revoker = self._random.choice(ring.up), self._random.choice(ring.up)
        rules = [{f"{self._folder}/**": "-r--l---"}, {"**": "--------"}]
        body = msgspec.json.encode({"label": "soak", "rules": rules})
        made = await self._caller.call("make key", maker, "POST /auth/keys", body)
        if made is None:
            return
        if made.status != 201:
            self._caller.odd(made, maker, "POST /auth/keys")
            return
        key = {"Authorization": f"Bearer {made.json['key']}"}
        end = time.monotonic() + _ARRIVES_S
        while not await self._is_known_everywhere(key):
            if time.monotonic() > end:
                return
            await asyncio.sleep(0.2)
        await self._peek(key)
        stream = asyncio.create_task(self._listen(key, self._random.choice(ring.up)))
        await asyncio.sleep(self._random.uniform(0.5, 2))
        try:
            await self._revoke(made.json["key_id"], key, revoker, stream)
        finally:
            await stopped(stream)

    async def _revoke(
        self, key_id: str, key: dict[str, str], revoker: int, stream: "asyncio.Task[None]"
    ) -> None:
        was_calm, turn = self._weather.is_calm, self._weather.turn
        request = f"DELETE /auth/keys/{key_id}"
        answer = await self._caller.call("revoke key", revoker, request)
        if answer is None or answer.status == 404:
            return
        if answer.status != 200:
            self._caller.odd(answer, revoker, request)
            return
        began = time.monotonic()
        if await self._is_served(key, [revoker]):
            self._complain(revoker, "served by the node that revoked it")
        while await self._is_served(key, self._caller.ring.up):
            if time.monotonic() - began > _ARRIVES_S:
                break
            await asyncio.sleep(0.05)
        is_calm = was_calm and turn == self._weather.turn
        took = time.monotonic() - began
        if is_calm:
            self._caller.tally.took("key revoked everywhere", took)
        # Every node has heard of it.
        limit_s = LIMIT_S * slack_of()
        await asyncio.wait([stream], timeout=limit_s)
        if is_calm and not stream.done():
            self._complain(revoker, f"a stream goes on {limit_s:.1f} s after all refuse the key")

    async def _is_known_everywhere(self, key: dict[str, str]) -> bool:
        return all([await self._is_served(key, [node]) for node in self._caller.ring.up])

    async def _is_served(self, key: dict[str, str], nodes: list[int]) -> bool:
        for node in nodes:
            request = f"GET /files{self._folder}?limit=1"
            answer = await self._caller.call("read with a key", node, request, headers=key)
            if answer is not None and answer.status != 401:
                return True
        return False

    async def _peek(self, key: dict[str, str]) -> None:
        """Look where it must not; a node that has just come back need not know the key yet."""
        node = self._random.choice(self._caller.ring.up)
        for path in ("/files/load/hot/h0", "/files/load/hot", "/files/team"):
            answer = await self._caller.call("denied", node, f"GET {path}", headers=key)
            if answer is not None and answer.status not in (401, 404):
                self._complain(node, f"it was served {path}: {answer.status}")

    async def _listen(self, key: dict[str, str], node: int) -> None:
        url = f"{self._caller.ring.nodes[node].url}/system/events"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, headers=key) as answer,
            ):
                async for line in answer.content:
                    if b'"/load/hot/' in line or b'"/team/' in line:
                        self._complain(node, f"an event told of what it must not: {line[:500]!r}")
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return

    def _complain(self, node: int, text: str) -> None:
        self._caller.tally.complain("revoked key", f"node {node}", text)

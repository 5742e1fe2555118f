"""What goes wrong during a long run, one thing after the other, and what is looked after.

| what | how often |
| --- | --- |
| a wire is cut for some seconds, in one direction or both | often |
| a node is killed, and started again | sometimes; never the first |
| a node is stopped, its data verified, and started | sometimes; never the first |
| a folder client is killed, stopped or stands still | sometimes; never the first |
| garbage is collected | often |
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from tests.support.nodes import is_active, wait_until
from tests.support.soak_calls import Caller, Tally, Weather
from tests.support.soak_folders import Folders
from tests.support.soak_ring import Ring
from tests.support.soak_watch import slack_of

_BACK_S: Final = 90.0


class Troubles:
    """Does them, one at a time."""

    def __init__(
        self, caller: Caller, folders: Folders, weather: Weather, source: random.Random
    ) -> None:
        self._caller = caller
        self._ring: Ring = caller.ring
        self._tally: Tally = caller.tally
        self._folders = folders
        self._weather = weather
        self._random = source

    async def one(self) -> None:
        """Do one, and wait until all is whole again."""
        chance = self._random.random()
        if chance < 0.3:
            await self._cut()
        elif chance < 0.45:
            await self._kill()
        elif chance < 0.55:
            await self._restart()
        elif chance < 0.75:
            await self._bother_a_client()
        else:
            await self.collect(self._random.choice(self._ring.up))

    async def collect(self, node: int) -> None:
        """Collect the garbage of a node."""
        answer = await self._caller.call("gc", node, "POST /system/gc")
        if answer is not None and answer.status not in {200, 409}:
            self._caller.odd(answer, node, "POST /system/gc")
        self._tally.counts["gc"] += 1

    async def whole(self) -> None:
        """Mend everything, and wait until all links are active."""
        began, limit_s = time.monotonic(), _BACK_S * slack_of()
        self._ring.mend()
        await asyncio.to_thread(self._folders.start_missing)
        try:
            await asyncio.to_thread(wait_until, self._is_whole, limit_s)
        except TimeoutError:
            self._tally.complain("links", "ring", f"not active again after {limit_s:.0f} s")
        self._tally.took("until all links are active again", time.monotonic() - began)
        self._weather.change(is_calm=True)

    def _is_whole(self) -> bool:
        return all(is_active(node) for node in self._ring.nodes)

    async def _cut(self) -> None:
        self._weather.change(is_calm=False)
        self._note(f"cut {self._ring.cut(self._random)}")
        self._tally.counts["cuts"] += 1
        await asyncio.sleep(self._random.uniform(1, 8))
        await self.whole()

    async def _kill(self) -> None:
        number = self._random.randrange(1, len(self._ring.nodes))
        self._weather.change(is_calm=False)
        self._note(f"kill -9 of node {number}")
        self._tally.counts["kills of nodes"] += 1
        await asyncio.to_thread(self._ring.kill, number, self._random.uniform(0, 3))
        await self.whole()

    async def _restart(self) -> None:
        number = self._random.randrange(1, len(self._ring.nodes))
        self._weather.change(is_calm=False)
        self._note(f"restart of node {number}")
        self._tally.counts["restarts of nodes, data verified"] += 1
        for wrong in await asyncio.to_thread(self._ring.restart, number):
            self._tally.complain("damage", f"node {number}", wrong)
        await self.whole()

    async def _bother_a_client(self) -> None:
        if len(self._folders.clients) < 2:
            return
        client = self._random.choice(self._folders.clients[1:])
        act: Callable[[], object]
        match self._random.randrange(3):
            case 0:
                act = client.kill
                self._tally.counts["kills of folder clients"] += 1
            case 1:
                act = client.stop
                self._tally.counts["stops of folder clients"] += 1
            case _:
                act = client.freeze
                self._tally.counts["folder clients that stood still"] += 1
        self._note(f"{act.__name__} of {client.name}")
        await asyncio.to_thread(act)
        await asyncio.sleep(self._random.uniform(0, 4))
        client.thaw()
        await asyncio.to_thread(self._folders.start_missing)

    def _note(self, what: str) -> None:
        self._folders.model.note("----", what)

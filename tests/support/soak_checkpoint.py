"""A pause in which everything must become equal, and everything is compared with what was done."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.soak_calls import Answer, Caller
from tests.support.soak_choir import ChoirProcess
from tests.support.soak_folders import Folders
from tests.support.soak_oracle import Oracle
from tests.support.soak_watch import slack_of
from tests.support.soak_writers import Paths

_STEADY_S: Final = 1.0
_NUDGE_S: Final = 60.0
_MOST: Final = 100_000
_KEPT: Final = 4


@dataclass(frozen=True, slots=True)
class Kept:
    """What a snapshot must show."""

    id: str
    files: dict[str, str]


@dataclass
class Checkpoint:
    """Compares, again and again.

    Attributes:
        quiet_s: How long all may take to become equal.
        sizes: What each node counted, at each checkpoint.
    """

    caller: Caller
    oracle: Oracle
    paths: Paths
    folders: Folders
    choir: ChoirProcess
    source: random.Random
    quiet_s: float
    sizes: list[dict[str, float]] = field(default_factory=list)
    _before: dict[str, str] = field(default_factory=dict)
    _snapshots: list[Kept] = field(default_factory=list)

    async def begin(self) -> None:
        """Take what is there before anything is done."""
        self._before = await self._files()

    async def run(self) -> None:
        """Wait until all is equal, then compare; nobody may write meanwhile."""
        began = time.monotonic()
        await asyncio.to_thread(self.folders.leave)
        if not await self._become_equal():
            return
        self.caller.tally.took("quiet until all is equal", time.monotonic() - began)
        await self._judge_paths()
        for wrong in await asyncio.to_thread(self.folders.judge, self.caller.ring.nodes):
            self.caller.tally.complain("folder", "folders", wrong)
        await self._judge_streams()
        await self._look_back()
        await self._count()

    async def read_all(self) -> None:
        """Read every file from every node."""
        for path in self.paths.all:
            for node in self.caller.ring.up:
                look = self.oracle.look(path, node)
                answer = await self.caller.call("read", node, f"GET /files{path}")
                if answer is None or answer.status not in {200, 404}:
                    continue
                found = answer.headers.get("X-AeorSync-Content-Hash")
                content = self.oracle.saw(look, found if answer.status == 200 else None)
                if content is not None and content.body() != answer.body:
                    self.caller.tally.complain("wrong bytes", path, f"node {node} at the end")

    async def _become_equal(self) -> bool:
        began = time.monotonic()
        steady_since = 0.0
        is_nudged = False
        while True:
            wrong = await asyncio.to_thread(self._unequal)
            now = time.monotonic()
            steady_since = 0.0 if wrong else steady_since or now
            if steady_since and now - steady_since > _STEADY_S:
                return True
            if now - began > self.quiet_s * slack_of():
                text = "\n".join([*wrong[:20], self.folders.tails()])
                self.caller.tally.complain("not equal", "after quiet", text)
                return False
            if now - began > _NUDGE_S and not is_nudged:
                # What only a look at everything mends, which comes every five minutes by itself.
                is_nudged = True
                self.caller.tally.counts["nudges of folder clients"] += 1
                self.caller.tally.notes.append(f"nudged for: {wrong[:3]}")
                await asyncio.to_thread(self.folders.nudge)
            await asyncio.sleep(0.3)

    def _unequal(self) -> list[str]:
        if not self.caller.ring.is_equal():
            return ["the roots of the nodes differ"]
        return self.folders.unequal(self.caller.ring.nodes)

    async def _judge_paths(self) -> None:
        here = self.source.choice(self.caller.ring.up)
        files = await self._files(here)
        listed = (await self._ask("GET /sync/conflicts", here)).json
        conflicts = {item["path"] for item in listed["items"]}
        for path in self.oracle.places:
            where = f"node {here}"
            seen = {files[path]: where} if path in files else {}
            if path in conflicts:
                shown = (await self._ask(f"GET /sync/conflicts{path}", here)).json
                seen |= {
                    version["content_hash"]: f"{where}, a loser"
                    for version in shown["versions"]
                    if not version["deleted"] and not version["is_winner"]
                }
            self.oracle.judge(path, seen, in_conflict=path in conflicts)

    async def _judge_streams(self) -> None:
        now = await self._files()
        changed = [
            path
            for path in self._before.keys() | now.keys()
            if self._before.get(path) != now.get(path)
        ]
        self._before = now
        told = await self.choir.ask("check", now=now, changed=changed)
        for wrong in told["wrong"]:
            self.caller.tally.complain("events", "a stream", wrong)
        self.caller.tally.violation_count += told["wrong_count"] - len(told["wrong"])

    async def _look_back(self) -> None:
        """Read what older snapshots show, on a node each; make another, forget the eldest."""
        for kept in self._snapshots:
            node = self.source.choice(self.caller.ring.up)
            for path, expected in kept.files.items():
                request = f"GET /files{path}?snapshot={kept.id}"
                answer = await self.caller.call("read the past", node, request)
                if answer is None:
                    continue
                found = answer.headers.get("X-AeorSync-Content-Hash")
                if answer.status != 200 or found != expected:
                    text = f"{answer.status} {found}, expected {expected}, on node {node}"
                    self.caller.tally.complain("snapshot", path, text)
        files = {path: found for path, found in self._before.items() if path in self.paths.all}
        chosen = self.source.sample(sorted(files), min(len(files), 10))
        body = b'{"name": "soak-%d"}' % time.monotonic_ns()
        node = self.source.choice(self.caller.ring.up)
        made = (await self._ask("POST /versions/snapshots", node, body)).json
        self._snapshots.append(Kept(made["id"], {path: files[path] for path in chosen}))
        if len(self._snapshots) > _KEPT:
            await self._ask(f"DELETE /versions/snapshots/{self._snapshots.pop(0).id}", node)

    async def _count(self) -> None:
        for node in self.caller.ring.up:
            stats = (await self._ask("GET /system/stats", node)).json
            graves = (await self._ask("GET /files/deleted?limit=1", node)).json["total"]
            status = (await self._ask("GET /sync/status", node)).json
            self.sizes.append(
                {
                    "at_s": round(self.caller.tally.now, 1),
                    "node": node,
                    "entries": stats["counts"]["entries"],
                    "chunks": stats["counts"]["chunks"],
                    "chunk_mib": round(stats["sizes"]["chunk_bytes"] / (1 << 20), 1),
                    "metadata_mib": round(stats["sizes"]["metadata_bytes"] / (1 << 20), 1),
                    "conflicts": stats["counts"]["conflicts"],
                    "graves": graves,
                    "feed": status["seq"],
                }
            )

    async def _files(self, node: int = 0) -> dict[str, str]:
        """Hash of every file there is, by path."""
        request = f"GET /files?depth=-1&limit={_MOST}"
        items: list[dict[str, Any]] = (await self._ask(request, node)).json["items"]
        return {item["path"]: item["content_hash"] for item in items if item["entry_type"] == 2}

    async def _ask(self, request: str, node: int, body: bytes | None = None) -> Answer:
        answer = await self.caller.call("at checkpoints", node, request, body)
        if answer is None:
            raise ConnectionError(f"{request} was not answered by node {node}")
        return answer

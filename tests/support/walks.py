"""A walk over the whole API with requests made from its document, as everybody in turn.

masters    root, and a peer: nothing is hidden from them; all is allowed
limited    keys bound by rules: /secret stays as it is, and nothing of it is told
(both)     strangers: no bearer, an expired one, a foreign one, a revoked key, noise
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from aeorsync.api import openapi
from aeorsync.api.app import ENDPOINTS
from aeorsync.api.jobs import open_board, runner
from aeorsync.cluster.member import Member
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import TreePath
from aeorsync.errors import UnavailableError
from aeorsync.runtime.bus import Bus
from aeorsync.storage.shelf import Shelf
from aeorsync.storage.writer import Committed
from tests.api.conftest import Running, running
from tests.api.desk import STRANGERS, Caller, Desk, callers
from tests.api.test_matrix import ROWS, fill
from tests.support.strangers import Judge, Maker, Request, may_succeed

HUSH: Final = b"hush-5d1f0a77"
"""What is in the names and in the bytes of hidden files, and nowhere else."""
SLOW_S: Final = 60.0
NO_PATHS: Final = {"uses", "writes", "lists", "is denied"}


@dataclass
class Outcome:
    """What came of a walk.

    Attributes:
        wrong: Violations, each with its request; at most a hundred.
        statuses: How often each came.
        successes: Operations that once answered 2xx.
        asked: Operations that were asked at all.
    """

    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    successes: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """Requests."""
        return self.statuses.total()

    def add(self, other: "Outcome") -> None:
        """Add what came of another walk."""
        self.wrong = (self.wrong + other.wrong)[:100]
        self.statuses += other.statuses
        self.successes |= other.successes
        self.asked |= other.asked


def _dead_end(*_: object) -> Any:  # noqa: ANN401 - a `Remote` that never comes
    raise UnavailableError("a test dials nobody")


@asynccontextmanager
async def _node(folder: Path) -> Any:  # noqa: ANN401 - as `running`
    # What is kept for peers is kept for moments only, or collections would wait for it.
    shelf = Shelf(lambda: time.monotonic() * 100)
    async with running(folder, shelf=shelf) as outer:
        bus: Bus[Committed] = outer.node.bus
        member = Member(
            outer.node.repository,
            mint=lambda: "",
            wall=outer.node.wall,
            sync_interval_s=3600,
            own_url="http://127.0.0.1:9",
            commits=bus,
            dial=_dead_end,
        )
        object.__setattr__(outer.node, "member", member)
        await member.start()
        await open_board(outer.node)
        board = asyncio.create_task(outer.node.tasks.serve(runner(outer.node)))
        try:
            yield outer
        finally:
            board.cancel()
            await asyncio.gather(board, return_exceptions=True)
            await member.stop()


class Walk:
    """One node in this process, and those who walk over it."""

    def __init__(self, folder: Path, number: int, *, masters: bool) -> None:
        """Begin with an empty folder; ``number`` is the seed."""
        self._chance = random.Random(number)
        self._masters = masters
        self._runner = asyncio.Runner()
        self._context = _node(folder)
        here: Running = self._runner.run(self._context.__aenter__())
        self._desk = Desk(self._runner, here)
        for name in ("/secret/" + HUSH.decode(), "/secret/d/" + HUSH.decode()):
            assert self._root("PUT", f"/files{name}", HUSH * 9).status_code == 201
        self._renew()
        self._hidden = self._secret()
        document = openapi.document(ENDPOINTS)
        self._judge = Judge(document, tuple(one.bearer.encode() for one in self._keys()))
        self._maker = Maker(document, number)
        for path in ("/open/a.txt", "/open/d", "/open/link", "/open/clash", "/secret/a.txt"):
            self._maker.memory.keep("path", path)
        self._maker.memory.keep("address", "http://127.0.0.1:9")

    def close(self) -> None:
        """End the node."""
        self._runner.run(self._context.__aexit__(None, None, None))
        self._runner.close()

    def go(self, count: int) -> Outcome:
        """Make about so many requests to every operation."""
        outcome = Outcome()
        rows = list(self._rows())
        self._chance.shuffle(rows)
        requests = [*rows, *self._maker.requests(count)]
        for at, request in enumerate(requests):
            if at % 50 == 0:
                self._renew()
                self._desk.reset()
                self._desk.reset_versions()
            caller = self._anybody(request.route)
            for text in self._one(request, caller, outcome):
                outcome.wrong.append(f"{caller.name}: {text}: {request}")
            if len(outcome.wrong) > 200:
                break
        return outcome

    def _anybody(self, route: str) -> Caller:
        strange, peer = self._chance.random() < 0.15, self._chance.random() < 0.2
        fitting = [
            one
            for one in self._callers
            if (one.name in STRANGERS) == strange
            and (one.name != "peer" or peer or route.startswith("/sync/"))
        ]
        return self._chance.choice(fitting)

    def _one(self, request: Request, caller: Caller, outcome: Outcome) -> Iterator[str]:
        try:
            answer = self._ask(request, caller)
        except TimeoutError:
            yield "it hangs"
            return
        outcome.statuses[answer.status_code] += 1
        outcome.asked.add(f"{request.method} {request.route}")
        yield from self._judge.wrong(request, answer)
        is_done = answer.status_code < 300
        if is_done:
            outcome.successes.add(f"{request.method} {request.route}")
            self._learn(answer)
        is_stranger = caller.name in STRANGERS
        is_peer, is_root = caller.name == "peer", caller.flags is None
        if is_done and not may_succeed(
            request.method,
            request.route,
            is_stranger=is_stranger,
            is_peer=is_peer,
            is_root=is_root,
        ):
            yield f"{answer.status_code} for somebody who may not"
        if not is_root or is_stranger:
            if HUSH in answer.content and HUSH not in str(request).encode():
                yield "it tells of what is hidden"
            if not self._masters and self._secret() != self._hidden:
                self._hidden = self._secret()
                yield "it changed what is hidden"

    def _ask(self, request: Request, caller: Caller) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with asyncio.timeout(SLOW_S):
                fields = {
                    name: text.encode("latin-1", "replace").decode("latin-1")
                    for name, text in request.fields.items()
                }
                return await self._desk._ask(
                    request.method, request.url, caller.bearer, request.body or b"", None, fields
                )

        return self._desk.run(ask())

    def _learn(self, answer: httpx.Response) -> None:
        if answer.content and answer.headers.get("content-type") == "application/json":
            self._maker.memory.learn(msgspec.json.decode(answer.content))
        if "etag" in answer.headers:
            self._maker.memory.keep("etag", answer.headers["etag"])

    def _rows(self) -> Iterator[Request]:
        """What the matrix of callers asks, as it is known to work."""
        for (method, path), rows in ROWS.items():
            for row in rows:
                top = self._chance.choice(["open", "secret"])
                body = row.data or None
                fields = dict(row.fields)
                if row.body is not None:
                    body = msgspec.json.encode(fill(row.body, top))
                yield Request(
                    method, path.replace(":path}", "}"), fill(row.url, top), fields, body
                )

    def _renew(self) -> None:
        """Make everybody's keys anew, since the walk may have revoked them."""
        here = self._desk.here
        made = [*callers(here), *_more_strangers(here)]
        self._callers = [
            one for one in made if one.name in STRANGERS or (one.flags is None) == self._masters
        ]

    def _keys(self) -> list[Caller]:
        return [one for one in self._callers if one.bearer.startswith("aeor_k_")]

    def _root(self, method: str, url: str, data: bytes = b"") -> httpx.Response:
        return self._desk.ask(method, url, self._desk.here.token, data=data)

    def _secret(self) -> list[tuple[bytes, bytes]]:
        with self._desk.here.node.repository.view() as view:
            return list(view.walk(TreePath("/secret")))


def _more_strangers(here: Running) -> Iterator[Caller]:
    rules = (KeyRule("/open/**", "crudl---"),)
    yield Caller("expired", here.make_key(rules=rules, expires_at=1)[0])
    yield Caller("expired", here.make_key(is_revoked=True)[0])
    yield Caller("foreign", "aeor_k_" + "0" * 16 + "_" + "f" * 64)
    yield Caller("foreign", "\x7f'\"<noise>" * 9)
    yield Caller(
        "reads only", here.make_key(rules=(KeyRule("/open/**", "-r--l---"),))[0], "-r--l---"
    )

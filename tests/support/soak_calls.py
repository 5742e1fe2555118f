"""Requests of a long run: each is timed, and whatever comes that must not is written down.

| what came | when the node was there all the time | when it went or came meanwhile |
| --- | --- | --- |
| an answer below 500 | timed, and judged by who asked | judged by who asked |
| 503, 507 | a violation | as documented; a write may have happened |
| another 5xx | a violation | a violation |
| none | a violation | a write may have happened |
"""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

from tests.support.soak_figures import Latencies
from tests.support.soak_ring import Ring

_MOST_KEPT: Final = 200
_TIMEOUT_S: Final = 60.0
_DOCUMENTED: Final = frozenset({503, 507})


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be.

    Attributes:
        kind: In two or three words.
        where: A path, a node, a stream.
        what: What was expected and what came.
        at_s: Seconds since the run began.
    """

    kind: str
    where: str
    what: str
    at_s: float


@dataclass
class Tally:
    """What happened so far.

    Attributes:
        latencies: By kind of request.
        counts: Whatever else is counted.
        violations: The first ones; `violation_count` counts all.
        notes: What is worth saying besides.
    """

    latencies: dict[str, Latencies] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    violation_count: int = 0
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def took(self, kind: str, seconds: float) -> None:
        """Note how long something took."""
        self.latencies.setdefault(kind, Latencies()).add(seconds)

    def complain(self, kind: str, where: str, what: str) -> None:
        """Note a violation."""
        self.violation_count += 1
        if len(self.violations) < _MOST_KEPT:
            self.violations.append(Violation(kind, where, what[:3000], round(self.now, 1)))


@dataclass
class Weather:
    """Whether all nodes, wires and links are whole; `turn` moves on whenever that changes."""

    is_calm: bool = True
    turn: int = 0

    def change(self, *, is_calm: bool) -> None:
        """It is so from now on."""
        self.is_calm = is_calm
        self.turn += 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  # JSON
        """Its body."""
        return msgspec.json.decode(self.body)


class Caller:
    """Asks nodes of a ring."""

    def __init__(self, ring: Ring, tally: Tally, session: aiohttp.ClientSession) -> None:
        self.ring = ring
        self.tally = tally
        self._session = session
        self._key = ring.nodes[0].key or ""

    async def call(
        self,
        kind: str,
        node: int,
        request: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | None:
        """Ask a node something.

        Args:
            kind: How its time is counted.
            node: Number in the ring.
            request: Method and encoded path, with a space between.
            body: If any.
            headers: Besides the key, which may be replaced.

        Returns:
            None when nobody knows whether it was done; that was told already if it must not be.
        """
        method, _, path = request.partition(" ")
        epoch = self.ring.epoch(node)
        fields = {"Authorization": f"Bearer {self._key}", **(headers or {})}
        url = f"{self.ring.nodes[node].url}{path}"
        began = time.monotonic()
        try:
            async with self._session.request(
                method, url, data=body and io.BytesIO(body), headers=fields
            ) as reply:
                answer = Answer(reply.status, reply.headers, await reply.read())
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            if self._was_there(node, epoch):
                self.tally.complain("no answer", f"node {node}", f"{request}: {error!r}")
            self.tally.counts["broken off"] += 1
            return None
        if self._was_there(node, epoch):
            self.tally.took(kind, time.monotonic() - began)
        return self._judged(answer, node, request, was_there=self._was_there(node, epoch))

    def _was_there(self, node: int, epoch: int) -> bool:
        return epoch % 2 == 0 and self.ring.epoch(node) == epoch

    def _judged(
        self, answer: Answer, node: int, request: str, *, was_there: bool
    ) -> Answer | None:
        if answer.status < 500:
            return answer
        self.tally.counts[f"status {answer.status}"] += 1
        if was_there or answer.status not in _DOCUMENTED:
            text = f"{request}: {answer.status} {answer.body[:500].decode(errors='replace')}"
            self.tally.complain("5xx", f"node {node}", text)
        return None

    def odd(self, answer: Answer, node: int, request: str) -> None:
        """An answer that nothing explains."""
        text = f"{request}: {answer.status} {answer.body[:500].decode(errors='replace')}"
        self.tally.complain("unexpected answer", f"node {node}", text)


def new_session() -> aiohttp.ClientSession:
    """Connections that are given up before a node gives them up."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=20),
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
        auto_decompress=False,
    )


async def stopped(task: "asyncio.Task[None]") -> None:
    """End a task, and wait for it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""Forgetting deletions that nobody can undo any more; `core.knowledge` says when that is so.

    survey    read what is known and acknowledged, look at every old grave      pure but for reads
    tell      publish what we know, where somebody waits for it                 one commit, seldom
    forget    take the graves that all have acknowledged out of the tree        a commit for many

Telling comes first, and a node forgets only what its own published knowledge has: otherwise others
would wait for ever for what it can no longer see any need to say. Nothing is written while no
grave is old enough, so an idle cluster stays idle.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aeorsync.core.knowledge import (
    Ack,
    Knowledge,
    died,
    heard,
    is_grave,
    is_within,
    knows,
    knows_past,
    to_vector,
)
from aeorsync.core.versions import Entry, decode_entry
from aeorsync.errors import AeorError
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.log import get_logger
from aeorsync.storage.members import Members, is_about_ack
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed

ROUNDS: Final = 24
"""Looks a node takes in one retention time, as far as the bounds below allow."""
MIN_INTERVAL_S: Final = 1.0
MAX_INTERVAL_S: Final = 3600.0
BATCH: Final = 1000
"""Graves one commit forgets."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to do.

    Attributes:
        known: What this node knows.
        is_silent: Somebody waits for us to tell what we know.
        is_retracted: We have told more than we know: this database is an older copy, put back.
        ripe: Graves to be forgotten, the first `BATCH` of them.
        waiting: Old graves that have to stay for now.
    """

    known: Knowledge
    is_silent: bool
    is_retracted: bool
    ripe: Sequence[tuple[bytes, Entry]]
    waiting: int


@dataclass(frozen=True, slots=True)
class Tended:
    """What was done, or is waited for, in graves."""

    forgotten: int
    waiting: int


class Graves:
    """Tends the graves of one node."""

    def __init__(self, repository: Repository, wall: WallClock, retention_s: float) -> None:
        """Prepare.

        Args:
            repository: Its files.
            wall: The clock.
            retention_s: Age in seconds before which no grave is forgotten.
        """
        self._repository = repository
        self._members = Members(repository)
        self._node = repository.head.node
        self._wall = wall
        self._retention_ms = int(retention_s * 1000)
        self.interval_s = interval_s(retention_s)

    async def run(self) -> None:
        """Tend them for ever."""
        loop = asyncio.get_running_loop()
        contradicted = asyncio.Event()

        def notice(committed: Committed) -> None:
            # What others hold as our word, when it came from them, is from a life we forgot.
            told = (c for c in committed.changes if c.via and is_about_ack(c, self._node))
            if any(told):
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(contradicted.set)

        self._repository.listen(notice)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval_s):
                    await contradicted.wait()
            contradicted.clear()
            try:
                tended = await bridge.run(self.tend)
            except AeorError as error:
                _log.warning("graves not tended", reason=error.message)
                continue
            if tended.forgotten:
                _log.info("graves", forgotten=tended.forgotten, waiting=tended.waiting)

    def tend(self) -> Tended:
        """Tell and forget what can be by now. Blocking; durable on return."""
        survey = self._survey()
        if survey.is_retracted:
            _log.warning("this database is an older copy of itself, put back", node=self._node)
        if survey.is_silent or survey.is_retracted:
            self._tell(survey.known)
            survey = self._survey()
        forgotten = 0
        while True:
            if survey.ripe:
                forgotten += self._repository.forget(survey.ripe).result()
            if len(survey.ripe) < BATCH:
                return Tended(forgotten, survey.waiting)
            survey = self._survey()

    def _survey(self) -> Survey:
        # First what is known, then the trees: they have all of it.
        known = self._repository.known()
        limit = self._wall.now_ms() - self._retention_ms
        ripe: list[tuple[bytes, Entry]] = []
        waiting = 0
        is_silent = False
        members = [m.node_id for m in self._members.all().values() if not m.is_removed]
        with self._repository.view() as view:
            acks = self._members.acks(view)
            ours = dict(acks[self._node].vector) if self._node in acks else None
            is_retracted = ours is not None and not is_within(ours, known)
            # Who came late has to speak, too, though it may never see what others wait for.
            is_late = ours is None and self._node in members and bool(acks)
            vectors = heard(acks, members, known)
            for key, data in view.graves(system=True):
                entry = decode_entry(data)
                if not is_grave(entry) or died(entry) > limit or not knows_past(known, entry):
                    continue
                if all(knows(vector, entry) for vector in vectors):
                    ripe.append((key, entry))
                    if len(ripe) >= BATCH:
                        break
                    continue
                waiting += 1
                is_silent = is_silent or not knows(ours or {}, entry)
        can_tell = to_vector(known) is not None
        is_silent = (is_silent or is_late) and can_tell and self._node in members
        return Survey(known, is_silent, is_retracted and can_tell, ripe, waiting)

    def _tell(self, known: Knowledge) -> None:
        vector = to_vector(known)
        if vector is not None:
            self._members.acknowledge(Ack(self._node, self._wall.now_ms(), vector))


def interval_s(retention_s: float) -> float:
    """Seconds between two looks, and between two questions to a peer about what it knows."""
    return min(max(retention_s / ROUNDS, MIN_INTERVAL_S), MAX_INTERVAL_S)

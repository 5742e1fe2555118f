"""Bringing into the folder what the server has.

    1  folders, the outer ones first             also where a file has to go for one
    2  times and bits of files that are right
    3  moves: what goes here and comes there     no content travels
    4  links, files                              small ones in bulk, large ones one by one
    5  deletions, folders last
    6  links and files where a folder was

While files are written the next ones are fetched, and while these are made durable the next ones
are written. What is durable for one batch (its bytes, before it takes its places) is durable for
the names of the batch before, too, which is written down then. Everything is checked on arrival,
each chunk and each whole file, and written down when it is durable; so what breaks off is gone on
with.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aeorsync.core.versions import Kind
from aeorsync.folder import facts, names, unsure
from aeorsync.folder.alike import bases_of, fetch_alike
from aeorsync.folder.events import Deleted, Downloaded, Moved, Phase, Side, Why
from aeorsync.folder.fetching import Larder, chunk_ids, larder
from aeorsync.folder.large import take_large
from aeorsync.folder.placing import MAX_HELD, Done, Move, Placer
from aeorsync.folder.plan import Plan, Remove, Take
from aeorsync.folder.work import Gauge, Work
from aeorsync.folder.writing import Writing
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.together import together
from aeorsync.wire.limits import MIB

MAX_FILES: Final = 1000
MAX_BYTES: Final = 16 * MIB
LARGE: Final = 8 * MIB
IN_FLIGHT: Final = 3


async def pull(work: Work, plan: Plan, clock: WallClock) -> None:
    """Carry out what a plan takes from the server and deletes here.

    Raises:
        AeorError: The server cannot be reached, or refuses us altogether. What has its place in
            the folder is recorded.
    """
    await _Pull(work, plan, clock).run()


class _Pull:
    def __init__(self, work: Work, plan: Plan, clock: WallClock) -> None:
        self._work = work
        self._placer = Placer(work, clock)
        self._removes = {step.path: step for step in plan.remove}
        self._takes = [take for take in plan.take if self._can_hold(take)]
        size = sum(take.told.size for take in self._takes if not take.is_held)
        count = len(self._takes) + len(self._removes)
        self._gauge = Gauge(Phase.PULL, work.report, count, size)
        self._stages = asyncio.Lock()
        self._writes = asyncio.Lock()
        self._placed: list[Writing] = []

    async def run(self) -> None:
        early: list[Take] = []
        late: list[Take] = []
        for take in self._takes:
            is_folder = take.told.kind == Kind.DIRECTORY
            was_folder = take.here is not None and take.here.kind is Kind.DIRECTORY
            (late if was_folder and not is_folder else early).append(take)
        folders = [take for take in early if take.told.kind == Kind.DIRECTORY]
        await self._step(self._placer.make_folders, folders)
        await self._leaves([take for take in early if take.told.kind != Kind.DIRECTORY])
        await self._remove()
        await self._leaves(late)

    def _can_hold(self, take: Take) -> bool:
        flaw = names.flaw(take.path)
        if flaw is None and take.told.kind == Kind.SYMLINK:
            flaw = names.target_flaw(take.told.content.decode())
        if flaw is not None:
            self._work.trouble(take.path, Why.NAME, f"{flaw} It stays on the server.")
        return flaw is None

    async def _leaves(self, takes: list[Take]) -> None:
        right = [take for take in takes if take.is_held]
        await self._step(self._placer.touch, right)
        takes = await self._move([take for take in takes if not take.is_held])
        links = [take for take in takes if take.told.kind == Kind.SYMLINK]
        await self._step(self._placer.make_links, links)
        await self._files([take for take in takes if take.told.kind == Kind.FILE])

    async def _step(self, act: Callable[[Sequence[Take]], Done], takes: list[Take]) -> None:
        for at in range(0, len(takes), MAX_FILES):
            some = takes[at : at + MAX_FILES]
            await self._record(some, await bridge.run(self._noted, act, some))

    def _noted(self, act: Callable[[Sequence[Take]], Done], takes: Sequence[Take]) -> Done:
        unsure.begin(self._work.ledger, takes)
        return act(takes)

    # Moves

    async def _move(self, takes: list[Take]) -> list[Take]:
        """Move what can be moved, and return the rest."""
        moves = await bridge.run(self._find_moves, takes)
        for at in range(0, len(moves), MAX_FILES):
            some = moves[at : at + MAX_FILES]
            done = await bridge.run(self._placer.move, some)
            await bridge.run(self._work.settle, done.settled)
            placed = done.paths()
            for step in some:
                if step.path in placed:
                    self._moved(step)
        moved = {step.path for step in moves if step.source.path not in self._removes}
        return [take for take in takes if take.path not in moved]

    def _find_moves(self, takes: list[Take]) -> list[Move]:
        wanted: dict[bytes, list[Take]] = defaultdict(list)
        for take in takes:
            if take.here is None and take.told.kind == Kind.FILE and take.told.size:
                wanted[take.told.content].append(take)
        if not wanted or not self._removes:
            return []
        moves = []
        for source in self._removes.values():
            agreed = self._work.ledger.agreed(source.path)
            is_file = agreed is not None and source.here.kind is Kind.FILE
            if agreed is not None and is_file and (waiting := wanted.get(agreed.content)):
                moves.append(Move(source, waiting.pop(0), agreed.chunks))
        return moves

    def _moved(self, step: Move) -> None:
        del self._removes[step.source.path]
        tally = self._work.tally
        tally.moved += 1
        tally.downloaded += 1
        tally.deleted_local += 1
        self._work.report(Moved(step.source.path, step.path, Side.LOCAL))
        self._gauge.add(2, step.take.told.size)

    # Files

    async def _files(self, takes: list[Take]) -> None:
        small = [take for take in takes if take.told.size <= LARGE]
        waiting = _batches(small)

        async def work() -> None:
            for batch in waiting:
                await self._bulk(batch)

        try:
            if small:
                await together(*(work() for _ in range(IN_FLIGHT)))
        finally:
            # Also what a failure, or somebody who stops us, left half done.
            if self._placed:
                await self._sync_placed()
        for take in takes:
            if take.told.size > LARGE:
                done = await take_large(self._work, self._placer, take, self._gauge)
                await self._record([take], done, has_told=True)

    async def _bulk(self, batch: list[Take], *, looks_here: bool = True) -> None:
        at_home = await bridge.run(self._at_home, batch) if looks_here else {}
        ids = (name for take in batch for name in chunk_ids(take.told.chunks))
        bases = {} if not at_home else await bridge.run(_bases, batch, at_home)
        wanted = (name for name in ids if name not in at_home)
        work = self._work
        chunks, size = await fetch_alike(work.server, work.root, wanted, bases, at_home)
        work.tally.bytes_received += size
        writing = Writing(self._work, self._placer, batch)
        try:
            # One at a time: threads that write small files would only wait for each other.
            async with self._stages:
                await bridge.run(writing.stage, chunks, at_home)
            async with self._writes:
                await bridge.run(unsure.begin, work.ledger, batch)
                await self._put(writing)
        finally:
            await bridge.run(writing.close)
        done = writing.done
        if done.lacking and at_home:
            await self._bulk(done.lacking, looks_here=False)
            return
        text = "the server does not have all of it (any more); it is tried again"
        for take in done.lacking:
            self._work.trouble(take.path, Why.MISSING_CONTENT, text)

    async def _put(self, writing: Writing) -> None:
        """Give what was staged its places; it is written down with the batch that comes next."""
        if writing.are_few:
            await bridge.run(writing.place)
            await bridge.run(writing.sync_names)
            await self._record_writing(writing)
            return
        await self._sync_placed()
        # From here on it counts as placed, also where somebody stops us in the middle.
        self._placed.append(writing)
        await bridge.run(writing.place)
        await bridge.run(writing.close)

    async def _sync_placed(self) -> None:
        """Make durable what was staged, and what has its place already; write that down."""
        await bridge.run(self._work.root.sync)
        while self._placed:
            await self._record_writing(self._placed.pop())

    async def _record_writing(self, writing: Writing) -> None:
        lacking = {take.path for take in writing.done.lacking}
        takes = [take for take in writing.takes if take.path not in lacking]
        await self._record(takes, writing.done)

    def _at_home(self, batch: list[Take]) -> Larder:
        found: Larder = {}
        for take in batch:
            found.update(larder(self._work.ledger, take))
        return found

    # Deletions

    async def _remove(self) -> None:
        removes: list[Remove] = list(self._removes.values())
        done = await bridge.run(self._placer.remove, removes)
        await bridge.run(self._work.settle, done.settled)
        for settled in done.settled:
            self._work.tally.deleted_local += 1
            self._work.report(Deleted(settled.path, Side.LOCAL))
        if removes:
            self._gauge.add(len(removes))

    # What was done

    async def _record(self, takes: list[Take], done: Done, *, has_told: bool = False) -> None:
        await bridge.run(self._settle, takes, done)
        paths = done.paths()
        size = 0
        for take in takes:
            size += 0 if take.is_held else take.told.size
            if take.path in paths:
                self._work.tally.downloaded += 1
                self._work.report(Downloaded(take.path, take.told.size, take.was is None))
        if takes:
            self._gauge.add(len(takes), 0 if has_told else size)

    def _settle(self, takes: list[Take], done: Done) -> None:
        with self._work.ledger.transaction():
            self._work.settle(done.settled)
            unsure.end(self._work.ledger, (take.path for take in takes if take.was is not None))


def _bases(batch: list[Take], at_home: Larder) -> dict[bytes, tuple[bytes, ...]]:
    found: dict[bytes, tuple[bytes, ...]] = {}
    for take in batch:
        found.update(bases_of(take, at_home))
    return found


def _batches(takes: list[Take]) -> Iterator[list[Take]]:
    """So much that is fetched and written at a time, of a limited number of folders."""
    batch: list[Take] = []
    folders: set[str] = set()
    size = 0
    for take in takes:
        folders.add(facts.parent(take.path))
        is_full = size + take.told.size > MAX_BYTES or len(folders) > MAX_HELD
        if batch and (is_full or len(batch) >= MAX_FILES):
            yield batch
            batch, size, folders = [], 0, {facts.parent(take.path)}
        batch.append(take)
        size += take.told.size
    if batch:
        yield batch

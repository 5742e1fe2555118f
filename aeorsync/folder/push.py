"""Bringing to the server what the folder has.

    read      files of which the scan knows no more than how they look; once, and as a whole
    check     which chunks of a batch does the server lack?
    read      those of other files; each is what it was when it was scanned, or its file waits
    send      chunks of large files, a few requests at a time
    commit    everything of the batch at once, with the chunks of small files
    record    what is agreed now

While a batch is committed the next ones are read. A path that the server refuses is taken out of
its batch and listed, and the rest goes on. Nothing is written down before it is durable there, so
a push that breaks off is repeated, and `check` finds what has arrived already.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aeorsync.core.versions import Kind
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    StaleError,
    UnauthorizedError,
    UnavailableError,
)
from aeorsync.folder import sent
from aeorsync.folder.batches import LARGE, Batch, batches
from aeorsync.folder.commits import agreed_on, request
from aeorsync.folder.events import Deleted, Moved, Phase, Side, Uploaded, Why
from aeorsync.folder.plan import Give, Plan, Settled
from aeorsync.folder.reading import Fresh, read_edited, read_fresh, read_wanted
from aeorsync.folder.recipes import Recipes, after, lacking
from aeorsync.folder.root import DiskError
from aeorsync.folder.sending import send_file, send_fresh
from aeorsync.folder.work import CURSOR, Gauge, Made, Work, conflicted
from aeorsync.runtime import bridge, straight
from aeorsync.wire.blobs import (
    CommitReply,
)
from aeorsync.wire.framing import Chunk
from aeorsync.wire.limits import KIB

if TYPE_CHECKING:
    import asyncio

AHEAD: Final = 2
"""Batches that are read while another one is committed."""
UNASKED: Final = 64 * KIB
"""So few bytes are sent without asking whether they are there."""
MAX_REFUSED: Final = 100
"""After so many refusals in one pass the server is not asked about more."""


_Ready = tuple[Batch, list[Chunk]]
"""What is committed next, and the chunks that go along."""


async def push(work: Work, plan: Plan) -> None:
    """Carry out what a plan gives to the server and deletes there.

    Raises:
        AeorError: The server cannot be reached, or refuses us altogether. What was committed is
            recorded.
    """
    await _Push(work, plan).run()


class _Push:
    def __init__(self, work: Work, plan: Plan) -> None:
        self._work = work
        self._plan = plan
        self._refused = 0
        sizes = [give.here.size for give in plan.give if give.here.kind is Kind.FILE]
        total = len(plan.give) + len(plan.drop)
        self._gauge = Gauge(Phase.PUSH, work.report, total, sum(sizes))
        self._sources: dict[bytes, list[str]] = defaultdict(list)
        self._resent: set[str] = set()
        self._large: asyncio.Lock | None = None
        self._since: str | None = None

    async def run(self) -> None:
        await bridge.run(self._find_sources)
        self._since = await bridge.run(self._stand)
        waiting = batches(self._plan)
        ahead: deque[straight.Begun[_Ready]] = deque()
        try:
            while True:
                while len(ahead) < AHEAD and (batch := next(waiting, None)) is not None:
                    ahead.append(straight.begin(self._prepare(batch)))
                if not ahead:
                    return
                batch, chunks = await ahead[0]
                ahead.popleft()
                if len(ahead) < AHEAD and (following := next(waiting, None)) is not None:
                    ahead.append(straight.begin(self._prepare(following)))
                if self._refused < MAX_REFUSED:
                    await self._commit(batch, chunks)
                else:
                    self._give_up(batch)
        finally:
            await straight.end(ahead)

    def _find_sources(self) -> None:
        """Which content goes away somewhere: what comes elsewhere was moved."""
        if not any(give.was is None for give in self._plan.give):
            return
        for drop in self._plan.drop:
            agreed = self._work.ledger.agreed(drop.path) if drop.kind is Kind.FILE else None
            if agreed is not None and agreed.fingerprint.size:
                self._sources[agreed.content].append(drop.path)

    def _stand(self) -> str | None:
        """Where we stand, if there is no more to hear of what is sent than that it is done."""
        gives, drops = self._plan.give, self._plan.drop
        paths = {give.path for give in gives} | {drop.path for drop in drops}
        ledger = self._work.ledger
        if ledger.notes(sent.SENT) or not paths.isdisjoint(conflicted(ledger)):
            # Who stands after a commit never hears of an earlier one of which no answer came.
            return None
        return self._work.ledger.noted(CURSOR)

    # Reading

    def _one_large(self) -> "asyncio.Lock":
        import asyncio  # noqa: PLC0415  # there by now, but not where all is small

        self._large = self._large or asyncio.Lock()
        return self._large

    async def _prepare(self, batch: Batch) -> _Ready:
        if batch.size > LARGE:
            async with self._one_large():
                return await self._send_ahead(batch)
        unread = [give for give in batch.gives if give.is_unread]
        fresh = Fresh()
        if unread:
            fresh = await bridge.run(read_fresh, self._work.root, unread)
            batch = self._without(batch, fresh.spoiled).having(fresh.contents)
        files = [give for give in batch.gives if give.content is not None]
        if not files:
            return batch, []
        new = [give for give in files if not self._was_moved(give)]
        if batch.size > UNASKED:
            wanted = await lacking(self._work, new)
        else:
            wanted = {place.id for give in new for place in after(give)}
        read = await bridge.run(read_wanted, self._work.root, files, wanted, fresh.data)
        chunks = read.chunks
        if batch.size > UNASKED:
            chunks = await Recipes(self._work).send(files, chunks)
        return self._without(batch, read.spoiled), chunks

    async def _send_ahead(self, batch: Batch) -> _Ready:
        """Send the chunks of large files; what is left of the batch needs no chunks."""
        for give in batch.gives:
            try:
                if give.is_unread and give.was is None:
                    content = await send_fresh(self._work, give, self._gauge)
                    batch = batch.having({give.path: content})
                elif give.is_unread:
                    # Most of it is there: what is not is found when all of it was read.
                    content = await bridge.run(read_edited, self._work.root, give)
                    batch = batch.having({give.path: content})
                    edited = give._replace(content=content, is_unread=False)
                    await send_file(self._work, edited, self._gauge)
                elif give.content is not None and not self._was_moved(give):
                    await send_file(self._work, give, self._gauge)
            except (StaleError, DiskError) as error:
                self._spoil(give.path, error)
                batch = batch.without(give.path)
        return batch, []

    def _without(self, batch: Batch, spoiled: Mapping[str, AeorError]) -> Batch:
        for path, error in spoiled.items():
            self._spoil(path, error)
        return batch.without(*spoiled) if spoiled else batch

    def _spoil(self, path: str, error: AeorError) -> None:
        if isinstance(error, StaleError):
            self._work.tally.again.add(path)
        else:
            self._work.trouble(path, Why.UNREADABLE, error.message)

    # Committing

    async def _commit(self, batch: Batch, chunks: list[Chunk]) -> None:
        while batch.count:
            new = {give.path for give in batch.gives if give.was is None}
            op = await bridge.run(sent.note, self._work, self._settled(batch), new)
            try:
                reply = await self._work.server.commit(
                    request(batch, self._work.scope, op, self._since), chunks
                )
            except (UnauthorizedError, UnavailableError):
                raise
            except AeorError as error:
                await bridge.run(sent.forget, self._work, op)
                path = None if error.path is None else self._work.scope.relative(error.path)
                left = batch if path is None else batch.without(path)
                if path is None or left.count == batch.count:
                    raise
                if await self._sent_whole(batch, path, error):
                    continue
                self._refuse(path, error)
                batch = left
                if self._refused >= MAX_REFUSED:
                    self._give_up(batch)
                    return
            else:
                self._work.tally.bytes_sent += sum(len(chunk.stored) for chunk in chunks)
                await self._write_down(batch, reply, op)
                self._tell(batch)
                return

    async def _write_down(self, batch: Batch, reply: CommitReply, op: str) -> None:
        """Record a commit, and where that leaves us, if it is all that happened."""
        work, made = self._work, dict[str, Made]()
        is_all = not any(work.scope.relative(path) for path in reply.above)
        self._since = (reply.root_hash or None) if is_all else None
        if self._since is None:
            # A cursor from before this would be good for an older copy of the server, too,
            # which lacks it: then what we made would look deleted.
            work.tally.is_stale = True
            self._expect_more(reply)
            made = self._made(batch, reply)
        settled, note = self._settled(batch, reply), sent.SENT + op
        await bridge.run(work.settle_made, settled, made, note, self._since)

    async def _sent_whole(self, batch: Batch, path: str, error: AeorError) -> bool:
        """Send all chunks of a file once: those it had may be no more, or not ours to refer to."""
        give = next((give for give in batch.gives if give.path == path), None)
        if not isinstance(error, BadRequestError) or give is None or give.content is None:
            return False
        if path in self._resent:
            return False
        self._resent.add(path)
        try:
            await send_file(self._work, give, None, is_whole=True)
        except StaleError:
            return False
        return True

    def _settled(self, batch: Batch, reply: CommitReply | None = None) -> list[Settled]:
        """What is agreed on when a batch is done; without an answer, but for the versions."""
        relative = self._work.scope.relative
        dones = () if reply is None else (*reply.files, *reply.links)
        told = {relative(done.path): done for done in dones}
        settled = [Settled(drop.path, None) for drop in batch.drops]
        for give in batch.gives:
            done = told.get(give.path)
            settled.append(Settled(give.path, self._work.seen(agreed_on(give, done))))
        return settled

    def _made(self, batch: Batch, reply: CommitReply) -> dict[str, Made]:
        """What the server has to tell of, by what it did."""
        relative = self._work.scope.relative
        done = {relative(one.path): one.version for one in (*reply.files, *reply.links)}
        deleted = {relative(one.path) for one in reply.deletes if one.version}
        made = {drop.path: Made.DELETED for drop in batch.drops if drop.path in deleted}
        for give in batch.gives:
            if give.was is None:
                made[give.path] = Made.NEW
            elif done.get(give.path, "") not in {"", give.was.version}:
                made[give.path] = Made.EDITED
        return made

    def _expect_more(self, reply: CommitReply) -> None:
        """Look once more at what is in conflict now, and forget nothing that was told of it.

        What we sent may be a version that was there already, as when we were killed before we
        wrote down that we had sent it; then nothing changed on the server, and nothing is told.
        """
        work = self._work
        for done in (*reply.files, *reply.links, *reply.deletes):
            path = work.scope.relative(done.path) if done.conflict else None
            if path is not None:
                work.tally.again.add(path)
                work.shows.add(path)

    def _tell(self, batch: Batch) -> None:
        work, tally = self._work, self._work.tally
        moved: set[str] = set()
        for give in batch.gives:
            source = self._source_of(give)
            tally.uploaded += 1
            if source is None:
                work.report(Uploaded(give.path, _size(give), give.was is None))
            else:
                tally.moved += 1
                moved.add(source)
                work.report(Moved(source, give.path, Side.REMOTE))
        given = {give.path for give in batch.gives}
        for drop in batch.drops:
            tally.deleted_remote += drop.path not in given
            if drop.path not in moved and drop.path not in given:
                work.report(Deleted(drop.path, Side.REMOTE))
        sent = 0 if batch.size > LARGE else batch.size
        self._gauge.add(batch.count, sent)

    def _was_moved(self, give: Give) -> bool:
        """Whether a file was elsewhere, so that its chunks are there."""
        content = give.content
        return give.was is None and content is not None and content.hash in self._sources

    def _source_of(self, give: Give) -> str | None:
        if give.was is not None or give.content is None:
            return None
        sources = self._sources.get(give.content.hash)
        return sources.pop(0) if sources else None

    def _refuse(self, path: str, error: AeorError) -> None:
        self._refused += 1
        tally = self._work.tally
        tally.is_stale = True
        if path not in tally.retried:
            # What was in its way may be gone by then, as the versions in conflict in a folder.
            tally.retried.add(path)
            tally.again.add(path)
        text = f"the server refused it: {error.told or error.message}; it is kept as it is here"
        self._work.trouble(path, Why.REFUSED, text)

    def _give_up(self, batch: Batch) -> None:
        text = f"it was not sent: the server refused {MAX_REFUSED} others before it"
        for path in (*(give.path for give in batch.gives), *(drop.path for drop in batch.drops)):
            self._work.trouble(path, Why.REFUSED, text)


def _size(give: Give) -> int:
    return give.here.size if give.here.kind is Kind.FILE else 0

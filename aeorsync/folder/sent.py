"""Commits of which nobody heard the answer, because we were killed or the connection broke.

Each is noted before it is sent, with what is agreed on if it is done, and the note goes together
with what the answer said. What is found at the start of a pass was never answered:

    the server remembers the commit        its answer is taken as if it came now
    it does not, but shows just that       the same: nobody else writes the same with the same time
    neither                                it never came; what is here is sent as before

Where nothing is told of what we deleted, the deletion never came. Else, and where the path is here
again, nothing is agreed on about it any more: what somebody made again is not deleted for our own
deletion.

So what others made of our versions meanwhile is later than ours, not beside it, and what they
deleted does not come back.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from aeorsync.core.versions import Kind
from aeorsync.errors import NotFoundError
from aeorsync.folder.facts import Agreed, Fingerprint
from aeorsync.folder.plan import Settled
from aeorsync.folder.told import Loser, Told
from aeorsync.folder.work import Made, Work
from aeorsync.runtime import bridge, chance
from aeorsync.wire.blobs import CommitReply

SENT: Final = "sent "
"""What the names of notes about such commits begin with."""


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """What is agreed on at a path if a commit was done; see `facts.Agreed`."""

    path: str
    look: tuple[int, int, int, int, int, bool] | None
    mtime_ns: int = 0
    content: bytes = b""
    chunks: bytes = b""
    is_new: bool = False

    def agreed(self, base: str, version: str) -> Agreed | None:
        """The same, by the name that the server gave it; None for nothing."""
        if self.look is None:
            return None
        look = Fingerprint(Kind(self.look[0]), *self.look[1:])
        return Agreed(look, self.mtime_ns, self.content, self.chunks, base, version, is_racy=True)

    def is_shown_as(self, told: Told | Loser) -> bool:
        """Whether a version is this very one."""
        if self.look is None or self.look[0] != told.kind or told.kind == Kind.DIRECTORY:
            return False
        ours = self.content, self.mtime_ns, self.look[5]
        return ours == (told.content, told.mtime_ns, told.executable)


_decode: Final = msgspec.json.Decoder(list[Sent]).decode


def note(work: Work, settled: Iterable[Settled], new: set[str]) -> str:
    """Note what is about to be sent, durably, and return the name of the commit. Blocking."""
    op = chance.token_hex(16)
    rows = [
        Sent(path, None)
        if agreed is None
        else Sent(
            path,
            tuple(agreed.fingerprint),  # type: ignore[arg-type]
            agreed.mtime_ns,
            agreed.content,
            agreed.chunks,
            path in new,
        )
        for path, agreed in settled
    ]
    work.ledger.note(SENT + op, msgspec.json.encode(rows).decode())
    return op


def forget(work: Work, op: str) -> None:
    """Forget a commit that was answered. Blocking."""
    work.ledger.note(SENT + op, None)


async def hear(work: Work) -> None:
    """Take the answers of commits that nobody heard; `Work.sent` has what is left to be seen.

    Raises:
        AeorError: The server cannot be reached.
    """
    for name, text in (await bridge.run(work.ledger.notes, SENT)).items():
        rows = _decode(text)
        try:
            reply = await work.server.committed(name.removeprefix(SENT))
        except NotFoundError:
            await bridge.run(_keep, work, rows)
            continue
        await bridge.run(_take, work, name, rows, reply)


def _keep(work: Work, rows: Iterable[Sent]) -> None:
    for row in rows:
        work.sent.setdefault(row.path, []).append(row)


def _take(work: Work, name: str, rows: list[Sent], reply: CommitReply) -> None:
    relative = work.scope.relative
    done = {relative(one.path): one for one in (*reply.files, *reply.links)}
    deleted = {relative(one.path) for one in reply.deletes if one.version}
    settled: list[Settled] = []
    made: dict[str, Made] = {}
    for row in rows:
        one = done.get(row.path)
        agreed = row.agreed((one.etag or "") if one else "", one.version if one else "")
        settled.append(Settled(row.path, agreed))
        if agreed is not None:
            made[row.path] = Made.NEW if row.is_new else Made.EDITED
        elif row.path in deleted:
            made[row.path] = Made.DELETED
    work.settle_made(settled, made, name)


def recognise(work: Work, path: str, told: Told | None) -> None:
    """Agree on a version that is shown, if it is one that we sent. Blocking.

    What is shown in place of what we deleted leaves nothing to agree on, nor does nothing.
    """
    rows = work.sent.get(path)
    if rows is None:
        return
    agreed = work.ledger.agreed(path)
    is_other = told is None or agreed is None or told.version != agreed.version
    if is_other and any(row.look is None for row in rows) and work.root.look(path) is not None:
        work.ledger.forget([path])
        work.recognised.add(path)
    if told is None:
        return
    versions: list[tuple[Told | Loser, str]] = [(told, told.base)]
    versions += [(loser, loser.etag) for loser in told.losers]
    for row in rows:
        for shown, base in versions:
            known = row.agreed(base, shown.version) if row.is_shown_as(shown) else None
            if known is not None:
                work.ledger.record([(path, known)])
                work.recognised.add(path)
                return


def end(work: Work) -> None:
    """Forget what never came, now that all was told. Blocking."""
    if work.sent:
        with work.ledger.transaction():
            for name in work.ledger.notes(SENT):
                work.ledger.note(name, None)
        work.sent.clear()

"""What the server told since the cursor, written into the ledger.

    page by page    what is not as agreed waits there (`Ledger.pending`), in one transaction
    a difference    its cursor is written down after each page
    a listing       only at its end, when what it did not tell is known to be gone

A difference says nothing of a path that was not there at the cursor and is not there now. So what
we did since then is noted (`work.MADE`), and what is not told of that

    was made        was deleted again by another, or the server forgot it: `judging` finds out
    was edited      the server may have forgotten: likewise
    was deleted     the server forgot, so it has to list everything

A server that lists everything may be another one than before, or one put back to an older copy, or
our key may see less by now. What it does not tell may be gone, or nobody deleted it: that is noted
(`DOUBT`), and where it has never seen what we hold (`judging`), the brake has a person decide.
"""

from typing import Final

import msgspec

from aeorsync.errors import BadRequestError
from aeorsync.folder import sent, told
from aeorsync.folder.events import Phase, Progress
from aeorsync.folder.facts import Agreed
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.told import Told
from aeorsync.folder.work import CURSOR, MADE, Made, Work
from aeorsync.runtime import bridge
from aeorsync.wire.protocol import DiffReply

DOUBT: Final = "doubt"
"""Noted while changes wait that were told by a listing."""


class _Heard(msgspec.Struct, frozen=True):
    """What a page told: all paths, and those that are not as agreed."""

    told: list[str]
    news: list[str]


class Observer:
    """Listens once."""

    def __init__(self, work: Work, conflicted: set[str]) -> None:
        """Prepare.

        Args:
            work: The pass.
            conflicted: Paths that are known to be in conflict.
        """
        self._work = work
        self._ledger = work.ledger
        self._conflicted = conflicted
        self._has_lost_deletions = False

    async def run(self) -> set[str]:
        """Write down what the server told, and return the paths."""
        newly = await self._hear(await bridge.run(self._ledger.noted, CURSOR))
        if self._has_lost_deletions:
            newly |= await self._hear(None, doubts=False)
        await bridge.run(sent.end, self._work)
        return newly

    async def _hear(self, cursor: str | None, *, doubts: bool = True) -> set[str]:
        newly: set[str] = set()
        listed: set[str] | None = None
        is_new = await bridge.run(self._ledger.is_empty)
        while True:
            page = await self._work.server.diff(cursor, self._work.scope.globs, packed=True)
            if page.full and (listed is None or page.begins):
                # Also in the middle of another one, when the server was replaced meanwhile.
                listed, newly = set(), set()
                if doubts and not is_new:
                    await bridge.run(self._ledger.note, DOUBT, "")
            if page.more and page.root_hash == cursor:
                raise BadRequestError("the server tells the same page again and again")
            found = await bridge.run(self._note_page, page, is_new=is_new)
            newly.update(found.news)
            if listed is not None:
                listed.update(found.told)
            cursor = page.root_hash
            self._work.report(Progress(Phase.LISTING, len(newly), 0))
            if not page.more:
                break
            if listed is None:
                await bridge.run(self._ledger.note, CURSOR, cursor)
        newly.update(await bridge.run(self._note_end, listed, cursor))
        return newly

    def _note_page(self, page: DiffReply, *, is_new: bool) -> "_Heard":
        found = told.read_page(page, self._work.scope)
        news: dict[str, bytes] = {}
        settled: list[str] = []
        # A page that is lost is asked for again: the cursor is written down after it.
        with self._ledger.transaction(lasts=False):
            made = self._ledger.notes(MADE)
            # Where nothing waits, nothing is gone that waits to be taken over.
            waits = self._ledger.has_pending()
            names = (MADE + path for path in found)
            self._ledger.note_all({name: None for name in names if name in made})
            for path, state in found.items():
                sent.recognise(self._work, path, state)
                agreed = None if is_new else self._ledger.agreed(path)
                is_there = agreed is not None and state is not None
                if is_there and waits and self._is_reborn(path):
                    self._ledger.forget([path])
                    self._work.reborn.add(path)
                    agreed = None
                if self._is_known(path, agreed, state):
                    settled.append(path)
                    continue
                news[path] = told.encode(state)
            if waits:
                self._ledger.settle(*settled)
            self._ledger.postpone_all(news.items())
        return _Heard(list(found), list(news))

    def _is_reborn(self, path: str) -> bool:
        """Whether a path that was gone on the server and is gone here is there again.

        We may have deleted it here and been killed before we wrote that down. Then it was nobody's
        wish, and must not be done to the new one, which may look just like the old one.
        """
        return self._ledger.change_of(path) == b"" and self._work.root.look(path) is None

    def _is_known(self, path: str, agreed: Agreed | None, state: Told | None) -> bool:
        """Whether nothing is new: often what is told are our own changes."""
        if path in self._conflicted:
            return False
        if agreed is None or state is None:
            return agreed is None and state is None
        if state.losers or state.kind != agreed.kind:
            return False
        return (state.version, state.base) == (agreed.version, agreed.base)

    def _note_end(self, listed: set[str] | None, cursor: str) -> list[str]:
        """The server told everything up to the present."""
        with self._ledger.transaction():
            gone = self._note_undone() if listed is None else self._note_missing(listed)
            # Should we be killed before all is listed, the next pass begins with that.
            has_to_list = listed is None and self._has_lost_deletions
            value = None if has_to_list else cursor
            if self._ledger.noted(CURSOR) != value:
                self._ledger.note(CURSOR, value)
        return gone

    def _note_undone(self) -> list[str]:
        """What we did since the cursor and is not told: deleted again, or the server forgot it.

        A difference says nothing of a path that was not there before and is not there now. What
        we edited stays noted until the server has said whether it has ever seen that.
        """
        gone = []
        for name, what in self._ledger.notes(MADE).items():
            path = name.removeprefix(MADE)
            if what == Made.EDITED.value:
                self._work.undone.add(path)
                continue
            self._ledger.note(name, None)
            if what == Made.DELETED.value:
                self._has_lost_deletions = True
            elif self._ledger.change_of(path) is None:
                # Else it was told before, as when the server had the very same already.
                self._ledger.postpone(path, b"")
                gone.append(path)
        return gone

    def _note_missing(self, listed: set[str]) -> list[str]:
        """What a whole listing does not tell is not there any more."""
        for path in self._work.sent.keys() - listed:
            sent.recognise(self._work, path, None)
        gone = [path for path, _ in self._ledger.below() if path not in listed]
        stale = [path for path, _ in all_pending(self._ledger) if path not in listed]
        with self._ledger.transaction():
            for note in self._ledger.notes(MADE):
                self._ledger.note(note, None)
            self._ledger.settle(*stale)
            for path in gone:
                self._ledger.postpone(path, b"")
        return gone


def all_pending(ledger: Ledger) -> list[tuple[str, bytes]]:
    """All that was told and not taken over yet."""
    found: list[tuple[str, bytes]] = []
    after = ""
    while some := ledger.pending(after):
        found += some
        after = some[-1][0]
    return found

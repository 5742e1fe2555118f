"""``POST /sync/diff`` as AeorDB nodes ask it: told what they lack, and never what came from them.

What such a node had when we last looked, a moment ago, is known path by path
(`storage.foreign`). So of all that changed here since it last asked, and all it was told before
and did not take, it is told what differs from that. What it is told is noted first: when it shows
it later, that is no change of its own.
"""

from aeorsync.api.diff_page import DiffPage
from aeorsync.api.node import Node
from aeorsync.cluster.foreign_reader import Asked, Reader
from aeorsync.cluster.walk import Sieve, Step, is_done, is_usable, start, walk
from aeorsync.core.cursors import Cursor, parse_hex
from aeorsync.core.foreign import GONE, Had, is_private, parse_token, print_token, union
from aeorsync.core.merge import see
from aeorsync.core.paths import from_key
from aeorsync.core.versions import Entry, Kind, covers
from aeorsync.runtime import bridge
from aeorsync.storage.adopt import mark_of
from aeorsync.storage.base import Head
from aeorsync.storage.foreign import ForeignBook
from aeorsync.storage.repository import Repository
from aeorsync.wire.protocol import Changes, DiffReply

_OWED = 1_000
"""Paths a page tells once more, at most."""


async def foreign_reader(node: Node, since: str | None, root: str, host: str) -> Reader:
    """Who asks, looked at."""
    token = None if since is None else parse_token(since)
    return await node.member.readers.find(Asked(token, root, host))


def plain_since(since: str | None) -> str | None:
    """The cursor in a token, as it is read by those who do not care who sends it."""
    token = None if since is None else parse_token(since)
    return since if token is None else token.since


async def foreign_reply(node: Node, reader: Reader, since: str | None, sieve: Sieve) -> DiffReply:
    """One page for an AeorDB node that is known."""
    if reader.link is None or not reader.is_ready:
        token = since or node.repository.head.root.hex()
        if since is None:
            token = print_token(0, 0, start(node.repository, node.repository.head))
        return DiffReply(root_hash=token, changes=Changes())
    reply = await bridge.run(_page, node, reader.book, reader.link.record.id, since, sieve)
    if reply.changes != Changes():
        reader.look_again()
    return reply


def _page(node: Node, book: ForeignBook, link: int, since: str | None, sieve: Sieve) -> DiffReply:
    repository = node.repository
    with repository.view() as view:
        head = view.head
        cursor = _cursor(repository, head, since)
        page = DiffPage(
            repository, node.seal_secret, exact=False, bounds_chunks=True, absolute_links=True
        )
        teller = _Teller(repository, book, link, page)
        # What it did not take comes first: there is little of it, and it has waited.
        for key in book.owed(link, b"", _OWED):
            step = Step(cursor, key, found=view.entry(key))
            if not page.has_room_for(step):
                break
            if sieve.passes(key):
                teller.tell(step)
        for step in walk(repository, view, cursor, sieve):
            if not page.has_room_for(step):
                break
            cursor = step.cursor
            teller.tell(step)
        turn = teller.note(node.wall.now_ms())
    return page.reply(print_token(link, turn, cursor), more=not is_done(cursor, head), full=False)


def _cursor(repository: Repository, head: Head, since: str | None) -> Cursor:
    token = parse_hex(plain_since(since) or "")
    if token is not None and is_usable(token, head, repository):
        return token
    return start(repository, head)


class _Teller:
    """Puts on a page what one peer lacks."""

    def __init__(
        self, repository: Repository, book: ForeignBook, link: int, page: DiffPage
    ) -> None:
        self._repository = repository
        self._book = book
        self._link = link
        self._page = page
        self._told: dict[bytes, Had] = {}
        self._settled: list[bytes] = []

    def tell(self, step: Step) -> None:
        """Tell of a path, unless the peer has what is here."""
        key, entry = step.key, step.entry
        if key is None or key in self._told or is_private(from_key(key)):
            return
        had = self._book.had(self._link, [key]).get(key)
        state = self._state(key, entry, had)
        if state is None or state.mark == (GONE if had is None else had.mark):
            self._settled.append(key)
            return
        self._told[key] = state
        self._page.add_for(key, entry, 0 if had is None else had.kind)

    def note(self, now_ms: int) -> int:
        """Note what the peer is about to be told; returns the number of this answer."""
        self._book.settle(self._link, self._settled)
        return self._book.give(self._link, self._told, now_ms)

    def _state(self, key: bytes, entry: Entry | None, had: Had | None) -> Had | None:
        """What is here, as the peer would have it; None when it has just that."""
        sight = None if entry is None else see(entry)
        if entry is None or sight is None or not sight.is_live:
            return Had(0, GONE, () if entry is None else entry.context)
        version = sight.winner
        if version.kind == Kind.DIRECTORY:
            return Had(0, GONE, entry.context)
        is_alone = len(entry.versions) == 1
        if is_alone and had is not None and covers(had.context, version.dot):
            return None
        context = union(version.vector, (version.dot,))
        return Had(version.kind, mark_of(self._repository, from_key(key), version), context)

"""Which AeorDB node it is that pulls from us: it does not say.

An AeorDB node overwrites its files with whatever it is told. So before it is told anything, we
look at what it has; what was changed there is a version of ours then, and safe. To do that we must
know which link leads to it:

    it sends                                                    it is
    --------                                                    -----
    a token of ours                                             the one it was given to
    its root, and a peer has that root when we look             that peer
    neither, from the address of a peer that may be it          not told anything for now
    neither, from elsewhere                                     a stranger: told everything

A peer that cannot be looked at is not told anything either; it asks again in 30 seconds.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aeorsync.cluster.peers import LinkBook, LinkRecord
from aeorsync.core.foreign import Token
from aeorsync.errors import AeorError
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger
from aeorsync.storage.foreign import ForeignBook

if TYPE_CHECKING:
    from aeorsync.cluster.open_link import OpenLink

LOOK_S: Final = 10.0
"""Longest time a peer waits for its answer while we look at it."""
LOOK_AGAIN_S: Final = 2.0
"""How long after it was told something we look whether it took it."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an AeorDB node sent.

    Attributes:
        token: The token of ours that it sent; None without one.
        root: Its root.
        host: The address it came from.
    """

    token: Token | None
    root: str
    host: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks.

    Attributes:
        link: Its link; None for a stranger.
        book: What is known of it.
        is_ready: Whether it may be told anything now.
    """

    link: "OpenLink | None"
    book: ForeignBook
    is_ready: bool

    def look_again(self) -> None:
        """It was told something: see soon whether it took it."""
        if self.link is not None:
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self.link.wake)


class Readers:
    """Those that pull from one node as AeorDB nodes do. Belongs to one event loop."""

    def __init__(
        self, links: Mapping[int, "OpenLink"], book: ForeignBook, links_book: LinkBook
    ) -> None:
        """Know them by ``links``, whatever these are at the time."""
        self._links = links
        self._book = book
        self._links_book = links_book

    async def find(self, asked: Asked) -> Reader:
        """Tell who asks, having looked at it."""
        links, token = list(self._links.values()), asked.token
        known = None if token is None else self._links.get(token.link)
        if token is not None and known is not None:
            # It saves a token when it has dealt with the answer, so that is past now.
            await bridge.run(self._book.ack, token.link, token.turn)
            return Reader(known, self._book, await _look(known))
        foreign = [link for link in links if link.foreigner is not None]
        are_seen = await asyncio.gather(*map(_look, foreign))
        for link, is_seen in zip(foreign, are_seen, strict=True):
            if is_seen and link.foreigner is not None and link.foreigner.root == asked.root:
                # Without a token it starts afresh: has it lost its data?
                link.foreigner.is_first = True
                await bridge.run(self._book.ack, link.record.id, 0)
                return Reader(link, self._book, await _look(link))
        records = [link.record for link in links]
        if await bridge.run(_may_be, asked.host, records, self._book, self._links_book):
            _log.info("peer is not told anything until it is known which it is", host=asked.host)
            return Reader(None, self._book, is_ready=False)
        return Reader(None, self._book, is_ready=True)

    async def doubt(self) -> None:
        """Some reader did not get all the chunks it asked for."""
        await bridge.run(self._book.doubt)


async def _look(link: "OpenLink") -> bool:
    """Look at a peer; returns whether it may be told anything now."""
    if not link.record.pushes:
        return False
    if not link.record.pulls:
        return link.is_active  # what it has is nothing to us, by somebody's wish
    if link.foreigner is None or not link.is_active:
        return False
    try:
        async with asyncio.timeout(LOOK_S):
            await link.pulled()
    except (TimeoutError, AeorError):
        return False
    return True


def _may_be(
    host: str, records: Sequence[LinkRecord], book: ForeignBook, links_book: LinkBook
) -> bool:
    """Whether a peer that may be an AeorDB node lives at an address. Blocking."""
    for record in records:
        if book.followed(record.id) is None and links_book.cursor(record) is not None:
            continue  # it speaks frames
        name = urlsplit(record.address).hostname or ""
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        if host in {address[4][0] for address in found}:
            return True
    return False

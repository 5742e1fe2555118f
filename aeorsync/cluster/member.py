"""This node's part in the cluster: its links, kept running, and what may be done with them."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from aeorsync.cluster.asked import run_cycles
from aeorsync.cluster.foreign_reader import Readers
from aeorsync.cluster.graves import MAX_INTERVAL_S, Graves
from aeorsync.cluster.join import Dial, dial
from aeorsync.cluster.link import Link
from aeorsync.cluster.manners import introduce, take_leave
from aeorsync.cluster.offers import Stance, stance_of
from aeorsync.cluster.open_link import OpenLink
from aeorsync.cluster.past import Past
from aeorsync.cluster.peers import (
    LinkBook,
    LinkRecord,
    PeerState,
    TriggerReport,
    parse_address,
)
from aeorsync.cluster.repairs import Repaired, repair_all
from aeorsync.cluster.rescue import Rescue
from aeorsync.cluster.roster import Roster
from aeorsync.cluster.site import Site
from aeorsync.cluster.tally import Tally
from aeorsync.cluster.terms import RESTARTING, Removal, news, parse_terms
from aeorsync.errors import ConflictError, NotFoundError
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Mint
from aeorsync.runtime import bridge, chance
from aeorsync.runtime.bus import Bus
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.log import get_logger
from aeorsync.runtime.tasks import Supervisor
from aeorsync.storage.foreign import ForeignBook
from aeorsync.storage.identities import new_node_id
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from aeorsync.wire.terms import PeerTerms

NO_TERMS: Final = PeerTerms()

_log = get_logger(__name__)


class Member:
    """The links of this node. Belongs to one event loop.

    Attributes:
        node_id: This node's id.
        readers: Those that pull from us as AeorDB nodes do.
        roster: Who belongs to the cluster.
    """

    def __init__(  # noqa: PLR0913  # a node is put together here, by name
        self,
        repository: Repository,
        mint: Mint,
        wall: WallClock,
        *,
        sync_interval_s: float,
        own_url: str | None = None,
        grave_retention_s: float | None = None,
        commits: Bus[Committed] | None = None,
        dial: Dial = dial,
        jitter: Callable[[], float] = chance.fraction,
        foreign: ForeignBook | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            repository: This node's files.
            mint: Makes a sync token that every node of the cluster believes.
            wall: The clock.
            sync_interval_s: Seconds after which a peer without news is asked all the same.
            own_url: Base URL of this node, if it is known.
            grave_retention_s: Seconds after which a deletion may be forgotten; None for never.
            commits: Tells of local commits; None where nobody does.
            dial: Makes the way to an address.
            jitter: Returns a random number from 0 to 1.
            foreign: What is known of peers that are AeorDB nodes.
            tally: Keeps count of the cycles; None for one that remembers nothing afterwards.
        """
        self.node_id = repository.head.node
        self.roster = Roster(repository)
        self._own_url = own_url
        self._graves: Graves | None = None
        knowledge_s = MAX_INTERVAL_S
        if grave_retention_s is not None:
            self._graves = Graves(repository, wall, grave_retention_s)
            knowledge_s = self._graves.interval_s
        self._site = Site(
            repository,
            self.node_id,
            wall,
            lambda address: dial(address, mint).introduce(self.node_id, repository.epoch),
            sync_interval_s,
            jitter,
            foreign or ForeignBook(),
            tally or Tally(wall=wall),
            commits,
            self.roster,
            knowledge_s,
        )
        self._book = LinkBook(repository)
        self._rescue = Rescue(repository, self._ways)
        self._past = Past(repository, lambda: self._ways(is_whole=True))
        self._links: dict[int, OpenLink] = {}
        self.readers = Readers(self._links, self._site.foreign, self._book)
        self._stack = AsyncExitStack()
        self._supervisor: Supervisor | None = None
        self._links_lock = asyncio.Lock()

    async def start(self) -> None:
        """Run the links that are remembered, and those added from now on."""
        async with self._links_lock:
            self._supervisor = await self._stack.enter_async_context(Supervisor())
            for record in await bridge.run(self._book.links):
                if record.id not in self._links:
                    self._add_link(record)
            for link in self._links.values():
                self._start_link(link)
            self._supervisor.start("rescue", self._rescue.run)
            self._supervisor.start("past trees", self._past.run)
            self._supervisor.start("roster", self._unlink_removed)
            if self._graves is not None:
                self._supervisor.start("graves", self._graves.run)

    async def stop(self) -> None:
        """Stop all links; waits for what they write."""
        self._supervisor = None
        await self._stack.aclose()

    def peers(self) -> list[PeerState]:
        """How all links stand, oldest first."""
        return [link.peer_state() for link in self._links.values()]

    async def add_peer(
        self, address: str, terms: PeerTerms = NO_TERMS, node_id: int | None = None
    ) -> PeerState:
        """Link to a peer. Adding the same address again changes what is given.

        Args:
            address: Its base URL.
            terms: What else is said of the link.
            node_id: Whom to expect there; None to ask.

        Raises:
            BadRequestError: The address or a term is malformed.
            ConflictError: It is this node itself, or there is a link to it by another address.
            RemovedError: It was removed from the cluster.
        """
        address, changes = parse_address(address), parse_terms(terms)
        self._check_address(None, address)
        if node_id is None:
            node_id = await introduce(self._site, address)
        if node_id is not None:
            await self.roster.refuse_removed(node_id)
        async with self._links_lock:
            link = self._at(address)
            if node_id is not None:
                self._check_id(link, node_id)
                changes["node_id"] = node_id
            if link is not None:
                return await self._change(link, changes)
            record = LinkRecord(
                id=new_node_id(), address=address, added_at=self._site.wall.now_ms()
            )
            record = msgspec.structs.replace(record, **changes)
            await bridge.run(self._book.save, record)
            link = self._add_link(record)
            self._start_link(link)
            return link.peer_state()

    async def change_peer(self, node_id: int, terms: PeerTerms) -> PeerState:
        """Change what is said of a link, in one step; durable on return.

        What needs no new connection takes effect with the next cycle at the latest. Wider filters
        bring what was skipped, narrower ones leave what is there.

        Raises:
            BadRequestError: A term is malformed; nothing was changed.
            ConflictError: The new address is taken, or this node's own; nothing was changed.
            NotFoundError: No such peer.
        """
        changes = parse_terms(terms)
        address = changes.get("address")
        there = await introduce(self._site, address) if isinstance(address, str) else None
        async with self._links_lock:
            link = self._found(node_id)
            if isinstance(address, str):
                self._check_address(link, address)
            if there is not None:
                self._check_id(link, there)
                changes["node_id"] = there
            return await self._change(link, changes)

    async def admit(self, address: str, label: str | None, node_id: int | None) -> PeerState:
        """Link to a node that joined, or that we joined; an older address of it gives way.

        Raises:
            BadRequestError: The address or label is malformed.
            ConflictError: It is this node itself.
            RemovedError: It was removed from the cluster.
        """
        if node_id is not None:
            await self.roster.admit(node_id)
        known = self._find(node_id) if node_id is not None else None
        if known is not None and known.record.address != parse_address(address):
            await self.forget_peer(known.record.peer_id)
        terms = NO_TERMS if label is None else PeerTerms(label=label)
        return await self.add_peer(address, terms, node_id)

    async def _unlink_removed(self) -> None:
        """Drop the link to every node that is removed, for ever."""
        while True:
            for node_id in await self.roster.removed():
                while await self.forget_peer(node_id) is not None:
                    pass
            await self.roster.changed()

    async def remove_peer(self, node_id: int) -> Removal:
        """Unlink from a peer, and ask it to do the same; at most `LEAVE_S` are spent on asking.

        Raises:
            NotFoundError: No such peer.
        """
        record = await self.forget_peer(node_id)
        if record is None:
            raise NotFoundError(f"there is no peer {node_id}")
        return await take_leave(self._site, record)

    async def forget_peer(self, node_id: int) -> LinkRecord | None:
        """Unlink from a peer and forget how far it was followed; durable on return.

        Every removal goes through here: ours, and one that the peer asks for.

        Returns:
            What was known of it; None when it was no peer.
        """
        async with self._links_lock:
            link = self._find(node_id)
            if link is None:
                return None
            await self._stop_link(link)
            await bridge.run(self._book.remove, link.record)
            await bridge.run(self._site.foreign.forget, link.record.id)
            del self._links[link.record.id]
            _log.info("link removed", peer=link.record.address, node=link.record.peer_id)
            return link.record

    async def trigger(
        self,
        *,
        force_activate: bool = False,
        node_id: int | None = None,
        is_push: bool = False,
    ) -> TriggerReport:
        """Run a cycle with every active peer now and wait for it, 60 s at most each.

        Args:
            force_activate: Activate the other links first, whatever their clocks say.
            node_id: Only with this peer; None for all.
            is_push: Bring there what they lack, instead of pulling what we lack.

        Raises:
            NotFoundError: No such peer.
        """
        links = list(self._links.values()) if node_id is None else [self._found(node_id)]
        return await run_cycles(links, force_activate=force_activate, is_push=is_push)

    def stance(self, node_id: int) -> Stance:
        """How this node stands to one that offers it something, or asks how it stands."""
        link = self._known(node_id)
        return Stance() if link is None else stance_of(link)

    def note_offer(self, node_id: int) -> None:
        """All that a node offered was taken."""
        if link := self._known(node_id):
            link.standing.note_offer()

    def wake(self, node_id: int, *, repair: bool = False) -> None:
        """A peer says that it has news; a peer whose node id is not known yet may be meant.

        Args:
            node_id: The peer.
            repair: Its feed may not tell all of it: compare the trees.
        """
        for link in self._links.values():
            if link.record.node_id in {None, node_id}:
                link.wake()
                if repair:
                    link.mender.ask()

    async def repair(self, node_id: int | None = None) -> Repaired:
        """Compare trees with every active peer, or with one, now, and wait for it.

        Raises:
            NotFoundError: No such peer.
        """
        links = list(self._links.values()) if node_id is None else [self._found(node_id)]
        return await repair_all(links)

    async def rescue(self, chunks: Collection[bytes]) -> bool:
        """Ask the peers for chunks that are damaged or missing here.

        Returns:
            Whether all of them are here now.
        """
        return await self._rescue.fetch(chunks)

    def _ways(self, *, is_whole: bool = False) -> list[Remote]:
        """New ways to active peers; whoever takes them closes them.

        Args:
            is_whole: Only over links that nothing is kept off by a filter.
        """
        active = [x for x in self._links.values() if x.is_active and not x.standing.is_foreign]
        wanted = [x.record for x in active if not (is_whole and x.record.is_filtered)]
        return [self._site.dial(record.address) for record in wanted]

    def _at(self, address: str) -> OpenLink | None:
        return next((x for x in self._links.values() if x.record.address == address), None)

    def _found(self, node_id: int) -> OpenLink:
        link = self._find(node_id)
        if link is None:
            raise NotFoundError(f"there is no peer {node_id}")
        return link

    def _known(self, node_id: int) -> OpenLink | None:
        return next((x for x in self._links.values() if x.record.node_id == node_id), None)

    def _find(self, node_id: int) -> OpenLink | None:
        # A node id that was seen counts for more than a stand-in somebody was once told.
        by_rank = sorted(self._links.values(), key=lambda link: link.record.node_id != node_id)
        return next((link for link in by_rank if link.record.goes_by(node_id)), None)

    def _check_address(self, link: OpenLink | None, address: str) -> None:
        """Refuse an address that is our own, or, for a link, that of another one.

        Raises:
            ConflictError: It is.
        """
        if address == self._own_url:
            raise ConflictError(f"{address} is this node itself; nothing was changed")
        other = self._at(address)
        if link is not None and other is not None and other is not link:
            raise ConflictError(f"{address} is linked already; nothing was changed")

    def _check_id(self, link: Link | None, node_id: int) -> None:
        """Refuse a node id that answers where it should not.

        Raises:
            ConflictError: It is our own, or that of another link than ``link``.
        """
        if node_id == self.node_id:
            raise ConflictError("that address leads to this node itself")
        for other in self._links.values():
            if other is not link and other.record.node_id == node_id:
                text = f"node {node_id} is a peer already, at {other.record.address}"
                raise ConflictError(text)

    async def _change(self, link: OpenLink, changes: dict[str, object]) -> PeerState:
        changes = news(link.record, changes)
        if RESTARTING.isdisjoint(changes):
            if changes:
                await link.amend(**changes)
            link.hasten()
            return link.peer_state()
        await self._stop_link(link)
        try:
            await link.amend(**changes)
            link.resume() if link.record.enabled else link.pause()
        finally:
            self._start_link(link)
        return link.peer_state()

    def _add_link(self, record: LinkRecord) -> OpenLink:
        link = self._links[record.id] = OpenLink(self._site, record, self._check_id)
        return link

    def _start_link(self, link: OpenLink) -> None:
        if self._supervisor is not None and link.record.enabled:
            self._supervisor.start(_task_name(link), link.run)

    async def _stop_link(self, link: OpenLink) -> None:
        if self._supervisor is not None:
            await self._supervisor.stop(_task_name(link))


def _task_name(link: OpenLink) -> str:
    return f"link {link.record.id}"

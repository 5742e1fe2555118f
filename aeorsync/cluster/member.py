"""This node's part in the cluster: its links, kept running, and what may be done with them."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from aeorsync.cluster.foreign_reader import Asked, Reader, find_reader
from aeorsync.cluster.join import Dial, dial
from aeorsync.cluster.link import Link, Site
from aeorsync.cluster.peers import (
    LinkBook,
    LinkRecord,
    PeerResult,
    PeerSkipped,
    PeerState,
    TriggerReport,
    is_id,
    parse_address,
    parse_filters,
    parse_label,
)
from aeorsync.errors import AeorError, ConflictError, NotFoundError
from aeorsync.remote.connection import Mint
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.tasks import Supervisor
from aeorsync.storage.foreign import ForeignBook
from aeorsync.storage.repository import Repository, new_node_id

TRIGGER_S: Final = 60.0
"""Longest time one peer's cycle may take when somebody waits for it."""
_INTRODUCE_S: Final = 1.0


class Member:
    """The links of this node. Belongs to one event loop.

    Attributes:
        node_id: This node's id.
    """

    def __init__(  # noqa: PLR0913  # a node is put together here, by name
        self,
        repository: Repository,
        mint: Mint,
        wall: WallClock,
        *,
        sync_interval_s: float,
        own_url: str | None = None,
        dial: Dial = dial,
        jitter: Callable[[], float] = random.random,
        foreign: ForeignBook | None = None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            repository: This node's files.
            mint: Makes a sync token that every node of the cluster believes.
            wall: The clock.
            sync_interval_s: Seconds after which a peer without news is asked all the same.
            own_url: Base URL of this node, if it is known.
            dial: Makes the way to an address.
            jitter: Returns a random number from 0 to 1.
            foreign: What is known of peers that are AeorDB nodes.
        """
        self.node_id = repository.head.node
        self._own_url = own_url
        self._site = Site(
            repository,
            self.node_id,
            wall,
            lambda address: dial(address, mint),
            sync_interval_s,
            jitter,
            foreign or ForeignBook(),
        )
        self._book = LinkBook(repository)
        self._links: dict[int, Link] = {}
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

    async def stop(self) -> None:
        """Stop all links; waits for what they write."""
        self._supervisor = None
        await self._stack.aclose()

    def peers(self) -> list[PeerState]:
        """How all links stand, oldest first."""
        return [link.peer_state() for link in self._links.values()]

    async def add_peer(
        self,
        address: str,
        label: str | None = None,
        sync_paths: list[str] | None = None,
        node_id: int | None = None,
    ) -> PeerState:
        """Link to a peer. Adding the same address again updates what is given.

        Args:
            address: Its base URL.
            label: For people.
            sync_paths: Globs of what to take; None for everything.
            node_id: Whom to expect there; None to ask.

        Raises:
            BadRequestError: The address, label or a glob is malformed.
            ConflictError: It is this node itself, or there is a link to it by another address.
        """
        address, label = parse_address(address), parse_label(label)
        filters = parse_filters(sync_paths)
        if address == self._own_url:
            raise ConflictError(f"{address} is this node itself")
        if node_id is None:
            node_id = await self._introduce(address)
        record = LinkRecord(
            id=new_node_id(),
            address=address,
            node_id=node_id,
            label=label,
            sync_paths=filters,
            added_at=self._site.wall.now_ms(),
        )
        async with self._links_lock:
            link = next((x for x in self._links.values() if x.record.address == address), None)
            if node_id is not None:
                self._check_id(link, node_id)
            if link is not None:
                return await self._update(link, record)
            await bridge.run(self._book.save, record)
            link = self._add_link(record)
            self._start_link(link)
            return link.peer_state()

    async def admit(self, address: str, label: str | None, node_id: int | None) -> PeerState:
        """Link to a node that joined, or that we joined; an older address of it gives way.

        Raises:
            BadRequestError: The address or label is malformed.
            ConflictError: It is this node itself.
        """
        if node_id is not None and not is_id(node_id):
            node_id = (
                None  # an AeorDB node's may be larger than we can keep; it goes by a stand-in
            )
        known = self._find(node_id) if node_id is not None else None
        if known is not None and known.record.address != parse_address(address):
            await self.remove_peer(known.record.peer_id)
        return await self.add_peer(address, label, node_id=node_id)

    async def remove_peer(self, node_id: int) -> bool:
        """Unlink from a peer and forget how far it was followed; returns whether it was one."""
        async with self._links_lock:
            link = self._find(node_id)
            if link is None:
                return False
            await self._stop_link(link)
            await bridge.run(self._book.remove, link.record)
            await bridge.run(self._site.foreign.forget, link.record.id)
            del self._links[link.record.id]
            return True

    async def set_enabled(self, node_id: int, *, enabled: bool) -> PeerState:
        """Pause a link or let it run again; remembered over restarts.

        Raises:
            NotFoundError: No such peer.
        """
        async with self._links_lock:
            link = self._find(node_id)
            if link is None:
                raise NotFoundError(f"no peer goes by {node_id}")
            await self._stop_link(link)
            await link.amend(enabled=enabled)
            link.resume() if enabled else link.pause()
            self._start_link(link)
            return link.peer_state()

    async def trigger(self, *, force_activate: bool = False) -> TriggerReport:
        """Pull from every active peer now and wait for it, at most `TRIGGER_S` each.

        Args:
            force_activate: Activate the other links first, whatever their clocks say.
        """
        links = list(self._links.values())
        asleep = [link for link in links if not link.is_active]
        forced = [link for link in asleep if force_activate and link.record.enabled]
        for link in forced:
            link.force()
        asked = [link for link in links if link.is_active or link in forced]
        results = await asyncio.gather(*(_pull(link) for link in asked))
        skipped = [link.peer_state() for link in links if link not in asked]
        good = sum(result.ok for result in results)
        return TriggerReport(
            peers_synced=good,
            peers_failed=len(results) - good,
            peers_skipped=len(skipped),
            results=tuple(results),
            skipped=tuple(
                PeerSkipped(state.node_id, state.state, state.reason or "not active")
                for state in skipped
            ),
            forced_active=tuple(link.record.peer_id for link in forced if link.is_active),
        )

    def wake(self, node_id: int) -> None:
        """A peer says that it has news; a peer whose node id is not known yet may be meant."""
        for link in self._links.values():
            if link.record.node_id in {None, node_id}:
                link.wake()

    async def reader(self, asked: Asked) -> Reader:
        """Who it is that pulls from us as AeorDB nodes do, and looks at it first."""
        return await find_reader(asked, list(self._links.values()), self._site.foreign, self._book)

    async def doubt_readers(self) -> None:
        """One that pulls as AeorDB nodes do did not get all chunks it asked for."""
        await bridge.run(self._site.foreign.doubt)

    def _find(self, node_id: int) -> Link | None:
        # A node id that was seen counts for more than a stand-in somebody was once told.
        by_rank = sorted(self._links.values(), key=lambda link: link.record.node_id != node_id)
        return next((link for link in by_rank if link.record.goes_by(node_id)), None)

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

    async def _introduce(self, address: str) -> int | None:
        """Ask who is there; None when nobody answers at once."""
        remote = self._site.dial(address)
        try:
            reply = await remote.clock(self._site.wall.now_ms(), deadline_s=_INTRODUCE_S)
        except AeorError:
            return None
        finally:
            await remote.close()
        return reply.node_id if is_id(reply.node_id) else None

    async def _update(self, link: Link, given: LinkRecord) -> PeerState:
        """Change what was given for an address that is linked already."""
        changes = {
            name: value
            for name in ("label", "sync_paths", "node_id")
            if (value := getattr(given, name)) is not None
        }
        await link.amend(**changes)
        link.hasten()
        return link.peer_state()

    def _add_link(self, record: LinkRecord) -> Link:
        link = self._links[record.id] = Link(self._site, record, self._check_id)
        return link

    def _start_link(self, link: Link) -> None:
        if self._supervisor is not None and link.record.enabled:
            self._supervisor.start(_task_name(link), link.run)

    async def _stop_link(self, link: Link) -> None:
        if self._supervisor is not None:
            await self._supervisor.stop(_task_name(link))


def _task_name(link: Link) -> str:
    return f"link {link.record.id}"


async def _pull(link: Link) -> PeerResult:
    try:
        async with asyncio.timeout(TRIGGER_S):
            report = await link.pulled()
    except TimeoutError:
        return PeerResult(
            node_id=link.record.peer_id, ok=False, error=f"no end after {TRIGGER_S:g} s"
        )
    except AeorError as error:
        return PeerResult(node_id=link.record.peer_id, ok=False, error=error.message)
    return PeerResult(
        node_id=link.record.peer_id,
        ok=not report.is_partial,
        changes_applied=report.changed > 0,
        operations_applied=report.changed,
        conflicts_detected=report.conflicts,
        error=msgspec.UNSET if report.complaint is None else report.complaint,
    )

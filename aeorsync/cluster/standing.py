"""How a link stands: its state and why, the peer's clock, and how its cycles went."""

from typing import Final

import msgspec

from aeorsync.cluster.peers import LinkRecord, PeerState, SyncStatus
from aeorsync.core.links import ClockEstimate, LinkEvent, LinkState, next_state
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.log import get_logger

OFFER_MS: Final = 90_000
"""How long a peer that pushed to us is taken to have nothing new: three of its intervals."""
_log = get_logger(__name__)


class Standing:
    """What is known of one link beside its record. Belongs to the event loop.

    Attributes:
        state: Where it stands.
        clock: What is known of the peer's clock.
        status: How its cycles went.
        synced_at: When it was last up to date, in milliseconds since the Unix epoch.
        behind_since: Since when it may lack something, likewise; None while it is in step.
        is_forced: Whether it is active only because a person said so.
        is_foreign: Whether the peer is an AeorDB node, as far as is known.
        offered_at: When we last took all that the peer pushed to us, in milliseconds since the
            Unix epoch; None when it did not.
    """

    def __init__(self, wall: WallClock, *, is_paused: bool) -> None:
        """Begin with nothing known."""
        self.state = LinkState.PAUSED if is_paused else LinkState.DISCONNECTED
        self.clock = ClockEstimate()
        self.status = SyncStatus()
        self.synced_at: int | None = None
        self.is_forced = False
        self.is_foreign = False
        self.offered_at: int | None = None
        self._wall = wall
        self._since = wall.now_ms()
        self.behind_since: int | None = self._since
        self._news_at: int | None = None
        self._reason: str | None = "paused" if is_paused else "not tried yet"

    def step(self, record: LinkRecord, event: LinkEvent, reason: str | None = None) -> None:
        """Let something happen; what has no place in this state changes nothing.

        Args:
            record: Whom it happens to.
            event: What happens.
            reason: Why the link is not active, if it will not be; or would not be, when forced.
        """
        state = next_state(self.state, event)
        if state is None:
            return
        was_forced = self.is_forced
        # A probe without an answer says nothing of the clock that was overruled.
        is_unclear = event is LinkEvent.PROBE_FAILED and state is LinkState.ACTIVE
        self.is_forced = event is LinkEvent.FORCED or (was_forced and is_unclear)
        if self.is_forced and not was_forced:
            _log.warning(
                "link is forced to be active",
                peer=record.address,
                node=record.peer_id,
                although=reason,
            )
        if state is not self.state:
            self._since = self._wall.now_ms()
            self.state = state
            if state is not LinkState.ACTIVE:
                # Nobody tells us any more whether there is news.
                self.behind_since = self.behind_since or self._since
            _log.info(
                "link", peer=record.address, node=record.peer_id, state=state.value, why=reason
            )
        if is_unclear:
            return
        is_plain = state is LinkState.ACTIVE and not self.is_forced
        self._reason = None if is_plain else reason

    def recall(self, synced_at: int | None) -> None:
        """Take up what is remembered of before the start, if anything is."""
        if self.synced_at is None and synced_at is not None:
            self.synced_at = synced_at
            self.behind_since = min(self.behind_since or synced_at, synced_at)

    def note_news(self) -> None:
        """The peer says that it has news."""
        self._news_at = self._news_at or self._wall.now_ms()
        self.behind_since = self.behind_since or self._news_at

    def note_offer(self) -> None:
        """All that the peer pushed to us was taken; it says so, too, when there is nothing."""
        self.offered_at = self._wall.now_ms()

    def note_attempt(self) -> None:
        """A cycle begins; what the peer tells from now on it may miss."""
        self._news_at = None
        self.status = msgspec.structs.replace(
            self.status,
            last_attempt_at=self._wall.now_ms(),
            total_syncs=self.status.total_syncs + 1,
        )

    def note_success(self) -> None:
        """A cycle took everything there was."""
        self.synced_at = self._wall.now_ms()
        self.behind_since = self._news_at
        self.status = msgspec.structs.replace(
            self.status, last_success_at=self.synced_at, last_error=None, consecutive_failures=0
        )

    def note_failure(self, text: str) -> None:
        """A cycle left something out, or the connection broke."""
        self.behind_since = self.behind_since or self._wall.now_ms()
        self.status = msgspec.structs.replace(
            self.status,
            last_error=text,
            consecutive_failures=self.status.consecutive_failures + 1,
            total_failures=self.status.total_failures + 1,
        )

    def tell(self, record: LinkRecord) -> PeerState:
        """All of it, with the record."""
        is_known = self.clock.samples > 0
        is_paused = self.state is LinkState.PAUSED
        shown = LinkState.DISCONNECTED if is_paused else self.state
        return PeerState(
            node_id=record.peer_id,
            address=record.address,
            label=record.label,
            state=shown.value,
            last_sync_at=self.synced_at,
            sync_status=self.status,
            sync_paths=record.sync_paths,
            reason=self._reason,
            since=self._since,
            enabled=record.enabled,
            behind_since=self._behind(record),
            clock_offset_ms=self.clock.offset_ms if is_known else None,
            round_trip_ms=self.clock.round_trip_ms if is_known else None,
            jitter_ms=self.clock.jitter_ms if is_known else None,
            samples=self.clock.samples,
            forced=self.is_forced,
            excludes=record.excludes,
            direction=record.direction,
            compression=record.compression,
            bandwidth_limit=record.bandwidth_limit,
            last_offer_at=self.offered_at,
        )

    def _behind(self, record: LinkRecord) -> int | None:
        if record.pulls:
            return self._behind_offers(self.behind_since)
        # There is nothing to take, but without a connection nothing can be offered either.
        return None if self.state is LinkState.ACTIVE else self._since

    def _behind_offers(self, behind_since: int | None) -> int | None:
        """The same of a peer that we may not reach: then it keeps us in step by its pushes."""
        if self.offered_at is None or behind_since is None or self.state is LinkState.ACTIVE:
            return behind_since
        is_fresh = self._wall.now_ms() - self.offered_at < OFFER_MS
        return None if is_fresh else max(behind_since, self.offered_at)

"""An AeorDB node at the other end of a link.

It answers no clock probe, has no stream of changes, and calls nobody; so a link to it

    knows it        by what it does not know (404 for a probe), its health, and its node id
    settles         when it is healthy and the date of its answers is no more than 30 s off; what
                    it sends carries no time, so that is all there is, and all that is needed
    pulls           every sync interval, and when it comes to pull from us (`Member.reader`)

Its node id is not in any answer to a pull, so it is asked for once a connection: another id at the
same address is another database, about which nothing is known.
"""

from dataclasses import dataclass
from typing import Final

from aeorsync.cluster.cycle import Report
from aeorsync.cluster.foreign import run_foreign_cycle
from aeorsync.cluster.foreign_part import ForeignPeering
from aeorsync.cluster.peers import LinkRecord, is_id
from aeorsync.cluster.site import Site
from aeorsync.cluster.standing import Standing
from aeorsync.core.clock import MAX_AHEAD_MS
from aeorsync.core.links import ClockEstimate
from aeorsync.errors import BadRequestError, UnavailableError
from aeorsync.remote.calls import Remote
from aeorsync.remote.foreign import ForeignRemote
from aeorsync.runtime.clock import WallClock

_GOOD: Final = frozenset({"healthy", "degraded", "unhealthy"})
_DATE_MS: Final = 1000
"""A date tells whole seconds."""


@dataclass(slots=True)
class Foreigner:
    """A connected AeorDB node.

    Attributes:
        remote: It.
        node: Its node id, as text.
        node_id: The same, where it is one that we can keep as such.
        root: Its root when it was last followed; it names itself by that.
        is_first: Whether no cycle went well yet.
    """

    remote: ForeignRemote
    node: str
    node_id: int | None
    root: str = ""
    is_first: bool = True

    async def unsettled(self, wall: WallClock, standing: Standing) -> str | None:
        """Look at it; returns why data may not flow, if it may not, and shows its clock.

        Raises:
            AeorError: It does not answer.
        """
        began, sent = wall.monotonic(), wall.now_ms()
        look = await self.remote.look()
        trip = (wall.monotonic() - began) * 1e3
        if look.health.status not in _GOOD:
            return f"it says that it is {look.health.status!r:.50}"
        if look.date_ms is None:
            return None
        # Halfway there it was some moment of that second.
        offset = look.date_ms + _DATE_MS / 2 - (sent + trip / 2)
        standing.clock = ClockEstimate(offset, trip, 0.0, standing.clock.samples + 1)
        if abs(offset) <= MAX_AHEAD_MS + _DATE_MS:
            return None
        relation = "ahead of" if offset > 0 else "behind"
        return f"its clock is {abs(offset) / 1000:.0f} s {relation} ours; check NTP on both"

    async def cycle(self, site: Site, link: LinkRecord) -> Report:
        """Take what changed there.

        Raises:
            AeorError: It broke off.
        """
        now = site.wall.now_ms()
        peering = ForeignPeering(
            site.repository, site.foreign, self.remote, link, self.node, now, self.is_first
        )
        report = await run_foreign_cycle(peering)
        self.root = report.root
        self.is_first = False
        return report


async def greet(remote: Remote) -> Foreigner:
    """Learn who answers at the address of a peer that knows no clock probe.

    Raises:
        UnavailableError: No AeorDB node does.
    """
    foreign = ForeignRemote(remote.connection)
    try:
        await foreign.look()
    except BadRequestError as error:
        raise UnavailableError(
            f"neither aeorsync nor AeorDB answers at {remote.address}; check the address"
        ) from error
    node = await foreign.node_id()
    if node is None:
        return Foreigner(foreign, "", None)
    return Foreigner(foreign, str(node), node if is_id(node) else None)

"""Where links live: what all of one node share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aeorsync.cluster.roster import Roster
from aeorsync.cluster.tally import Tally
from aeorsync.remote.calls import Remote
from aeorsync.runtime.bus import Bus
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.foreign import ForeignBook
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed


@dataclass(frozen=True, slots=True)
class Site:
    """What every link of this node shares.

    Attributes:
        repository: Our files.
        node_id: Ours.
        wall: The clock.
        dial: Makes the way to an address; nothing is connected yet.
        sync_interval_s: Seconds after which a peer without news is asked all the same.
        jitter: Returns a random number from 0 to 1.
        foreign: What is known of peers that are AeorDB nodes.
        tally: Keeps count of the cycles.
        commits: Tells of local commits; None where nobody does.
        roster: Who belongs to the cluster; None where nobody needs to be written down.
        knowledge_s: Seconds after which a peer is asked again what it knows.
    """

    repository: Repository
    node_id: int
    wall: WallClock
    dial: Callable[[str], Remote]
    sync_interval_s: float
    jitter: Callable[[], float]
    foreign: ForeignBook = field(default_factory=ForeignBook)
    tally: Tally = field(default_factory=Tally)
    commits: Bus[Committed] | None = None
    roster: Roster | None = None
    knowledge_s: float = 3600.0

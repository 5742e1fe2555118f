"""What the handlers know of the node they answer for."""

from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from aeorsync.api.attempts import Attempts
from aeorsync.api.budget import Budget
from aeorsync.api.bulletins import Bulletins
from aeorsync.api.commit_book import CommitBook
from aeorsync.api.grants import Grants
from aeorsync.api.meter import Meter
from aeorsync.api.taskboard import TaskBoard
from aeorsync.api.walks import Walks
from aeorsync.cluster.member import Member
from aeorsync.cluster.offers import Offers
from aeorsync.cluster.tally import Tally
from aeorsync.core.access import EVERYTHING, Access
from aeorsync.core.tokens import ROOT, SigningKey
from aeorsync.runtime.bus import Bus
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.storage.accounts import Accounts
from aeorsync.storage.gc import Collector
from aeorsync.storage.repository import Repository
from aeorsync.storage.shelf import Shelf
from aeorsync.storage.writer import Committed
from aeorsync.wire import limits


def _logins() -> Attempts:
    return Attempts(limits.MAX_LOGINS, limits.LOGIN_WINDOW_S)


def _address_logins() -> Attempts:
    return Attempts(limits.MAX_ADDRESS_LOGINS, limits.LOGIN_WINDOW_S)


def _joins() -> tuple[Attempts, Attempts]:
    return Attempts(5, 60), Attempts(30, 3600)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking.

    Attributes:
        user: Their id; nil for root.
        is_peer: Whether this is another node of the cluster (a root token of scope ``sync``).
        key_id: The API key behind the token, if one is.
        access: What they may do to which paths.
    """

    user: UUID
    is_peer: bool = False
    key_id: UUID | None = None
    access: Access = EVERYTHING

    @property
    def owner(self) -> bytes:
        """16 bytes that name them, as those who bring chunks."""
        return (self.key_id or self.user).bytes

    @property
    def is_root(self) -> bool:
        """Whether everything is allowed that no scope forbids; never of a key with rules."""
        return self.user == ROOT and self.access.is_everything


@dataclass(frozen=True, slots=True)
class Node:
    """One running node, as `server` put it together.

    Attributes:
        repository: Its files.
        member: Its part in the cluster: links, cycles.
        accounts: API keys.
        signing_key: Signs tokens; shared by the cluster.
        seal_secret: 32 bytes that ETags are sealed with; derived from the signing key.
        bus: Tells event streams of each commit, in order.
        wall: The clock.
        is_open: Auth is disabled; whoever calls is root.
        jwt_expiry: Life of a user token in seconds.
        started_ms: When the node was ready, in milliseconds since the Unix epoch.
        can_share_key: Whether ``/sync/join`` may hand the signing key out.
        folder: Data folder, whose disk tells the health; None when there is none.
        logins: How often each API key was tried.
        address_logins: How often each address tried any API key.
        joins: How often each address asked to join, in a minute and in an hour.
        tally: What the cycles of the member did.
        meter: Counts commits and requests.
        offers: What peers that we cannot reach were asked to bring.
        collector: Collects the garbage of the repository.
        shelf: Trees that peers are reading.
        budget: Memory for what requests hold.
        tasks: What it does in the background, on demand and by the clock.
        bulletins: What it tells event streams that is in no feed.
        gc_interval: Hours after which garbage is collected at the latest; 0 for never by itself.
        grants: Which chunks callers may have.
        walks: Long walks of the tree that callers wait for.
        commits: What became of the last commits, for who did not hear it.
    """

    repository: Repository
    member: Member
    accounts: Accounts
    signing_key: SigningKey
    seal_secret: bytes
    bus: Bus[Committed]
    wall: WallClock
    is_open: bool
    jwt_expiry: int
    started_ms: int
    can_share_key: bool = True
    folder: Path | None = None
    logins: Attempts = field(default_factory=_logins)
    address_logins: Attempts = field(default_factory=_address_logins)
    joins: tuple[Attempts, Attempts] = field(default_factory=_joins)
    tally: Tally = field(default_factory=Tally)
    meter: Meter = field(default_factory=Meter)
    offers: Offers = field(default_factory=Offers)
    tasks: TaskBoard = field(default_factory=TaskBoard)
    bulletins: Bulletins = field(default_factory=Bulletins)
    gc_interval: int = 24
    collector: Collector = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "collector", Collector(self.repository, self.wall))
        self.grants.serve(self.repository, self.wall)

    budget: Budget = field(default_factory=Budget)
    grants: Grants = field(default_factory=Grants)
    walks: Walks = field(default_factory=Walks)
    commits: CommitBook = field(default_factory=CommitBook)
    shelf: Shelf = field(default_factory=lambda: Shelf(SystemClock().monotonic))

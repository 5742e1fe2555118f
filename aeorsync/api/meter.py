"""What Prometheus is told of a node: ``aeorsync_*``, in its text format.

    counted as it happens      commits, requests                          `Meter`
    looked at when asked       peers, queue, sizes of the store, process  `api.exposition`

Labels are node ids of linked peers and words of this module, so there are never more series than
links allow. Sizes are counted row by row, so they are remembered for a while: five seconds, and
longer where counting takes long (2 % of the time at most).
"""

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from aeorsync.cluster.peers import PeerState
from aeorsync.cluster.tally import Sums as CycleSums
from aeorsync.cluster.verdict import Verdict
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import StoreSizes
from aeorsync.storage.ledger import Direction
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SIZES_S: Final = 5.0
_SIZES_SHARE: Final = 50.0
_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"})
_COMMIT_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_REQUEST_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Spread:
    """How often something took how long. Under the lock of its `Meter`.

    Attributes:
        counts: For each of the bounds, and for what is over the last, how often.
        sum: Of all, in seconds.
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Nothing yet; ``bounds`` are ascending, in seconds, each the longest of its bucket."""
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: each bound, and how often it took at most that."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Meter:
    """Counts for one node; cheap, and safe from any thread.

    Attributes:
        commits: Of commits, from taking operations up until they were durable.
        changes: Entries changed by them.
        requests: Requests answered, by method and class of status.
        latency: Time until an answer began, by method.
    """

    def __init__(self) -> None:
        self.commits = Spread(_COMMIT_S)
        self.changes = 0
        self.requests: dict[tuple[str, int], int] = {}
        self.latency: dict[str, Spread] = {}
        self.lock = threading.Lock()
        self._sizes: StoreSizes | None = None
        self._sizes_until = 0.0
        self._sizes_lock = threading.Lock()

    def note_commit(self, committed: Committed) -> None:
        """Count a commit; a listener of the repository."""
        with self.lock:
            self.commits.note(committed.seconds)
            self.changes += len(committed.changes)

    def note_request(self, method: str, status: int, seconds: float) -> None:
        """Count a request whose answer begins now."""
        word = method if method in _METHODS else "other"
        key = word, status // 100
        with self.lock:
            self.requests[key] = self.requests.get(key, 0) + 1
            spread = self.latency.get(word)
            if spread is None:
                spread = self.latency[word] = Spread(_REQUEST_S)
            spread.note(seconds)

    def sizes(self, repository: Repository, wall: WallClock) -> StoreSizes:
        """How much the store holds, or held a moment ago. Blocking."""
        with self._sizes_lock:
            began = wall.monotonic()
            if self._sizes is None or began >= self._sizes_until:
                self._sizes = repository.sizes()
                now = wall.monotonic()
                self._sizes_until = now + max(SIZES_S, (now - began) * _SIZES_SHARE)
            return self._sizes


@dataclass(frozen=True, slots=True)
class Facts:
    """What is looked at when somebody asks; taken in the event loop.

    Attributes:
        node_id: This node.
        now_ms: When, in milliseconds since the Unix epoch.
        peers: How the links stand.
        sums: What cycles did, by peer and direction.
        verdict: Whether the node is in step.
        waiting: Operations that wait for the writer.
        streams: Event streams that are open.
    """

    node_id: int
    now_ms: int
    peers: list[PeerState]
    sums: Mapping[tuple[int, Direction], CycleSums]
    verdict: Verdict
    waiting: int
    streams: int

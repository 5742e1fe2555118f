"""What Prometheus is told of a node: ``aeorsync_*``, in its text format.

    counted as it happens      commits, requests                          `Meter`
    looked at when asked       peers, queue, sizes of the store, process  `render`

Labels are node ids of linked peers and words of this module, so there are never more series than
links allow. Sizes are counted row by row, so they are remembered for a while: five seconds, and
longer where counting takes long (2 % of the time at most).
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from aeorsync import __version__
from aeorsync.cluster.peers import PeerState
from aeorsync.cluster.tally import Sums as CycleSums
from aeorsync.cluster.verdict import Verdict, lag_ms
from aeorsync.core.links import LinkState
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import StoreSizes
from aeorsync.storage.ledger import STATUSES, Direction
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SIZES_S: Final = 5.0
_SIZES_SHARE: Final = 50.0
_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"})
_COMMIT_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_REQUEST_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_RESULTS: Final = tuple(status for status in STATUSES if status != "running")


SampleSums: TypeAlias = dict[str, float]
"""Sums of samples by the names of their series, whatever their labels."""


class Meter:
    """Counts for one node; cheap, and safe from any thread."""

    def __init__(self) -> None:
        self._commits = Histogram(
            "aeorsync_commit_seconds",
            "Time from taking operations up until they were durable.",
            registry=None,
            buckets=_COMMIT_S,
        )
        self._changes = Counter(
            "aeorsync_changes", "Entries changed by commits since the start.", registry=None
        )
        self._requests = Counter(
            "aeorsync_http_requests",
            "Requests answered, by method and class of status.",
            ("method", "status"),
            registry=None,
        )
        self._latency = Histogram(
            "aeorsync_http_request_seconds",
            "Time until an answer began.",
            ("method",),
            registry=None,
            buckets=_REQUEST_S,
        )
        self._process = ProcessCollector(namespace="aeorsync", registry=None)
        self._sizes: StoreSizes | None = None
        self._sizes_until = 0.0
        self._sizes_lock = threading.Lock()

    def note_commit(self, committed: Committed) -> None:
        """Count a commit; a listener of the repository."""
        self._commits.observe(committed.seconds)
        self._changes.inc(len(committed.changes))

    def note_request(self, method: str, status: int, seconds: float) -> None:
        """Count a request whose answer begins now."""
        word = method if method in _METHODS else "other"
        self._requests.labels(word, f"{status // 100}xx").inc()
        self._latency.labels(word).observe(seconds)

    def sizes(self, repository: Repository, wall: WallClock) -> StoreSizes:
        """How much the store holds, or held a moment ago. Blocking."""
        with self._sizes_lock:
            began = wall.monotonic()
            if self._sizes is None or began >= self._sizes_until:
                self._sizes = repository.sizes()
                now = wall.monotonic()
                self._sizes_until = now + max(SIZES_S, (now - began) * _SIZES_SHARE)
            return self._sizes

    def sums(self) -> SampleSums:
        """What was counted since the start, as sums, and what the process takes. Blocking."""
        found: dict[str, float] = {}
        for family in self.families():
            for sample in family.samples:
                if "le" not in sample.labels:
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def families(self) -> Iterator[Metric]:
        """What was counted, and the process. Blocking."""
        for counted in (self._commits, self._changes, self._requests, self._latency):
            for family in counted.collect():
                # When a series began says nothing of the node, and doubles what is sent.
                family.samples = [s for s in family.samples if not s.name.endswith("_created")]
                yield family
        yield from self._process.collect()


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


def render(meter: Meter, facts: Facts, repository: Repository, wall: WallClock) -> bytes:
    """All of it, in the text format. Blocking."""
    registry = CollectorRegistry(auto_describe=False)
    families = (
        *_node_families(facts),
        *_peer_families(facts),
        *_cycle_families(facts),
        *_store_families(meter.sizes(repository, wall), _entries(repository)),
        *meter.families(),
    )
    registry.register(_Once(families))
    return generate_latest(registry)


class _Once(Collector):
    """Families that are at hand already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _entries(repository: Repository) -> int:
    with repository.view() as view:
        return view.count()


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"aeorsync_{name}", about, value=value)


def _node_families(facts: Facts) -> Iterator[Metric]:
    build = GaugeMetricFamily(
        "aeorsync_build_info", "Always 1; which node, and its version.", labels=("node", "version")
    )
    build.add_metric((str(facts.node_id), __version__), 1)
    yield build
    verdict = facts.verdict
    yield _gauge("healthy", "1 while data comes from every peer.", int(verdict.is_healthy))
    yield _gauge("unhealthy_peers", "Peers from which no data comes.", len(verdict.unhealthy))
    yield _gauge("laggy_peers", "Peers from which data comes too slowly.", len(verdict.laggy))
    yield _gauge("writer_queue", "Operations that wait for the writer.", facts.waiting)
    yield _gauge("event_streams", "Event streams that are open.", facts.streams)


def _peer_families(facts: Facts) -> Iterator[Metric]:
    def family(name: str, about: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"aeorsync_peer_{name}", about, labels=("peer", *labels))

    state = family("state", "1 for the state the link is in.", "state")
    lag = family("lag_seconds", "Since when we may lack something it has; 0 in step.")
    failures = family("consecutive_failures", "Failures in a row.")
    offset = family("clock_offset_seconds", "Its clock minus ours.")
    trip = family("round_trip_seconds", "Shortest way there and back.")
    for number, peer in {peer.node_id: peer for peer in facts.peers}.items():
        name = (str(number),)
        shown = peer.state if peer.enabled else LinkState.PAUSED.value
        for word in LinkState:
            state.add_metric((*name, word.value), int(word.value == shown))
        if peer.enabled:
            lag.add_metric(name, lag_ms(peer, facts.now_ms) / 1000)
        failures.add_metric(name, peer.sync_status.consecutive_failures)
        if peer.clock_offset_ms is not None:
            offset.add_metric(name, peer.clock_offset_ms / 1000)
        if peer.round_trip_ms is not None:
            trip.add_metric(name, peer.round_trip_ms / 1000)
    yield from (state, lag, failures, offset, trip)


def _cycle_families(facts: Facts) -> Iterator[Metric]:
    labels = ("peer", "direction")
    cycles = CounterMetricFamily(
        "aeorsync_cycles", "Cycles that ended, by result.", labels=(*labels, "result")
    )
    size = CounterMetricFamily(
        "aeorsync_transferred_bytes", "Bytes of chunks, as they were sent.", labels=labels
    )
    files = CounterMetricFamily(
        "aeorsync_transferred_files", "Files changed by cycles.", labels=labels
    )
    linked = {peer.node_id for peer in facts.peers}
    for (number, direction), sums in facts.sums.items():
        if number in linked:
            name = (str(number), direction)
            for result in _RESULTS:
                cycles.add_metric((*name, result), sums.cycles.get(result, 0))
            size.add_metric(name, sums.bytes)
            files.add_metric(name, sums.files)
    yield from (cycles, size, files)


def _store_families(sizes: StoreSizes, entries: int) -> Iterator[Metric]:
    yield _gauge("chunks", "Chunks in the store.", sizes.chunks)
    yield _gauge("chunk_bytes", "Their bytes, as stored.", sizes.chunk_bytes)
    yield _gauge("metadata_bytes", "Bytes of the database beside them.", sizes.metadata_bytes)
    yield _gauge("entries", "Live entries in the tree.", entries)
    yield _gauge("conflicts", "Paths in conflict.", sizes.conflicts)

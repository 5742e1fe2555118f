"""What a node counts, in the words and the text format of Prometheus.

Loaded when somebody asks for it: the library takes as long to load as a start may take for much
more.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from aeorsync import __version__
from aeorsync.api.meter import Facts, Meter
from aeorsync.cluster.verdict import lag_ms
from aeorsync.core.links import LinkState
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import StoreSizes
from aeorsync.storage.ledger import STATUSES
from aeorsync.storage.repository import Repository

_RESULTS: Final = tuple(status for status in STATUSES if status != "running")

SampleSums: TypeAlias = dict[str, float]
"""Sums of samples by the names of their series, whatever their labels."""


def sums(meter: Meter) -> SampleSums:
    """What was counted since the start, as sums, and what the process takes. Blocking."""
    found: SampleSums = {}
    for family in _counted(meter):
        for sample in family.samples:
            if "le" not in sample.labels:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _counted(meter: Meter) -> Iterator[Metric]:
    """What was counted as it happened, and the process. Blocking."""
    with meter.lock:
        yield HistogramMetricFamily(
            "aeorsync_commit_seconds",
            "Time from taking operations up until they were durable.",
            meter.commits.buckets(),
            meter.commits.sum,
        )
        yield CounterMetricFamily(
            "aeorsync_changes", "Entries changed by commits since the start.", meter.changes
        )
        requests = CounterMetricFamily(
            "aeorsync_http_requests",
            "Requests answered, by method and class of status.",
            labels=("method", "status"),
        )
        for (method, status), count in meter.requests.items():
            requests.add_metric((method, f"{status}xx"), count)
        yield requests
        latency = HistogramMetricFamily(
            "aeorsync_http_request_seconds", "Time until an answer began.", labels=("method",)
        )
        for method, spread in meter.latency.items():
            latency.add_metric((method,), spread.buckets(), spread.sum)
        yield latency
    yield from ProcessCollector(namespace="aeorsync", registry=None).collect()


def render(meter: Meter, facts: Facts, repository: Repository, wall: WallClock) -> bytes:
    """All of it, in the text format. Blocking."""
    registry = CollectorRegistry(auto_describe=False)
    families = (
        *_node_families(facts),
        *_peer_families(facts),
        *_cycle_families(facts),
        *_store_families(meter.sizes(repository, wall), _entries(repository)),
        *_counted(meter),
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

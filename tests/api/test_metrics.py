"""Metrics, health and the ledger, as those who watch a node see them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aeorsync.api.meter import SIZES_S, Meter
from aeorsync.cluster.peers import PeerState, SyncStatus
from aeorsync.cluster.tally import Sums, SyncCompleted, Tally
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.tokens import SYNC
from aeorsync.storage.base import StoreSizes
from aeorsync.storage.ledger import Ledger
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from tests.api.conftest import Browser, running
from tests.api.streams import Served, served
from tests.support.clock import FakeClock
from tests.support.repositories import memory_repository, put

NOW = 1_700_000_000_000
PEER = PeerState(
    node_id=2,
    address="http://b:1",
    label=None,
    state="active",
    last_sync_at=NOW,
    sync_status=SyncStatus(),
    sync_paths=None,
    reason=None,
    since=NOW,
    clock_offset_ms=250.0,
    round_trip_ms=4.0,
)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Links:
    """A member of which only the links are looked at."""

    node_id: int = 7
    states: list[PeerState] = field(default_factory=list)

    def peers(self) -> list[PeerState]:
        return self.states


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def call(loop: asyncio.Runner, tmp_path: Path, links: Links) -> Iterator[Browser]:
    context = running(tmp_path, member=links, tally=Tally(Ledger(None), FakeClock()))
    here = loop.run(context.__aenter__())
    here.node.repository.listen(here.node.meter.note_commit)
    yield Browser(loop, here)
    loop.run(context.__aexit__(None, None, None))


def scrape(call: Browser, path: str = "/metrics") -> Samples:
    reply = call("GET", path)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in text_string_to_metric_families(reply.text):
        assert family.name.startswith("aeorsync_")
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"aeorsync_{name}", frozenset(labels.items())))


@pytest.mark.parametrize("path", ["/metrics", "/system/metrics"])
def test_a_scrape_parses_and_tells_of_everything(call: Browser, links: Links, path: str) -> None:
    links.states = [PEER, replace_state(node_id=3, behind_since=NOW - 90_000, state="honeymoon")]
    call.here.node.tally.sums[2, "pull"] = Sums({"success": 3, "failed": 1}, 500, 7)
    put(call.here.node.repository, "/a/b", b"x" * 5000)
    samples = scrape(call, path)
    assert value(samples, "build_info", node="7", version="0.1.0") == 1
    counts = {r: value(samples, "cycles_total", peer="2", direction="pull", result=r)
              for r in ("success", "partial", "failed")}  # fmt: skip
    assert counts == {"success": 3, "partial": 0, "failed": 1}
    assert value(samples, "transferred_bytes_total", peer="2", direction="pull") == 500
    assert value(samples, "transferred_files_total", peer="2", direction="pull") == 7
    assert value(samples, "peer_lag_seconds", peer="2") == 0
    assert value(samples, "peer_lag_seconds", peer="3") == pytest.approx(90, abs=5)
    assert value(samples, "peer_clock_offset_seconds", peer="2") == 0.25
    for peer, state in (("2", "active"), ("3", "honeymoon")):
        shown = {
            word: value(samples, "peer_state", peer=peer, state=word)
            for word in ("disconnected", "honeymoon", "active", "paused")
        }
        assert shown == {word: int(word == state) for word in shown}
    assert value(samples, "writer_queue") == 0
    assert value(samples, "chunks") == 1
    assert (value(samples, "chunk_bytes") or 0) > 0
    assert (value(samples, "metadata_bytes") or 0) > 0
    assert value(samples, "entries") == 2
    assert value(samples, "conflicts") == 0
    assert value(samples, "commit_seconds_count") == 1
    assert value(samples, "changes_total") == 2
    assert value(samples, "event_streams") == 0
    assert (value(samples, "process_resident_memory_bytes") or 0) > 1e6


def replace_state(**changes: object) -> PeerState:
    fields = {name: getattr(PEER, name) for name in PEER.__struct_fields__}
    return PeerState(**{**fields, **changes})


def test_requests_are_counted_by_method_and_class_of_status(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    call("GET", "/files/a")
    call("GET", "/files/nothing")
    call("GET", "/no/such/endpoint")
    call("GET", "/files/a", token="")
    call("BREW", "/files/a")
    call("DANCE", "/files/a")
    samples = scrape(call)
    assert value(samples, "http_requests_total", method="PUT", status="2xx") == 1
    assert value(samples, "http_requests_total", method="GET", status="2xx") == 1
    assert value(samples, "http_requests_total", method="GET", status="4xx") == 3
    # Whatever somebody calls a method, it makes no series of its own.
    assert value(samples, "http_requests_total", method="other", status="4xx") == 2
    assert value(samples, "http_request_seconds_count", method="GET") == 4


def test_who_is_no_longer_linked_leaves_no_series(call: Browser, links: Links) -> None:
    links.states = [PEER]
    for number in range(2, 40):
        call.here.node.tally.sums[number, "pull"] = Sums({"success": 1})
    names = {key for key in scrape(call) if ("peer", "3") in key[1]}
    assert names == set()


def test_a_paused_link_has_no_lag(call: Browser, links: Links) -> None:
    links.states = [replace_state(enabled=False, state="disconnected", behind_since=NOW - 10**7)]
    samples = scrape(call)
    assert value(samples, "peer_lag_seconds", peer="2") is None
    assert value(samples, "peer_state", peer="2", state="paused") == 1
    assert value(samples, "healthy") == 1


def test_two_nodes_in_one_process_do_not_count_each_other(
    call: Browser, loop: asyncio.Runner, tmp_path: Path
) -> None:
    context = running(tmp_path / "other", member=Links(8))
    (tmp_path / "other").mkdir()
    other = Browser(loop, loop.run(context.__aenter__()))
    for _ in range(5):
        call("GET", "/files/nothing")
    assert value(scrape(other), "http_requests_total", method="GET", status="4xx") is None
    loop.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize("path", ["/metrics", "/system/metrics"])
def test_who_may_configure_the_root_may_scrape_and_nobody_else(call: Browser, path: str) -> None:
    scraper = call.here.make_key(user_id=uuid4(), rules=(KeyRule("/", "-------y"),))[0]
    assert call("GET", path, token=scraper).status_code == 200
    assert call("GET", f"{path}?token={scraper}", token="").status_code == 200
    call("PUT", "/files/a", content=b"1")
    assert call("GET", "/files", token=scraper).json()["items"] == []
    assert call("GET", path, token=call.here.make_key()[0]).status_code == 200
    reader = call.here.make_key(rules=(KeyRule("**", "crudlif-"),))[0]
    assert call("GET", path, token=reader).status_code == 403
    assert call("GET", path, token=call.here.mint(subject=uuid4())).status_code == 403
    assert call("GET", path, token=call.here.mint(scope=SYNC)).status_code == 403
    assert call("GET", path, token="").status_code == 401


@pytest.mark.parametrize("path", ["/sync/health", "/sync/history"])
def test_health_and_history_are_for_root_and_peers(call: Browser, path: str) -> None:
    assert call("GET", path, token=call.here.mint(scope=SYNC)).status_code == 200
    assert call("GET", path, token=call.here.mint(subject=uuid4())).status_code == 403
    assert call("GET", path, token="").status_code == 401


class Counted:
    """A repository that is slow to tell its sizes."""

    def __init__(self, clock: FakeClock, takes_ms: int) -> None:
        self.clock = clock
        self.takes_ms = takes_ms
        self.count = 0

    def sizes(self) -> StoreSizes:
        self.count += 1
        self.clock.now += self.takes_ms
        return StoreSizes(self.count, 0, 0)


@pytest.mark.parametrize(("takes_ms", "good_for_s"), [(0, SIZES_S), (1000, 50)])
def test_sizes_are_remembered_the_longer_the_dearer_they_are(
    takes_ms: int, good_for_s: float
) -> None:
    clock = FakeClock()
    repository = Counted(clock, takes_ms)
    meter = Meter()
    for _ in range(3):
        assert meter.sizes(repository, clock).chunks == 1  # type: ignore[arg-type]
    clock.now += int(good_for_s * 1000) - 100
    assert meter.sizes(repository, clock).chunks == 1  # type: ignore[arg-type]
    clock.now += 200
    assert meter.sizes(repository, clock).chunks == 2  # type: ignore[arg-type]


def test_the_store_counts_its_conflicts() -> None:
    ours = memory_repository()
    put(ours, "/a", b"one")
    put(ours, "/a", b"two", base=())
    assert ours.sizes().conflicts == 1
    ours.close()


def test_health_has_four_fields_and_names_who_is_missing(call: Browser, links: Links) -> None:
    assert call("GET", "/sync/health").json() == {
        "healthy": True,
        "unhealthyNodes": [],
        "laggyNodes": [],
        "avgLagMs": 0,
    }
    gone = replace_state(node_id=3, state="disconnected", behind_since=NOW)
    slow = replace_state(node_id=4, behind_since=NOW)
    links.states = [PEER, gone, slow]
    call.here.node.wall.now += 3_600_000  # type: ignore[attr-defined]
    reply = call("GET", "/sync/health")
    told = reply.json()
    assert reply.status_code == 200
    assert (told["healthy"], told["unhealthyNodes"], told["laggyNodes"]) == (False, [3], [4])
    assert told["avgLagMs"] == pytest.approx(1_800_000, abs=1000)
    samples = scrape(call)
    assert value(samples, "healthy") == 0
    assert value(samples, "unhealthy_peers") == 1
    assert value(samples, "laggy_peers") == 1


def fill(call: Browser) -> list[int]:
    ledger = call.here.node.tally.ledger
    ids = []
    for number in range(9):
        at = NOW + number
        row = ledger.begin(2 + number % 2, "http://b:1", "push" if number > 5 else "pull", at)
        ledger.end(row, now_ms=at, status="failed" if number == 4 else "success", files=number)
        ids.append(row)
    return ids


def history(call: Browser, query: str = "") -> tuple[list[int], bool]:
    reply = call("GET", f"/sync/history{query}")
    assert reply.status_code == 200, reply.text
    told = reply.json()
    return [item["id"] for item in told["items"]], told["more"]


def test_history_is_told_newest_first_filtered_and_in_pages(call: Browser) -> None:
    ids = fill(call)
    assert history(call) == (ids[::-1], False)
    assert history(call, "?peer=3") == (ids[1::2][::-1], False)
    assert history(call, "?peer=999") == ([], False)
    assert history(call, "?direction=push") == (ids[6:][::-1], False)
    assert history(call, "?status=failed") == ([ids[4]], False)
    assert history(call, "?status=failed&peer=3") == ([], False)
    assert history(call, "?limit=4") == (ids[:4:-1], True)
    assert history(call, f"?limit=4&before={ids[5]}") == (ids[4:0:-1], True)
    assert history(call, f"?limit=4&before={ids[1]}") == (ids[:1], False)
    assert history(call, "?peer=&direction=&status=&before=&limit=") == (ids[::-1], False)
    [item] = call("GET", "/sync/history?limit=1").json()["items"]
    assert item == {
        "id": ids[-1],
        "peer": 2,
        "address": "http://b:1",
        "direction": "push",
        "started_at": NOW + 8,
        "duration_ms": 0,
        "files": 8,
        "skipped": 0,
        "bytes": 0,
        "status": "success",
        "error": None,
    }


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("direction=sideways", "direction must be one of pull, push"),
        ("status=ok", "status must be one of running, success, partial, failed"),
        ("limit=0", "limit must be a whole number"),
        ("limit=1001", "limit must be a whole number from 1 to 1000"),
        ("limit=x", "limit must be a whole number"),
        ("peer=me", "peer must be a whole number"),
        ("peer=0", "peer must be a whole number"),
        ("peer=-1", "peer must be a whole number"),
        ("peer=9223372036854775808", "peer must be a whole number"),
        ("before=99999999999999999999", "before must be a whole number"),
        ("before=%C2%B2", "before must be a whole number"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_with_what_can(
    call: Browser, query: str, text: str
) -> None:
    reply = call("GET", f"/sync/history?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_INPUT")
    assert text in reply.json()["error"]


def test_the_greatest_node_id_can_be_asked_for(call: Browser) -> None:
    greatest = (1 << 63) - 1
    row = call.here.node.tally.ledger.begin(greatest, "http://b:1", "pull", NOW)
    assert history(call, f"?peer={greatest}") == ([row], False)


def wake(repository: Repository, there: Served) -> None:
    there.here.node.bus.publish(Committed(repository.head, ()))


def test_cycles_are_told_as_events_that_move_no_mark(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as here, served(here) as there:
            repository, tally = here.node.repository, here.node.tally
            tally.listen(lambda: wake(repository, there))
            await asyncio.to_thread(put, repository, "/a", b"1")
            seq = repository.head.seq
            async with (
                there.listen("/system/events") as everything,
                there.listen("/system/events?events=entries_created") as other,
                there.listen("/system/events?path_prefix=/a") as folder,
                there.listen("/sync/events", here.mint(scope=SYNC)) as peer,
            ):
                for stream in (everything, other, folder, peer):
                    await stream.event()
                tally._tell("syncs_completed", SyncCompleted(2, "pull", 5, 1))
                event = await everything.of("syncs_completed")
                assert event.id == seq
                assert event.data["payload"] == {
                    "peer_node_id": 2,
                    "direction": "pull",
                    "operations_applied": 5,
                    "conflicts_detected": 1,
                }
                await asyncio.to_thread(put, repository, "/a", b"2")
                assert (await everything.event()).kind == "entries_created"
                # Those who did not want it, or cannot, hear of the write next.
                assert (await other.event()).kind == "entries_created"
                assert (await folder.event()).kind == "entries_created"
                assert (await peer.event()).kind == "root"
            # Who comes back later is not told of what is past.
            mark = f"{seq}-{repository.epoch:x}"
            async with there.listen("/system/events", **{"Last-Event-ID": mark}) as again:
                kinds = [(await again.event()).kind for _ in range(2)]
                await asyncio.to_thread(put, repository, "/a", b"3")
                kinds.append((await again.event()).kind)
            assert kinds == ["server_ready", "entries_created", "entries_created"]

    asyncio.run(main())


def test_streams_that_are_open_are_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, member=Links()) as here, served(here) as there:
            browser = here.client()
            async with there.listen("/system/events") as stream:
                await stream.event()
                text = (await browser.get("/metrics")).text
            assert "aeorsync_event_streams 1.0\n" in text

    asyncio.run(main())

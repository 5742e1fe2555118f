"""Every cycle is written down, counted, and told of if it is worth it."""

import asyncio
from functools import partial

import pytest

from aeorsync.cluster import tally as tally_module
from aeorsync.cluster.cycle import Report
from aeorsync.cluster.link import Link
from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.plan import Problem
from aeorsync.cluster.tally import SyncCompleted, SyncFailed, Tally
from aeorsync.core.links import LinkEvent
from aeorsync.errors import AeorError, UnavailableError
from aeorsync.storage.ledger import CycleRow
from aeorsync.storage.repository import Repository
from tests.cluster.links import make_link, running
from tests.support.clock import FakeClock
from tests.support.loops import run, until
from tests.support.peer import ADDRESS, FakePeer
from tests.support.repositories import files, put

LINK = LinkRecord(id=1, address=ADDRESS, node_id=2)


async def cycle(outcome: Report | BaseException) -> Report:
    await asyncio.sleep(0)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def watch(tally: Tally, outcome: Report | BaseException) -> CycleRow:
    async def main() -> None:
        await tally.watch(LINK, "pull", partial(cycle, outcome))

    if isinstance(outcome, BaseException):
        with pytest.raises(type(outcome)):
            run(main())
    else:
        run(main())
    return tally.ledger.rows()[0]


def test_each_way_a_cycle_can_end_is_written_down_and_counted() -> None:
    tally = Tally(wall=FakeClock())
    good = watch(tally, Report(told=9, skipped=2, changed=7, files=5, bytes=400))
    assert (good.status, good.files, good.skipped, good.bytes) == ("success", 5, 2, 400)
    assert (good.peer, good.address, good.direction, good.error) == (2, ADDRESS, "pull", None)
    problem = (Problem("/a", "it is bad"),)
    partly = watch(tally, Report(problems=problem, problem_count=1, files=1, bytes=9))
    assert (partly.status, partly.files) == ("partial", 1)
    assert partly.error == "1 not taken, first /a: it is bad"
    bad = watch(tally, UnavailableError("nobody there"))
    assert (bad.status, bad.error) == ("failed", "nobody there")
    bug = watch(tally, ValueError("secret"))
    assert bug.status == "failed"
    assert "secret" not in (bug.error or "")
    sums = tally.sums[2, "pull"]
    assert sums.cycles == {"success": 1, "partial": 1, "failed": 2}
    assert (sums.bytes, sums.files, sums.failures) == (409, 6, 2)


def test_what_changed_something_or_failed_is_told_and_nothing_else() -> None:
    tally = Tally(wall=FakeClock())
    heard: list[int] = []
    tally.listen(lambda: heard.append(tally.number))
    watch(tally, Report(told=3, skipped=3))
    watch(tally, Report(changed=4, conflicts=1))
    watch(tally, UnavailableError("one"))
    watch(tally, UnavailableError("two"))
    watch(tally, Report())
    watch(tally, UnavailableError("three"))
    assert [told.payload for told in tally.told] == [
        SyncCompleted(2, "pull", 4, 1),
        SyncFailed(2, "pull", "one", 1),
        SyncFailed(2, "pull", "two", 2),
        SyncFailed(2, "pull", "three", 1),
    ]
    assert heard == [told.number for told in tally.told] == [1, 2, 3, 4]


def test_a_cycle_that_is_broken_off_has_failed_and_no_row_stays_behind() -> None:
    tally = Tally(wall=FakeClock())

    async def main() -> None:
        for turns in range(12):
            task = asyncio.create_task(
                tally.watch(LINK, "push", lambda: asyncio.sleep(60, Report()))
            )
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())
    rows = tally.ledger.rows()
    assert rows
    assert {row.status for row in rows} == {"failed"}
    assert "broken off" in (rows[0].error or "")
    assert not tally.told


def test_sums_of_ever_new_node_ids_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "MAX_PEERS", 3)
    tally = Tally(wall=FakeClock())

    async def main() -> None:
        for number in range(1, 9):
            link = LinkRecord(id=1, address=ADDRESS, node_id=number)
            await tally.watch(link, "pull", partial(cycle, Report()))

    run(main())
    assert list(tally.sums) == [(6, "pull"), (7, "pull"), (8, "pull")]


@pytest.mark.usefixtures("short_pauses")
def test_a_link_writes_down_its_cycles(ours: Repository, peer: FakePeer) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> Link:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: files(ours))
            await link.pulled()
            peer.status["/sync/diff"] = (500, b'{"error":"sorry"}')
            with pytest.raises(AeorError):
                await link.pulled()
        return link

    link = run(main())
    newest, *_, oldest = link._site.tally.ledger.rows()
    assert (oldest.status, oldest.files, oldest.peer) == ("success", 1, 2)
    assert newest.status == "failed"
    assert "sorry" in (newest.error or "")


@pytest.mark.usefixtures("short_pauses")
def test_a_link_knows_since_when_it_is_behind(ours: Repository, peer: FakePeer) -> None:
    async def main() -> None:
        link = make_link(ours, peer)
        assert link.peer_state().behind_since is not None
        async with running(link):
            await until(lambda: link.peer_state().last_sync_at and peer.listeners)
            await link.pulled()
            assert link.peer_state().behind_since is None
            # Behind from the news on, not only from the end of the cycle it causes.
            peer.hang.add("/sync/diff")
            put(peer.repository, "/slow", b"one")
            peer.tell()
            await until(lambda: link.peer_state().behind_since)
            assert link.peer_state().sync_status.last_error is None
            peer.hang.clear()
            peer.hang_up()
            await until(lambda: link.peer_state().behind_since is None and peer.listeners)
            # News that cannot be had: behind since it came, however often it is tried.
            peer.status["/sync/diff"] = (500, b'{"error":"sorry"}')
            put(peer.repository, "/a", b"one")
            peer.tell()
            await until(lambda: link.peer_state().behind_since)
            since = link.peer_state().behind_since
            tries = link.peer_state().sync_status.total_failures
            await until(lambda: link.peer_state().sync_status.total_failures > tries + 2)
            assert link.peer_state().behind_since == since
            peer.status.clear()
            await until(lambda: "/a" in files(ours))
            await link.pulled()
            assert link.peer_state().behind_since is None
            # Nobody would tell of news now.
            peer.down = True
            peer.hang_up()
            await until(lambda: not link.is_active)
            assert link.peer_state().behind_since is not None

    run(main())


def test_news_that_comes_during_a_cycle_is_not_forgotten_when_it_ends(ours: Repository) -> None:
    standing = make_link(ours, FakePeer(ours)).standing
    record = LinkRecord(id=1, address=ADDRESS)
    standing.step(record, LinkEvent.CONNECTED)
    standing.step(record, LinkEvent.CLOCK_SETTLED)
    standing.note_attempt()
    standing.note_news()
    came = standing.behind_since
    standing.note_news()
    standing.note_success()
    assert standing.behind_since is not None
    assert standing.behind_since >= (came or 0)
    standing.note_attempt()
    standing.note_success()
    assert standing.behind_since is None
    standing.step(record, LinkEvent.CLOCK_OFF)
    assert standing.behind_since is not None

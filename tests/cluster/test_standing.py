"""Whether a node is in step, where the peer has to come to it."""

from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.standing import OFFER_MS, Standing
from aeorsync.core.links import LinkEvent
from tests.support.clock import FakeClock

RECORD = LinkRecord(id=1, address="http://127.0.0.1:1")


def test_a_peer_that_pushes_keeps_us_in_step_until_it_falls_silent() -> None:
    wall = FakeClock()
    standing = Standing(wall, is_paused=False)
    assert standing.tell(RECORD).behind_since is not None
    standing.note_offer()
    taken_at = wall.now
    standing.note_failure("cannot reach it")
    wall.now += OFFER_MS - 100
    assert standing.tell(RECORD).behind_since is None
    assert standing.tell(RECORD).last_offer_at == taken_at
    wall.now += 200
    assert standing.tell(RECORD).behind_since == taken_at


def test_pushes_excuse_no_lag_of_a_link_that_is_active() -> None:
    standing = Standing(FakeClock(), is_paused=False)
    standing.note_offer()
    standing.step(RECORD, LinkEvent.CONNECTED)
    standing.step(RECORD, LinkEvent.CLOCK_SETTLED)
    standing.note_news()
    assert standing.tell(RECORD).behind_since is not None

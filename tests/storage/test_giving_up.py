"""Who gives up a version of a conflict decides about that one, and about no other."""

from aeorsync.core.merge import see
from aeorsync.core.paths import parse
from aeorsync.storage.settling import give_up
from tests.support.clock import FakeClock
from tests.support.repositories import entry_at, exchange, get, memory_repository, put


def test_a_version_given_up_here_makes_no_conflict_with_an_edit_of_the_other_one_there() -> None:
    clock = FakeClock()
    a, b = memory_repository(1, clock), memory_repository(2, clock)
    loser = put(a, "/f", b"given up")
    winner = put(b, "/f", b"shown")
    exchange(a, b)
    before = entry_at(b, "/f")
    assert before is not None
    assert see(before).winner == winner
    base = ((winner.incarnation, winner.n),)
    put(a, "/f", b"shown, and edited", base=base)
    stated = b.commit(lambda draft: give_up(draft, parse("/f"), loser.id)).result(timeout=30)
    assert stated.updated == winner.updated
    exchange(a, b)
    for repository in (a, b):
        entry = entry_at(repository, "/f")
        assert entry is not None
        assert see(entry).losers == ()
        assert get(repository, "/f") == b"shown, and edited"
        repository.close()

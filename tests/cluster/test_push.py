"""Pushing to a peer that cannot reach us: the receiver is real, the wire is not."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.cluster import pages
from aeorsync.cluster.offers import Stance
from aeorsync.cluster.peers import LinkBook
from aeorsync.cluster.push import SEND_BYTES, Pushed, run_push
from aeorsync.core.hashing import chunk_id
from aeorsync.core.knowledge import Knowledge
from aeorsync.errors import BadRequestError, UnavailableError
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits
from aeorsync.wire.offers import OfferReply
from tests.api.readers import Operation, operations, perform
from tests.support.cycles import cycle, noise, peering, put_large, remove
from tests.support.loops import run
from tests.support.peer import FakePeer
from tests.support.repositories import (
    files,
    get,
    memory_repository,
    open_repository,
    put,
)

MIB = 1 << 20


@pytest.fixture
def peer(theirs: Repository) -> FakePeer:
    return FakePeer(theirs, stance=Stance())


def pushed(ours: Repository, peer: FakePeer, ahead: str | None = None, **link: object) -> Pushed:
    return run(run_push(peering(ours, peer, **link), ahead))


def chunk_requests(peer: FakePeer) -> int:
    return len(peer.asked("/sync/offer/chunks"))


def offers(peer: FakePeer) -> int:
    return len(peer.asked("/sync/offer"))


def test_everything_we_have_arrives_page_by_page(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_ITEMS", 100)
    wanted = {f"/d{i % 7}/f{i:03}": noise(i + 1, i) for i in range(250)}
    for path, data in wanted.items():
        put(ours, path, data)
    put(ours, "/gone", b"gone")
    remove(ours, "/gone")
    report = pushed(ours, peer)
    assert files(theirs) == wanted
    assert (theirs.head.root, theirs.head.graves) == (ours.head.root, ours.head.graves)
    assert (report.changed, report.chunks, report.is_partial) == (258, 250, False)


def test_a_second_push_asks_one_question_and_changes_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(ours, "/a", b"one")
    pushed(ours, peer)
    seq, asked = theirs.head.seq, len(peer.requests)
    report = pushed(ours, peer)
    assert (report.told, report.changed) == (0, 0)
    assert theirs.head.seq == seq
    assert len(peer.requests) == asked + 1


@pytest.mark.parametrize(
    ("link", "stance", "is_told"),
    [
        ({}, Stance(), True),
        ({"sync_paths": ("/a",)}, Stance(), False),
        ({"excludes": ("/b",)}, Stance(), False),
        ({}, Stance(excludes=("/b",)), False),
    ],
)
def test_who_took_all_we_have_knows_what_we_know_and_nobody_else(
    ours: Repository, theirs: Repository, link: dict[str, object], stance: Stance, *, is_told: bool
) -> None:
    put(ours, "/a", b"one")
    ours.learn({99: 7})
    peer = FakePeer(theirs, stance=stance)
    run(run_push(peering(ours, peer, **link)))
    assert 99 not in theirs.known()
    run(run_push(msgspec.structs.replace(peering(ours, peer, **link), asks_knowledge=True)))
    assert (ours.known().items() <= theirs.known().items()) is is_told
    assert (99 in theirs.known()) is is_told


def test_what_was_pushed_does_not_come_back_nor_go_again(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/theirs", b"theirs")
    cycle(ours, peer)
    put(ours, "/ours", b"ours")
    pushed(ours, peer)
    seqs = ours.head.seq, theirs.head.seq
    assert cycle(ours, peer).told == 0
    put(theirs, "/theirs", b"again")
    assert cycle(ours, peer).changed == 1
    # What came from there is not offered there.
    assert pushed(ours, peer).told == 0
    assert (ours.head.seq, theirs.head.seq) == (seqs[0] + 1, seqs[1] + 1)
    assert ours.head.root == theirs.head.root


def test_a_large_file_goes_in_bounded_rounds_and_a_small_edit_sends_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = open_repository(tmp_path / "a", 1), open_repository(tmp_path / "b", 2)
    peer = FakePeer(target, stance=Stance())
    monkeypatch.setattr(limits, "MAX_LACKING", 100)
    data = noise(40 * MIB)
    put_large(source, "/big", data)
    report = pushed(source, peer)
    assert get(target, "/big") == data
    assert report.changed == 1
    assert offers(peer) > 3
    sizes = [len(request.body) for request in peer.asked("/sync/offer/chunks")]
    assert max(sizes) < 2.5 * SEND_BYTES
    put_large(source, "/big", b"!" + data)
    assert pushed(source, peer).chunks <= 6
    assert source.head.root == target.head.root
    source.close()
    target.close()


def test_conflicts_are_kept_by_the_receiver(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(ours, "/a", b"ours")
    put(theirs, "/a", b"theirs")
    assert pushed(ours, peer).conflicts == 1
    cycle(ours, peer)
    assert ours.head.root == theirs.head.root
    for repository in (ours, theirs):
        [conflict] = repository.conflicts()
        contents = [b"".join(repository.read(v.content)) for v in conflict.entry.versions]
        assert sorted(contents) == [b"ours", b"theirs"]


def test_filters_of_both_ends_hold_and_widening_them_brings_the_rest(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    for name in ("/a/x", "/a/y", "/b/x"):
        put(ours, name, name.encode())
    peer.stance = Stance(sync_paths=("/*/x", "/a", "/b"))
    pushed(ours, peer, sync_paths=("/a/**", "/a"))
    assert list(files(theirs)) == ["/a/x"]
    peer.stance = Stance(excludes=("/*/y",))
    pushed(ours, peer, sync_paths=("/a/**", "/a"))
    assert list(files(theirs)) == ["/a/x"]
    peer.stance = Stance()
    pushed(ours, peer, excludes=("/b/**", "/a/y"))
    assert list(files(theirs)) == ["/a/x"]
    pushed(ours, peer, sync_paths=("/a/**", "/a"))
    assert list(files(theirs)) == ["/a/x", "/a/y"]
    pushed(ours, peer)
    assert list(files(theirs)) == ["/a/x", "/a/y", "/b/x"]


@pytest.mark.parametrize("stance", [Stance(takes=False), Stance(is_linked=True)])
def test_a_peer_that_needs_or_wants_nothing_is_sent_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer, stance: Stance
) -> None:
    put(ours, "/a", b"one")
    peer.stance = stance
    outcome = pushed(ours, peer)
    assert (outcome.takes, outcome.is_linked) == (stance.takes, stance.is_linked)
    assert (offers(peer), chunk_requests(peer)) == (1, 0)
    assert files(theirs) == {}
    peer.stance = Stance()
    pushed(ours, peer)
    assert files(theirs) == {"/a": b"one"}


def test_who_is_asked_to_pushes_to_a_peer_that_pulls(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(ours, "/a", b"one")
    peer.stance = Stance(is_linked=True)
    run(run_push(peering(ours, peer), is_asked_for=True))
    assert files(theirs) == {"/a": b"one"}


def test_the_record_comes_last_and_a_broken_push_resumes(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_ITEMS", 1)
    for i in range(4):
        put(ours, f"/f{i}", bytes([i]))
    real, calls = theirs.apply, count(1)

    def failing(*given: object) -> object:
        if next(calls) == 3:
            raise UnavailableError("the disk is full")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(theirs, "apply", failing)
    with pytest.raises(UnavailableError, match="disk is full"):
        pushed(ours, peer)
    assert len(files(theirs)) == 2
    told = len(peer.asked("/sync/offer"))
    assert pushed(ours, peer).told == 2
    assert len(files(theirs)) == 4
    assert len(peer.asked("/sync/offer")) <= told + 5


def test_a_chunk_that_was_sent_is_not_sent_again_after_a_failure(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ours, "/a", b"one")
    monkeypatch.setattr(theirs, "apply", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pushed(ours, peer)
    assert LinkBook(ours).pushed(peering(ours, peer).link) is None
    monkeypatch.undo()
    pushed(ours, peer)
    assert chunk_requests(peer) == 1
    assert files(theirs) == {"/a": b"one"}


def test_a_peer_put_back_to_an_older_copy_gets_everything_again(tmp_path: Path) -> None:
    source, target = memory_repository(1), open_repository(tmp_path / "new", 2)
    peer = FakePeer(target, stance=Stance())
    put(source, "/a", b"one")
    pushed(source, peer)
    target.close()
    older = open_repository(tmp_path / "older", 2)
    older.database_id = target.database_id
    peer.repository = older
    assert pushed(source, peer).changed == 1
    assert files(older) == {"/a": b"one"}
    older.close()


def test_who_takes_more_than_before_knows_no_more_until_it_was_offered_everything(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        put(ours, f"/{name}", b"one")
    peer.stance = Stance(excludes=("/b",))
    pushed(ours, peer)
    known: list[bool] = []
    learn = theirs.learn

    def learning(vector: Knowledge) -> None:
        known.append("/b" in files(theirs))
        learn(vector)

    monkeypatch.setattr(theirs, "learn", learning)
    peer.stance = Stance()
    run(run_push(msgspec.structs.replace(peering(ours, peer), asks_knowledge=True)))
    assert known == [True]
    assert ours.known().items() <= theirs.known().items()


def test_a_peer_put_back_to_a_copy_as_old_as_its_receipt_gets_its_own_files_again(
    tmp_path: Path,
) -> None:
    ours, target = memory_repository(1), open_repository(tmp_path / "new", 2)
    peer = FakePeer(target, stance=Stance())
    put(ours, "/a", b"one")
    pushed(ours, peer)
    target.close()
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    peer.repository = target = open_repository(tmp_path / "new", 2)
    put(target, "/b", b"theirs")
    cycle(ours, peer)
    target.close()
    peer.repository = target = open_repository(tmp_path / "old", 2)
    run(run_push(msgspec.structs.replace(peering(ours, peer), asker=None, asks_knowledge=True)))
    assert files(target) == files(ours) == {"/a": b"one", "/b": b"theirs"}
    target.close()
    ours.close()


def test_a_file_with_a_damaged_chunk_is_a_problem_and_the_rest_goes_on(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ours, "/bad", b"bad")
    put(ours, "/good", b"good")
    put(ours, "/lost", b"lost")
    real = ours.stored_chunks
    bad, lost = chunk_id(b"bad"), chunk_id(b"lost")
    monkeypatch.setattr(
        ours,
        "stored_chunks",
        lambda ids: [
            msgspec.structs.replace(c, codec=0, data=b"BAD") if c.id == bad else c
            for c in real(ids)
            if c.id != lost
        ],
    )
    report = pushed(ours, peer)
    assert files(theirs) == {"/good": b"good"}
    assert report.problem_count == 2
    assert LinkBook(ours).pushed(peering(ours, peer).link) is None
    monkeypatch.undo()
    assert not pushed(ours, peer).is_partial
    assert files(theirs) == files(ours)


def test_what_the_peer_refused_is_offered_again_and_what_follows_goes_ahead(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theirs, "is_too_far_ahead", lambda _: True)
    put(ours, "/a", b"one")
    first = pushed(ours, peer)
    assert first.problem_count == 1
    assert "future" in (first.complaint or "")
    monkeypatch.undo()
    put(ours, "/b", b"two")
    assert pushed(ours, peer, first.reached).told == 1
    assert files(theirs) == {"/b": b"two"}
    pushed(ours, peer)
    assert files(theirs) == files(ours)


LIES: dict[str, Callable[[OfferReply], OfferReply]] = {
    "another node": lambda reply: msgspec.structs.replace(reply, node_id=99),
    "another database": lambda reply: msgspec.structs.replace(reply, database=99),
    "no receipt": lambda reply: msgspec.structs.replace(reply, receipt=None),
    "forgets for ever": lambda reply: msgspec.structs.replace(reply, known=False),
    "asks for ever": lambda reply: msgspec.structs.replace(reply, lacking=["00" * 32]),
    "asks for no chunk": lambda reply: msgspec.structs.replace(reply, lacking=["nothing"]),
    "asks too much": lambda reply: msgspec.structs.replace(reply, lacking=["00" * 32] * 8193),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_receiver_that_lies_ends_the_push(ours: Repository, peer: FakePeer, lie: str) -> None:
    put(ours, "/a", b"one")
    peer.reply = LIES[lie]
    with pytest.raises((UnavailableError, BadRequestError)):
        pushed(ours, peer)
    assert LinkBook(ours).pushed(peering(ours, peer).link) is None


def test_a_receiver_that_changes_its_mind_all_the_time_ends_the_push(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_ITEMS", 1)
    for i in range(5):
        put(ours, f"/f{i}", bytes([i]))
    fickle = count()
    peer.reply = lambda reply: msgspec.structs.replace(reply, sync_paths=(f"/{next(fickle)}",))
    with pytest.raises(UnavailableError, match="forgets"):
        pushed(ours, peer)
    assert offers(peer) < 15


# A link whose target has chunks, as `perform` makes it, is no link to a peer.
sound = operations.filter(lambda operation: operation[0] != "link")
turns = st.sampled_from(["push", "pull", "forget"])
histories = st.lists(st.tuples(st.booleans(), sound) | turns, max_size=30)


@settings(max_examples=60, deadline=None)
@given(histories, st.integers(1, 3))
def test_whatever_happens_a_push_and_a_pull_make_both_equal(
    history: list[tuple[bool, Operation] | str], page: int
) -> None:
    ours, theirs = memory_repository(1), memory_repository(2)
    peer = FakePeer(theirs, stance=Stance())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE_ITEMS", page)
        for event in history:
            match event:
                case "push":
                    pushed(ours, peer)
                case "pull":
                    cycle(ours, peer)
                case "forget":
                    LinkBook(ours).remove(peering(ours, peer).link)
                case (bool(here), operation):
                    perform(ours if here else theirs, operation)
                case _:
                    raise AssertionError(event)
        cycle(ours, peer)
        report = pushed(ours, peer)
    assert not report.is_partial
    assert (ours.head.root, ours.head.graves) == (theirs.head.root, theirs.head.graves)
    assert pushed(ours, peer).changed == 0
    ours.close()
    theirs.close()

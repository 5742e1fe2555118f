"""Whatever happens on both sides, in whatever turns, they end equal and nothing is lost."""

import base64
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aeorsync.api.foreign_diff import _page
from aeorsync.cluster.cycle import Report
from aeorsync.cluster.foreign import run_foreign_cycle
from aeorsync.cluster.foreign_part import DEFER_MS, ForeignPeering
from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.walk import Sieve
from aeorsync.core.foreign import parse_token
from aeorsync.core.versions import Kind
from aeorsync.remote.foreign import ForeignDiff
from aeorsync.storage.foreign import ForeignBook
from tests.support.aeordb import AeorDB
from tests.support.cycles import remove
from tests.support.loops import run
from tests.support.repositories import entry_at, files, get, memory_repository, put

PATHS = ("/a", "/b", "/d/c")
LINK = LinkRecord(id=5, address="http://x")


class World:
    """One of ours and one of theirs, without sockets: only turns they take."""

    def __init__(self) -> None:
        self.ours = memory_repository()
        self.theirs = AeorDB()
        self.book = ForeignBook()
        self.cursor: str | None = None
        self.now = 0
        self.written = 0

    async def diff(
        self, since: str | None, _current: str, paths: Sequence[str] | None = None
    ) -> ForeignDiff:
        answer = self.theirs.diff(since, is_peer=True)
        if paths is not None:
            for items in answer["changes"].values():
                items[:] = [item for item in items if item["path"] in paths]
        return msgspec.convert(answer, ForeignDiff)

    async def chunks(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        return {name: self.theirs.chunks[name.hex()] for name in ids}

    def look(self) -> Report:
        """Ours pulls."""
        self.now += 1
        remote = cast("Any", self)
        return run(
            run_foreign_cycle(ForeignPeering(self.ours, self.book, remote, LINK, "1", self.now))
        )

    def tick(self, *, is_cut_off: bool = False) -> int:
        """Theirs pulls; cut off, it forgets that it did."""
        token = None if self.cursor is None else parse_token(self.cursor)
        self.book.ack(LINK.id, 0 if token is None else token.turn)
        self.look()
        node = SimpleNamespace(
            repository=self.ours,
            seal_secret=bytes(32),
            wall=SimpleNamespace(now_ms=lambda: self.now),
        )
        reply = _page(cast("Any", node), self.book, LINK.id, self.cursor, Sieve(shows_graves=True))
        told = msgspec.to_builtins(reply)
        found = self.ours.stored_chunks([bytes.fromhex(x) for x in told["chunk_hashes_needed"]])
        plain = [(c.id.hex(), bytes(self.ours.plain_chunk(c.id))) for c in found]
        data = [{"hash": name, "data": base64.b64encode(body)} for name, body in plain]
        self.theirs._take_chunks(data)
        self.theirs._apply(told["changes"])
        if not is_cut_off:
            self.cursor = reply.root_hash
        return sum(map(len, (value for value in told["changes"].values())))

    def do(self, what: str, path: str) -> None:
        self.written += 1
        text = b"%d" % self.written
        is_here, is_there = get(self.ours, path) is not None, path in self.theirs.tree
        deeds: dict[str, Callable[[], object]] = {
            "put here": lambda: put(self.ours, path, text),
            "put there": lambda: self.theirs.put(path, text),
            "delete here": lambda: remove(self.ours, path) if is_here else None,
            "delete there": lambda: self.theirs.delete(path) if is_there else None,
            "look": self.look,
            "tick": self.tick,
            "tick, cut off": lambda: self.tick(is_cut_off=True),
            "collect": self.theirs.collect_garbage,
        }
        deeds[what]()

    def settle(self) -> None:
        for _ in range(4):
            self.look()
            self.tick()


DEEDS = (
    "put here",
    "put there",
    "delete here",
    "delete there",
    "look",
    "tick",
    "tick, cut off",
    "collect",
)


# An AeorDB node whose garbage collection made our cursor unknown, and that has nothing left of
# what we saw there, cannot be told from one that only added files: then a deletion is missed
# (docs/decisions/0008). So collections are in the examples by hand only.
@settings(max_examples=100, derandomize=True)
@example(
    [
        ("put here", "/a"),
        ("put there", "/b"),
        ("tick", "/a"),
        ("collect", "/a"),
        ("delete there", "/b"),
    ]
)
@given(st.lists(st.tuples(st.sampled_from(DEEDS[:-1]), st.sampled_from(PATHS)), max_size=14))
def test_they_end_equal_and_then_stay_quiet(deeds: list[tuple[str, str]]) -> None:
    world = World()
    with patch.object(
        ForeignBook, "forget", autospec=True, side_effect=ForeignBook.forget
    ) as lost:
        for what, path in deeds:
            world.do(what, path)
        world.settle()
    # Of one that seems to have lost its data nothing is deleted here, and it may have meant to.
    assume(not lost.called)
    assert files(world.ours) == world.theirs.files()
    seq, head = world.ours.head.seq, world.theirs.head
    assert world.look().changed == 0
    world.tick()  # it may be told again of what is gone, which changes nothing
    assert (world.ours.head.seq, world.theirs.head) == (seq, head)


@settings(max_examples=40, deadline=None)
@given(
    here=st.sampled_from(("put here", "delete here")),
    there=st.sampled_from(("put there", "delete there")),
    is_here_first=st.booleans(),
    then=st.sampled_from(("look", "tick", "tick, cut off")),
)
def test_what_was_done_on_both_sides_of_one_state_is_all_kept(
    here: str, there: str, then: str, *, is_here_first: bool
) -> None:
    world = World()
    put(world.ours, "/a", b"base")
    world.settle()
    for what in (here, there) if is_here_first else (there, here):
        world.do(what, "/a")
    world.do(then, "/a")
    world.settle()
    entry = entry_at(world.ours, "/a")
    assert entry is not None
    if here.startswith("delete") and there.startswith("delete"):
        assert get(world.ours, "/a") is None
    else:
        assert len(entry.versions) == 2
        kept = [v for v in entry.versions if v.kind == Kind.FILE and not v.deleted]
        assert len(kept) == here.startswith("put") + there.startswith("put")


def test_only_what_was_told_counts_when_ours_is_put_back_to_an_older_copy() -> None:
    world = World()
    world.theirs.put("/a", b"theirs")
    world.settle()
    world.ours = memory_repository()
    world.look()
    assert files(world.ours) == {"/a": b"theirs"}


TURNS = ("put here", "put there", "delete here", "delete there", "delete there, and collect")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TURNS), st.sampled_from(PATHS)), max_size=8))
def test_one_deed_at_a_time_is_done_on_both_sides_and_never_a_conflict(
    turns: list[tuple[str, str]],
) -> None:
    world = World()
    # With nothing left of what it had, it would be taken for one that lost its data.
    world.theirs.put("/kept", b"kept")
    world.settle()
    expected = {"/kept": b"kept"}
    for what, path in turns:
        deed, _, then = what.partition(", and ")
        world.do(deed, path)
        if then:
            world.do(then, path)
        if deed.startswith("put"):
            expected[path] = b"%d" % world.written
        else:
            expected.pop(path, None)
        world.settle()
        assert files(world.ours) == world.theirs.files() == expected
        assert list(world.ours.conflicts()) == []


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_what_it_took_and_we_changed_since_is_no_change_of_its_own(*, is_cut_off: bool) -> None:
    world = World()
    put(world.ours, "/a", b"1")
    world.tick(is_cut_off=is_cut_off)
    put(world.ours, "/a", b"2")
    put(world.ours, "/a", b"3")
    seq = world.ours.head.seq
    world.look()
    world.settle()
    assert world.ours.head.seq == seq
    assert world.theirs.files() == {"/a": b"3"}
    assert list(world.ours.conflicts()) == []


@pytest.mark.parametrize("deed", ["put there", "delete there"])
@pytest.mark.parametrize("was_there", [True, False])
def test_a_change_right_after_it_took_something_is_one_of_that(
    deed: str, *, was_there: bool
) -> None:
    world = World()
    if was_there:
        put(world.ours, "/a", b"before")
        world.settle()
    put(world.ours, "/a", b"taken")
    world.tick()
    world.do(deed, "/a")
    world.look()
    world.tick()
    expected = {"/a": b"1"} if deed == "put there" else {}
    assert files(world.ours) == world.theirs.files() == expected
    assert list(world.ours.conflicts()) == []


def test_a_change_after_an_answer_it_may_have_taken_in_part_is_kept() -> None:
    world = World()
    put(world.ours, "/a", b"before")
    world.settle()
    put(world.ours, "/a", b"ours")
    world.tick(is_cut_off=True)
    world.theirs.put("/a", b"theirs")
    world.look()
    world.tick()
    entry = entry_at(world.ours, "/a")
    assert entry is not None
    contents = {b"".join(world.ours.read(version.content)) for version in entry.versions}
    assert contents == {b"ours", b"theirs"}


def test_a_path_that_nobody_says_is_dealt_with_is_not_left_alone_for_ever() -> None:
    world = World()
    put(world.ours, "/a", b"ours")
    world.tick()
    world.theirs.put("/a", b"theirs")
    world.look()
    assert get(world.ours, "/a") == b"ours"
    world.now += DEFER_MS
    world.look()
    assert get(world.ours, "/a") == b"theirs"
    assert len(list(world.ours.conflicts())) == 1


def test_nothing_is_concluded_when_a_chunk_could_not_be_sent() -> None:
    world = World()
    put(world.ours, "/a", b"ours")
    world.tick()
    world.theirs.delete("/a")  # stands for: it skipped the file
    world.book.doubt()
    world.settle()
    assert files(world.ours) == world.theirs.files() == {"/a": b"ours"}

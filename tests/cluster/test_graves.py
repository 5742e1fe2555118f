"""Deletions are forgotten when everybody has heard of them, and then nothing comes back."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from aeorsync.cluster.graves import MAX_INTERVAL_S, MIN_INTERVAL_S, interval_s
from aeorsync.core.knowledge import Ack, to_vector
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Entry
from aeorsync.storage.members import ACKS
from aeorsync.storage.states import state_of
from tests.support.loops import run
from tests.support.repositories import put
from tests.support.simulation import PARTS, PATHS, RETENTION_S, Cluster, Sim

AGE_MS = RETENTION_S * 1000 + 1000
Play = Callable[[Cluster], Coroutine[Any, Any, None]]

NODES = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NODES, st.sampled_from(PATHS), st.integers(0, 9)),
        st.tuples(st.just("delete"), NODES, st.sampled_from(PATHS)),
        st.tuples(st.just("cycle"), NODES, NODES),
        st.tuples(st.just("cycle"), NODES, NODES),
        st.tuples(st.just("part"), NODES, NODES, st.sampled_from(PARTS)),
        st.tuples(st.just("wait"), st.integers(1, AGE_MS)),
        st.tuples(st.just("grow old")),
        st.tuples(st.just("tend"), NODES),
        st.tuples(st.just("restart"), NODES),
        st.tuples(st.just("join"), NODES),
        st.tuples(st.just("remove"), NODES, NODES),
    ),
    max_size=40,
)


async def perform(cluster: Cluster, step: tuple[Any, ...]) -> None:  # noqa: C901, PLR0912  # one table
    """Do one thing; what has no place now does nothing."""
    name, *arguments = step

    def node(at: int) -> Sim:
        return cluster.nodes[at % len(cluster.nodes)]

    match name, *arguments:
        case "write", at, path, number:
            cluster.write(node(at), path, number)
        case "delete", at, path:
            cluster.delete(node(at), path)
        case "cycle", at, other:
            await cluster.cycle(node(at), node(other))
        case "part", at, other, path:
            await cluster.part(node(at), node(other), path)
        case "wait", ms:
            cluster.clock.now += ms
        case ("grow old",):
            # What happens in a week of ordinary work.
            cluster.clock.now += AGE_MS
            await rounds(cluster, 2)
        case "tend", at:
            cluster.tend(node(at))
        case "restart", at:
            cluster.restart(node(at))
        case "join", at if len(cluster.nodes) < 5:
            await cluster.join(node(at), cluster.add())
        case "remove", at, other:
            cluster.remove(node(at), node(other))
        case _:
            pass


async def rounds(cluster: Cluster, count: int) -> None:
    """Everybody who stays pulls from everybody, and tends the graves."""
    for _ in range(count):
        await cluster.settle()
        for node in cluster.staying():
            cluster.tend(node)


def play(size: int, story: Play) -> None:
    async def main() -> None:
        with opened(size) as cluster:
            await story(cluster)

    run(main(), 120)


@contextmanager
def opened(size: int) -> Iterator[Cluster]:
    cluster = Cluster(size)
    try:
        yield cluster
    finally:
        cluster.close()


def graves(node: Sim) -> set[bytes]:
    return node.entries().keys() - node.live().keys()


@given(steps=STEPS)
@settings(deadline=None, max_examples=20)
def test_whatever_happens_nobody_overclaims_and_nothing_deleted_comes_back(
    steps: list[tuple[Any, ...]],
) -> None:
    async def story(cluster: Cluster) -> None:
        for step in steps:
            await perform(cluster, step)
            assert cluster.overclaims() == []
        await cluster.settle()
        expected = cluster.expected()
        for node in cluster.staying():
            assert node.live() == expected
        cluster.clock.now += AGE_MS
        await rounds(cluster, 4)
        assert cluster.overclaims() == []
        for node in cluster.staying():
            assert node.live() == expected
            assert graves(node) <= blocked(cluster)

    play(3, story)


def blocked(cluster: Cluster) -> set[bytes]:
    """Graves made by nodes that were removed before they could say what they know."""
    gone = {node.id for node in cluster.nodes} - {node.id for node in cluster.staying()}
    return {key for key, version in cluster.written.values() if version.node in gone}


def test_a_grave_goes_when_all_have_acknowledged_it_and_the_roots_stay() -> None:
    async def story(cluster: Cluster) -> None:
        a, b, _ = cluster.nodes
        cluster.write(a, "/a", 1)
        await cluster.settle()
        cluster.delete(b, "/a")
        await rounds(cluster, 3)
        assert all(graves(node) for node in cluster.nodes)
        roots = {node.repository.head.root for node in cluster.nodes}
        cluster.clock.now += AGE_MS
        await rounds(cluster, 3)
        assert not any(graves(node) for node in cluster.nodes)
        assert len(roots) == 1
        assert len({node.repository.head.root for node in cluster.nodes}) == 1

    play(3, story)


def test_while_a_member_is_away_its_graves_stay_and_its_removal_frees_them() -> None:
    async def story(cluster: Cluster) -> None:
        a, b, away = cluster.nodes
        cluster.write(a, "/a", 1)
        await cluster.settle()
        cluster.delete(a, "/a")
        cluster.clock.now += AGE_MS
        for _ in range(4):
            await cluster.cycle(a, b)
            await cluster.cycle(b, a)
            cluster.tend(a)
            cluster.tend(b)
        assert graves(a) == graves(b) == {to_key(parse("/a"))}
        cluster.remove(a, away)
        await rounds(cluster, 3)
        assert graves(a) == graves(b) == set()
        # It still has what was deleted, and nobody takes it.
        assert to_key(parse("/a")) in away.live()
        await cluster.cycle(a, away)
        await cluster.cycle(b, away)
        assert a.live() == b.live() == {}

    play(3, story)


def test_one_whom_only_a_silent_member_knows_is_waited_for() -> None:
    async def story(cluster: Cluster) -> None:
        a, b, stranger = cluster.nodes
        cluster.write(a, "/a", 1)
        await cluster.cycle(b, a)
        await cluster.cycle(a, b)
        await cluster.part(stranger, a, "/a")
        cluster.delete(a, "/a")
        cluster.clock.now += AGE_MS
        for _ in range(4):
            await cluster.cycle(b, a)
            await cluster.cycle(a, b)
            cluster.tend(b)
            cluster.tend(a)
        assert graves(b) == {to_key(parse("/a"))}
        await rounds(cluster, 4)
        assert [node.live() for node in cluster.nodes] == [{}, {}, {}]
        assert not any(graves(node) for node in cluster.nodes)

    play(3, story)


def test_one_from_whom_only_a_part_was_taken_is_waited_for() -> None:
    async def story(cluster: Cluster) -> None:
        a, b, stranger = cluster.nodes
        cluster.write(stranger, "/a", 1)
        await cluster.part(a, stranger, "/a")
        cluster.delete(a, "/a")
        cluster.clock.now += AGE_MS
        for _ in range(4):
            await cluster.cycle(b, a)
            await cluster.cycle(a, b)
            cluster.tend(b)
            cluster.tend(a)
        assert graves(a) == graves(b) == {to_key(parse("/a"))}

    play(3, story)


def test_an_acknowledgement_that_went_ahead_of_what_its_writer_knew_does_not_count() -> None:
    async def story(cluster: Cluster) -> None:
        a, b, z, stranger = cluster.nodes
        cluster.write(a, "/a", 1)
        for asker, server in ((b, a), (z, a), (a, b), (a, z)):
            await cluster.cycle(asker, server)
        cluster.delete(a, "/a")
        # Only z knows of the stranger, who has what is deleted.
        await cluster.part(stranger, z, "/a")
        await cluster.cycle(z, a)
        await cluster.cycle(b, a)
        cluster.clock.now += AGE_MS
        for node in (b, z):
            cluster.tend(node)
        await cluster.cycle(a, b)
        await cluster.part(a, z, ACKS)
        assert stranger.id not in a.members.all()
        cluster.tend(a)
        cluster.tend(a)
        assert graves(a) == {to_key(parse("/a"))}
        await rounds(cluster, 4)
        assert not any(graves(node) or node.live() for node in cluster.nodes)

    play(4, story)


def test_a_forgotten_grave_told_again_is_not_taken_back_and_a_live_version_is() -> None:
    async def story(cluster: Cluster) -> None:
        a, b = cluster.nodes
        cluster.write(a, "/a", 1)
        cluster.write(a, "/b", 1)
        await cluster.settle()
        cluster.delete(a, "/a")
        cluster.clock.now += AGE_MS
        await cluster.settle()
        known = to_vector(b.repository.known())
        assert known is not None
        b.members.acknowledge(Ack(b.id, 1, known))
        await cluster.cycle(a, b)
        cluster.tend(a)
        assert graves(a) == set()
        assert graves(b) == {to_key(parse("/a"))}
        await cluster.part(a, b, "/a")
        assert graves(a) == set()
        assert graves(b)
        # A version that we know of and do not hold: whatever went wrong, it is taken.
        with b.repository.view() as view:
            entry = view.entry(to_key(parse("/b")))
        assert entry is not None
        cluster.write(b, "/b", 2)
        await cluster.part(a, b, "/b")
        assert to_key(parse("/b")) in a.live()

    play(2, story)


def test_a_node_alone_forgets_by_age_whatever_it_lived_through() -> None:
    async def story(cluster: Cluster) -> None:
        (a,) = cluster.nodes
        cluster.write(a, "/a", 1)
        cluster.restart(a)
        cluster.write(a, "/a", 2)
        cluster.restart(a)
        cluster.delete(a, "/a")
        cluster.restart(a)
        cluster.write(a, "/b", 1)
        cluster.tend(a)
        assert graves(a)
        cluster.clock.now += AGE_MS
        cluster.tend(a)
        assert not graves(a)
        assert cluster.overclaims() == []

    play(1, story)


def test_what_the_writer_of_a_grave_had_seen_elsewhere_has_to_be_known_too() -> None:
    async def story(cluster: Cluster) -> None:
        a, b, stranger = cluster.nodes
        version = put(stranger.repository, "/a", b"1")
        await cluster.cycle(b, a)
        await cluster.cycle(a, b)
        # A client read the file on the stranger, and deletes it on a node that never heard of it.
        seen = Entry((version,)).context
        state = state_of(version, deleted=True)
        a.repository.commit(lambda draft: draft.write(parse("/a"), state, seen)).result(timeout=30)
        cluster.clock.now += AGE_MS
        for _ in range(4):
            await cluster.cycle(b, a)
            await cluster.cycle(a, b)
            cluster.tend(b)
            cluster.tend(a)
        assert graves(a) == graves(b) == {to_key(parse("/a"))}
        cluster.note()
        await rounds(cluster, 4)
        assert not any(graves(node) or node.live() for node in cluster.nodes)

    play(3, story)


def test_an_idle_cluster_writes_nothing() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.write(cluster.nodes[0], "/a", 1)
        await rounds(cluster, 2)
        heads = [node.repository.head for node in cluster.nodes]
        for _ in range(3):
            cluster.clock.now += AGE_MS
            await rounds(cluster, 2)
        assert [node.repository.head for node in cluster.nodes] == heads

    play(3, story)


def test_one_that_told_more_than_it_knows_takes_it_back() -> None:
    async def story(cluster: Cluster) -> None:
        a, _ = cluster.nodes
        cluster.write(a, "/a", 1)
        await cluster.settle()
        a.members.acknowledge(Ack(a.id, 1, ((12345, 7),)))
        cluster.tend(a)
        with a.repository.view() as view:
            told = dict(a.members.acks(view)[a.id].vector)
        assert 12345 not in told
        assert told

    play(2, story)


def test_graves_are_looked_at_often_enough_and_not_too_often() -> None:
    assert interval_s(1) == MIN_INTERVAL_S
    assert interval_s(30 * 86400) == MAX_INTERVAL_S
    assert interval_s(24 * 60) == 60

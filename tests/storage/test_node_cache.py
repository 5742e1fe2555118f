"""What is held of the trees in memory is bounded by its size, however often files are written."""

from contextlib import ExitStack
from unittest.mock import patch

from aeorsync.core import tree
from aeorsync.storage.views import NodeCache
from tests.support.repositories import files, memory_repository, put

MOST = 20_000


def test_the_nodes_of_trees_long_gone_do_not_pile_up() -> None:
    repository = memory_repository()
    cache = NodeCache(repository.store, MOST)
    seen = 0
    for number in range(200):
        put(repository, f"/{number % 20}", b"%d" % number)
        root = repository.head.root
        assert tree.count(root, cache.read) == min(20, number + 1)
        assert cache.held <= MOST
        seen += len(repository.store.node(root))
    assert seen > MOST
    assert cache.held > MOST // 2
    repository.close()


def test_nodes_that_a_commit_replaced_are_let_go_of() -> None:
    repository = memory_repository()
    for number in range(100):
        put(repository, f"/{number}", b"%d" % number)
        assert len(files(repository)) == number + 1
    live = NodeCache(repository.store)
    assert len(list(tree.scan(repository.head.root, live.read))) == 100
    assert (
        live.held <= repository.trees.held < 1.5 * live.held
    )  # those of the last go with the next
    repository.close()


def test_what_was_forgotten_is_read_again() -> None:
    repository = memory_repository()
    put(repository, "/a", b"1")
    cache = NodeCache(repository.store, 0)
    root = repository.head.root
    assert cache.read(root) == cache.read(root)
    cache.clear()
    assert cache.held == 0
    assert cache.read(root).keys
    repository.close()


def test_what_nobody_reads_any_more_is_let_go_of_and_the_rest_stays() -> None:
    repository = memory_repository()
    asked: list[bytes] = []
    whole = repository.store.node

    def count(name: bytes) -> bytes:
        asked.append(name)
        return whole(name)

    with ExitStack() as views:
        roots = []
        for number in range(40):
            put(repository, f"/{number}", b"%d" % number)
            roots.append(views.enter_context(repository.view()).head.root)
        large = NodeCache(repository.store, 1 << 30)
        for root in roots:
            large.read(root)
        full = large.held
        large.rest()
        large.rest()
        assert large.held == full  # so little is not worth it
        small = NodeCache(repository.store, 3 * full)
        for root in roots:
            small.read(root)
        small.rest()
        with patch.object(repository.store, "node", count):
            small.read(roots[-1])
            assert small.held == full
            small.rest()
            assert 0 < small.held < full // 4
            small.read(roots[-1])
            assert asked == []
            small.read(roots[0])
            assert asked == [roots[0]]
    repository.close()

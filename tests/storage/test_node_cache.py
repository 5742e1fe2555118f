"""What is held of the trees in memory is bounded by its size, however often files are written."""

from aeorsync.core import tree
from aeorsync.storage.views import NodeCache
from tests.support.repositories import memory_repository, put

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

"""Numbers that name things for ever: nodes, databases, and each run of a database."""

import msgspec

from aeorsync.core.nodes import EMPTY
from aeorsync.runtime import chance
from aeorsync.storage.base import Head, Store

_MAX_EPOCHS = 10_000
"""Runs whose cursors stay good; a peer with an older one lists everything again."""


def first_head(node: int) -> Head:
    """The head of an empty store, under a fresh incarnation."""
    return Head(EMPTY, EMPTY, 0, 0, new_incarnation(), 0, node)


def new_incarnation() -> int:
    """A random id, 1 to 2**63 - 1, under which a database mints its dots."""
    return chance.below((1 << 63) - 1) + 1


def new_node_id() -> int:
    """A random node id, 1 to 2**53 - 1, exact in JSON numbers."""
    return chance.below((1 << 53) - 1) + 1


def database_id(store: Store) -> int:
    """The id made with a database; a copy of the database keeps it."""
    stored = store.note("database", "id")
    if stored is None:
        stored = msgspec.msgpack.encode(new_incarnation())
        store.set_note("database", "id", stored)
    return msgspec.msgpack.decode(stored, type=int)


def begin_epoch(store: Store) -> list[tuple[int, int]]:
    """Note that the feed goes on under a new epoch; returns all (epoch, first seq), in order."""
    stored = store.note("database", "epochs")
    known = msgspec.msgpack.decode(stored, type=list[tuple[int, int]]) if stored else []
    epochs = [*known[-_MAX_EPOCHS:], (new_incarnation(), store.head().seq + 1)]
    store.set_note("database", "epochs", msgspec.msgpack.encode(epochs))
    return epochs

"""Nodes of trees by id, for comparing trees and for bringing some here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import Node
from aeorsync.core.repair import Ours
from aeorsync.errors import CorruptError
from aeorsync.storage.base import Head, Store
from aeorsync.storage.views import NodeCache


@dataclass(frozen=True, slots=True)
class NodeBodies:
    """Tree nodes somebody asked for.

    Attributes:
        found: Bytes by id, checked.
        missing: Ids of those that are not here, or damaged.
        rest: Ids of those that were not looked at, since there was enough.
    """

    found: dict[bytes, bytes]
    missing: list[bytes]
    rest: list[bytes]


class Trees:
    """The tree nodes of a repository. Blocking; safe from any thread."""

    def __init__(self, store: Store, cache: NodeCache) -> None:
        self._store = store
        self._cache = cache

    def bodies(self, names: Sequence[bytes], most: int) -> NodeBodies:
        """Tree nodes by id, whatever tree they are of, in the order asked.

        Args:
            names: Which.
            most: Bytes after which the rest is left out; one node is told in any case.
        """
        found: dict[bytes, bytes] = {}
        missing: list[bytes] = []
        size = 0
        for at, name in enumerate(names):
            if size >= most:
                return NodeBodies(found, missing, list(names[at:]))
            body = self._body(name)
            if body is None:
                missing.append(name)
            else:
                found[name] = body
                size += len(body)
        return NodeBodies(found, missing, [])

    @property
    def held(self) -> int:
        """Bytes that the decoded nodes take that are held, about."""
        return self._cache.held

    def read(self, name: bytes) -> Node:
        """A decoded tree node.

        Raises:
            CorruptError: It is missing or damaged.
        """
        return self._cache.read(name)

    def ours(self, head: Head) -> tuple[Ours, Ours]:
        """The live tree of a head and that of its deletions, to be compared with others."""
        return Ours(head.root, self._cache.read), Ours(head.graves, self._cache.read)

    def missing(self, names: Collection[bytes]) -> set[bytes]:
        """Which of these tree nodes are not here."""
        return self._store.missing_nodes(names)

    def put(self, nodes: dict[bytes, bytes]) -> None:
        """Add checked tree nodes that belong to no head; durable on return."""
        self._store.put_nodes(nodes)

    def regain(self, name: bytes, body: bytes) -> None:
        """Put a node of our own trees back whose bytes are damaged or gone; durable on return.

        Raises:
            CorruptError: These bytes are not that node; nothing was changed.
        """
        if node_id(body) != name:
            raise CorruptError(f"tree node {name.hex()} does not match its name")
        # What is left of it gives way first: a store does not replace what it holds.
        self._store.sweep([name], [], 0)
        self._store.put_nodes({name: body})

    def _body(self, name: bytes) -> bytes | None:
        try:
            body = self._store.node(name)
        except CorruptError:
            return None
        return body if node_id(body) == name else None

"""Which state of the tree a request is about: the present, the past, or a fork.

    ?snapshot=NAME or ID     the tree as it was; for reading
    ?version=ROOT            the same by its root: that of a snapshot, of a fork's beginning, or
                             the present one
    ?fork=NAME or ID         a fork; for reading and writing

The call that goes on to the handler has a node whose repository is in that state, so handlers
serve all states alike. A fork has ETags of its own: what was read outside is no base inside.
"""

import re
from dataclasses import replace

from blake3 import blake3

from aeorsync.api import reach
from aeorsync.api.endpoint import Call, Endpoint, Sees
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.places import Places
from aeorsync.core.nodes import EMPTY
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.runtime import bridge
from aeorsync.storage.forks import ForkLens
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.lenses import Lens, PastLens
from aeorsync.storage.versions import (
    Fork,
    Snapshot,
    choose,
    forks,
    not_here,
    snapshots,
)

VERSION_ID = re.compile(r"[0-9a-f]{1,16}-[0-9a-f]{1,16}\Z")
_ROOT = re.compile(r"(?:[0-9a-fA-F]{2})+\Z")
_HASH_DIGITS = 64
_WORDS = re.compile(rb"(?:\A|&)(?:snapshot|version|fork)=")
_SEAL = "aeorsync 2026 seal of a fork v1"


async def enter(call: Call, endpoint: Endpoint) -> Call:
    """The call, on the state of the tree it asks for.

    Raises:
        BadRequestError: The endpoint does not take that, or it makes no sense.
        NotFoundError: There is no such snapshot, fork or root.
        ConflictError: Several have that name.
        UnavailableError: It is not all on this node.
    """
    raw: bytes = call.request.scope["query_string"]
    if endpoint.sees is Sees.ANYTHING or not _WORDS.search(raw):
        return call
    query = Query(raw)
    fork, snapshot, root = query.text("fork"), query.text("snapshot"), _root(query)
    _check_state(endpoint.sees, query, root)
    if fork:
        chosen = await bridge.run(find_fork, call.node, fork)
        return replace(call, node=in_fork(call.node, chosen))
    if snapshot or root:
        lens = await bridge.run(_past, call.node, snapshot, root, reach.places(call))
        return replace(call, node=through(call.node, lens))
    return call


def _check_state(sees: Sees, query: Query, root: str | None) -> None:
    """Refuse to do in the present what was to be done elsewhere."""
    is_fork, is_past = bool(query.text("fork")), bool(query.text("snapshot") or root)
    if is_fork and sees is Sees.PRESENT:
        raise BadRequestError("this cannot be done in a fork; nothing was changed")
    if sees is not Sees.ALL and (is_past or (sees is Sees.FORKS and query.text("version"))):
        raise BadRequestError("this cannot be done in the past; nothing was changed")
    if is_fork and is_past:
        raise BadRequestError("ask for a fork or for the past, not for both")


def through(node: Node, lens: Lens) -> Node:
    """A node with its tree in another state."""
    return replace(node, repository=node.repository.through(lens))


def in_fork(node: Node, fork: Fork) -> Node:
    """A node with its tree as a fork has it."""
    seal = blake3(node.seal_secret + fork.id.encode(), derive_key_context=_SEAL).digest()
    return replace(through(node, ForkLens(fork)), seal_secret=seal)


def find_fork(node: Node, text: str) -> Fork:
    """A fork that can be read here, by its id or name. Blocking."""
    fork = choose(forks(node.repository), text, "fork")
    if not node.repository.has_trees(fork.trees):
        raise not_here(f"what the fork {fork.name} began with")
    return fork


def find_snapshot(node: Node, text: str) -> Snapshot:
    """A snapshot that can be read here, by its id, name or root. Blocking."""
    snapshot = choose(snapshots(node.repository), text, "snapshot")
    if not node.repository.has_trees(snapshot.trees):
        raise not_here(f"the snapshot {snapshot.name}")
    return snapshot


def find_root(node: Node, text: str, places: Places | None = None) -> tuple[bytes, bytes]:
    """A live tree that can be read here, and its graves where known. Blocking.

    Args:
        node: Where.
        text: Its root, or what whoever asks was told in its place.
        places: What they were told in place of roots; None where these were told.
    """
    root = bytes.fromhex(text) if len(text) == _HASH_DIGITS else b""
    if places is not None and not places.access.is_everything:
        root = _named_root(node, text.lower(), places)
    view = node.repository.view()
    if root == view.head.root:
        # It may be of the past before it is read.
        node.shelf.put(view)
        return view.head.root, view.head.graves
    view.close()
    for snapshot in snapshots(node.repository):
        if snapshot.trees[0] == root:
            return find_snapshot(node, snapshot.id).trees
    if root not in kept_roots(node.repository):
        raise NotFoundError("there is no such version")
    if not node.repository.has_trees((root, EMPTY)):
        raise not_here("this version")
    return root, EMPTY


def _named_root(node: Node, text: str, places: Places) -> bytes:
    """The root that goes by a name (`Places.root`); nothing when none does."""
    kept = [*(one.trees[0] for one in snapshots(node.repository)), *kept_roots(node.repository)]
    for root in (node.repository.head.root, *kept):
        if places.root(root.hex()) == text:
            return root
    return b""


def is_root(text: str) -> bool:
    """Whether a text has the form of a root."""
    return _ROOT.match(text) is not None


def _root(query: Query) -> str | None:
    """The root that the query names, if it does; a snapshot beats it."""
    text = query.text("version")
    if not text or VERSION_ID.match(text):
        return None
    if not is_root(text):
        raise BadRequestError("version must be the id of a version, or a hash")
    return text


def _past(node: Node, snapshot: str | None, root: str | None, places: Places) -> Lens:
    if snapshot:
        return PastLens(*find_snapshot(node, snapshot).trees)
    return PastLens(*find_root(node, root or "", places))

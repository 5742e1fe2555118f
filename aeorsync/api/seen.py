"""What a client has seen: ETags out, conditions in.

    If-Match: "…"            only if it still is what I saw           412 otherwise
    If-None-Match: *         only if nothing is there                 412 otherwise
    X-AeorSync-Base: "…"     I edited what I saw then; what came since stays, as a conflict
    X-AeorSync-Base: ""      I had seen nothing

An ETag is a seal (`core.seals`), so any node of the cluster can read what another gave out.
"""

from collections.abc import Mapping

from aeorsync.api.identities import identity_of
from aeorsync.api.node import Node
from aeorsync.core import seals
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Entry, Vector, Version
from aeorsync.errors import BadRequestError
from aeorsync.storage.changes import NO_CONDITIONS, Conditions, Tags
from aeorsync.wire.headers import parse_etags, print_etag

BASE = "X-AeorSync-Base"
_NAMES = (b"if-match", b"if-none-match", b"x-aeorsync-base")

identity = identity_of

Headers = Mapping[bytes, bytes]
"""Header fields of a request by their names in lower case."""


def etag(node: Node, path: TreePath, entry: Entry) -> str:
    """The ETag of a path, quotes included."""
    return print_etag(seals.seal(node.seal_secret, path, entry.context))


def conditions(node: Node, path: TreePath, headers: Headers) -> Conditions:
    """What the writer of a request demands.

    Raises:
        BadRequestError: A condition cannot be read, or the base is of no use.
    """
    if not any(name in headers for name in _NAMES):
        return NO_CONDITIONS
    return Conditions(
        if_match=_tags(node, path, headers.get(b"if-match"), is_strong=True),
        if_none_match=_tags(node, path, headers.get(b"if-none-match"), is_strong=False),
        base=_base(node, path, headers.get(b"x-aeorsync-base")),
    )


def _tags(node: Node, path: TreePath, field: bytes | None, *, is_strong: bool) -> Tags:
    if field is None:
        return None
    listed = parse_etags(field.decode("latin-1"))
    if listed.is_any:
        return "*"
    texts = listed.strong() if is_strong else listed.weak()
    return tuple(seals.unseal(node.seal_secret, path, text) for text in texts)


def _base(node: Node, path: TreePath, field: bytes | None) -> Vector | None:
    if field is None:
        return None
    if not field:
        raise BadRequestError(f"{BASE} must be one ETag")
    return base(node, path, field.decode("latin-1"), BASE)


def base(node: Node, path: TreePath, text: str, name: str = "base") -> Vector:
    """What a writer had seen, by one ETag with its quotes; an empty one, or no text, is nothing.

    Raises:
        BadRequestError: It is no ETag of the path; ``name`` is what it is called there.
    """
    if not text:
        return ()
    listed = parse_etags(text)
    if listed.is_any or len(listed.tags) != 1:
        raise BadRequestError(f"{name} must be one ETag")
    opaque = listed.tags[0].opaque
    vector = seals.unseal(node.seal_secret, path, opaque) if opaque else ()
    if vector is None:
        raise BadRequestError(
            f"{name} is no ETag of {path}; send the ETag this cluster gave for this very path"
        )
    return vector


def version_etag(node: Node, path: TreePath, version: Version) -> str:
    """The ETag that covers just one version, quotes included: the base of who edits it."""
    return etag(node, path, Entry((version,)))

"""``POST /sync/diff``: what changed since.

Nodes are answered in frames, all others in JSON; see `wire.protocol`. Both are read in pages, each
from one view, in a thread. A page of JSON that does not reach the present carries a token in place
of the root; whoever echoes it is led on, so AeorDB nodes need not know that there are pages.

Whom rules bind is answered in JSON only: entries hold all versions, and what their writers knew.
They are told of paths they may read, deletions included, and always get a token that tells nothing
(`api.places`). Their pages are never empty before the present is reached: that would count what is
hidden.
"""

from dataclasses import dataclass
from functools import partial

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api import reach
from aeorsync.api.diff_page import DiffPage
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer
from aeorsync.api.foreign_diff import foreign_reader, foreign_reply, plain_since
from aeorsync.api.frames import ENCODING_PARAMETER, framed, wants_frames
from aeorsync.api.members import admit_caller
from aeorsync.api.node import Caller, Node
from aeorsync.api.parameters import Query
from aeorsync.api.places import Place, Places
from aeorsync.cluster.pages import entry_frames, read_page
from aeorsync.cluster.walk import Sieve, is_done, is_usable, start, walk
from aeorsync.core.cursors import (
    Cursor,
    parse_cursor,
    parse_hex,
    print_cursor,
    print_hex,
)
from aeorsync.core.filters import Filter
from aeorsync.core.hashing import HASH_SIZE
from aeorsync.core.knowledge import to_vector
from aeorsync.errors import BadRequestError, DeniedError, TooLargeError
from aeorsync.runtime import bridge
from aeorsync.storage.base import Head
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing, limits
from aeorsync.wire.brief import Same, mark
from aeorsync.wire.protocol import (
    FRAMES_TYPE,
    NODE_HEADER,
    Changes,
    DiffEnd,
    DiffHeader,
    DiffReply,
    DiffRequest,
    pack,
)

_HEX = frozenset("0123456789abcdefABCDEF")
_MAX_NODE = 1 << 64
_encode = msgspec.json.Encoder().encode


async def diff(call: Call) -> Response:
    """Answer one page of changes."""
    if wants_frames(call.request):
        check_reader(call.caller)
    reach.demand_somebody(call)
    request = await call.body(DiffRequest)
    sieve = _sieve(call, request)
    await admit_caller(call)
    if wants_frames(call.request):
        cursor = None if request.cursor is None else parse_cursor(request.cursor)
        tells = request.knowledge and call.caller.is_peer and sieve.wanted.is_everything
        same = Query(call.request.scope["query_string"]).text("same") if tells else None
        body = await bridge.run(
            _frames, call.node.repository, cursor, sieve, _held(request), tells, same
        )
        return await framed(call.request, body)
    since = _check_hex(request.since_root_hash)
    if call.caller.is_peer and request.current_root_hash is not None:
        # So ask AeorDB nodes. Our system namespace would be theirs there.
        sieve = msgspec.structs.replace(sieve, shows_system=False)
        host = call.request.client.host if call.request.client is not None else ""
        reader = await foreign_reader(call.node, since, request.current_root_hash, host)
        if reader.link is not None or not reader.is_ready:
            grave_sieve = msgspec.structs.replace(sieve, shows_graves=True)
            return answer(await foreign_reply(call.node, reader, since, grave_sieve))
        since = plain_since(since)
    root = call.node.repository.head.root.hex()
    if since == root and call.caller.access.is_everything:
        return answer(DiffReply(root_hash=root, changes=Changes()))
    page = partial(_page, call.node, since, sieve, request, is_peer=call.caller.is_peer)
    body, told = await (bridge.run(page) if call.caller.is_peer else call.node.walks.run(page))
    call.share.take(len(body))
    await call.node.grants.tell(call.caller.access, told)
    return Response(body, media_type="application/json")


def check_reader(caller: Caller) -> None:
    """Demand a caller who may read the whole tree.

    Raises:
        DeniedError: It is neither root nor a peer.
    """
    if not (caller.is_root or caller.is_peer):
        raise DeniedError("only root and the nodes of the cluster may sync the whole tree")


def _sieve(call: Call, request: DiffRequest) -> Sieve:
    in_frames = wants_frames(call.request)
    excludes = request.excludes if in_frames else None
    if max(len(request.paths or ()), len(excludes or ())) > limits.MAX_FILTERS:
        raise BadRequestError(f"there are more than {limits.MAX_FILTERS} paths")
    is_peer = call.caller.is_peer
    return Sieve(
        wanted=Filter.parse(request.paths, excludes),
        shows_system=is_peer or (request.include_system and call.caller.is_root),
        asker=_asker(call, request) if is_peer else 0,
        shows_graves=in_frames,
        access=call.caller.access,
    )


def _asker(call: Call, request: DiffRequest) -> int:
    text = call.request.headers.get(NODE_HEADER)
    if text is None:
        return request.node_id or 0
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MAX_NODE)):
        raise BadRequestError(f"{NODE_HEADER} is not a node id")
    return int(text)


def _check_hex(since: str | None) -> str | None:
    if since is None:
        return None
    if len(since) % 2 or not _HEX.issuperset(since):
        raise BadRequestError("since_root_hash is not hexadecimal")
    if len(since) > 2 * limits.MAX_HEADER:
        raise TooLargeError("since_root_hash is too long")
    return since.lower()


# In frames


def _held(request: DiffRequest) -> tuple[str, str] | None:
    root, graves = request.current_root_hash, request.current_graves_hash
    return None if root is None or graves is None else (root, graves)


def _frames(
    repository: Repository,
    cursor: Cursor | None,
    sieve: Sieve,
    held: tuple[str, str] | None = None,
    tells: bool = False,  # noqa: FBT001, FBT002  # called through the bridge
    same: str | None = None,
) -> bytes:
    # Before the view is opened: what is known is in the trees by then.
    known = to_vector(repository.known()) if tells else None
    page = read_page(repository, cursor, sieve, held=held)
    head = page.head
    known = None if page.has_more else known
    if page.cursor == cursor and known is not None and same == mark(head.root.hex(), known).text:
        told = Same(head.node, repository.database_id, same=True)
        return framing.encode(framing.Kind.END, pack(told))
    end = DiffEnd(print_cursor(page.cursor), page.has_more, head.root.hex(), known)
    database, root = repository.database_id, end.root_hash
    header = DiffHeader(head.node, database, root, __version__, deltas=True)
    return b"".join(
        (
            framing.encode(framing.Kind.HEADER, pack(header)),
            *entry_frames(page.items),
            framing.encode(framing.Kind.END, pack(end)),
        )
    )


# In JSON


@dataclass(frozen=True, slots=True)
class _Base:
    """What a reader of JSON has.

    Attributes:
        place: Where it stands.
        full: Whether it is given a listing, not a difference.
        begins: Whether the listing begins here.
    """

    place: Place
    full: bool
    begins: bool = False


def _base(repository: Repository, head: Head, since: str | None, places: Places) -> _Base:
    place = None if since is None else _place(repository, since, places)
    if place is not None and is_usable(place.cursor, head, repository):
        return _Base(place, full=place.cursor.phase != 0)
    return _Base(Place(start(repository, head), exact=True), full=True, begins=True)


def _place(repository: Repository, since: str, places: Places) -> Place | None:
    """The place in a token."""
    if not places.access.is_everything:
        return places.open_place(since)
    token = parse_hex(since)
    if token is not None:
        return Place(token, exact=False)
    if len(since) == 2 * HASH_SIZE:
        seq = repository.seq_of_root(bytes.fromhex(since))
        if seq is not None and repository.reaches_back_to(seq):
            return Place(Cursor(repository.epoch, seq), exact=True)
    return None


def _token(place: Place, head: Head, places: Places) -> str:
    if not places.access.is_everything:
        return places.seal_place(place)
    return head.root.hex() if place.exact else print_hex(place.cursor)


def _page(
    node: Node, since: str | None, sieve: Sieve, request: DiffRequest, *, is_peer: bool
) -> tuple[bytes, set[bytes]]:
    repository, places = node.repository, Places(node.seal_secret, sieve.access)
    with repository.view() as view:
        head = view.head
        base = _base(repository, head, since, places)
        page = DiffPage(
            repository,
            node.seal_secret,
            exact=base.place.exact,
            bounds_chunks=is_peer,
            packed=request.packed,
        )
        cursor = base.place.cursor
        is_full = False
        while not is_full:
            for step in walk(repository, view, cursor, sieve):
                is_full = not page.has_room_for(step)
                if is_full:
                    break
                cursor = step.cursor
                page.add(step)
            if places.access.is_everything or is_done(cursor, head):
                break
    place = Place(cursor, exact=is_done(cursor, head))
    token = _token(place, head, places)
    reply = page.reply(token, more=not place.exact, full=base.full, begins=base.begins)
    if not request.include_needed:
        reply = msgspec.structs.replace(reply, chunk_hashes_needed=[])
    return _encode(reply), page.told


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/sync/diff",
        diff,
        "Tell what changed since an earlier answer.",
        access=Access.SYNC,
        request=DiffRequest,
        reply=DiffReply,
        errors=(BadRequestError, DeniedError, TooLargeError),
        parameters=(
            Parameter("Accept", {"type": "string"}, f"{FRAMES_TYPE} for frames.", "header"),
            ENCODING_PARAMETER,
            Parameter(NODE_HEADER, {"type": "integer"}, "Node id of the asking node.", "header"),
            Parameter("same", {"type": "string"}, "Where the asking node stands, in frames."),
        ),
    ),
)

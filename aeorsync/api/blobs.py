"""``/blobs/*``: uploading by chunks, so that what was interrupted goes on where it ended.

    GET   /blobs/config           how chunks are named
    POST  /blobs/check            which chunks need not be sent
    PUT   /blobs/chunks/{hash}    one chunk
    POST  /blobs/chunks           many, in frames
    POST  /blobs/commit           files of chunks, in one step: `api.commits`
    GET   /blobs/{hash}           one chunk, or a file by its identity

A chunk is checked on arrival and durable when it is answered for, or only when it is committed if
that is asked for. It stays for a day after it was last put durably or said to be held, whatever is
collected, and for as long as a file needs it.
"""

from contextlib import suppress

from starlette.responses import Response

from aeorsync.api import media, reach
from aeorsync.api.budget import weigh
from aeorsync.api.downloads import get_version
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer, parse_body
from aeorsync.api.intake import CHUNK_FRAME, Intake, mismatch, read_bytes, read_frames
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.rescue import rescued
from aeorsync.core.hashing import parse_hash, parse_ids
from aeorsync.core.versions import Kind as EntryKind
from aeorsync.errors import (
    BadRequestError,
    CorruptError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    OverloadedError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.composing import Taken
from aeorsync.storage.content import LostChunkError
from aeorsync.wire import limits
from aeorsync.wire.blobs import (
    CHUNK_PREFIX,
    HASH_ALGORITHM,
    BatchReply,
    CheckReply,
    CheckRequest,
    ConfigReply,
    StoredReply,
)
from aeorsync.wire.framing import Kind
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE

FRAMES = Parameter("Content-Type", {"type": "string"}, f"{FRAMES_TYPE} for frames.", "header")


async def config(_call: Call) -> Response:
    """Tell how chunks are named."""
    return answer(
        ConfigReply(HASH_ALGORITHM, limits.MAX_CHUNK, CHUNK_PREFIX, deltas=True, packed=True)
    )


async def check(call: Call) -> Response:
    """Tell which chunks need not be sent; those stay for a day."""
    reach.demand_somebody(call)
    caller, node = call.caller, call.node
    with node.budget.share(caller.owner) as share:
        body = await read_bytes(call, share, limits.MAX_BLOBS_JSON)
        if call.request.headers.get("content-type", "").startswith(IDS_TYPE):
            share.take(2 * len(body))  # each is an object of its own once it is read
            ids = list(dict.fromkeys(await bridge.run(parse_ids, body)))
            held = await _hold(call, set(ids))
            needed = b"".join(name for name in ids if name not in held)
            return Response(needed, media_type=IDS_TYPE)
        share.take(weigh(body) - len(body))
        names = await bridge.run(_names, body)
        held = await _hold(call, set(names.values()))
        have = [text for text, name in names.items() if name in held]
        return answer(CheckReply(have, [text for text, name in names.items() if name not in held]))


def _names(body: bytes) -> dict[str, bytes]:
    return {text: parse_hash(text) for text in parse_body(body, CheckRequest).hashes}


async def _hold(call: Call, wanted: set[bytes]) -> set[bytes]:
    """Keep for a day what is here of some chunks, and the caller's to use; return these."""
    node, caller = call.node, call.caller
    usable = await node.grants.usable(caller.owner, caller.access, wanted)
    return usable - await bridge.run(node.repository.pin, usable)


async def put_chunk(call: Call) -> Response:
    """Store one chunk."""
    reach.demand_writer(call)
    name = parse_hash(call.request.path_params["hash"])
    data = await _small_body(call)
    chunk = StoredChunk(name, 0, len(data), data)
    taken = await bridge.run(_store, call, chunk)
    before = await call.node.grants.note(call.caller.owner, call.caller.access, [name])
    # To whom rules bind, what others brought is not theirs to know of.
    is_new = taken.created if call.caller.access.is_everything else not before
    if is_new:
        return answer(StoredReply("created", name.hex()), 201)
    return answer(StoredReply("exists", name.hex()))


async def _small_body(call: Call) -> bytes:
    try:
        return await call.bytes(limits.MAX_CHUNK)
    except TooLargeError as error:
        text = call.request.headers.get("content-length", "")
        refusal = BadRequestError(f"a chunk has at most {limits.MAX_CHUNK} bytes")
        refusal.details["max"] = limits.MAX_CHUNK
        refusal.details["got"] = int(text) if text.isdecimal() else limits.MAX_CHUNK + 1
        raise refusal from error


def _store(call: Call, chunk: StoredChunk) -> Taken:
    repository = call.node.repository
    try:
        taken = repository.take_in([chunk])
    except CorruptError as error:
        raise mismatch(chunk, error) from error
    repository.flush()
    return taken


async def put_chunks(call: Call) -> Response:
    """Store many chunks."""
    reach.demand_writer(call)
    flushes = not Query(call.request.scope["query_string"]).flag("volatile")
    with call.node.budget.share(call.caller.owner) as share:
        async with Intake(call, share, flushes=flushes) as intake:
            is_first = True
            async for frames in read_frames(call, share, CHUNK_FRAME):
                if is_first and frames[0].kind is not Kind.HEADER:
                    raise BadRequestError("the chunks have no header")
                await intake.take(frames[1:] if is_first else frames)
                is_first = False
        return answer(BatchReply(intake.created, intake.exists))


async def get(call: Call) -> Response:
    """Read a chunk, or a file by its identity."""
    name = parse_hash(call.request.path_params["hash"])
    node, access = call.node, call.caller.access
    headers = {"X-AeorDB-Hash": name.hex()}
    is_shown = bool(await node.grants.readable(access, [name]))
    if is_shown and await bridge.run(_should_be_here, node, name):
        with suppress(LostChunkError):
            data = await rescued(node, node.repository.plain_chunk, name)
            return Response(bytes(data), headers=headers, media_type=media.UNKNOWN)
    found = await node.grants.find_file(access, name)
    if found is None:
        raise NotFoundError(f"there is no chunk and no file {name.hex()}")
    path, version = found
    response = await get_version(call, path, version.id)
    response.raw_headers[:] = [
        *(field for field in response.raw_headers if field[0] != b"x-aeordb-type"),
        (b"x-aeordb-type", b"%d" % EntryKind.FILE),
        (b"x-aeordb-hash", name.hex().encode()),
    ]
    return response


def _should_be_here(node: Node, name: bytes) -> bool:
    return node.repository.damage.is_lost(name) or not node.repository.missing([name])


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/blobs/config",
        config,
        "Tell how chunks are named.",
        access=Access.USER,
        reply=ConfigReply,
    ),
    Endpoint(
        "POST",
        "/blobs/check",
        check,
        "Tell which chunks need not be sent.",
        access=Access.USER,
        request=CheckRequest,
        reply=CheckReply,
        parameters=(
            Parameter(
                "Content-Type", {"type": "string"}, f"{IDS_TYPE} for joined raw ids.", "header"
            ),
        ),
        errors=(
            BadRequestError,
            InvalidFieldError,
            DeniedError,
            OverloadedError,
            TooLargeError,
        ),
    ),
    Endpoint(
        "PUT",
        "/blobs/chunks/{hash}",
        put_chunk,
        "Store one chunk.",
        access=Access.USER,
        reply=StoredReply,
        status=201,
        also=(200,),
        errors=(BadRequestError, DeniedError),
        takes_bytes=True,
    ),
    Endpoint(
        "POST",
        "/blobs/chunks",
        put_chunks,
        "Store many chunks.",
        access=Access.USER,
        reply=BatchReply,
        errors=(BadRequestError, DeniedError, OverloadedError),
        parameters=(
            FRAMES,
            Parameter("volatile", {"type": "boolean"}, "Answer before they are durable."),
        ),
        takes_bytes=True,
    ),
    Endpoint(
        "GET",
        "/blobs/{hash}",
        get,
        "Read a chunk, or a file by its identity.",
        access=Access.USER,
        errors=(BadRequestError, NotFoundError),
        media=("*/*",),
    ),
)

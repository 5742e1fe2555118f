"""``/blobs/*``: uploading by chunks, so that what was interrupted goes on where it ended.

    GET   /blobs/config           how chunks are named
    POST  /blobs/check            which chunks need not be sent
    PUT   /blobs/chunks/{hash}    one chunk
    POST  /blobs/chunks           many, in frames
    POST  /blobs/commit           files of chunks, in one step: `api.commits`

A chunk is checked on arrival and durable when it is answered for. It stays for a day after it was
last put or said to be held, whatever is collected, and for as long as a file needs it.
"""

from collections.abc import Sequence

from starlette.responses import Response

from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer, parse_body
from aeorsync.api.intake import CHUNK_FRAME, Intake, mismatch, read_bytes, read_frames
from aeorsync.core.hashing import parse_hash
from aeorsync.errors import (
    BadRequestError,
    CorruptError,
    InvalidFieldError,
    OverloadedError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.composing import Taken
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
from aeorsync.wire.protocol import FRAMES_TYPE

FRAMES = Parameter("Content-Type", {"type": "string"}, f"{FRAMES_TYPE} for frames.", "header")


async def config(_call: Call) -> Response:
    """Tell how chunks are named."""
    return answer(ConfigReply(HASH_ALGORITHM, limits.MAX_CHUNK, CHUNK_PREFIX))


async def check(call: Call) -> Response:
    """Tell which chunks need not be sent; those stay for a day."""
    with call.node.budget.share() as share:
        body = await read_bytes(call, share, limits.MAX_BLOBS_JSON)
        return answer(await bridge.run(_check, call, body))


def _check(call: Call, body: bytes) -> CheckReply:
    names = {text: parse_hash(text) for text in parse_body(body, CheckRequest).hashes}
    if not call.caller.access.is_everything:
        return CheckReply([], list(names))
    missing = call.node.repository.pin(set(names.values()))
    have = [text for text, name in names.items() if name not in missing]
    return CheckReply(have, [text for text, name in names.items() if name in missing])


async def put_chunk(call: Call) -> Response:
    """Store one chunk."""
    name = parse_hash(call.request.path_params["hash"])
    data = await _small_body(call)
    chunk = StoredChunk(name, 0, len(data), data)
    taken = await bridge.run(_store, call, chunk)
    if taken.created:
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
    repository = call.node.repository
    with call.node.budget.share() as share:
        async with Intake(repository, share, _nobody_listens) as intake:
            is_first = True
            async for frames in read_frames(call, share, CHUNK_FRAME):
                if is_first and frames[0].kind is not Kind.HEADER:
                    raise BadRequestError("the chunks have no header")
                await intake.take(frames[1:] if is_first else frames)
                is_first = False
            await intake.finish()
        await bridge.run(repository.flush)
        return answer(BatchReply(intake.created, intake.exists))


def _nobody_listens(_chunks: Sequence[StoredChunk], _taken: Taken) -> None:
    pass


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/blobs/config",
        config,
        "Tell how chunks are named.",
        access=Access.ROOT,
        reply=ConfigReply,
    ),
    Endpoint(
        "POST",
        "/blobs/check",
        check,
        "Tell which chunks need not be sent.",
        access=Access.ROOT,
        request=CheckRequest,
        reply=CheckReply,
        errors=(BadRequestError, InvalidFieldError, OverloadedError, TooLargeError),
    ),
    Endpoint(
        "PUT",
        "/blobs/chunks/{hash}",
        put_chunk,
        "Store one chunk.",
        access=Access.ROOT,
        reply=StoredReply,
        status=201,
        errors=(BadRequestError,),
        takes_bytes=True,
    ),
    Endpoint(
        "POST",
        "/blobs/chunks",
        put_chunks,
        "Store many chunks.",
        access=Access.ROOT,
        reply=BatchReply,
        errors=(BadRequestError, OverloadedError),
        parameters=(FRAMES,),
        takes_bytes=True,
    ),
)

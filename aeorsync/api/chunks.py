"""``POST /sync/chunks``: chunks by name, streamed in batches, so that memory stays bounded.

In frames chunks go out as they are stored, and the reader checks them; plain if it asks for that
(`wire.encoding`); to who names what they have that is alike, as deltas where that pays
(`storage.deltas`). In JSON they are checked here and go out plain, in the order asked; what is
unknown or damaged is left out.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from aeorsync.api import reach
from aeorsync.api.diff_page import PROJECTED_MAX, projected
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer, parse_body
from aeorsync.api.frames import ENCODING_PARAMETER, framed, wanted_encoding, wants_frames
from aeorsync.api.intake import read_bytes
from aeorsync.api.node import Node
from aeorsync.core.hashing import HASH_SIZE, Buffer, parse_hash, parse_ids
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    CorruptError,
    DeniedError,
    InvalidFieldError,
    OverloadedError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.content import LostChunkError
from aeorsync.storage.deltas import Maker
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing, limits
from aeorsync.wire.deltas import WANTS_TYPE, Bases, encode_delta, parse_wants
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.protocol import (
    CHUNKS_HEADER,
    FRAMES_TYPE,
    IDS_TYPE,
    ChunkData,
    ChunksReply,
    ChunksRequest,
    pack,
)

T = TypeVar("T")

_BATCH_BYTES = 2 * limits.MIB
_BATCH_MIN, _BATCH_MAX = 8, 64
"""Chunks one thread hop reads, so it never holds more than 16 MiB of them."""
_MISSING_MAX = limits.MAX_FRAME // HASH_SIZE
_HELD = "held"
_MAX_LOST = 1_000
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII).fullmatch
_encode = msgspec.json.Encoder().encode
_log = get_logger(__name__)


class ChunksRefusal(msgspec.Struct, frozen=True):
    """The chunks asked for do not fit into one answer.

    Attributes:
        error: One sentence for a person.
        code: Stable word for programs.
        chunks_so_far: How many of them would have fitted, from the first on.
    """

    error: str
    code: str
    chunks_so_far: int


async def chunks(call: Call) -> Response:
    """Send the chunks asked for."""
    reach.demand_somebody(call)
    wanted, bases = await _wanted(call)
    repository = call.node.repository
    names = list(dict.fromkeys(wanted.values()))
    allowed: Collection[bytes] = names
    if not call.caller.is_peer:
        # A delta tells of its base, too.
        known = {base for some in bases.values() for base in some}
        allowed = await call.node.grants.readable(call.caller.access, known.union(names))
        bases = {name: [one for one in some if one in allowed] for name, some in bases.items()}
        allowed = allowed.intersection(names)
    if wants_frames(call.request):
        frames = _frames(
            call.node,
            names,
            allowed,
            _reading(call.request, repository, bases),
            is_held_only=call.request.headers.get(CHUNKS_HEADER, "") == _HELD,
        )
        return await framed(call.request, frames)
    shown = set(allowed)
    pairs = [(text, name) for text, name in wanted.items() if name in shown]
    # An AeorDB node asks for all it needs at once, and refused it would ask so for ever.
    is_bounded = not call.caller.is_peer
    if is_bounded and len(pairs) * projected(limits.MAX_CHUNK) > PROJECTED_MAX:
        fitting = await bridge.run(_fitting, repository, pairs)
        if fitting < len(pairs):
            return _refusal(fitting)
    tell = call.node.member.readers.doubt if call.caller.is_peer else None
    return StreamingResponse(_json(repository, pairs, tell), media_type="application/json")


async def _wanted(call: Call) -> tuple[dict[str, bytes], Bases]:
    """The ids asked for, by how they were spelled, and what the reader has that is alike."""
    given = call.request.headers.get("content-type", "")
    read: Callable[[bytes], tuple[dict[str, bytes], Bases]] = _hex_ids
    if given.startswith(WANTS_TYPE):
        read = _wants
    elif given.startswith(IDS_TYPE):
        read = _raw_ids
    if call.caller.is_peer:
        # Whoever uploads much is not to keep the nodes of the cluster apart.
        return await bridge.run(read, await call.bytes(limits.MAX_CHUNKS_BODY, lambda _: None))
    with call.node.budget.share(call.caller.owner) as share:
        return await bridge.run(read, await read_bytes(call, share, limits.MAX_CHUNKS_BODY))


def _hex_ids(body: bytes) -> tuple[dict[str, bytes], Bases]:
    """The ids asked for, by how they were spelled; one of another length is known to nobody.

    Raises:
        BadRequestError: One is not hex, or there are too many.
    """
    found: dict[str, bytes] = {}
    hashes = parse_body(body, ChunksRequest).hashes
    _check_count(len(hashes))
    for text in hashes:
        if len(text) == HASH_SIZE * 2:
            found[text] = parse_hash(text)
        elif not _HEX(text):
            raise BadRequestError("a hash is not hex; nothing was sent")
    return found, {}


def _raw_ids(body: bytes) -> tuple[dict[str, bytes], Bases]:
    _check_count(len(body) // HASH_SIZE)
    return {name.hex(): name for name in parse_ids(body)}, {}


def _wants(body: bytes) -> tuple[dict[str, bytes], Bases]:
    _check_count(len(body) // HASH_SIZE)
    bases = parse_wants(body)
    return {name.hex(): name for name in bases}, bases


def _check_count(count: int) -> None:
    if count > limits.MAX_CHUNK_HASHES:
        raise BadRequestError(f"ask for at most {limits.MAX_CHUNK_HASHES} chunks at a time")


# In JSON


def _fitting(repository: Repository, pairs: Sequence[tuple[str, bytes]]) -> int:
    """How many of the chunks asked for fit into one answer, from the first on."""
    room = PROJECTED_MAX
    for at in range(0, len(pairs), _BATCH_MIN):
        part = pairs[at : at + _BATCH_MIN]
        sizes = {c.id: c.size for c in repository.stored_chunks([name for _, name in part])}
        for here, (_, name) in enumerate(part):
            room -= projected(sizes[name]) if name in sizes else 0
            if room < 0:
                return at + here
    return len(pairs)


def _refusal(fitting: int) -> Response:
    text = "the chunks do not fit into one answer; ask for fewer at a time"
    refusal = ChunksRefusal(text, TooLargeError.code, fitting)
    return answer(refusal, TooLargeError.status)


async def _json(
    repository: Repository,
    pairs: Sequence[tuple[str, bytes]],
    tell_gap: Callable[[], Awaitable[None]] | None,
) -> AsyncIterator[bytes]:
    yield b'{"chunks":['
    separator = b""
    sent = 0
    async for encoded in _batches(pairs, lambda part: _encode_batch(repository, part)):
        if encoded:
            yield separator + b",".join(encoded)
            separator = b","
            sent += len(encoded)
    if sent < len(pairs) and tell_gap is not None:
        await tell_gap()
    yield b"]}"


def _encode_batch(repository: Repository, part: Sequence[tuple[str, bytes]]) -> list[bytes]:
    held = {c.id: c for c in repository.stored_chunks([name for _, name in part])}
    encoded = []
    for text, name in part:
        plain = _plain(repository, held[name]) if name in held else None
        if plain is not None:
            encoded.append(_encode(ChunkData(text, bytes(plain), len(plain))))
    return encoded


def _plain(repository: Repository, chunk: StoredChunk) -> bytes | memoryview | None:
    """The checked bytes of a chunk; None, with a line in the log, when it is damaged."""
    try:
        return unpack(chunk)
    except CorruptError as error:
        _log.error("chunk is damaged", chunk=chunk.id.hex(), error=error.message)
    with suppress(CorruptError):
        repository.plain_chunk(chunk.id)  # is noted as lost, and fetched again
    return None


# In frames


_Read = Callable[[Sequence[bytes], list[bytes]], list[Buffer]]
"""Frames of some chunks; what is not here is added to a list."""


def _reading(request: Request, repository: Repository, bases: Bases) -> _Read:
    """How the reader of an answer wants its chunks."""
    if wanted_encoding(request) is not Encoding.ZSTD:
        return partial(_plain_batch, repository)  # checks them, too
    if request.headers.get(CHUNKS_HEADER, ""):
        return partial(_checked_batch, repository)
    if any(bases.values()):
        return partial(_delta_batch, repository, Maker(repository), bases)
    return partial(_frame_batch, repository)


async def _frames(
    node: Node,
    names: Sequence[bytes],
    allowed: Collection[bytes],
    read: _Read,
    *,
    is_held_only: bool,
) -> AsyncIterator[bytes]:
    repository = node.repository
    missing: list[bytes] = []
    shown = names
    if len(allowed) < len(names):
        missing = [name for name in names if name not in allowed]
        shown = [name for name in names if name in allowed]
    lacking: list[bytes] = []
    yield framing.encode(framing.Kind.HEADER, pack({}))
    try:
        async for part in _batches(shown, lambda part: read(part, lacking)):
            yield b"".join(part)
        lost = [] if is_held_only else await bridge.run(_lost, repository, lacking)
        if lost:
            # Whatever came of it: some of them may be here now.
            await node.member.rescue(lost)
            lacking = [name for name in lacking if name not in set(lost)]
            async for part in _batches(lost, lambda part: read(part, lacking)):
                yield b"".join(part)
    except AeorError as error:
        problem = {"error": error.message, "code": error.code}
        yield framing.encode(framing.Kind.ERROR, pack(problem))
        return
    missing += lacking
    for at in range(0, len(missing), _MISSING_MAX):
        payload = b"".join(missing[at : at + _MISSING_MAX])
        yield framing.encode(framing.Kind.MISSING, payload)
    yield framing.encode(framing.Kind.END, pack({}))


def _frame_batch(
    repository: Repository, part: Sequence[bytes], missing: list[bytes]
) -> list[Buffer]:
    found = repository.stored_chunks(part)
    if len(found) < len(part):
        held = {chunk.id for chunk in found}
        missing += [name for name in part if name not in held]
    return [_frame(chunk) for chunk in found]


def _frame(chunk: StoredChunk) -> bytes:
    codec = framing.Codec(chunk.codec)
    return framing.encode_chunk(chunk.id, codec, chunk.size, chunk.data)


def _delta_batch(
    repository: Repository,
    maker: Maker,
    bases: Bases,
    part: Sequence[bytes],
    missing: list[bytes],
) -> list[Buffer]:
    """The same, but those are deltas of which that makes less."""
    found = repository.stored_chunks(part)
    held = {chunk.id for chunk in found}
    missing += [name for name in part if name not in held]
    deltas = ((chunk, maker.make(chunk, bases.get(chunk.id, ()))) for chunk in found)
    return [_frame(chunk) if delta is None else encode_delta(delta) for chunk, delta in deltas]


def _plain_batch(
    repository: Repository, part: Sequence[bytes], missing: list[bytes]
) -> list[Buffer]:
    held = {chunk.id: chunk for chunk in repository.stored_chunks(part)}
    frames: list[Buffer] = []
    for name in part:
        plain = _plain(repository, held[name]) if name in held else None
        if plain is None:
            missing.append(name)
        else:
            frames.append(framing.encode_chunk(name, framing.Codec.RAW, len(plain), plain))
    return frames


def _checked_batch(
    repository: Repository, part: Sequence[bytes], missing: list[bytes]
) -> list[Buffer]:
    """The same, but damaged chunks are found and missing."""
    for name in part:
        with suppress(LostChunkError):
            repository.plain_chunk(name)
    return _frame_batch(repository, part, missing)


def _lost(repository: Repository, names: Sequence[bytes]) -> list[bytes]:
    """Those of some missing chunks that should be here."""
    return [name for name in names if repository.damage.is_lost(name)][:_MAX_LOST]


async def _batches(
    items: Sequence[T], read: Callable[[Sequence[T]], Sequence[Buffer]]
) -> AsyncIterator[Sequence[Buffer]]:
    """Read ``items`` in threads, about `_BATCH_BYTES` at a time."""
    at, count = 0, _BATCH_MIN
    while at < len(items):
        found = await bridge.run(read, items[at : at + count])
        yield found
        at += count
        size = sum(map(len, found))
        fitting = _BATCH_BYTES * count // size if size else _BATCH_MAX
        count = max(_BATCH_MIN, min(fitting, _BATCH_MAX))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/sync/chunks",
        chunks,
        "Send chunks by name.",
        access=Access.SYNC,
        request=ChunksRequest,
        reply=ChunksReply,
        errors=(BadRequestError, InvalidFieldError, DeniedError, OverloadedError, TooLargeError),
        parameters=(
            Parameter("Accept", {"type": "string"}, f"{FRAMES_TYPE} for frames.", "header"),
            ENCODING_PARAMETER,
            Parameter(
                "Content-Type",
                {"type": "string"},
                f"{IDS_TYPE} for joined raw ids, {WANTS_TYPE} for those with bases.",
                "header",
            ),
        ),
    ),
)

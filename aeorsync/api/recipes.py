"""``/blobs/parts`` and ``/blobs/recipes``: new chunks made of old ones that are here.

Who edits a file has overwritten the old bytes. So they ask what the old chunks are made of, and
say how to make the new ones: in all, about a hundredth of the chunks. A base counts only if its
reader may have it; what cannot be made is refused one by one, and is sent whole.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from starlette.responses import Response

from aeorsync.api import reach
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer
from aeorsync.api.frames import framed
from aeorsync.api.intake import Intake, read_bytes
from aeorsync.core.hashing import HASH_SIZE, chunk_id, parse_ids
from aeorsync.core.parts import describe, follow_steps
from aeorsync.errors import BadRequestError, CorruptError, DeniedError, OverloadedError
from aeorsync.runtime import bridge
from aeorsync.storage.compression import pack, unpack
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing, limits
from aeorsync.wire.deltas import Delta
from aeorsync.wire.framing import Codec, Frame, Kind
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from aeorsync.wire.protocol import pack as pack_map
from aeorsync.wire.recipes import MAX_DESCRIBED, RecipesReply, encode_parts, parse_recipe

_GROUP: Final = 16
"""Chunks that are made, or described, with one hop to a thread."""


async def parts(call: Call) -> Response:
    """Tell what chunks are made of."""
    reach.demand_somebody(call)
    with call.node.budget.share(call.caller.owner) as share:
        body = await read_bytes(call, share, MAX_DESCRIBED * HASH_SIZE)
    names = parse_ids(body)
    allowed = await call.node.grants.readable(call.caller.access, names)
    shown = [name for name in dict.fromkeys(names) if name in allowed]
    return await framed(call.request, _parts(call.node.repository, shown))


async def _parts(repository: Repository, names: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield framing.encode(Kind.HEADER, pack_map({}))
    for at in range(0, len(names), _GROUP):
        yield await bridge.run(_describe, repository, names[at : at + _GROUP])
    yield framing.encode(Kind.END, pack_map({}))


def _describe(repository: Repository, names: Sequence[bytes]) -> bytes:
    found = _plain(repository, names)
    return b"".join(encode_parts(name, describe(data)) for name, data in found.items())


def _plain(repository: Repository, names: Sequence[bytes]) -> dict[bytes, bytes | memoryview]:
    found: dict[bytes, bytes | memoryview] = {}
    for chunk in repository.stored_chunks(names):
        try:
            found[chunk.id] = unpack(chunk)
        except CorruptError:
            continue  # whoever reads it next has it mended
    return found


async def recipes(call: Call) -> Response:
    """Make chunks and store them."""
    reach.demand_writer(call)
    with call.node.budget.share(call.caller.owner) as share:
        body = await read_bytes(call, share, limits.MAX_RECIPES)
        wanted = await bridge.run(_read, body)
        bases = {base for recipe in wanted for base in recipe.bases}
        allowed = await call.node.grants.readable(call.caller.access, bases)
        refused: list[str] = []
        async with Intake(call, share) as intake:
            for at in range(0, len(wanted), _GROUP):
                group = wanted[at : at + _GROUP]
                fair = [one for one in group if allowed.issuperset(one.bases)]
                made = await bridge.run(_make, call.node.repository, fair)
                await intake.take(list(made.values()))
                refused += [one.id.hex() for one in group if one.id not in made]
        return answer(RecipesReply(intake.created + intake.exists, refused))


def _read(body: bytes) -> list[Delta]:
    decoder = framing.Decoder()
    frames = decoder.feed(body)
    decoder.finish()
    if frames[0].kind is not Kind.HEADER:
        raise BadRequestError("the recipes have no header")
    if any(frame.kind is not Kind.RECIPE for frame in frames[1:-1]):
        raise BadRequestError("a frame does not belong among recipes")
    return [parse_recipe(frame.payload) for frame in frames[1:-1]]


def _make(repository: Repository, wanted: Sequence[Delta]) -> dict[bytes, Frame]:
    """Chunks as if they had come whole, by id; those that cannot be made are left out."""
    found: dict[bytes, Frame] = {}
    for recipe in wanted:
        plain = _plain(repository, recipe.bases)
        if len(plain) < len(set(recipe.bases)):
            continue
        try:
            old = b"".join(plain[base] for base in recipe.bases)
            data = follow_steps(recipe.stored, old, recipe.size)
        except BadRequestError:
            continue
        if chunk_id(data) == recipe.id:
            chunk = pack(recipe.id, data)
            codec = Codec(chunk.codec)
            frame = framing.encode_chunk(chunk.id, codec, chunk.size, bytes(chunk.data))
            found[recipe.id] = Frame(Kind.CHUNK, frame[framing.HEAD_SIZE :])
    return found


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/blobs/parts",
        parts,
        "Tell what chunks are made of.",
        access=Access.USER,
        errors=(BadRequestError, DeniedError, OverloadedError),
        parameters=(
            Parameter(
                "Content-Type", {"type": "string"}, f"{IDS_TYPE}: joined raw ids.", "header"
            ),
        ),
        takes_bytes=True,
        media=(FRAMES_TYPE,),
    ),
    Endpoint(
        "POST",
        "/blobs/recipes",
        recipes,
        "Make chunks of those that are here.",
        access=Access.USER,
        reply=RecipesReply,
        errors=(BadRequestError, DeniedError, OverloadedError),
        parameters=(
            Parameter("Content-Type", {"type": "string"}, f"{FRAMES_TYPE}: frames.", "header"),
        ),
        takes_bytes=True,
    ),
)

"""Chunks and files as clients bring them: nothing is believed that was not read.

A client sends chunks by name and then says which of them, in which order, make a file. What a
file is known by (its content hash, its size, its list of references) comes from here:

    what the client says        what becomes of it
    --------------------        ------------------
    the name of a chunk         checked when it arrives
    the chunks of a file        all of them must be here; an empty one adds nothing
    the hash of a file          made from the bytes, and compared with what was said
    the size of a file          likewise

Bytes are read for it once: not again where the only chunk of a file came with the request, and
not where the tree holds a file of the very same list already, as after a rename.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from aeorsync.core.hashing import content_hash, hasher
from aeorsync.core.manifest import DENSITY, SLACK, ReferenceList
from aeorsync.core.versions import Content, pack_references
from aeorsync.errors import BadRequestError, CorruptError
from aeorsync.storage.base import Store, StoredChunk
from aeorsync.storage.compression import PLAIN, pack, unpack
from aeorsync.storage.content import adds_up

_READ_BATCH = 1 << 20
"""Plain bytes read at a time."""
_LONG = 32
"""Chunks of a file that is hashed ahead, and how many of them are read at a time."""
_MAX_NAMED = 1000
"""Chunks that an error names at most."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Chunks that were taken in.

    Attributes:
        plain: The bytes of each, in the order they came.
        created: How many were not here before.
    """

    plain: list[bytes | memoryview]
    created: int


def take_in(store: Store, chunks: Sequence[StoredChunk]) -> Taken:
    """Check chunks and store them; see `Store.put_chunks` for when they are durable.

    Raises:
        CorruptError: One does not match its name; none was stored.
    """
    plain = [unpack(chunk) for chunk in chunks]
    fresh = store.missing([chunk.id for chunk in chunks])
    # Compressing is the dear part, so it is done only for what the store lacks.
    wanted = {
        chunk.id: pack(chunk.id, data) if chunk.codec == PLAIN else chunk
        for chunk, data in zip(chunks, plain, strict=True)
        if chunk.id in fresh
    }
    store.put_chunks(list(wanted.values()), are_missing=True)
    return Taken(plain, len(wanted))


class Plan(msgspec.Struct, frozen=True, gc=False):
    """A file that is to be made of chunks.

    Attributes:
        path: Where, for the error.
        chunks: Ids in file order.
        content_hash: What the client says it is; None when it does not say.
        size: Likewise, in bytes.
    """

    path: str
    chunks: Sequence[bytes]
    content_hash: bytes | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What need not be read.

    Attributes:
        singles: Content hash of chunks that were read just now, each as a file of its own.
        twins: Contents that the tree holds, by their depth and references.
        denied: Chunks that count as not here.
    """

    singles: Mapping[bytes, bytes] = field(default_factory=dict)
    twins: Mapping[tuple[int, bytes], Content] = field(default_factory=dict)
    denied: Collection[bytes] = frozenset()


def compose(store: Store, plans: Sequence[Plan], known: Known) -> list[Content]:
    """Make the contents of files out of chunks that are here. Blocking.

    Raises:
        BadRequestError: Chunks are not here or damaged, or they are not what was said of them;
            ``path`` says of which, ``details`` names the chunks.
    """
    names = {name for plan in plans for name in plan.chunks}
    sizes = store.chunk_sizes(names.difference(known.denied))
    made: dict[bytes, bytes] = {}
    drafts = [_draft(plan, sizes, made) for plan in plans]
    if made:
        store.put_chunks([pack(name, body) for name, body in made.items()])
    contents: list[Content | None] = []
    unread: list[Plan] = []
    for plan, (depth, refs, size) in zip(plans, drafts, strict=True):
        found = _recognized(plan, (depth, refs), size, known)
        said = plan.content_hash
        if found is None and said is not None and _adds_up(store, plan, said, sizes):
            found = Content(said, size, depth, refs)
        contents.append(found)
        if found is None:
            unread.append(plan)
    hashes = _hashes(store, unread, sizes)
    result = []
    for plan, (depth, refs, size), content in zip(plans, drafts, contents, strict=True):
        whole = content or Content(next(hashes), size, depth, refs)
        if plan.content_hash not in (None, whole.hash):
            raise refusal(plan.path, "the chunks do not add up to the content_hash")
        result.append(whole)
    return result


def refusal(path: str, text: str, **details: object) -> BadRequestError:
    """The error that refuses one path of a request."""
    error = BadRequestError(f"{path}: {text}; nothing was changed")
    error.details.update(path=path, **details)
    return error


def _draft(
    plan: Plan, sizes: Mapping[bytes, int], made: dict[bytes, bytes]
) -> tuple[int, bytes, int]:
    """Depth, references and size of a file; pieces of its list are added to ``made``."""
    if len(plan.chunks) == 1:
        # As below, for most files.
        size = sizes.get(plan.chunks[0], 0)
        if size and plan.size in (None, size):
            return 0, pack_references(((plan.chunks[0], size),)), size
    missing = [name for name in dict.fromkeys(plan.chunks) if name not in sizes]
    if missing:
        raise lacking(plan.path, missing)
    references = ReferenceList(made.__setitem__)
    total = crowd = 0
    for name in plan.chunks:
        size = sizes[name]
        if not size:
            continue
        total += size
        # The rule of `core.manifest` for any run of chunks: a sum that starts anew at zero.
        crowd = max(crowd, 0) + DENSITY - size
        if crowd > SLACK * DENSITY:
            raise refusal(plan.path, "it is cut into more chunks than any file needs")
        references.add(name, size)
    if plan.size not in (None, total):
        raise refusal(plan.path, f"the chunks have {total} bytes, not {plan.size}")
    depth, refs = references.finish()
    return depth, refs, total


def lacking(path: str, names: Sequence[bytes]) -> BadRequestError:
    """The error that names chunks which have to be sent first."""
    listed = [name.hex() for name in names[:_MAX_NAMED]]
    text = f"{len(names)} of its chunks are not here; send them first"
    return refusal(path, text, missing=listed)


def _recognized(
    plan: Plan, references: tuple[int, bytes], size: int, known: Known
) -> Content | None:
    """The content of a file that need not be read."""
    depth, refs = references
    if not refs:
        return Content(content_hash(b""), 0)
    if len(plan.chunks) == 1 and plan.chunks[0] in known.singles:
        return Content(known.singles[plan.chunks[0]], size, depth, refs)
    return known.twins.get(references)


def _adds_up(store: Store, plan: Plan, expected: bytes, sizes: Mapping[bytes, int]) -> bool:
    """Whether what is stored of a long file has the hash that was said.

    Where it differs the file is read slowly, to find what is to blame.
    """
    if len(plan.chunks) < _LONG:
        return False
    parts = [(name, sizes[name]) for name in plan.chunks]
    batches = (parts[at : at + _LONG] for at in range(0, len(parts), _LONG))
    return adds_up(store, batches, sum(size for _, size in parts), expected)


def _hashes(store: Store, plans: Sequence[Plan], sizes: Mapping[bytes, int]) -> Iterator[bytes]:
    """Content hashes of files, read in order."""
    if not plans:
        return
    whole, current = hasher(), plans[0]
    for batch in _batches(plans, sizes):
        found = {chunk.id: chunk for chunk in store.chunks(list({name for _, name in batch}))}
        for plan, name in batch:
            if plan is not current:
                yield whole.digest()
                whole, current = hasher(), plan
            whole.update(_plain(store, plan, name, found.get(name)))
    yield whole.digest()


def _batches(
    plans: Sequence[Plan], sizes: Mapping[bytes, int]
) -> Iterator[list[tuple[Plan, bytes]]]:
    batch: list[tuple[Plan, bytes]] = []
    total = 0
    for plan in plans:
        for name in plan.chunks:
            batch.append((plan, name))
            total += sizes[name]
            if total >= _READ_BATCH:
                yield batch
                batch, total = [], 0
    if batch:
        yield batch


def _plain(store: Store, plan: Plan, name: bytes, chunk: StoredChunk | None) -> bytes | memoryview:
    """The checked bytes of a chunk."""
    try:
        if chunk is not None:
            return unpack(chunk)
    except CorruptError as error:
        # Whoever has the right bytes may send them again now.
        store.quarantine([name])
        raise lacking(plan.path, [name]) from error
    raise lacking(plan.path, [name])

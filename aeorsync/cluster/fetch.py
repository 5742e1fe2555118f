"""Bringing the chunks of some files here, each checked, and the files with them.

1. *Survey*: ask the store which chunks the files lack; first manifest pieces, then data.
2. *Fetch* them from the peer in batches, a few at a time, and store what matches its name.
3. Again from 1, until nothing is missing.
4. *Prove* each file: its chunks must add up to its content hash. What comes in is hashed meanwhile
   (`cluster.proofs`), so only files of which most was here already are read again.

A chunk that the peer does not hold, or whose bytes are wrong, is *lost*; files that need it are
*spoiled* and the others go on. Memory is bounded whatever the peer sends: so many batches, each
handed to the store every few MiB.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from aeorsync.cluster.alike import find_bases
from aeorsync.cluster.proofs import Proofs, is_long
from aeorsync.core.versions import HASH_SIZE, REF_SIZE, Content
from aeorsync.errors import CorruptError
from aeorsync.remote.calls import Remote
from aeorsync.runtime import bridge
from aeorsync.runtime.together import together
from aeorsync.storage.content import is_content_of
from aeorsync.storage.deltas import made
from aeorsync.storage.repository import Repository
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.framing import Chunk
from aeorsync.wire.limits import GIB, MAX_CHUNK, MAX_FILE_CHUNKS, MIB

BATCH_IDS: Final = 1000
BATCH_BYTES: Final = 8 * MIB
IN_FLIGHT: Final = 3
_GROUP_BYTES: Final = GIB
PROVE_BYTES: Final = 64 * MIB
_PIECE_BYTES: Final = 5 * 1024
# As many as the largest file needs, and no more than that many references in memory.
_MAX_PIECES: Final = MAX_FILE_CHUNKS // 128
_NO_PAST: Final[Mapping[Content, Content]] = {}

Spoiled = dict[Content, str]
"""Files that cannot be completed, and why."""


class Fetched(msgspec.Struct, frozen=True):
    """What fetching did.

    Attributes:
        chunks: Chunks that were stored.
        bytes: Bytes of these chunks as they were sent: mostly compressed, or plain on request.
        spoiled: Files that could not be completed; every other one is here and proven.
    """

    chunks: int
    bytes: int
    spoiled: Spoiled


async def fetch_contents(
    repository: Repository,
    remote: Remote,
    contents: Iterable[Content],
    pasts: Mapping[Content, Content] = _NO_PAST,
    held: Collection[Content] = (),
) -> Fetched:
    """Bring files here.

    Args:
        repository: Where to.
        remote: Where from.
        contents: The files.
        pasts: What was here before, of some of them: the peer may send the difference.
        held: Files that our tree holds: of those that are among them only what was damaged has to
            come, and none has to be read.

    Raises:
        AeorError: The peer broke the protocol or cannot be reached, or our disk refused.
    """
    chunks = size = 0
    spoiled: Spoiled = {}
    for group in groups(contents):
        haul = _Haul(repository, remote, group, pasts, proven={c for c in group if c in held})
        spoiled.update(await haul.bring())
        chunks += haul.chunks
        size += haul.size
    return Fetched(chunks, size, spoiled)


@dataclass(slots=True)
class _Haul:
    """One group of files on its way here. Belongs to one task and those it starts.

    Attributes:
        repository: Where to.
        remote: Where from.
        contents: The files that are not spoiled so far.
        pasts: What was here before, of some of them.
        lost: Chunks that cannot be had, and why.
        proven: Files whose bytes passed through our hands and are right, or did so before.
        chunks: Chunks stored.
        size: Bytes of these as they were sent.
    """

    repository: Repository
    remote: Remote
    contents: list[Content]
    pasts: Mapping[Content, Content]
    lost: dict[bytes, str] = field(default_factory=dict)
    proven: set[Content] = field(default_factory=set)
    chunks: int = 0
    size: int = 0

    async def bring(self) -> Spoiled:
        """Bring all of it here, and say what could not be."""
        spoiled: Spoiled = {}
        # Every round ends with each wanted chunk held or lost, and nothing is wanted twice.
        while True:
            found, bases, proofs = await bridge.run(self._look)
            spoiled.update(found.spoiled)
            self.contents = found.kept
            if not found.wanted:
                break
            before = self.chunks
            await self._fetch(list(_batches(found.wanted)), bases, proofs)
            if proofs is not None:
                self.proven.update(await bridge.run(proofs.proven))
            if self.chunks - before == len(found.wanted) and not found.are_pieces:
                break  # each one came, and is stored: to look again would find nothing
        unproven = [content for content in self.contents if content not in self.proven]
        for group in groups(unproven, PROVE_BYTES):
            spoiled.update(await bridge.run(prove, self.repository, group))
        return spoiled

    def _look(self) -> "tuple[Survey, Bases, Proofs | None]":
        """What is lacking, what is here that is like it, and who hashes it. Blocking."""
        found = survey(self.repository, self.contents, self.lost)
        if not found.wanted:
            return found, {}, None
        bases = find_bases(self.repository, found.kept, self.pasts, found.wanted)
        proofs = None
        if not found.are_pieces and any(map(is_long, found.kept)):
            proofs = Proofs(self.repository, found.kept, found.wanted)
        return found, bases, proofs

    async def _fetch(
        self, batches: list[list[bytes]], bases: Bases, proofs: Proofs | None
    ) -> None:
        singles = _singles(self.contents)
        waiting = iter(batches)
        are_plain = self.remote.encoding is not Encoding.ZSTD

        bad: dict[bytes, str] = {}

        async def take(chunks: list[Chunk | Delta]) -> None:
            received = await bridge.run(
                receive, self.repository, chunks, singles, proofs, are_plain=are_plain
            )
            self.proven.update(received.proven)
            bad.update(received.bad)
            good = [chunk for chunk in chunks if chunk.id not in received.bad]
            self.chunks += len(good)
            self.size += sum(len(chunk.stored) for chunk in good)

        async def work() -> None:
            for batch in waiting:
                missing = await self.remote.chunks(batch, take, bases=bases)
                self.lost.update((name, _missing_text(name)) for name in missing)

        await together(*(work() for _ in range(min(IN_FLIGHT, len(batches)))))
        if bad:
            # Damaged there, most likely, which it does not know: let it look, and heal itself.
            # Or made of a base that is damaged here: now they come whole.
            again, bad = sorted(bad), {}
            missing = await self.remote.chunks(again[:BATCH_IDS], take, manner="checked")
            self.lost.update((name, _missing_text(name)) for name in missing)
            self.lost.update(bad)
            self.lost.update((name, _missing_text(name)) for name in again[BATCH_IDS:])


class Survey(msgspec.Struct, frozen=True):
    """What some files lack.

    Attributes:
        wanted: Chunk ids with the bytes expected of each (0 for a manifest piece), in the order of
            the files.
        kept: The files that may still be completed.
        spoiled: Those that cannot.
        are_pieces: Whether manifest pieces are wanted, so that the data are not known yet.
    """

    wanted: dict[bytes, int]
    kept: list[Content]
    spoiled: Spoiled
    are_pieces: bool


def survey(repository: Repository, contents: list[Content], lost: dict[bytes, str]) -> Survey:
    """Ask the store what some files lack. Blocking."""
    try:
        wanted, are_pieces = repository.lacking(contents)
    except CorruptError:
        pass  # one of them; below it is seen which
    else:
        if lost.keys().isdisjoint(wanted) and len(wanted) <= _most(are_pieces=are_pieces):
            return Survey(wanted, contents, {}, are_pieces)
    spoiled = {}
    for content in contents:
        reason = _why_spoiled(repository, content, lost)
        if reason is not None:
            spoiled[content] = reason
    kept = [content for content in contents if content not in spoiled]
    wanted, are_pieces = repository.lacking(kept)
    return Survey(wanted, kept, spoiled, are_pieces)


def _why_spoiled(repository: Repository, content: Content, lost: dict[bytes, str]) -> str | None:
    try:
        wanted, are_pieces = repository.lacking([content])
    except CorruptError as error:
        return error.message
    if len(wanted) > _most(are_pieces=are_pieces):
        return "the file is cut into more chunks than any file needs"
    return next((lost[name] for name in wanted if name in lost), None)


def _most(*, are_pieces: bool) -> int:
    return _MAX_PIECES if are_pieces else MAX_FILE_CHUNKS


class Received(msgspec.Struct, frozen=True):
    """What became of some chunks.

    Attributes:
        proven: Files that are one of these chunks, whole and right.
        bad: Chunks that do not match their names, and how.
    """

    proven: list[Content]
    bad: dict[bytes, str]


def receive(
    repository: Repository,
    chunks: Sequence[Chunk | Delta],
    singles: dict[bytes, list[Content]],
    proofs: Proofs | None = None,
    *,
    are_plain: bool,
) -> Received:
    """Check and store chunks. Blocking; readable once this returns.

    Args:
        repository: Where to.
        chunks: As they came.
        singles: Files of one chunk, by its id.
        proofs: Told of each chunk that was stored.
        are_plain: They come plain on request; what shrinks is stored compressed all the same.
    """
    stored = made(repository, chunks)
    bad: dict[bytes, str] = {}
    try:
        plain = repository.receive(stored, are_plain=are_plain)
    except CorruptError:
        good, plain = [], []
        for chunk in stored:
            try:
                plain += repository.receive([chunk], are_plain=are_plain)
                good.append(chunk)
            except CorruptError as error:
                bad[chunk.id] = error.message
        stored = good
    proven = [
        content
        for chunk, data in zip(stored, plain, strict=True)
        for content in singles.get(chunk.id, ())
        if is_content_of(content, data)
    ]
    if proofs is not None:
        for chunk, data in zip(stored, plain, strict=True):
            proofs.take(chunk.id, data)
        proofs.advance()
    return Received(proven, bad)


def prove(repository: Repository, contents: list[Content]) -> Spoiled:
    """Read files back and compare them with their content hashes. Blocking."""
    spoiled = {}
    for content in contents:
        try:
            repository.check_content(content)
        except CorruptError as error:
            spoiled[content] = error.message
    return spoiled


def groups(contents: Iterable[Content], most: int = _GROUP_BYTES) -> Iterator[list[Content]]:
    """Cut a list of files into groups of at most so many bytes, or of one file."""
    group: list[Content] = []
    size = 0
    for content in contents:
        if group and size + content.size > most:
            yield group
            group, size = [], 0
        group.append(content)
        size += content.size
    if group:
        yield group


def _batches(wanted: dict[bytes, int]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for name, expected in wanted.items():
        # What a peer claims beyond the limits must not make a batch of its own.
        expected_bytes = min(expected, MAX_CHUNK) or _PIECE_BYTES
        if batch and (len(batch) == BATCH_IDS or size + expected_bytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += expected_bytes
    if batch:
        yield batch


def _singles(contents: Iterable[Content]) -> dict[bytes, list[Content]]:
    """Files of one chunk, by its id: they can be proven as it comes in."""
    found: dict[bytes, list[Content]] = {}
    for content in contents:
        if content.depth == 0 and len(content.refs) == REF_SIZE:
            found.setdefault(content.refs[:HASH_SIZE], []).append(content)
    return found


def _missing_text(name: bytes) -> str:
    return f"the peer does not hold chunk {name.hex()}"

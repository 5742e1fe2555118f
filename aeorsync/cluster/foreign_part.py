"""Some of what an AeorDB node told, on its way here: `cluster.foreign` says in which steps.

Memory is bounded by the size of a part, and by that of the batches its pieces come in.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.plan import Problem
from aeorsync.core.filters import Filter
from aeorsync.core.foreign import GONE, Had, file_mark, link_mark, recognise, union
from aeorsync.core.hashing import chunk_id, parse_hash
from aeorsync.core.paths import ROOT, TreePath, parse, to_key
from aeorsync.core.versions import MAX_CONTENT_TYPE, MAX_TARGET, Kind
from aeorsync.errors import AeorError, BadRequestError, CorruptError
from aeorsync.remote.foreign import ForeignFile, ForeignLink, ForeignRemote
from aeorsync.runtime import bridge
from aeorsync.runtime.redact import redact
from aeorsync.storage.adopt import Finding, adopt, assemble, mark_of
from aeorsync.storage.compression import pack
from aeorsync.storage.foreign import ForeignBook, Given
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire.limits import MAX_CHUNK, MAX_FILE, MAX_FILE_CHUNKS, MIB

DEFER_MS: Final = 90_000
"""Longest time a peer is waited for to say that it has dealt with what it was told."""
BATCH_IDS: Final = 1000
BATCH_BYTES: Final = 16 * MIB
_MAX_SHOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class ForeignPeering:
    """The two sides of a cycle.

    Attributes:
        repository: Ours.
        book: What is known of the peer.
        remote: The peer.
        link: What is remembered of the link.
        node: The peer's node id, as text; another one is another database.
        now_ms: Milliseconds since the Unix epoch.
        is_first: Whether this is the first cycle since we connected.
        acked: The last of our answers that the peer had dealt with before it was asked.
        deferred: Paths that are left for later: it is not known yet whether the peer changed what
            it was told just now, or has yet to take it.
    """

    repository: Repository
    book: ForeignBook
    remote: ForeignRemote
    link: LinkRecord
    node: str
    now_ms: int
    is_first: bool = False
    acked: int = 0
    deferred: set[bytes] = field(default_factory=set)

    @property
    def filters(self) -> str:
        """The filters, in a form that tells them apart."""
        return repr((self.link.sync_paths, self.link.excludes))

    @property
    def wanted(self) -> Filter:
        """The same, to be asked."""
        return Filter.parse(self.link.sync_paths, self.link.excludes)


@dataclass(frozen=True, slots=True)
class Told:
    """One path as the peer tells of it.

    Attributes:
        path: As it was sent.
        kind: None when it is gone.
        item: The file or link there.
    """

    path: str
    kind: Kind | None
    item: ForeignFile | ForeignLink | None = None


@dataclass(slots=True)
class Part:
    """Some paths on their way here.

    Attributes:
        seen: What the peer has, by key, where that is known.
        news: What somebody changed there, not fetched yet.
        ids: The pieces of the files among the news, by key.
        problems: What cannot be taken.
        changed: Versions made here.
        conflicts: Paths in conflict since.
        chunks: Chunks fetched.
    """

    seen: dict[bytes, Had | None] = field(default_factory=dict)
    news: list[Finding] = field(default_factory=list)
    ids: dict[bytes, "_File"] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    changed: int = 0
    conflicts: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    ids: list[bytes]
    size: int


def make_part(peering: ForeignPeering, group: Sequence[Told], wanted: Filter) -> Part:
    """Sort what is told into what is known and what is news. Blocking; only reads."""
    part = Part()
    keyed: dict[bytes, tuple[Told, TreePath]] = {}
    for told in group:
        try:
            path = _parse_path(told.path)
        except AeorError as error:
            part.problems.append(problem(told.path, error))
            continue
        if wanted.passes(path):
            keyed[to_key(path)] = (told, path)
    had = peering.book.had(peering.link.id, keyed)
    given = peering.book.given(peering.link.id, keyed)
    with peering.repository.view() as view:
        for key, (told, path) in keyed.items():
            try:
                _sort(peering, view, part, (key, path, told), had.get(key), given.get(key, []))
            except AeorError as error:
                part.problems.append(problem(told.path, error))
    return part


def _parse_path(text: str) -> TreePath:
    path = parse(text)
    if path == ROOT or path != text:
        raise BadRequestError("the path is not in its normal form")
    return path


def _sort(
    peering: ForeignPeering,
    view: View,
    part: Part,
    what: tuple[bytes, TreePath, Told],
    had: Had | None,
    given: Sequence[Given],
) -> None:
    """Put one path where it belongs.

    Raises:
        AeorError: It breaks a rule.
    """
    key, path, told = what
    had = _last_had(peering, had, given)
    if told.kind is None:
        if had is None or recognise(GONE, had, given) is not None:
            part.seen[key] = None
        elif not _is_deferred(peering, key, given):
            part.news.append(Finding(path, GONE, had=had))
        return
    finding, file = _read(path, told, had)
    size = 0 if file is None else file.size
    ours = _ours(peering.repository, view, finding, size)
    context = recognise(finding.mark, had, [*given, *ours])
    if context is not None:
        part.seen[key] = Had(told.kind, finding.mark, context)
        return
    if _is_deferred(peering, key, given):
        return
    part.news.append(finding)
    if file is not None:
        part.ids[key] = file


def _read(path: TreePath, told: Told, had: Had | None) -> tuple[Finding, _File | None]:
    """What is told of, and the pieces of a file.

    Raises:
        BadRequestError: It breaks a rule.
    """
    item = told.item
    if isinstance(item, ForeignFile):
        file = _read_file(item)
        kind = (item.content_type or "")[:MAX_CONTENT_TYPE]
        shown = kind if kind.isprintable() else ""
        mark = file_mark(file.ids)
        return Finding(path, mark, Kind.FILE, content_type=shown, had=had), file
    target = "" if item is None else item.target
    if not 0 < len(target) <= MAX_TARGET or not target.isprintable():
        raise BadRequestError("the target of the link is empty, too long or not printable")
    return Finding(path, link_mark(path, target), Kind.SYMLINK, target=target, had=had), None


def _last_had(peering: ForeignPeering, had: Had | None, given: Sequence[Given]) -> Had | None:
    """What the peer had last, as far as it is certain."""
    sure = [one for one in given if one.turn <= peering.acked and not one.is_doubtful]
    if not sure:
        return had
    last = sure[-1]
    context = union(last.context, () if had is None else had.context)
    return Had(last.kind, last.mark, context)


def _is_deferred(peering: ForeignPeering, key: bytes, given: Sequence[Given]) -> bool:
    """Whether it has yet to be seen if a peer changed what it was told, or had not taken it."""
    is_young = any(
        one.turn > peering.acked and not one.is_doubtful and peering.now_ms - one.at < DEFER_MS
        for one in given
    )
    if is_young:
        peering.deferred.add(key)
    return is_young


def _read_file(item: ForeignFile) -> _File:
    if item.size > MAX_FILE or len(item.chunk_hashes) > MAX_FILE_CHUNKS:
        raise BadRequestError(f"the file is larger than {MAX_FILE} bytes, or in too many chunks")
    return _File([parse_hash(text) for text in item.chunk_hashes], item.size)


def _ours(repository: Repository, view: View, finding: Finding, size: int) -> Iterator[Had]:
    """The versions here that may be what was told, by their marks."""
    entry = view.entry(to_key(finding.path))
    for version in entry.versions if entry is not None else ():
        if version.deleted or version.kind != finding.kind:
            continue
        if finding.kind == Kind.FILE and version.content.size != size:
            continue
        mark = mark_of(repository, finding.path, version)
        yield Had(version.kind, mark, union(version.vector, (version.dot,)))


# Fetch, prove, adopt


async def fetch(peering: ForeignPeering, part: Part) -> None:
    """Bring the pieces here that the news of a part need; what cannot be had becomes a problem."""
    lost: dict[bytes, str] = {}
    sizes = {name: _expected(file) for file in part.ids.values() for name in file.ids}
    missing = await bridge.run(peering.repository.missing, sizes)
    for batch in _batches({name: sizes[name] for name in sizes if name in missing}):
        chunks = await peering.remote.chunks(batch)
        lost.update((name, f"the peer does not hold chunk {name.hex()}") for name in batch)
        good = {name: data for name, data in chunks.items() if _is_right(name, data)}
        for name in chunks.keys() - good.keys():
            lost[name] = f"chunk {name.hex()} does not match its name"
        await bridge.run(_store, peering.repository, good)
        for name in good:
            del lost[name]
        part.chunks += len(good)
    if lost:
        _drop(part, lambda _, file: next((lost[x] for x in file.ids if x in lost), None))


def prove(peering: ForeignPeering, part: Part) -> None:
    """Read each file among the news whole, and learn its content hash. Blocking."""
    proven: list[Finding] = []
    for finding in part.news:
        file = part.ids.get(to_key(finding.path))
        if file is None:
            proven.append(finding)
            continue
        try:
            content = assemble(peering.repository, file.ids, file.size)
        except CorruptError as error:
            part.problems.append(problem(finding.path, error))
        else:
            proven.append(replace(finding, content=content))
    part.news = proven


async def adopt_all(peering: ForeignPeering, part: Part) -> None:
    """Make versions of the news of a part; durable on return."""
    futures = [
        (finding, peering.repository.commit(partial(adopt, finding=finding)))
        for finding in part.news
    ]
    for finding, future in futures:
        try:
            adopted = await bridge.settle(future)
        except AeorError as error:
            if error.status >= 500:  # noqa: PLR2004 - our own disk, not this path
                raise
            part.problems.append(problem(finding.path, error))
            continue
        part.seen[to_key(finding.path)] = adopted.had
        part.changed += adopted.changed
        part.conflicts += adopted.conflict


def _is_right(name: bytes, data: bytes) -> bool:
    return len(data) <= MAX_CHUNK and chunk_id(data) == name


def _store(repository: Repository, chunks: dict[bytes, bytes]) -> None:
    if chunks:
        repository.receive([pack(name, data) for name, data in chunks.items()])


def _drop(part: Part, why: Callable[[Finding, _File], str | None]) -> None:
    kept: list[Finding] = []
    for finding in part.news:
        file = part.ids.get(to_key(finding.path))
        reason = None if file is None else why(finding, file)
        if reason is None:
            kept.append(finding)
        else:
            part.problems.append(Problem(finding.path, reason))
    part.news = kept


def _expected(file: _File) -> int:
    return min(MAX_CHUNK, file.size // max(1, len(file.ids)) + 1)


def _batches(wanted: dict[bytes, int]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for name, expected in wanted.items():
        if batch and (len(batch) == BATCH_IDS or size + expected > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += expected
    if batch:
        yield batch


def problem(path: str, error: AeorError) -> Problem:
    """Why a path was not taken."""
    return Problem(redact(path[:_MAX_SHOWN]), error.message)

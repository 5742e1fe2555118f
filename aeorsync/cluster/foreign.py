"""One cycle with an AeorDB node: what changed there becomes versions made here.

    observe    what changed there since the root it last answered with    one answer, not paged
    plan       which of it somebody changed there (`core.foreign`)         on a snapshot
    fetch      the pieces of changed files that we lack, each checked      batches
    prove      read each file whole: its size, and the content hash it never told
    adopt      versions made in the writer, on what is there then          `storage.adopt`
    see        note what the peer has now; what was adopted before a crash is found and not made
    follow     its root, last

A root that it does not know any more is answered with everything it has, and not with what was
deleted. That is noticed (`_is_listing`), and then a listing is asked for as such: what it does not
hold is gone there. Only what the peer was seen to have can be gone; a peer that has nothing left
of it has lost its data, and gets it again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from aeorsync.cluster.cycle import MAX_PROBLEMS, Problem, Report
from aeorsync.cluster.peers import LinkRecord
from aeorsync.core.foreign import GONE, Had, file_mark, is_private, link_mark, recognise, union
from aeorsync.core.globs import Globs
from aeorsync.core.hashing import chunk_id, parse_hash
from aeorsync.core.paths import ROOT, TreePath, from_key, parse, to_key
from aeorsync.core.versions import MAX_CONTENT_TYPE, MAX_TARGET, Kind
from aeorsync.errors import AeorError, BadRequestError, CorruptError
from aeorsync.remote.foreign import ForeignDiff, ForeignFile, ForeignLink, ForeignRemote
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger
from aeorsync.runtime.redact import redact
from aeorsync.storage.adopt import Adopted, Finding, adopt, assemble, mark_of
from aeorsync.storage.compression import pack
from aeorsync.storage.foreign import Followed, ForeignBook
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire.limits import MAX_CHUNK, MAX_FILE, MAX_FILE_CHUNKS, MIB

PART: Final = 500
"""Paths that are dealt with together."""
PART_BYTES: Final = 1024 * MIB
"""Bytes of files that are, unless one file has more."""
BATCH_IDS: Final = 1000
BATCH_BYTES: Final = 16 * MIB
_MAX_ROOT: Final = 4096
_MAX_SHOWN: Final = 4096
_log = get_logger(__name__)


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
    """

    repository: Repository
    book: ForeignBook
    remote: ForeignRemote
    link: LinkRecord
    node: str
    now_ms: int

    @property
    def filters(self) -> str:
        """The filters, in a form that tells them apart."""
        return "\n".join(self.link.sync_paths or ())


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


async def run_foreign_cycle(peering: ForeignPeering) -> Report:
    """Take everything that changed at the peer since we last looked.

    Raises:
        AeorError: The peer broke the protocol or cannot be reached, or our disk refused.
    """
    followed = await bridge.run(_followed, peering)
    answer, is_listing = await observe(peering, followed)
    if is_listing:
        followed = replace_followed(followed, listing=followed.listing + 1)
    told, problems = merge_changes(answer)
    report = Report(told=len(told), root=answer.root_hash)
    report = _with_problems(report, problems)
    wanted = Globs.parse(peering.link.sync_paths) if peering.link.sync_paths else None
    for group in _groups(told):
        report = await _take(peering, group, wanted, followed.listing, report)
        if is_listing:
            await bridge.run(_list, peering, group, followed.listing)
    if is_listing:
        report = await _take_unlisted(peering, wanted, followed.listing, report)
    if not report.is_partial:
        await bridge.run(_follow, peering, followed, answer.root_hash)
    return report


async def observe(peering: ForeignPeering, followed: Followed) -> tuple[ForeignDiff, bool]:
    """Ask what changed; returns also whether the answer is all the peer has."""
    current = peering.repository.head.root.hex()
    answer = _check(peering, await peering.remote.diff(followed.cursor, current))
    if followed.cursor is not None:
        if not await bridge.run(_is_listing, peering, followed, answer):
            return answer, False
        answer = _check(peering, await peering.remote.diff(None, current))
    if followed.listing and not await bridge.run(_has_any_of_it, peering, answer):
        _log.warning("peer has lost its data, and gets it again", peer=peering.link.address)
        await bridge.run(peering.book.forget, peering.link.id)
    return answer, True


def _check(peering: ForeignPeering, answer: ForeignDiff) -> ForeignDiff:
    root = answer.root_hash
    if len(root) > _MAX_ROOT or not root.isascii() or not root.isalnum():
        raise BadRequestError(f"{peering.link.address} sent a root that is none")
    return answer


def merge_changes(answer: ForeignDiff) -> tuple[list[Told], list[Problem]]:
    """One word on each path; what is gone and there again is there."""
    changes = answer.changes
    found: dict[str, Told] = {}
    problems: list[Problem] = []
    files = [Told(x.path, Kind.FILE, x) for x in (*changes.files_added, *changes.files_modified)]
    links = (*changes.symlinks_added, *changes.symlinks_modified)
    for told in (*files, *(Told(x.path, Kind.SYMLINK, x) for x in links)):
        if is_private(told.path):
            continue
        if told.path in found:
            problems.append(Problem(redact(told.path[:_MAX_SHOWN]), "it was told of twice"))
        else:
            found[told.path] = told
    for gone in (*changes.files_deleted, *changes.symlinks_deleted):
        if not is_private(gone.path):
            found.setdefault(gone.path, Told(gone.path, None))
    return list(found.values()), problems


async def _take(
    peering: ForeignPeering, group: Sequence[Told], wanted: Globs | None, listing: int, report: Report
) -> Report:
    part = await bridge.run(make_part, peering, group, wanted)
    await fetch(peering, part)
    await bridge.run(prove, peering, part)
    await adopt_all(peering, part)
    await bridge.run(peering.book.see, peering.link.id, part.seen, listing)
    report = replace(
        report,
        changed=report.changed + part.changed,
        conflicts=report.conflicts + part.conflicts,
        chunks=report.chunks + part.chunks,
    )
    return _with_problems(report, part.problems)


async def _take_unlisted(
    peering: ForeignPeering, wanted: Globs | None, listing: int, report: Report
) -> Report:
    """Deal with what the peer had and a listing did not tell of: it is gone there."""
    after, link = b"", peering.link.id
    while keys := await bridge.run(peering.book.unlisted, link, listing, after, PART):
        after = keys[-1]
        gone = [Told(from_key(key), None) for key in keys]
        report = await _take(peering, gone, wanted, listing, report)
    return report


# Observe


def _followed(peering: ForeignPeering) -> Followed:
    """How far the peer was followed; from the beginning where that is of no use."""
    book, link, repository = peering.book, peering.link, peering.repository
    followed = book.followed(link.id)
    if followed is not None and (
        followed.node != peering.node or not repository.has_given_out(followed.epoch, followed.seq)
    ):
        # Another database answers there, or ours was put back and lacks what was taken.
        book.forget(link.id)
        followed = None
    if followed is None:
        return Followed(node=peering.node, filters=peering.filters)
    if followed.filters != peering.filters:
        followed = replace_followed(followed, cursor=None, filters=peering.filters)
    return followed


def replace_followed(followed: Followed, **changes: object) -> Followed:
    """Another record, with some of it changed."""
    fields = {name: getattr(followed, name) for name in Followed.__struct_fields__}
    return Followed(**{**fields, **changes})


def _follow(peering: ForeignPeering, followed: Followed, root: str) -> None:
    repository = peering.repository
    changes = {
        "cursor": root,
        "epoch": repository.epoch,
        "seq": repository.head.seq,
        "synced_at": peering.now_ms,
    }
    peering.book.follow(peering.link.id, replace_followed(followed, **changes))


def _is_listing(peering: ForeignPeering, followed: Followed, answer: ForeignDiff) -> bool:
    """Whether a peer that was asked for changes seems not to know since when, and told it all.

    Then it tells of no change and of no deletion, only of what is there; and as new of what it
    had. If it does not, it has lost all it had, or told the truth; so that is doubted, too, when
    it tells of anything, or of another root.
    """
    changes = answer.changes
    if changes.files_modified or changes.symlinks_modified:
        return False
    if changes.files_deleted or changes.symlinks_deleted:
        return False
    if answer.root_hash == followed.cursor:
        return False
    return _has_any_of_it(peering, answer)


def _has_any_of_it(peering: ForeignPeering, answer: ForeignDiff) -> bool:
    """Whether a peer tells of anything as new that it had already."""
    changes = answer.changes
    paths = [x.path for x in (*changes.files_added, *changes.symlinks_added)]
    for at in range(0, len(paths), PART):
        keys = [_raw_key(path) for path in paths[at : at + PART]]
        if peering.book.had(peering.link.id, keys):
            return True
    return False


def _raw_key(path: str) -> bytes:
    return to_key(TreePath(path)) if path.isprintable() else b""


def _list(peering: ForeignPeering, group: Sequence[Told], listing: int) -> None:
    keys = [_raw_key(told.path) for told in group]
    peering.book.list_again(peering.link.id, keys, listing)


# Plan


def make_part(peering: ForeignPeering, group: Sequence[Told], wanted: Globs | None) -> Part:
    """Sort what is told into what is known and what is news. Blocking; only reads."""
    part = Part()
    keyed: dict[bytes, tuple[Told, TreePath]] = {}
    for told in group:
        try:
            path = parse(told.path)
            if path == ROOT or path != told.path:
                raise BadRequestError("it is no path in its normal form")  # noqa: TRY301
        except AeorError as error:
            part.problems.append(_problem(told.path, error))
            continue
        if wanted is None or wanted.matches(path):
            keyed[to_key(path)] = (told, path)
    had = peering.book.had(peering.link.id, keyed)
    given = peering.book.given(peering.link.id, keyed)
    with peering.repository.view() as view:
        for key, (told, path) in keyed.items():
            try:
                _sort(peering, view, part, (key, path, told), had.get(key), given.get(key, []))
            except AeorError as error:
                part.problems.append(_problem(told.path, error))
    return part


def _sort(
    peering: ForeignPeering,
    view: View,
    part: Part,
    what: tuple[bytes, TreePath, Told],
    had: Had | None,
    given: Sequence[Had],
) -> None:
    """Put one path where it belongs.

    Raises:
        AeorError: It breaks a rule.
    """
    key, path, told = what
    if told.kind is None:
        if had is None or recognise(GONE, had, given) is not None:
            part.seen[key] = None
        else:
            part.news.append(Finding(path, GONE, had=had))
        return
    if isinstance(told.item, ForeignLink):
        if not 0 < len(told.item.target) <= MAX_TARGET:
            raise BadRequestError("the target of the link is empty or too long")
        mark, size = link_mark(path, told.item.target), 0
        finding = Finding(path, mark, Kind.SYMLINK, target=told.item.target, had=had)
        file = None
    else:
        assert told.item is not None  # noqa: S101
        file = _read_file(told.item)
        mark, size = file_mark(file.ids), file.size
        kind_of = (told.item.content_type or "")[:MAX_CONTENT_TYPE]
        shown = kind_of if kind_of.isprintable() else ""
        finding = Finding(path, mark, Kind.FILE, content_type=shown, had=had)
    context = recognise(mark, had, [*given, *_ours(peering.repository, view, finding, size)])
    if context is not None:
        part.seen[key] = Had(told.kind, mark, context)
        return
    part.news.append(finding)
    if file is not None:
        part.ids[key] = file


def _read_file(item: ForeignFile) -> _File:
    if item.size > MAX_FILE or len(item.chunk_hashes) > MAX_FILE_CHUNKS:
        raise BadRequestError(f"the file is larger than {MAX_FILE} bytes, or in too many chunks")
    return _File([parse_hash(text) for text in item.chunk_hashes], item.size)


def _ours(
    repository: Repository, view: View, finding: Finding, size: int
) -> Iterator[Had]:
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
            part.problems.append(_problem(finding.path, error))
        else:
            proven.append(replace(finding, content=content))
    part.news = proven


async def adopt_all(peering: ForeignPeering, part: Part) -> None:
    """Make versions of the news of a part; durable on return."""
    futures = [
        (finding, peering.repository.commit(lambda draft, item=finding: adopt(draft, item)))
        for finding in part.news
    ]
    for finding, future in futures:
        try:
            adopted: Adopted = await bridge.settle(future)
        except (BadRequestError, AeorError) as error:
            if error.status >= 500:  # noqa: PLR2004 - our own disk, not this path
                raise
            part.problems.append(_problem(finding.path, error))
            continue
        part.seen[to_key(finding.path)] = adopted.had
        part.changed += adopted.changed
        part.conflicts += adopted.conflict


def _is_right(name: bytes, data: bytes) -> bool:
    return len(data) <= MAX_CHUNK and chunk_id(data) == name


def _store(repository: Repository, chunks: dict[bytes, bytes]) -> None:
    if chunks:
        repository.receive([pack(name, data) for name, data in chunks.items()])


def _drop(part: Part, why: "Callable[[Finding, _File], str | None]") -> None:
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


def _groups(told: Sequence[Told]) -> Iterator[list[Told]]:
    group: list[Told] = []
    size = 0
    for one in told:
        weight = one.item.size if isinstance(one.item, ForeignFile) else 0
        if group and (len(group) == PART or size + weight > PART_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += weight
    if group:
        yield group


def _problem(path: str, error: AeorError) -> Problem:
    return Problem(redact(path[:_MAX_SHOWN]), error.message)


def _with_problems(report: Report, problems: Sequence[Problem]) -> Report:
    room = MAX_PROBLEMS - len(report.problems)
    return replace(
        report,
        problems=(*report.problems, *problems[:room]),
        problem_count=report.problem_count + len(problems),
    )

"""From the body of a commit to the bundle of changes it asks for.

All that can be found out before the writer's turn: paths, bases, times, targets, names that are
listed twice, what the bytes of files add up to, and what they look like. Errors name the path.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from aeorsync.api import media, seen
from aeorsync.api.links import check_target
from aeorsync.api.node import Caller, Node
from aeorsync.core import paths
from aeorsync.core.access import Op, missing
from aeorsync.core.hashing import HASH_SIZE, content_hash, parse_hash, parse_ids
from aeorsync.core.merge import see
from aeorsync.core.paths import ROOT, TreePath
from aeorsync.core.versions import MAX_SIZE, Content, Vector
from aeorsync.errors import AeorError, BadRequestError, CorruptError, TooLargeError
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.bundles import Bundle, Delete, Folder, Put, about
from aeorsync.storage.changes import FileState, LinkState
from aeorsync.storage.composing import Known, Plan, Taken
from aeorsync.storage.compression import unpack
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits
from aeorsync.wire.blobs import (
    CommitDelete,
    CommitFile,
    CommitFolder,
    CommitLink,
    CommitRequest,
)

_HEADS = 64
"""Chunks read at a time to see what they look like."""


@dataclass(slots=True)
class Heard:
    """What was found out about the files of a commit, and about chunks while they came in.

    Attributes:
        listed: The chunks of each file, in file order.
        stated: The media type of each file by what is stated and by its name; None when its
            bytes decide.
        whole: Chunks that are whole files.
        heads: Chunks whose first bytes tell the media type of a file.
        hashes: Content hash of each of ``whole``.
        kinds: Media type that each of ``heads`` looks like.
        brought: All that came in.
    """

    listed: list[list[bytes]] = field(default_factory=list)
    stated: list[str | None] = field(default_factory=list)
    whole: set[bytes] = field(default_factory=set)
    heads: set[bytes] = field(default_factory=set)
    hashes: dict[bytes, bytes] = field(default_factory=dict)
    kinds: dict[bytes, str] = field(default_factory=dict)
    brought: set[bytes] = field(default_factory=set)

    def expect(self, request: CommitRequest) -> None:
        """Take note of what there is to find out for a request; to be called once, and first.

        Raises:
            BadRequestError: A chunk has no hash for a name, or a media type is none.
            TooLargeError: A file has too many chunks.
        """
        for file in request.files:
            try:
                names, kind = _listed(file), _stated_kind(file)
            except AeorError as error:
                error.details.setdefault("path", file.path)
                raise
            self.listed.append(names)
            self.stated.append(kind)
            if len(names) == 1:
                self.whole.add(names[0])
            if names and kind is None:
                self.heads.add(names[0])

    def note(self, chunks: Sequence[StoredChunk], taken: Taken) -> None:
        """Take note of chunks that were checked and stored."""
        for chunk, plain in zip(chunks, taken.plain, strict=True):
            name = chunk.id
            self.brought.add(name)
            if name in self.whole:
                self.hashes[name] = content_hash(plain)
            if name in self.heads:
                self.kinds[name] = _looks(plain)

    def unbrought(self) -> set[bytes]:
        """The chunks that the request names and did not bring."""
        return {name for names in self.listed for name in names if name not in self.brought}


def bundle_of(
    node: Node,
    caller: Caller,
    request: CommitRequest,
    heard: Heard,
    denied: Collection[bytes] = frozenset(),
) -> Bundle:
    """Check a request, and read what it says of its files. Blocking.

    Args:
        node: Where.
        caller: Who asks.
        request: What for.
        heard: What is known of chunks that came with it.
        denied: Chunks that they may not have; to them these are not here.

    Raises:
        AeorError: Something cannot be done; ``path`` says where.
    """
    _check_count(request)
    deletes = [
        Delete(*_place(node, caller, item, Op.DELETE), is_folder=item.folder)
        for item in request.deletes
    ]
    folders = [_folder(item) for item in request.folders]
    places = [_place(node, caller, file, Op.CREATE, Op.UPDATE) for file in request.files]
    links = [_link(node, caller, item) for item in request.links]
    _check_names(deletes, folders, [*places, *((link.path, link.base) for link in links)])
    plans = [_plan(*pair) for pair in zip(request.files, heard.listed, strict=True)]
    changed = [
        path for (path, base), plan in zip(places, plans, strict=True) if base and plan.chunks
    ]
    twins = _twins(node.repository, [*(change.path for change in deletes), *changed])
    contents = node.repository.compose(plans, Known(heard.hashes, twins, denied))
    kinds = _kinds(node.repository, plans, heard)
    states = [
        FileState(content, kind, file.executable, _time(file.path, file.mtime_ns))
        for file, content, kind in zip(request.files, contents, kinds, strict=True)
    ]
    files = [Put(path, state, base) for (path, base), state in zip(places, states, strict=True)]
    return Bundle(
        access=caller.access,
        deletes=deletes,
        folders=folders,
        puts=[*files, *links],
        refuses=request.on_conflict == "refuse",
        known=node.repository.known() if deletes else None,
    )


def _check_count(request: CommitRequest) -> None:
    made = len(request.folders) + len(request.files) + len(request.links)
    count = len(request.deletes) + made
    if not count:
        raise BadRequestError("there is nothing to commit")
    if count > limits.MAX_COMMIT:
        raise TooLargeError(f"one commit makes at most {limits.MAX_COMMIT} changes")


# Places


def _place(
    node: Node, caller: Caller, item: CommitFile | CommitLink | CommitDelete, *ops: Op
) -> tuple[TreePath, Vector | None]:
    """The path of a change, and what its writer had seen there."""
    # Not `about`: there are thousands a commit, and this costs nothing where nothing is wrong.
    try:
        path = _parsed(item.path)
        if not caller.access.is_everything and not any(caller.access.may(path, op) for op in ops):
            raise missing(path)
        return path, None if item.base is None else seen.base(node, path, item.base)
    except AeorError as error:
        error.details.setdefault("path", item.path)
        raise


def _parsed(text: str) -> TreePath:
    path = paths.parse(text)
    if path == ROOT:
        raise BadRequestError("the root is always there, and cannot be replaced")
    return path


def _folder(item: CommitFolder) -> Folder:
    with about(item.path):
        return Folder(_parsed(item.path), _time(item.path, item.mtime_ns))


def _link(node: Node, caller: Caller, item: CommitLink) -> Put:
    path, base = _place(node, caller, item, Op.CREATE, Op.UPDATE)
    with about(item.path):
        content = check_target(path, item.target)
        return Put(path, LinkState(item.target, content, _time(item.path, item.mtime_ns)), base)


def _time(path: str, mtime_ns: int | None) -> int | None:
    if mtime_ns is not None and not abs(mtime_ns) < MAX_SIZE:
        with about(path):
            raise BadRequestError(f"{path}: mtime_ns is out of range")
    return mtime_ns


def _check_names(
    deletes: Sequence[Delete],
    folders: Sequence[Folder],
    puts: Iterable[tuple[TreePath, Vector | None]],
) -> None:
    """Refuse paths listed twice; a file may be, with bases that tell its versions apart."""
    puts = list(puts)
    if not deletes and len({path for path, _ in puts}.union(f.path for f in folders)) == (
        len(puts) + len(folders)
    ):
        return
    gone: set[TreePath] = set()
    for change in deletes:
        if change.path in gone:
            raise _twice(change.path)
        gone.add(change.path)
    made: dict[TreePath, set[Vector | None]] = {}
    for folder in folders:
        if made.setdefault(folder.path, {None}) != {None}:
            raise _twice(folder.path)
    for path, base in puts:
        bases = made.setdefault(path, set())
        if bases and (base is None or base in bases or None in bases):
            raise _twice(path)
        bases.add(base)


def _twice(path: TreePath) -> BadRequestError:
    error = BadRequestError(f"{path} is listed twice; nothing was changed")
    error.details["path"] = path
    return error


# Bytes


def _listed(file: CommitFile) -> list[bytes]:
    listed = file.chunks or file.chunk_hashes or ()
    if listed and file.chunk_ids:
        raise BadRequestError("the chunks of a file are listed twice, in hex and as raw ids")
    if max(len(listed), len(file.chunk_ids) // HASH_SIZE) > limits.MAX_FILE_CHUNKS:
        raise TooLargeError(f"a file has at most {limits.MAX_FILE_CHUNKS} chunks")
    return parse_ids(file.chunk_ids) or [parse_hash(text) for text in listed]


def _plan(file: CommitFile, names: Sequence[bytes]) -> Plan:
    try:
        if file.path.endswith("/"):
            raise BadRequestError("a path that ends in a slash is a folder")
        whole = None if file.content_hash is None else parse_hash(file.content_hash)
    except AeorError as error:
        error.details.setdefault("path", file.path)
        raise
    return Plan(file.path, names, whole, file.size)


def _twins(repository: Repository, places: Sequence[TreePath]) -> dict[tuple[int, bytes], Content]:
    """What the tree holds where something is moved away or changed: it may be the same bytes."""
    found: dict[tuple[int, bytes], Content] = {}
    if not places:
        return found
    with repository.view() as view:
        for path in places:
            entry = view.live_entry(path)
            sight = None if entry is None else see(entry)
            for version in () if sight is None else (sight.winner, *sight.losers):
                content = version.content
                if content.refs and not version.deleted:
                    found[content.depth, content.refs] = content
    return found


# Kinds


def _kinds(repository: Repository, plans: Sequence[Plan], heard: Heard) -> list[str]:
    """The media type to keep for each file."""
    looks = heard.kinds
    unseen = heard.heads.difference(looks)
    if unseen:
        looks = {**looks, **_look(repository, sorted(unseen))}
    nothing = _looks(b"")
    return [
        kind or (looks.get(plan.chunks[0], media.UNKNOWN) if plan.chunks else nothing)
        for plan, kind in zip(plans, heard.stated, strict=True)
    ]


def _stated_kind(file: CommitFile) -> str | None:
    """The media type by what is stated and by the name; None when the bytes decide."""
    stated = None if file.content_type is None else file.content_type.encode()
    return media.stated_type(stated, file.path.rpartition("/")[2])


def _look(repository: Repository, names: Sequence[bytes]) -> dict[bytes, str]:
    found = {}
    for at in range(0, len(names), _HEADS):
        for chunk in repository.stored_chunks(names[at : at + _HEADS]):
            try:
                found[chunk.id] = _looks(unpack(chunk))
            except CorruptError:
                continue  # whoever reads the file is told
    return found


def _looks(plain: bytes | memoryview) -> str:
    return media.content_type(None, "", bytes(plain[: media.HEAD_SIZE]))

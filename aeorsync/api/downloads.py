"""`GET` and `HEAD /files/{path}`: a file, a range of it, a symlink itself, or a listing.

What may be read is known once it is known what is there (`api.resolve`): a folder may be listed
also where it is only on the way to what may be read.

Everything up to the first batch of bytes is found in one hop to a thread.
"""

from dataclasses import dataclass, replace

from starlette.responses import Response

from aeorsync.api import media, resolve, seen
from aeorsync.api.budget import Share
from aeorsync.api.endpoint import FORK, SNAPSHOT, Access, Call, Endpoint, Parameter, Sees, answer
from aeorsync.api.lenses import VERSION_ID, through
from aeorsync.api.listing import PARAMETERS, Options, list_folder
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.replies import LinkReply, Listing
from aeorsync.api.rescue import rescued
from aeorsync.api.resolve import Found
from aeorsync.api.streams import BATCH, COPIES, SMALL_BATCH, FileResponse, Pieces
from aeorsync.core import access as rules
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Kind, Version
from aeorsync.errors import BadRangeError, BadRequestError, NotFoundError, PreconditionError
from aeorsync.storage.lenses import PastLens
from aeorsync.storage.versions import find_version
from aeorsync.storage.views import View
from aeorsync.wire import limits
from aeorsync.wire.headers import (
    ETags,
    parse_etags,
    parse_range,
    print_etag,
    print_mode,
    print_mtime,
    print_path,
    print_range,
)

_WORDS = {Kind.FILE: b"file", Kind.DIRECTORY: b"directory", Kind.SYMLINK: b"symlink"}
_CREATED = (b"x-aeordb-created", b"x-aeordb-created-at")
_UPDATED = (b"x-aeordb-updated", b"x-aeordb-updated-at")

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asked for.

    Attributes:
        path: The path.
        is_folder: Whether it ended in a slash, which only a folder may.
        follow: Whether to go on where a symlink points.
        version: Id of one version; None for the current one.
        options: How to list, should it be a folder.
        headers: Fields of the request.
        is_head: Whether only the fields of the answer are wanted.
        access: What the reader may see.
        share: What the answer may hold in memory.
    """

    path: TreePath
    is_folder: bool
    follow: bool
    version: str | None
    options: Options
    headers: seen.Headers
    is_head: bool
    access: rules.Access
    share: Share

    @classmethod
    def read(cls, call: Call, raw_path: str) -> "Question":
        """Read a request.

        Raises:
            BadRequestError: The path or a parameter makes no sense.
            NotFoundError: The path lies in the system namespace, or there are no such versions.
        """
        scope = call.request.scope
        query = Query(scope["query_string"])
        return cls(
            path=paths.parse(raw_path),
            is_folder=raw_path.endswith("/"),
            follow=not query.flag("nofollow"),
            version=_version_id(query),
            options=Options.read(query),
            headers=dict(scope["headers"]),
            is_head=scope["method"] == "HEAD",
            access=call.caller.access,
            share=call.share,
        )


def _version_id(query: Query) -> str | None:
    """The version asked for; a root, which is of the whole tree, `api.lenses` looks after."""
    text = query.text("version")
    return text if text and VERSION_ID.match(text) else None


async def get(call: Call) -> Response:
    """Read a file, or list a folder."""
    return await rescued(call.node, respond, call.node, Question.read(call, call.raw_path))


async def get_named(call: Call, path: TreePath) -> Response:
    """The same, for a path that is not in the URL."""
    return await rescued(call.node, respond, call.node, Question.read(call, path))


async def get_version(call: Call, path: TreePath, version_id: str) -> Response:
    """One version of a file that is not in the URL."""
    question = replace(Question.read(call, path), version=version_id)
    return await rescued(call.node, respond, call.node, question)


async def get_root(call: Call) -> Response:
    """List the root."""
    return await get_named(call, paths.ROOT)


def respond(node: Node, question: Question) -> Response:
    """The answer to a question. Blocking."""
    with node.repository.view() as view:
        if question.version is not None:
            node, found, version = _chosen(node, view, question, question.version)
            tag = print_etag(version.id)
        else:
            found = resolve.find(
                view,
                question.path,
                follow=question.follow,
                folder=question.is_folder,
                access=question.access,
            )
            if found.entry is None or found.sight is None or found.kind == Kind.DIRECTORY:
                return _folder(node, view, found, question)
            version = found.sight.winner
            tag = seen.etag(node, found.path, found.entry)
    refused = _condition(question.headers, tag)
    if refused is not None:
        return refused
    if version.kind == Kind.SYMLINK:
        return _link(found, version, tag, is_head=question.is_head)
    return _file(node, found, version, tag, question)


def _chosen(
    node: Node, view: View, question: Question, version_id: str
) -> tuple[Node, Found, Version]:
    """One version of a path, be it the one that readers see or not, and the node that reads it."""
    path = question.path
    refusal = NotFoundError(f"{path} has no version {version_id} that could be read")
    if not question.access.may(path, Op.READ):
        raise refusal
    entry = view.live_entry(path)
    version = None if entry is None else entry.version(version_id)
    if version is None and node.repository.is_present:
        version, snapshot = find_version(node.repository, path, version_id) or (None, None)
        if snapshot is not None:
            node = through(node, PastLens(*snapshot.trees))
    if version is None or version.deleted or version.kind == Kind.DIRECTORY:
        raise refusal
    return node, Found(path, path, entry, None), version


def _folder(node: Node, view: View, found: Found, question: Question) -> Response:
    if question.is_head:
        return FileResponse(200, _folder_fields(node, found))
    return list_folder(node, view, found.path, question.options, question.access, question.share)


def _folder_fields(node: Node, found: Found) -> Fields:
    fields = [
        (b"content-type", b"application/json"),
        (b"x-aeordb-type", b"directory"),
        (b"x-aeordb-path", print_path(found.asked).encode()),
    ]
    if found.entry is not None and found.sight is not None:
        fields.append((b"etag", seen.etag(node, found.path, found.entry).encode()))
        fields += _time_fields(found.sight.winner)
    return fields


def link_reply(path: TreePath, version: Version, tag: str) -> LinkReply:
    """A symlink as its endpoints show it."""
    return LinkReply(
        path=path,
        target=version.target,
        entry_type=Kind.SYMLINK,
        created_at=version.created,
        updated_at=version.updated,
        hash=seen.identity(path, version),
        etag=tag,
    )


def _link(found: Found, version: Version, tag: str, *, is_head: bool) -> Response:
    if not is_head:
        return answer(link_reply(found.path, version, tag), headers={"ETag": tag})
    fields = _entry_fields(found, version, tag)
    fields.append((b"x-aeordb-link-target", print_path(version.target).encode()))
    fields.append((b"content-type", b"application/json"))
    return FileResponse(200, fields)


def _file(node: Node, found: Found, version: Version, tag: str, question: Question) -> Response:
    size = version.content.size
    fields = _entry_fields(found, version, tag)
    fields += _file_fields(version)
    if found.path != found.asked:
        fields.append((b"x-aeordb-link-target", print_path(found.path).encode()))
    if question.is_head:
        fields.append((b"content-length", b"%d" % size))
        return FileResponse(200, fields)
    part = _part(question.headers, size, tag)
    start, stop = part or (0, size)
    fields.append((b"content-length", b"%d" % (stop - start)))
    if part is not None:
        fields.append((b"content-range", print_range(start, stop, size).encode()))
    content, repository = version.content, node.repository
    batch = SMALL_BATCH if question.share.should_save else BATCH
    question.share.take(min(stop - start, COPIES * (batch + limits.MAX_CHUNK)))
    pieces = Pieces(lambda at: repository.read(content, at, stop), start, batch)
    first = pieces.gather()
    is_all = len(first) == stop - start
    return FileResponse(206 if part else 200, fields, first, None if is_all else pieces, node)


def _part(headers: seen.Headers, size: int, tag: str) -> tuple[int, int] | None:
    """The range to serve; None for the whole file."""
    header = headers.get(b"range")
    if header is None:
        return None
    unchanged = headers.get(b"if-range")
    if unchanged is not None and unchanged.decode("latin-1").strip() != tag:
        return None
    return parse_range(header.decode("latin-1"), size)


def _condition(headers: seen.Headers, tag: str) -> Response | None:
    """304 when the reader has it already; None to go on.

    Raises:
        PreconditionError: If-Match names something else.
    """
    if_match = headers.get(b"if-match")
    if if_match is not None and not _names(parse_etags(if_match.decode("latin-1")), tag):
        raise PreconditionError("what is there is not what If-Match names")
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is None or not _names(parse_etags(if_none_match.decode("latin-1")), tag):
        return None
    return FileResponse(304, [(b"etag", tag.encode())])


def _names(tags: ETags, tag: str) -> bool:
    return tags.is_any or tag in map(print_etag, tags.weak())


def _entry_fields(found: Found, version: Version, tag: str) -> Fields:
    return [
        (b"etag", tag.encode()),
        (b"x-aeordb-type", _WORDS[Kind(version.kind)]),
        (b"x-aeordb-path", print_path(found.asked).encode()),
        (b"x-aeordb-size", b"%d" % version.content.size),
        *_time_fields(version),
        (b"x-aeorsync-version", version.id.encode()),
        *([(b"x-aeorsync-conflict", b"true")] if found.sight and found.sight.losers else []),
    ]


def _time_fields(version: Version) -> Fields:
    created, updated = b"%d" % version.created, b"%d" % version.updated
    return [
        *((name, created) for name in _CREATED),
        *((name, updated) for name in _UPDATED),
    ]


def _file_fields(version: Version) -> Fields:
    return [
        (b"accept-ranges", b"bytes"),
        (b"content-type", media.printable(version.content_type)),
        (b"x-aeorsync-content-hash", version.content.hash.hex().encode()),
        (b"x-aeorsync-mtime", print_mtime(version.mtime).encode()),
        (b"x-aeorsync-mode", print_mode(is_executable=version.executable).encode()),
        # Anybody's file is served from the address of the console: it must not act there.
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"sandbox"),
    ]


_STATES = (SNAPSHOT, FORK)
_PARAMETERS = (
    Parameter(
        "version",
        {"type": "string"},
        "Id of a version, also of one that lost a conflict or is in a snapshot; or a kept root.",
    ),
    *_STATES,
    Parameter("nofollow", {"type": "boolean"}, "A symlink itself, not what it points at."),
    Parameter("If-None-Match", {"type": "string"}, "304 if it still has this ETag.", "header"),
)
_READ_PARAMETERS = (
    *_PARAMETERS,
    *PARAMETERS,
    Parameter("Range", {"type": "string"}, "One range of bytes.", "header"),
    Parameter("If-Range", {"type": "string"}, "Range only if it has this ETag.", "header"),
)
_ERRORS = (BadRequestError, NotFoundError, PreconditionError)

ENDPOINTS = (
    Endpoint(
        "GET",
        "/files",
        get_root,
        "List the root.",
        access=Access.USER,
        reply=Listing,
        errors=(BadRequestError, NotFoundError),
        parameters=(*PARAMETERS, *_STATES),
        sees=Sees.ALL,
    ),
    Endpoint(
        "HEAD",
        "/files",
        get_root,
        "The fields of `GET /files`.",
        access=Access.USER,
        parameters=_STATES,
        sees=Sees.ALL,
    ),
    Endpoint(
        "GET",
        "/files/{path:path}",
        get,
        "Read a file, or list a folder.",
        access=Access.USER,
        reply=Listing,
        errors=(*_ERRORS, BadRangeError),
        parameters=_READ_PARAMETERS,
        media=("*/*",),
        also=(206, 304),
        sees=Sees.ALL,
    ),
    Endpoint(
        "HEAD",
        "/files/{path:path}",
        get,
        "The fields of `GET /files/{path}`, without the body.",
        access=Access.USER,
        also=(304,),
        errors=_ERRORS,
        parameters=_PARAMETERS,
        sees=Sees.ALL,
    ),
)

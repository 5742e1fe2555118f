"""`POST /files/download`: files and folders as one ZIP archive, made while it is sent.

    plan      one state of the tree: every entry, what is hidden from the caller left out
    stream    stream-zip, in threads; the bytes of files are read as they are sent

Memory is that of the index of the archive, which has to be kept till its end: 100 000 entries at
most, and taken out of the budget of the node. Modification times, executable bits, empty folders
and symlinks (as links) are kept.
"""

import stat
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

import msgspec
from starlette.responses import Response, StreamingResponse

from aeorsync.api import resolve
from aeorsync.api.bodies import FileReader, streamed
from aeorsync.api.budget import Share
from aeorsync.api.endpoint import FORK, SNAPSHOT, Access, Call, Endpoint, Sees
from aeorsync.api.listing import HIDDEN
from aeorsync.api.node import Caller
from aeorsync.core import paths
from aeorsync.core.access import Op, missing
from aeorsync.core.archives import Names, fold, folders, safe
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Kind, Version, decode_entry, encode_entry
from aeorsync.errors import BadRequestError, InvalidFieldError, NotFoundError, TooLargeError
from aeorsync.runtime import bridge
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire import limits
from aeorsync.wire.limits import MIB

if TYPE_CHECKING:
    from stream_zip import MemberFile

_Told: TypeAlias = tuple[str, datetime, int, tuple[int, int], Iterable[bytes]]
"""Name, time, mode, size with the level to compress at, and bytes."""
_MODES: Final = {
    Kind.DIRECTORY: stat.S_IFDIR | 0o755,
    Kind.SYMLINK: stat.S_IFLNK | 0o777,
    Kind.FILE: stat.S_IFREG | 0o644,
}
_EXECUTABLE: Final = 0o111
# What a ZIP archive can say: times from 1980 on, and to the second only till 2038.
_FIRST_S: Final = 315_619_200
_LAST_S: Final = 2_147_385_600
_NS: Final = 1_000_000_000
_MEMBER_COST: Final = 1000
"""Bytes that an entry takes beside its name and its data: as planned, and in the index."""
_STREAM_COST: Final = 10 * MIB
"""Bytes on their way through the compressor and out."""
_TRIED: Final = 1
_STORED: Final = 0
_PACKED_TYPES: Final = ("image/", "video/", "audio/", "font/woff")
_PACKED: Final = frozenset(
    f"application/{name}"
    for name in ("gzip", "zip", "zstd", "x-bzip2", "x-xz", "x-compress", "x-brotli", "pdf")
) | {"application/x-7z-compressed", "application/vnd.rar", "application/java-archive"}


class DownloadRequest(msgspec.Struct, frozen=True):
    """Files and folders to put into one archive."""

    paths: list[str]


@dataclass(frozen=True, slots=True)
class _Member:
    """One entry of the archive; ``data`` is the entry of the tree, None for an implied folder."""

    name: str
    data: bytes | None
    is_link: bool = False


@dataclass(slots=True)
class _Plan:
    """Everything that goes into the archive."""

    view: View
    caller: Caller
    share: Share
    members: list[_Member] = field(default_factory=list)
    size: int = 0

    def add(self, path: TreePath, top: str) -> None:
        """Add what is at a path under a name.

        Raises:
            NotFoundError: Nothing that the caller may see.
            TooLargeError: It gets too large.
        """
        found = resolve.find(self.view, path, follow=False, access=self.caller.access)
        if _is_hidden(path):
            raise missing(path)
        data = None if found.entry is None else encode_entry(found.entry)
        if found.sight is not None and found.kind != Kind.DIRECTORY:
            self._take(top, data, found.sight.winner)
            return
        if top:
            self._take(top + "/", data, None)
        self._add_inside(path, top)

    def _add_inside(self, folder: TreePath, top: str) -> None:
        cut = len(folder) if folder != paths.ROOT else 0
        below = b""
        for key, data in self.view.walk(folder):
            # A file and a folder of one name: what is inside cannot be unpacked beside it.
            if below and key.startswith(below):
                continue
            path = paths.from_key(key)
            version = see(decode_entry(data)).winner
            is_folder = version.kind == Kind.DIRECTORY
            below = below if is_folder else key + b"\0"
            if _is_hidden(path) or not self._shows(path, is_folder=is_folder):
                continue
            inner = safe(f"{top}{path[cut:]}".lstrip("/"))
            self._take(inner + "/" * is_folder, data, version)

    def _shows(self, path: TreePath, *, is_folder: bool) -> bool:
        access = self.caller.access
        return access.may_enter(path) if is_folder else access.may(path, Op.READ)

    def _take(self, name: str, data: bytes | None, version: Version | None) -> None:
        is_link = version is not None and version.kind == Kind.SYMLINK
        self.share.take(_MEMBER_COST + 2 * len(name) + len(data or b""))
        self.members.append(_Member(name, data, is_link))
        if version is not None and version.kind == Kind.FILE:
            self.size += version.content.size
        if self.size > limits.MAX_DOWNLOAD:
            text = f"the files are over {limits.MAX_DOWNLOAD} bytes together; ask for fewer"
            raise TooLargeError(text)
        if len(self.members) > limits.MAX_DOWNLOAD_ENTRIES:
            text = f"an archive has at most {limits.MAX_DOWNLOAD_ENTRIES} entries; ask for fewer"
            raise TooLargeError(text)


async def download(call: Call) -> Response:
    """Send files and folders as one archive."""
    request = await call.body(DownloadRequest)
    if not request.paths:
        raise BadRequestError("paths must name something")
    chosen = list(dict.fromkeys(paths.parse(text) for text in request.paths))
    call.share.take(_STREAM_COST)
    members = await bridge.run(_plan, call.node.repository, call.caller, chosen, call.share)
    made = _zip(members, FileReader(call.node))
    stem = safe(paths.name(chosen[0])) if len(chosen) == 1 and chosen[0] != paths.ROOT else "files"
    fields = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(stem, safe='')}.zip",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(streamed(made), headers=fields, media_type="application/zip")


def _plan(
    repository: Repository, caller: Caller, chosen: list[TreePath], share: Share
) -> list[_Member]:
    """Every entry of the archive. Blocking."""
    names = Names()
    with repository.view() as view:
        plan = _Plan(view, caller, share)
        for path in chosen:
            plan.add(path, names.top(path))
    # What lies in a folder must not be unpacked through a link that goes by the folder's name.
    taken = folders(member.name for member in plan.members)
    return [m for m in plan.members if not (m.is_link and fold(m.name) in taken)]


def _zip(members: list[_Member], reader: FileReader) -> Generator[bytes, None, None]:
    # What it could encrypt with takes longer to load than all of this package, and is not used.
    from stream_zip import ZIP_AUTO, stream_zip  # noqa: PLC0415

    def members_of() -> Iterator["MemberFile"]:
        for name, modified, mode, (size, level), content in (_member(m, reader) for m in members):
            yield name, modified, mode, ZIP_AUTO(size, level=level), content

    yield from stream_zip(members_of(), chunk_size=MIB)


def _member(member: _Member, reader: FileReader) -> _Told:
    if member.data is None:
        return member.name, _time(0), _MODES[Kind.DIRECTORY], (0, 0), ()
    version = see(decode_entry(member.data)).winner
    kind = Kind(version.kind)
    mode = _MODES[kind] | (_EXECUTABLE if kind == Kind.FILE and version.executable else 0)
    size: int = 0
    content: Iterable[bytes] = ()
    if kind == Kind.SYMLINK:
        target = version.target.encode()
        size, content = len(target), (target,)
    elif kind == Kind.FILE:
        size, content = version.content.size, reader.read(version.content)
    return member.name, _time(version.mtime), mode, (size, _level(version)), content


def _level(version: Version) -> int:
    """How hard to try to compress: not at all what is compressed already."""
    kind = version.content_type.partition(";")[0].strip().lower()
    is_packed = kind in _PACKED or (kind.startswith(_PACKED_TYPES) and kind != "image/svg+xml")
    return _STORED if is_packed else _TRIED


def _time(mtime_ns: int) -> datetime:
    return datetime.fromtimestamp(min(max(mtime_ns // _NS, _FIRST_S), _LAST_S), UTC)


def _is_hidden(path: TreePath) -> bool:
    return path.startswith(HIDDEN)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/files/download",
        download,
        "Send files and folders as one ZIP archive.",
        access=Access.USER,
        request=DownloadRequest,
        errors=(BadRequestError, InvalidFieldError, NotFoundError, TooLargeError),
        parameters=(SNAPSHOT, FORK),
        media=("application/zip",),
        sees=Sees.ALL,
    ),
)

"""Reading files: the bytes as they come, taken up again where a connection broke.

    async with client.open("/video.mp4") as download:
        print(download.entry.size)
        async for piece in download:
            ...

What is read is one version: should the file change meanwhile, what was begun is not finished with
bytes of another one, but ends in a `PreconditionError`. A whole file is held against its hash.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Final, Self

from aeorsync.client.calling import Call, Caller, Pauses, Query, place, print_query
from aeorsync.client.model import DIRECTORY, FILE, SYMLINK, Entry
from aeorsync.core.hashing import hasher
from aeorsync.core.paths import decode
from aeorsync.errors import (
    BadRequestError,
    CorruptError,
    NotFoundError,
    UnavailableError,
    UntrustedError,
)
from aeorsync.remote.asking import Answer, Request
from aeorsync.wire.headers import MODE, MTIME, NS_PER_MS, parse_mode, parse_mtime

_TYPES: Final = {"file": FILE, "directory": DIRECTORY, "symlink": SYMLINK}
_MAX_BREAKS: Final = 20
"""Breaks in a row without a byte between them; then a download gives up."""


class Download:
    """A file, or a part of one, being read; made by `ReadCalls.open`.

    Attributes:
        entry: What is read: its size, ETag, times.
        at: Offset of the next byte.
        stop: Offset behind the last byte.
    """

    def __init__(self, caller: "ReadCalls", place: str, start: int, stop: int | None) -> None:
        self._caller = caller
        self._place = place
        self._stack = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] | None = None
        self._is_whole = start == 0 and stop is None
        self._hasher = hasher()
        self._breaks = 0
        self._pauses = Pauses()
        self.at = start
        self.stop = -1 if stop is None else stop
        self.entry = Entry(path="/")

    async def begin(self, path: str, if_match: str | None) -> None:
        """Ask for the first piece."""
        if self.stop >= 0 and self.at > self.stop:
            raise BadRequestError("the part of a file ends before it begins")
        answer = await self._caller.patiently_open(self._stack, self._request(if_match))
        self.entry = entry_of(path, answer.headers)
        if self.entry.entry_type != FILE:
            raise BadRequestError(f"{path} is a {self.entry.kind}, not a file")
        self.stop = self.entry.size if self.stop < 0 else min(self.stop, self.entry.size)
        self._pieces = answer.pieces

    async def close(self) -> None:
        """Let go of the connection."""
        self._pieces = None
        await self._stack.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        Raises:
            PreconditionError: The file changed meanwhile.
            CorruptError: What came is not what the server says it is.
            UnavailableError: The connection broke, and could not be made again.
        """
        while self.at < self.stop:
            piece = await self._next()
            if piece:
                self._breaks, self._pauses = 0, Pauses()
                piece = piece[: self.stop - self.at]
                self.at += len(piece)
                if self._is_whole:
                    self._hasher.update(piece)
                return piece
        self._check()
        raise StopAsyncIteration

    async def _next(self) -> bytes:
        """The next piece; nothing when the connection had to be made again."""
        try:
            if self._pieces is None:
                answer = await self._caller.patiently_open(
                    self._stack, self._request(self.entry.etag)
                )
                if answer.status != HTTPStatus.PARTIAL_CONTENT:
                    raise BadRequestError(f"{self._caller.address} cannot send parts of files")
                self._pieces = answer.pieces
            return await anext(self._pieces)
        except StopAsyncIteration as error:
            broken = UnavailableError(f"{self._caller.address} sent less of a file than it said")
            await self._break(broken, error)
        except UntrustedError:
            raise
        except UnavailableError as error:
            await self._break(error, error)
        return b""

    async def _break(self, error: UnavailableError, cause: Exception) -> None:
        self._breaks += 1
        await self.close()
        if self._breaks > _MAX_BREAKS:
            raise error from cause
        await self._caller.rest(self._pauses)

    def _request(self, if_match: str | None) -> Request:
        fields = {"Accept": "*/*"}
        if if_match is not None:
            fields["If-Match"] = if_match
        if self.at or self.stop >= 0:
            last = "" if self.stop < 0 else str(max(self.at, self.stop - 1))
            fields["Range"] = f"bytes={self.at}-{last}"
        return Request("GET", self._place, b"", fields)

    def _check(self) -> None:
        told = self.entry.content_hash
        if self._is_whole and told and self._hasher.hexdigest() != told:
            raise CorruptError(
                f"what {self._caller.address} sent of {self.entry.path} is not what it says the"
                " file is; nothing was kept"
            )


class ReadCalls(Caller):
    """Look at entries, read files."""

    async def stat(
        self,
        path: str,
        *,
        follow: bool = False,
        version: str | None = None,
        snapshot: str | None = None,
        fork: str | None = None,
    ) -> Entry:
        """Look at one path.

        Args:
            path: Where.
            follow: Go on where a symbolic link points.
            version: Id of one version of a file, also of a past one or one that lost a conflict.
            snapshot: Name or id of a snapshot to look into.
            fork: Name or id of a fork to look into.

        Raises:
            NotFoundError: Nothing is there.

        Example:
            >>> client.stat("/notes/hello.txt").size
            6
        """
        query = {"version": version, "snapshot": snapshot, "fork": fork}
        call = Call(
            method="HEAD",
            path=place("/files", path),
            query={**query, "nofollow": None if follow else True},
        )
        try:
            return entry_of(path, await self._fields(call))
        except NotFoundError as error:
            raise missing(path, error) from error

    async def exists(self, path: str) -> bool:
        """Whether something is there (a symbolic link is, wherever it leads)."""
        try:
            await self.stat(path)
        except NotFoundError:
            return False
        return True

    @asynccontextmanager
    async def open(  # noqa: PLR0913  # which part of which state
        self,
        path: str,
        *,
        start: int = 0,
        stop: int | None = None,
        version: str | None = None,
        snapshot: str | None = None,
        fork: str | None = None,
        if_match: str | None = None,
    ) -> AsyncGenerator[Download, None]:
        """Read a file, or a part of it, piece by piece; see the top of this module.

        Args:
            path: Where; a symbolic link is followed.
            start: Offset of the first byte.
            stop: Offset behind the last byte; None for the end of the file.
            version: Id of one version.
            snapshot: Name or id of a snapshot to read from.
            fork: Name or id of a fork to read from.
            if_match: ETag that the file must have.

        Raises:
            NotFoundError: No such file.
            PreconditionError: It is not what ``if_match`` names.
        """
        query: Query = {"version": version, "snapshot": snapshot, "fork": fork}
        download = Download(self, place("/files", path) + print_query(query), start, stop)
        try:
            await download.begin(path, if_match)
            yield download
        finally:
            await download.close()

    async def patiently_open(self, stack: AsyncExitStack, request: Request) -> Answer:
        """Ask for bytes; the answer stays open until the stack is closed."""
        return await self._patiently(
            lambda: stack.enter_async_context(self._connection.exchange(request)),
            is_repeatable=True,
        )


def entry_of(path: str, headers: Mapping[str, str]) -> Entry:
    """What the fields of an answer say of an entry.

    Raises:
        BadRequestError: They cannot be read.
    """
    path = "/" + path.strip("/")
    kind = _TYPES.get(headers.get("x-aeordb-type", "directory"), FILE)
    ns = parse_mtime(headers[MTIME.lower()]) if MTIME.lower() in headers else None
    target = headers.get("x-aeordb-link-target") if kind == SYMLINK else None
    return Entry(
        path=path,
        name=path.rpartition("/")[2],
        entry_type=kind,
        size=_whole(headers.get("x-aeordb-size")),
        created_at=_whole(headers.get("x-aeordb-created")),
        updated_at=_whole(headers.get("x-aeordb-updated")),
        mtime=0 if ns is None else ns // NS_PER_MS,
        content_type=headers.get("content-type") if kind == FILE else None,
        content_hash=headers.get("x-aeorsync-content-hash"),
        etag=headers.get("etag"),
        executable=parse_mode(headers[MODE.lower()]) if MODE.lower() in headers else False,
        conflict=headers.get("x-aeorsync-conflict") == "true",
        target=None if target is None else decode(target.encode("latin-1")),
        version=headers.get("x-aeorsync-version"),
        mtime_ns=ns,
    )


def missing(path: str, error: NotFoundError) -> NotFoundError:
    """The same in words, where the answer could not carry any (it was to HEAD)."""
    if error.told:
        return error
    told = NotFoundError(f"not found: {path}")
    told.details["path"] = path
    return told


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0  # noqa: PLR2004

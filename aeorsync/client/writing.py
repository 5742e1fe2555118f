"""Writing files: small ones at once, long ones chunk by chunk, in bounded memory.

| what | how | where a connection breaks |
| --- | --- | --- |
| at most `SMALL` bytes | one PUT | it is sent again |
| more | chunks, as far as the server lacks them; then one commit | what was sent stays |
| more, into a fork | one PUT, as it is read | it is to be put again |

A long upload that was interrupted goes on where it was when it is started again: the server keeps
chunks for a day, and is asked first. A file that changes while it is read is not stored.
"""

import io
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from aeorsync.client.calling import LONG_S, place, print_query
from aeorsync.client.model import Written
from aeorsync.client.syncing import SyncCalls
from aeorsync.client.uploading import Cutter, Upload
from aeorsync.errors import UNREADABLE, BadRequestError, StaleError
from aeorsync.remote.asking import Request
from aeorsync.runtime import bridge
from aeorsync.wire import blobs
from aeorsync.wire.headers import MODE, MTIME, print_mode, print_mtime
from aeorsync.wire.limits import MIB

SMALL: Final = MIB
"""Longest file that is sent at once."""
PIECE: Final = MIB
_NOTHING: Final = '""'
"""On the wire: the writer had seen nothing."""
Source = bytes | Path | BinaryIO
OnConflict = Literal["keep", "refuse"]
Progress = Callable[[int, int | None], None]
"""Told how many bytes are done, and of how many, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a file is to be stored.

    Attributes:
        content_type: Media type; None: the server guesses.
        mtime_ns: When its content changed; None: now.
        executable: None: as before.
        base: ETag of what was edited; ``""``: nothing was there; None: whatever is there.
        on_conflict: What becomes of a version that ``base`` does not cover.
        fork: Name or id of a fork to write into.
    """

    content_type: str | None = None
    mtime_ns: int | None = None
    executable: bool | None = None
    base: str | None = None
    on_conflict: OnConflict = "keep"
    fork: str | None = None

    def fields(self) -> dict[str, str]:
        """As fields of a PUT."""
        given = {
            "Content-Type": self.content_type,
            MTIME: None if self.mtime_ns is None else print_mtime(self.mtime_ns),
            MODE: None if self.executable is None else print_mode(is_executable=self.executable),
        }
        told = {name: value for name, value in given.items() if value is not None}
        return told | self._conditions()

    def _conditions(self) -> dict[str, str]:
        if self.base is None:
            return {}
        if self.on_conflict == "keep":
            return {"X-AeorSync-Base": self.base or _NOTHING}
        return {"If-Match": self.base} if self.base else {"If-None-Match": "*"}


class WriteCalls(SyncCalls):
    """Store files."""

    async def put(  # noqa: PLR0913  # what may be said of a file
        self,
        path: str,
        source: Source,
        *,
        content_type: str | None = None,
        mtime_ns: int | None = None,
        executable: bool | None = None,
        base: str | None = None,
        on_conflict: OnConflict = "keep",
        fork: str | None = None,
        progress: Progress | None = None,
    ) -> Written:
        """Store a file, and the folders above it; durable when this returns.

        Args:
            path: Where.
            source: The bytes, a file on disk, or something to read them from.
            content_type: Media type; guessed by the server when not given.
            mtime_ns: When the content changed, nanoseconds since the Unix epoch; of a file on
                disk its own, else now, when not given.
            executable: Whether it may be executed; likewise, else as it was before.
            base: ETag of what was edited: what somebody else wrote since stays, as a conflict.
                ``""``: nothing was there. None: replace whatever is there.
            on_conflict: ``refuse``: raise instead of making a conflict.
            fork: Name or id of a fork to write into.
            progress: Told now and then how many bytes are stored, and of how many.

        Raises:
            PreconditionError: It would be a conflict, and that is to be refused.
            ConflictError: A folder is there, or a file is where a folder would have to be.
            StaleError: The file on disk changed while it was read; nothing was stored.
            OSError: The file on disk cannot be read.

        Example:
            >>> written = client.put("/notes/hello.txt", b"hello")
            >>> client.put("/notes/hello.txt", b"hello!", base=written.etag).conflict
            False
        """
        wish = Wish(
            content_type=content_type,
            mtime_ns=mtime_ns,
            executable=executable,
            base=base,
            on_conflict=on_conflict,
            fork=fork,
        )
        with _opened(source) as local:
            wish = local.completed(wish)
            head = await bridge.run(local.read, SMALL + 1)
            if len(head) <= SMALL:
                await bridge.run(local.check)
                written = await self._put_at_once(path, head, wish)
            elif fork is not None:
                written = await self._put_as_read(path, local, head, wish)
            else:
                written = await self._put_chunks(path, local, head, wish, progress)
            if progress is not None:
                progress(written.size, written.size)
            return written

    async def _put_at_once(self, path: str, body: bytes, wish: Wish) -> Written:
        return self._written(await self._send(_request(path, body, wish), LONG_S))

    async def _put_as_read(self, path: str, local: "Local", head: bytes, wish: Wish) -> Written:
        async def pieces() -> AsyncIterator[bytes]:
            piece = head
            while piece:
                yield piece
                piece = await bridge.run(local.read, PIECE)
            # Before the end is told, so that a file in two halves is never stored.
            await bridge.run(local.check)

        fields = wish.fields()
        url = place("/files", path) + print_query({"fork": wish.fork})
        request = Request("PUT", url, pieces, fields, may_repeat=False, idle_s=LONG_S)
        return self._written(await self._body(request, deadline_s=24 * 3600))

    async def _put_chunks(
        self, path: str, local: "Local", head: bytes, wish: Wish, progress: Progress | None
    ) -> Written:
        upload = Upload(self, local.size, progress)
        cutter = Cutter(local.read, head)
        await upload.send(cutter)
        await bridge.run(local.check)
        file = blobs.CommitFile(
            path=path,
            chunks=[name.hex() for name in cutter.names],
            content_type=wish.content_type,
            content_hash=cutter.content_hash,
            size=cutter.size,
            base=_NOTHING if wish.base == "" else wish.base,
            mtime_ns=wish.mtime_ns,
            executable=wish.executable,
        )
        request = blobs.CommitRequest(files=[file], on_conflict=wish.on_conflict)
        [done] = (await self.commit(request)).files
        return Written(
            path=done.path,
            size=cutter.size,
            etag=done.etag or "",
            content_hash=cutter.content_hash,
            conflict=done.conflict,
        )

    def _written(self, answer: bytes) -> Written:
        try:
            return msgspec.json.decode(answer, type=Written)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error


class Local:
    """What is to be sent, as a file that is open here."""

    def __init__(self, file: BinaryIO, facts: os.stat_result | None, name: str) -> None:
        self._file = file
        self._facts = facts
        self._name = name
        self._read = 0

    @property
    def size(self) -> int | None:
        """Bytes, where they are known."""
        return None if self._facts is None else self._facts.st_size

    def completed(self, wish: Wish) -> Wish:
        """The wish, with what the file says of itself where nothing was said. Blocking."""
        if self._facts is None:
            return wish
        mtime = self._facts.st_mtime_ns if wish.mtime_ns is None else wish.mtime_ns
        executable = bool(self._facts.st_mode & stat.S_IXUSR)
        if wish.executable is not None:
            executable = wish.executable
        return Wish(
            content_type=wish.content_type,
            mtime_ns=mtime,
            executable=executable,
            base=wish.base,
            on_conflict=wish.on_conflict,
            fork=wish.fork,
        )

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end. Blocking."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self._file.read(size)):
            pieces.append(piece)
            size -= len(piece)
            self._read += len(piece)
        return b"".join(pieces)

    def check(self) -> None:
        """See that nobody wrote to the file meanwhile. Blocking.

        Raises:
            StaleError: Somebody did.
        """
        if self._facts is None:
            return
        now = os.fstat(self._file.fileno())
        if _state(now) != _state(self._facts) or self._read != now.st_size:
            error = StaleError(
                f"{self._name} changed while it was read; nothing was stored: try again when"
                " nobody writes to it"
            )
            error.details["path"] = self._name
            raise error


def _state(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


@contextmanager
def _opened(source: Source) -> Iterator[Local]:
    if isinstance(source, bytes):
        yield Local(io.BytesIO(source), None, "the bytes")
    elif isinstance(source, Path):
        with source.open("rb") as file:
            facts = os.fstat(file.fileno())
            # What comes out of a pipe has no size, and is never the same again.
            yield Local(file, facts if stat.S_ISREG(facts.st_mode) else None, str(source))
    else:
        yield Local(source, None, "the stream")


def _request(path: str, body: bytes, wish: Wish) -> Request:
    url = place("/files", path) + print_query({"fork": wish.fork})
    return Request("PUT", url, body, wish.fields(), idle_s=LONG_S)

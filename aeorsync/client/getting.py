"""Fetching a file to disk: whole or not at all, and taken up again where it was.

    .aeorsync-tmp-<name and version>     grows, also over several runs
    <name>                               appears when all is there, checked and durable

The name of the temporary file tells which version it is a part of, so a part of another one is
never continued; whoever downloads holds a lock on it.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

from aeorsync.client.model import Entry
from aeorsync.client.reading import Download, ReadCalls
from aeorsync.core.hashing import content_hash, hasher
from aeorsync.core.versions import MAX_SIZE
from aeorsync.errors import BadRequestError, BusyError, ConflictError, CorruptError
from aeorsync.runtime import bridge, durable
from aeorsync.wire.limits import MIB

TEMP_PREFIX: Final = ".aeorsync-tmp-"
_PIECE: Final = MIB
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES}
Progress = Callable[[int, int | None], None]


class GetCalls(ReadCalls):
    """Read files whole, or fetch them to disk."""

    async def read(
        self,
        path: str,
        *,
        version: str | None = None,
        snapshot: str | None = None,
        fork: str | None = None,
    ) -> bytes:
        """Return all bytes of a file; for a long one see `open` and `get`.

        Raises:
            NotFoundError: No such file.

        Example:
            >>> client.read("/notes/hello.txt")
            b'hello'
        """
        async with self.open(path, version=version, snapshot=snapshot, fork=fork) as download:
            return b"".join([piece async for piece in download])

    async def get(  # noqa: PLR0913  # which state, and how
        self,
        path: str,
        to: Path,
        *,
        version: str | None = None,
        snapshot: str | None = None,
        fork: str | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Entry:
        """Fetch a file to disk, with its modification time and executable bit.

        ``to`` appears when all is there, checked and durable. Called again after it was
        interrupted, it goes on where it was.

        Args:
            path: Where; a symbolic link is followed.
            to: Name of the new file; its folder exists.
            version: Id of one version.
            snapshot: Name or id of a snapshot to fetch from.
            fork: Name or id of a fork to fetch from.
            overwrite: Replace a file that is there.
            progress: Told now and then how many bytes are there, and of how many.

        Raises:
            NotFoundError: No such file.
            ConflictError: Something is at ``to``; it was left alone.
            BusyError: Somebody else is fetching it to that place.
            PreconditionError: It changed meanwhile; call again.
            OSError: The disk refused.
        """
        entry = await self.stat(path, follow=True, version=version, snapshot=snapshot, fork=fork)
        if entry.kind != "file":
            raise BadRequestError(f"{path} is a {entry.kind}, not a file")
        with await bridge.run(Partial, to, entry, overwrite=overwrite) as part:
            at = await bridge.run(part.begin)
            if at < entry.size:
                source = self.open(
                    path,
                    start=at,
                    # Held against its hash by whoever has the part from before, too.
                    stop=entry.size,
                    version=version,
                    snapshot=snapshot,
                    fork=fork,
                    if_match=entry.etag,
                )
                await _fetch(source, part, progress)
            await bridge.run(part.finish)
        if progress is not None:
            progress(entry.size, entry.size)
        return entry


async def _fetch(
    source: AbstractAsyncContextManager[Download], part: "Partial", progress: Progress | None
) -> None:
    waiting: list[bytes] = []
    size = 0
    async with source as download:
        try:
            async for piece in download:
                waiting.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    ready, waiting, size = waiting, [], 0
                    await bridge.run(part.add, ready)
                    if progress is not None:
                        progress(part.size, download.entry.size)
        finally:
            # What came before a break need not come again.
            await bridge.run(part.add, waiting)


class Partial:
    """A file on disk that is not whole yet. Blocking."""

    def __init__(self, to: Path, entry: Entry, *, overwrite: bool) -> None:
        """Open what is there of it.

        Raises:
            ConflictError: Something is where it is to go.
            BusyError: Somebody else is at it.
            OSError: The disk refused.
        """
        self._to = to
        self._entry = entry
        self._overwrite = overwrite
        self._check_free()
        mark = content_hash(f"{to.name}\0{entry.content_hash}\0{entry.etag}".encode()).hex()[:24]
        self._temp = to.with_name(f"{TEMP_PREFIX}{mark}")
        self._file = self._opened()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise BusyError(f"another process is fetching {to} just now") from error
        self._hasher = hasher()
        self.size = 0

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        handle = os.open(self._temp, flags, 0o666)
        found = os.fstat(handle)
        # Who has another name for it, or owns it, would have it written to, or write to it.
        if not stat.S_ISREG(found.st_mode) or (found.st_nlink, found.st_uid) == (1, os.geteuid()):
            return handle
        os.close(handle)
        self._temp.unlink()
        return os.open(self._temp, flags | os.O_EXCL, 0o666)

    def begin(self) -> int:
        """Read what is there already; returns how much that is."""
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            raise ConflictError(f"{self._temp} is no file; remove it, and try again")
        if found.st_size > self._entry.size:
            os.ftruncate(self._file, 0)
        while piece := os.read(self._file, _PIECE):
            self._hasher.update(piece)
            self.size += len(piece)
        return self.size

    def add(self, pieces: Sequence[bytes]) -> None:
        """Append what came.

        Raises:
            CorruptError: It is more than the file has; all was thrown away.
        """
        for piece in pieces:
            if self.size + len(piece) > self._entry.size:
                self._throw_away()
            durable.append(self._file, piece)
            self._hasher.update(piece)
            self.size += len(piece)

    def finish(self) -> None:
        """Check it, make it durable and give it its name.

        Raises:
            CorruptError: It is not what it should be, and was thrown away.
            ConflictError: Something is at its place by now; it was left alone.
        """
        told = self._entry.content_hash
        if self.size != self._entry.size or (told and told != self._hasher.hexdigest()):
            self._throw_away()
        mode = stat.S_IMODE(os.fstat(self._file).st_mode)
        if self._entry.executable:
            # Whoever may read it may execute it.
            mode |= (mode & 0o444) >> 2
        os.fchmod(self._file, mode)
        if self._entry.mtime_ns is not None and abs(self._entry.mtime_ns) < MAX_SIZE:
            os.utime(self._file, ns=(self._entry.mtime_ns, self._entry.mtime_ns))
        durable.sync_file(self._file)
        self._publish()

    def _throw_away(self) -> NoReturn:
        self._temp.unlink(missing_ok=True)
        raise CorruptError(
            f"what came of {self._entry.path} is not what it should be, and was thrown away;"
            " try again"
        )

    def _publish(self) -> None:
        self._check_free()
        if not self._overwrite:
            try:
                # Unlike a rename this replaces nothing.
                self._to.hardlink_to(self._temp)
            except FileExistsError as error:
                raise _taken(self._to) from error
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            else:
                self._temp.unlink()
                durable.sync_folder(self._to.parent)
                return
        durable.publish(self._temp, self._to)

    def _check_free(self) -> None:
        if not self._overwrite and os.path.lexists(self._to):
            raise _taken(self._to)
        if self._overwrite and self._to.is_dir():
            raise ConflictError(f"{self._to} is a folder; it was left alone")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
        if self.size == 0:
            # Nothing to go on from; an empty file that is whole has its own name by now.
            self._temp.unlink(missing_ok=True)


def _taken(path: Path) -> ConflictError:
    return ConflictError(f"{path} exists; it was left alone")

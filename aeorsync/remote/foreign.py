"""What we ask of an AeorDB node: it knows no frames, no pages, no clock probes.

All it tells comes in one JSON answer, so the size of that bounds what may be followed
(`MAX_LISTING`). Its chunks come in base64; a batch of them is asked for that fits into memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, TypeVar

import msgspec

from aeorsync.errors import UNREADABLE, BadRequestError, TooLargeError
from aeorsync.remote.connection import Connection
from aeorsync.wire.limits import MIB

T = TypeVar("T")

PROBE_S: Final = 10.0
DIFF_S: Final = 900.0
"""Longest time for a list of changes: an AeorDB node walks both of its trees before it answers."""
CHUNKS_S: Final = 600.0
MAX_LISTING: Final = 512 * MIB
"""Bytes of JSON in one list of changes."""
MAX_BATCH: Final = 64 * MIB
"""Bytes of JSON in one batch of chunks."""

_Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) - 1)]


class ForeignHealth(msgspec.Struct, frozen=True):
    """Answer to ``GET /system/health``."""

    status: str
    version: str = ""


class ForeignStatus(msgspec.Struct, frozen=True):
    """Answer to ``GET /sync/status``, as far as it matters."""

    node_id: int | None = None


class ForeignFile(msgspec.Struct, frozen=True, gc=False):
    """A file as it is told; the hash it is told with depends on the node, so it is not read."""

    path: str
    chunk_hashes: list[str]
    size: _Size
    content_type: str | None = None


class ForeignLink(msgspec.Struct, frozen=True, gc=False):
    """A symlink as it is told."""

    path: str
    target: str


class ForeignPath(msgspec.Struct, frozen=True, gc=False):
    """A path that is gone."""

    path: str


class ForeignChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is told; an array that is absent is empty."""

    files_added: list[ForeignFile] = []
    files_modified: list[ForeignFile] = []
    files_deleted: list[ForeignPath] = []
    symlinks_added: list[ForeignLink] = []
    symlinks_modified: list[ForeignLink] = []
    symlinks_deleted: list[ForeignPath] = []


class ForeignDiff(msgspec.Struct, frozen=True):
    """Answer to ``POST /sync/diff``."""

    root_hash: str
    changes: ForeignChanges = ForeignChanges()


class _DiffRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    current_root_hash: str
    since_root_hash: str | None = None
    paths: Sequence[str] | None = None


class _ChunksRequest(msgspec.Struct, frozen=True):
    hashes: list[str]


class _ChunkData(msgspec.Struct, frozen=True, gc=False):
    hash: str
    data: bytes


class _ChunksReply(msgspec.Struct, frozen=True):
    chunks: list[_ChunkData]


@dataclass(frozen=True, slots=True)
class Look:
    """How a node is, and what its clock shows.

    Attributes:
        health: What it says of itself.
        date_ms: The date of its answer, whole seconds in milliseconds since the Unix epoch; None
            when it sent none.
    """

    health: ForeignHealth
    date_ms: int | None


class ForeignRemote:
    """An AeorDB node, as somebody to call; it raises what `remote.calls.Remote` does."""

    def __init__(self, connection: Connection) -> None:
        """Speak through ``connection``, which somebody else closes."""
        self._connection = connection
        self.address = connection.address

    async def look(self) -> Look:
        """Ask how it is."""
        body, date = await self._connection.look("/system/health", deadline_s=PROBE_S)
        return Look(self._parse(body, ForeignHealth), None if date is None else _millis(date))

    async def node_id(self) -> int | None:
        """Ask who it is; None when it does not say."""
        body = await self._connection.call("GET", "/sync/status", deadline_s=PROBE_S)
        return self._parse(body, ForeignStatus).node_id

    async def diff(
        self, since: str | None, current: str, paths: Sequence[str] | None = None
    ) -> ForeignDiff:
        """Ask what changed since it answered with the root ``since``; None for everything.

        Args:
            since: Its root then.
            current: Our own root; it wants to hear of it.
            paths: Globs of what to tell; None for everything.
        """
        body = msgspec.json.encode(_DiffRequest(current, since, paths))
        answer = await self._read("/sync/diff", body, MAX_LISTING, DIFF_S)
        return self._parse(answer, ForeignDiff)

    async def chunks(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Fetch chunks; those it does not hold are left out. Their bytes are not checked yet."""
        wanted = {name.hex(): name for name in ids}
        body = msgspec.json.encode(_ChunksRequest(list(wanted)))
        answer = await self._read("/sync/chunks", body, MAX_BATCH, CHUNKS_S)
        reply = self._parse(answer, _ChunksReply)
        return {wanted[one.hash]: one.data for one in reply.chunks if one.hash in wanted}

    async def _read(self, path: str, body: bytes, limit: int, deadline_s: float) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = bytearray()
        async with (
            self._connection.deadline(deadline_s),
            self._connection.open("POST", path, body, headers, idle_s=deadline_s) as pieces,
        ):
            async for piece in pieces:
                answer += piece
                if len(answer) > limit:
                    raise TooLargeError(f"{self.address} answered {path} with over {limit} bytes")
        return bytes(answer)

    def _parse(self, data: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=shape)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error


def _millis(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None

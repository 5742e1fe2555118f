"""What a folder client needs of a server; `aeorsync.client.AsyncClient` is one."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from aeorsync.wire.blobs import CommitReply, CommitRequest
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.framing import Chunk
from aeorsync.wire.protocol import DiffReply, Held, SeenReply


class Server(Protocol):
    """The calls; all raise `AeorError`."""

    async def diff(
        self,
        cursor: str | None = None,
        paths: Sequence[str] | None = None,
        *,
        packed: bool = False,
    ) -> DiffReply:
        """One page of what changed."""

    async def seen(self, versions: Mapping[str, Held]) -> SeenReply:
        """What became of some versions, by their paths there."""

    async def check(self, hashes: Sequence[bytes]) -> set[bytes]:
        """Which chunks have to be sent."""

    async def send_chunks(self, chunks: Sequence[Chunk], *, volatile: bool = False) -> None:
        """Store chunks, durably at once or when they are committed."""

    async def knows_deltas(self) -> bool:
        """Whether the server makes chunks of others."""

    async def parts(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """What chunks are made of, by id; those that cannot be had are left out."""

    async def send_recipes(self, recipes: Sequence[Delta]) -> set[bytes]:
        """Have chunks made there; returns which have to be sent whole."""

    async def commit(self, request: CommitRequest, chunks: Sequence[Chunk] = ()) -> CommitReply:
        """Make many changes that all happen or do not."""

    async def committed(self, op: str) -> CommitReply:
        """What became of a commit of that name."""

    def chunks(
        self, ids: Sequence[bytes], bases: Bases | None = None
    ) -> AsyncIterator[Chunk | Delta]:
        """Fetch chunks; those that cannot be had are left out.

        Those that ``bases`` names something for, which is here and alike, may come as deltas.
        """

    async def give_up(self, path: str, version: str) -> Any:  # noqa: ANN401  # not looked at
        """Let go of one version of a path in conflict."""

    def events(
        self, kinds: Iterable[str] = (), prefix: str | None = None, last_id: str | None = None
    ) -> AsyncGenerator[Any, None]:
        """What happens there, as it happens."""

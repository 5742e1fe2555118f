"""A server that means harm to folder clients; what it tells is up to a test."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.folder.events import Event, Outcome
from aeorsync.folder.options import Options
from aeorsync.folder.session import FolderSync
from aeorsync.wire.blobs import CommitReply, CommitRequest, Committed
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.framing import Chunk, Codec
from aeorsync.wire.protocol import DiffReply, Held, SeenReply
from tests.support.loops import run

MTIME = 1_700_000_000_000_000_000


def a_file(path: str, body: bytes = b"theirs", **changed: object) -> dict[str, Any]:
    """A file as an honest server tells it, but for the changes."""
    return {
        "path": path,
        "hash": content_hash(body).hex(),
        "size": len(body),
        "content_type": None,
        "chunk_hashes": [chunk_id(body).hex()] if body else [],
        "content_hash": content_hash(body).hex(),
        "etag": '"e"',
        "version": "7-1",
        "mtime_ns": MTIME,
        **changed,
    }


def a_link(path: str, target: str, **changed: object) -> dict[str, Any]:
    """A link, likewise."""
    plain = {"path": path, "hash": "", "target": target, "mtime_ns": MTIME, "version": "7-2"}
    return {**plain, **changed}


def a_page(*, full: bool = True, more: bool = False, root: str = "c1", **changes: object) -> Any:  # noqa: ANN401
    """A page of changes, as JSON."""
    return {"root_hash": root, "changes": changes, "full": full, "more": more}


@dataclass
class HostileServer:
    """Speaks what a folder client needs of a server; see `aeorsync.folder.server`.

    Attributes:
        pages: What it tells, once; then nothing but what it was sent.
        repeats: Whether it tells the first for ever.
        bodies: The chunks it has.
        lies: Chunks it sends for others.
        taken: What it was sent.
        refuses: Whether it takes no commit.
    """

    pages: list[Any] = field(default_factory=lambda: [a_page()])
    bodies: list[bytes] = field(default_factory=lambda: [b"theirs"])
    lies: dict[bytes, Chunk] = field(default_factory=dict)
    taken: list[CommitRequest] = field(default_factory=list)
    sent: list[Chunk] = field(default_factory=list)
    repeats: bool = False
    asked: int = 0
    told: int = 0

    async def diff(
        self,
        cursor: str | None = None,
        paths: Sequence[str] | None = None,
        *,
        packed: bool = False,
    ) -> DiffReply:
        """One page."""
        del cursor, paths, packed
        await asyncio.sleep(0)
        self.asked += 1
        page = self.pages[0]
        if not self.repeats and len(self.pages) == 1:
            self.pages = [page, None]
        elif not self.repeats:
            page = a_page(full=False, root=f"d{self.asked}", **self.echo())
        try:
            return msgspec.json.decode(json.dumps(page).encode(), type=DiffReply)
        except (ValueError, RecursionError) as error:
            raise BadRequestError(f"broken answer: {error}") from error

    def echo(self) -> dict[str, Any]:
        """What it was sent, as it is told to all others."""
        told = {"etag": '"e"', "version": "9-9"}
        found: dict[str, Any] = {"files_added": [], "symlinks_added": [], "directories_added": []}
        for request in self.taken:
            for one in request.files:
                size = one.size or 0
                plain = a_file(one.path, b"", **told, size=size, mtime_ns=one.mtime_ns)
                hashes = {"chunk_hashes": one.chunks, "content_hash": one.content_hash}
                found["files_added"].append({**plain, **hashes})
            for link in request.links:
                stated = a_link(link.path, link.target, **told, mtime_ns=link.mtime_ns)
                found["symlinks_added"].append(stated)
            found["directories_added"] += [{"path": one.path} for one in request.folders]
        return found

    async def seen(self, versions: Mapping[str, Held]) -> SeenReply:
        """Whatever it is asked about was replaced, it says."""
        return SeenReply([], [*versions])

    async def committed(self, op: str) -> CommitReply:
        """Nothing of that name."""
        raise NotFoundError(op)

    async def check(self, hashes: Sequence[bytes]) -> set[bytes]:
        """All of them have to be sent."""
        return set(hashes)

    async def send_chunks(self, chunks: Sequence[Chunk], *, volatile: bool = False) -> None:
        """Take them."""
        del volatile
        self.sent += chunks

    async def knows_deltas(self) -> bool:
        """It does not."""
        return False

    async def parts(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """None of them."""
        del ids
        return {}

    async def send_recipes(self, recipes: Sequence[Delta]) -> set[bytes]:
        """Make nothing."""
        return {recipe.id for recipe in recipes}

    async def commit(self, request: CommitRequest, chunks: Sequence[Chunk] = ()) -> CommitReply:
        """Say yes to everything."""
        self.taken.append(request)
        self.sent += chunks

        def done(items: Iterable[Any]) -> list[Committed]:
            return [Committed(path=one.path, etag='"e"', version="9-9") for one in items]

        return CommitReply(
            committed=1,
            files=done(request.files),
            deletes=done(request.deletes),
            folders=done(request.folders),
            links=done(request.links),
        )

    async def chunks(
        self, ids: Sequence[bytes], bases: Bases | None = None
    ) -> AsyncIterator[Chunk | Delta]:
        """What it has of them, or lies."""
        del bases
        held = {chunk_id(body): body for body in self.bodies}
        for name in ids:
            if name in self.lies:
                yield self.lies[name]
            elif name in held:
                yield Chunk(name, Codec.RAW, len(held[name]), held[name])

    async def give_up(self, path: str, version: str) -> None:
        """Nothing."""

    async def events(
        self, kinds: Iterable[str] = (), prefix: str | None = None, last_id: str | None = None
    ) -> AsyncGenerator[Any, None]:
        """None ever."""
        del kinds, prefix, last_id
        await asyncio.Event().wait()
        yield None


@dataclass
class Victim:
    """A folder with a real client, and sentinels outside of it that must stay as they are.

    Attributes:
        base: Where all of it lies: `folder` is synced, all else is outside.
        server: What it talks to.
    """

    base: Path
    server: HostileServer
    options: Options = field(default_factory=Options)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.outside.mkdir()
        (self.outside / "secret").write_text("sentinel")
        (self.outside / "inner").mkdir()
        (self.outside / "inner/x").write_text("sentinel")
        (self.base / "x").write_text("sentinel")
        self._before = self._look()

    @property
    def folder(self) -> Path:
        """The one that is synced."""
        return self.base / "folder"

    @property
    def outside(self) -> Path:
        """Nobody's business."""
        return self.base / "outside"

    def sync(self) -> Outcome:
        """One pass of the client."""
        return run(self._sync(), 60)

    async def _sync(self) -> Outcome:
        self.events = []
        ledger = self.base / "state" / "ledger.sqlite3"
        ledger.parent.mkdir(exist_ok=True)
        async with FolderSync(self.folder, self.server, "/", self.options, ledger) as sync:
            return await sync.run_once(self.events.append)

    def check_outside(self) -> None:
        """Demand that nothing outside was changed, made, or told to the server."""
        assert self._look() == self._before
        assert b"sentinel" not in b"".join(bytes(chunk.stored) for chunk in self.server.sent)

    def names(self) -> list[str]:
        """What is in the folder, but not below links."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def _look(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted(self.base.rglob("*")):
            name = str(path.relative_to(self.base))
            if not name.startswith(("folder", "state")):
                facts = path.lstat()
                body = path.read_bytes() if path.is_file() else b""
                found[name] = body, facts.st_mode, facts.st_mtime_ns, facts.st_ino
        return found

"""Readers of `/sync/diff` that keep what they are told, and histories for them to read."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import strategies as st

from aeorsync.api import diff
from aeorsync.cluster.walk import Sieve
from aeorsync.core.cursors import parse_cursor
from aeorsync.core.paths import from_key, parse
from aeorsync.core.versions import Entry, Kind, decode_entry
from aeorsync.errors import AeorError
from aeorsync.storage import changes
from aeorsync.storage.changes import LinkState
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.wire.framing import Decoder
from aeorsync.wire.framing import Kind as Frame
from aeorsync.wire.protocol import DiffEnd, DiffHeader, DiffReply, DiffRequest, Item

SECRET = b"s" * 32
PATHS = ["/a", "/b", "/d", "/d/x", "/d/y", "/.aeordb-system/k"]

Operation = tuple[str, str, int]
operations: st.SearchStrategy[Operation] = st.tuples(
    st.sampled_from(["put", "put", "link", "mkdir", "delete", "delete"]),
    st.sampled_from(PATHS),
    st.integers(0, 3),
)


def perform(repository: Repository, operation: Operation) -> None:
    """Do it; what is not possible now is left out."""
    word, text, number = operation
    path = parse(text, allow_system=True)
    content = repository.store_small(b"%d" % number)
    acts: dict[str, Callable[[Draft], object]] = {
        "put": lambda draft: changes.put_file(
            draft, path, changes.FileState(content, "text/plain")
        ),
        "link": lambda draft: changes.put_link(draft, path, LinkState(f"/{number}", content)),
        "mkdir": lambda draft: changes.make_folder(draft, path),
        "delete": lambda draft: changes.delete(draft, path, recursive=True),
    }
    with suppress(AeorError):
        repository.commit(acts[word]).result(timeout=30)


@dataclass
class Tree:
    """What an AeorDB node keeps: files and links apart, and here folders, too."""

    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, repository: Repository, *, system: bool) -> "Tree":
        """All that is live."""
        tree = cls()
        with repository.view() as view:
            for key, data in view.walk(system=system):
                version = decode_entry(data).versions[-1]
                path = from_key(key)
                if version.kind == Kind.FILE:
                    tree.files[path] = version.content.hash.hex()
                elif version.kind == Kind.SYMLINK:
                    tree.links[path] = version.target
                else:
                    tree.folders.add(path)
        return tree

    def copy(self) -> "Tree":
        return Tree(dict(self.files), dict(self.links), set(self.folders))

    def apply(self, reply: DiffReply) -> None:
        """Apply one answer in the order in which AeorDB does."""
        told = reply.changes
        for file in (*told.files_added, *told.files_modified):
            self.files[file.path] = file.content_hash or ""
        for gone in told.files_deleted:
            self.files.pop(gone.path, None)
        for link in (*told.symlinks_added, *told.symlinks_modified):
            self.links[link.path] = link.target
        for gone in told.symlinks_deleted:
            self.links.pop(gone.path, None)
        self.folders |= {folder.path for folder in told.directories_added}
        self.folders -= {folder.path for folder in told.directories_deleted}


@dataclass
class JsonReader:
    """Echoes the token it was given."""

    repository: Repository
    sieve: Sieve = field(default_factory=Sieve)
    is_peer: bool = False
    token: str | None = None
    tree: Tree = field(default_factory=Tree)

    def turn(self) -> DiffReply:
        """Ask once."""
        node: Any = SimpleNamespace(repository=self.repository, seal_secret=SECRET)
        asked = DiffRequest()
        body, _ = diff._page(node, self.token, self.sieve, asked, is_peer=self.is_peer)
        reply = msgspec.json.decode(body, type=DiffReply)
        self.tree.apply(reply)
        self.token = reply.root_hash
        return reply

    def catch_up(self) -> None:
        while self.turn().more:
            pass

    def copy(self) -> "JsonReader":
        return JsonReader(self.repository, self.sieve, self.is_peer, self.token, self.tree.copy())


@dataclass
class FrameReader:
    """Another node, which keeps entries by key."""

    repository: Repository
    sieve: Sieve = field(default_factory=lambda: Sieve(shows_system=True, shows_graves=True))
    cursor: str | None = None
    entries: dict[bytes, Entry] = field(default_factory=dict)
    told: list[bytes] = field(default_factory=list)

    def turn(self) -> DiffEnd:
        """Ask once."""
        cursor = None if self.cursor is None else parse_cursor(self.cursor)
        _, items, end = read_frames(diff._frames(self.repository, cursor, self.sieve))
        for key, data in items:
            self.entries[key] = decode_entry(data)
            self.told.append(key)
        self.cursor = end.cursor
        return end

    def catch_up(self) -> None:
        while self.turn().more:
            pass


def read_frames(body: bytes) -> tuple[DiffHeader, list[Item], DiffEnd]:
    """Take an answer apart."""
    decoder = Decoder()
    frames = decoder.feed(body)
    decoder.finish()
    assert [frame.kind for frame in frames][:: len(frames) - 1] == [Frame.HEADER, Frame.END]
    items: list[Item] = []
    for frame in frames[1:-1]:
        assert frame.kind == Frame.ENTRIES
        items += msgspec.msgpack.decode(frame.payload, type=list[Item])
    return (
        msgspec.msgpack.decode(frames[0].payload, type=DiffHeader),
        items,
        msgspec.msgpack.decode(frames[-1].payload, type=DiffEnd),
    )


def everything(repository: Repository) -> dict[bytes, Entry]:
    """All entries, live and deleted, the system's included."""
    with repository.view() as view:
        pairs = [*view.walk(system=True), *view.graves(system=True)]
    return {key: decode_entry(data) for key, data in pairs}

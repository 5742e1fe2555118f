"""A cluster in one process: nodes that write, lag, restart, join and leave, under one fake clock.

Every node really pulls (`cluster.cycle`) out of what the others really answer (`api.diff`), and
really tends its graves. Beside them a record is kept that forgets nothing: what each node has ever
held, and every version that was ever written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from aeorsync.api import diff
from aeorsync.cluster.cycle import Peering, run_cycle
from aeorsync.cluster.graves import Graves
from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.plan import make_plan
from aeorsync.cluster.walk import Sieve
from aeorsync.core.cursors import parse_cursor
from aeorsync.core.merge import join, see
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Dot, Entry, Version, covers, decode_entry
from aeorsync.remote.calls import DiffPage, Remote, Take
from aeorsync.storage.changes import delete
from aeorsync.storage.identities import first_head
from aeorsync.storage.members import ACKS, MEMBERS, Members
from aeorsync.storage.memory import MemoryStore
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import is_system_key
from aeorsync.wire.brief import ROOT_DIGITS, Mark
from aeorsync.wire.deltas import Bases
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.framing import Chunk, Codec, Decoder, Kind, encode, parse_chunk
from aeorsync.wire.protocol import pack
from tests.api.readers import read_frames
from tests.support.clock import FakeClock
from tests.support.repositories import put

RETENTION_S = 1000
PATHS = ("/a", "/b", "/c")
PARTS = (*PATHS, ACKS, MEMBERS)


class Wire:
    """What one node may ask of another, without a network; stands in for `Remote`."""

    def __init__(self, server: Repository) -> None:
        self.address = "http://peer"
        self.encoding = Encoding.ZSTD
        self._server = server

    async def diff(
        self,
        cursor: str | None,
        paths: Sequence[str] | None,
        asker: int | None,
        excludes: Sequence[str] | None = None,
        *,
        knowledge: bool | Mark = False,
        held: tuple[bytes, bytes] | None = None,
    ) -> DiffPage:
        assert paths is None
        assert excludes is None
        sieve = Sieve(shows_system=True, asker=asker or 0, shows_graves=True)
        place = None if cursor is None else parse_cursor(cursor)
        roots = None if held is None else (held[0].hex(), held[1].hex())
        wishes = diff.Wishes(knows=bool(knowledge))
        if roots is not None and place is None:
            wishes = diff.Wishes(roots, bool(knowledge))
        elif roots is not None:
            wishes = diff.Wishes(knows=bool(knowledge), along=roots[0][:ROOT_DIGITS])
        frames = Decoder().feed(diff._frames(self._server, place, sieve, wishes))
        along = [frame for frame in frames if frame.kind is Kind.CHUNK]
        told = [encode(*frame) for frame in frames if frame.kind is not Kind.CHUNK]
        header, items, end = read_frames(b"".join(told))
        chunks = [parse_chunk(frame.payload) for frame in along]
        return DiffPage(header, [pack(items)] if items else [], end, chunks)

    async def chunks(
        self, ids: Sequence[bytes], take: Take, manner: None = None, bases: Bases | None = None
    ) -> set[bytes]:
        del manner, bases
        held = self._server.stored_chunks(list(ids))
        await take([Chunk(c.id, Codec(c.codec), c.size, bytes(c.data)) for c in held])
        return set(ids) - {chunk.id for chunk in held}


@dataclass
class Sim:
    """One node.

    Attributes:
        id: Its node id.
        held: Each entry it ever held, joined.
    """

    id: int
    clock: FakeClock
    held: dict[bytes, Entry] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store = MemoryStore(first_head(self.id))
        self.open()

    def open(self) -> None:
        self.repository = Repository(self.store, self.clock)
        self.members = Members(self.repository)
        self.graves = Graves(self.repository, self.clock, RETENTION_S)
        # After a start each peer is asked for everything once, as a link does.
        self.fresh = set()

    def entries(self) -> dict[bytes, Entry]:
        with self.repository.view() as view:
            pairs = [*view.walk(), *view.graves()]
        return {key: decode_entry(data) for key, data in pairs if not is_system_key(key)}

    def live(self) -> dict[bytes, Version]:
        sights = {key: see(entry) for key, entry in self.entries().items()}
        return {key: sight.winner for key, sight in sights.items() if sight.is_live}

    def removed(self) -> set[int]:
        return {m.node_id for m in self.members.all().values() if m.is_removed}


class Cluster:
    """All nodes, and what is true of them whether they know it or not."""

    def __init__(self, size: int) -> None:
        self.clock = FakeClock()
        self.nodes: list[Sim] = []
        self.written: dict[Dot, tuple[bytes, Version]] = {}
        self.forgotten: dict[bytes, list[Entry]] = {}
        for _ in range(size):
            self.add()

    def add(self) -> Sim:
        node = Sim(len(self.nodes) + 1, self.clock)
        self.nodes.append(node)
        return node

    def close(self) -> None:
        for node in self.nodes:
            node.repository.close()

    # What may happen

    def write(self, node: Sim, path: str, number: int) -> None:
        put(node.repository, path, b"%d" % number)
        self.note()

    def delete(self, node: Sim, path: str) -> None:
        if to_key(parse(path)) in node.live():
            node.repository.commit(lambda draft: delete(draft, parse(path))).result(timeout=30)
            self.note()

    def restart(self, node: Sim) -> None:
        node.repository.close()
        node.open()

    def remove(self, node: Sim, other: Sim) -> None:
        if node is not other and other.id in node.members.all():
            node.members.remove(other.id)

    async def join(self, node: Sim, new: Sim) -> None:
        node.members.write((node.id, new.id))
        await self.cycle(new, node)

    def tend(self, node: Sim) -> None:
        before = node.entries()
        node.graves.tend()
        for key in before.keys() - node.entries().keys():
            self.forgotten.setdefault(key, []).append(before[key])

    def _meet(self, asker: Sim, server: Sim) -> bool:
        """Write each other down, as both do before anything is told; False when one refuses."""
        pair = {asker.id, server.id}
        if asker is server or pair & (asker.removed() | server.removed()):
            return False
        for side in (asker, server):
            if not side.members.all().keys() >= pair:
                side.members.write(sorted(pair))
        return True

    async def cycle(self, asker: Sim, server: Sim) -> None:
        """A whole cycle."""
        if not self._meet(asker, server):
            return
        await run_cycle(self._peering(asker, server))
        asker.fresh.add(server.id)
        self.note()

    async def part(self, asker: Sim, server: Sim, path: str) -> None:
        """A cycle that broke off, or a filtered link: one path, or one folder, gets through."""
        if not self._meet(asker, server):
            return
        key = to_key(parse(path, allow_system=True))
        items = [item for item in _stored(server) if (item[0] + b"\0").startswith(key + b"\0")]
        plan = make_plan(asker.repository, [pack(items)])
        for item in plan.news:
            names = [c.refs[:32] for c in item.contents if c.refs]
            asker.repository.receive(server.repository.stored_chunks(names))
        news = [(item.key, item.entry) for item in plan.news]
        asker.repository.apply(news, server.id).result(timeout=30)
        self.note()

    def _peering(self, asker: Sim, server: Sim) -> Peering:
        return Peering(
            asker.repository,
            cast("Remote", Wire(server.repository)),
            LinkRecord(id=server.id, address="http://peer", node_id=server.id),
            asker.id if server.id in asker.fresh else None,
            server.repository.database_id,
            self.clock.now_ms(),
            asks_knowledge=True,
        )

    # What is true

    def note(self) -> None:
        """Remember what everybody holds."""
        for node in self.nodes:
            for key, entry in node.entries().items():
                node.held[key] = join(node.held.get(key), entry)
                for version in entry.versions:
                    self.written[version.dot] = (key, version)

    def overclaims(self) -> list[tuple[int, Dot]]:
        """Dots that a node claims to know, and never held nor anything that replaced them."""
        found = []
        for node in self.nodes:
            known = node.repository.known()
            for dot, (key, _) in self.written.items():
                if known.get(dot[0], 0) >= dot[1]:
                    seen = [node.held[key]] if key in node.held else []
                    seen += self.forgotten.get(key, [])
                    if not any(covers(entry.context, dot) for entry in seen):
                        found.append((node.id, dot))
        return found

    def staying(self) -> list[Sim]:
        """Nodes that nobody removed."""
        gone = set().union(*(node.removed() for node in self.nodes))
        return [node for node in self.nodes if node.id not in gone]

    async def settle(self) -> None:
        """Let all that stay pull from all that stay until all know all."""
        for _ in range(3):
            for asker in self.staying():
                for server in self.staying():
                    await self.cycle(asker, server)

    def expected(self) -> dict[bytes, Version]:
        """What has to be live, going by all that the staying nodes have ever held."""
        whole: dict[bytes, Entry] = {}
        for node in self.staying():
            for key, entry in node.held.items():
                whole[key] = join(whole.get(key), entry)
        sights = {key: see(entry) for key, entry in whole.items()}
        return {key: sight.winner for key, sight in sights.items() if sight.is_live}


def _stored(node: Sim) -> list[tuple[bytes, bytes]]:
    with node.repository.view() as view:
        return [*view.walk(system=True), *view.graves(system=True)]

"""Which chunks a caller may have: the answer to whoever knows a hash and asks for its bytes.

    bound by rules    the chunks of versions they may read (`storage.readable`); to commit, also
                      those they brought themselves (`storage.brought`)
    by none           all but what only the system namespace holds, unless they brought it

What is denied is told like what is not here, and takes as long to find out. One walk of the tree
goes on at a time for each set of rules, and few in all.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, takewhile
from typing import Final

from aeorsync.api.identities import identity_of
from aeorsync.core.access import Access, Op
from aeorsync.core.manifest import pieces
from aeorsync.core.merge import see
from aeorsync.core.paths import SYSTEM, TreePath, from_key, to_key
from aeorsync.core.versions import Content, Kind, Version, decode_entry
from aeorsync.errors import CorruptError
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.brought import Brought
from aeorsync.storage.readable import Readable
from aeorsync.storage.repository import Repository
from aeorsync.storage.version_records import FORKS
from aeorsync.storage.views import View, is_system_key
from aeorsync.storage.writer import Committed

MAX_RULES: Final = 32
"""Sets of rules whose chunks are remembered at once."""
_WALKS: Final = 2
_FORKS_KEY = to_key(FORKS)


@dataclass(slots=True)
class _Rules:
    """What is known of one set of rules."""

    readable: Readable
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Grants:
    """Tells which chunks callers may have. Its async methods belong to one event loop."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._is_serving = False
        self._rules: dict[bytes, _Rules] = {}
        self._walks = asyncio.Semaphore(_WALKS)
        self._hidden: frozenset[bytes] | None = None
        self._age = 0

    def serve(self, repository: Repository, wall: WallClock) -> None:
        """Begin; what is begun goes on as it is, also where the tree is seen through a lens."""
        if not self._is_serving:
            self._is_serving = True
            self._repository = repository
            self._wall = wall
            self._brought = Brought(repository.store, wall)
            repository.listen(self._notice)

    async def readable(self, access: Access, ids: Collection[bytes]) -> set[bytes]:
        """Which of some chunks may be read by whoever has this access."""
        if access.is_everything:
            return set(ids) - await self.hidden()
        async with self._taking_turns(access) as readable:
            return await bridge.run(readable.find, ids)

    async def usable(self, owner: bytes, access: Access, ids: Collection[bytes]) -> set[bytes]:
        """Which of some chunks may be made files of: also those that their owner brought."""
        found = await self.readable(access, ids)
        rest = [name for name in ids if name not in found]
        return found | await bridge.run(self._brought.held, owner, rest) if rest else found

    async def note(self, owner: bytes, access: Access, ids: Collection[bytes]) -> set[bytes]:
        """Remember that chunks, which are here by now, were brought; durable on return.

        Returns:
            Those that the same owner is known to have brought before.
        """
        noted = set(ids)
        if access.is_everything:
            noted &= await self.hidden()
        return await bridge.run(self._brought.note, owner, noted) if noted else noted

    async def tell(self, access: Access, ids: Collection[bytes]) -> None:
        """Note that somebody is told of chunks, and may ask for them for a while."""
        if ids and not access.is_everything:
            await bridge.run(self._known(access).readable.tell, ids)

    async def find_file(self, access: Access, identity: bytes) -> tuple[TreePath, Version] | None:
        """A file that goes by this identity (`seen.identity`) and may be read."""
        async with self._taking_turns(access):
            return await bridge.run(_find_file, self._repository, access, identity)

    async def hidden(self) -> frozenset[bytes]:
        """Chunks of the system namespace; peers alone may have them."""
        while self._hidden is None:
            age = self._age
            found = await bridge.run(_system_chunks, self._repository)
            if age == self._age:
                self._hidden = found
                return found
        return self._hidden

    @asynccontextmanager
    async def _taking_turns(self, access: Access) -> AsyncIterator[Readable]:
        known = self._known(access)
        async with known.turn, self._walks:
            yield known.readable

    def _known(self, access: Access) -> _Rules:
        digest = access.digest
        known = self._rules.pop(digest, None)
        if known is None:
            known = _Rules(Readable(self._repository, access, self._wall))
        self._rules[digest] = known
        if len(self._rules) > MAX_RULES:
            # Whoever is at it keeps it to the end.
            del self._rules[next(iter(self._rules))]
        return known

    def _notice(self, committed: Committed) -> None:
        # In the writer's thread, and before the writer's client hears that it is done.
        if any(is_system_key(change.key) for change in committed.changes):
            self._age += 1
            self._hidden = None


def _find_file(
    repository: Repository, access: Access, identity: bytes
) -> tuple[TreePath, Version] | None:
    wanted = identity.hex()
    with repository.view() as view:
        for bound in access.bounds(Op.READ):
            for key, data in chain(_at(view, bound), view.walk(TreePath(bound))):
                path = from_key(key)
                if not access.may(path, Op.READ):
                    continue
                sight = see(decode_entry(data))
                for version in (sight.winner, *sight.losers):
                    is_file = version.kind == Kind.FILE and not version.deleted
                    if is_file and identity_of(path, version) == wanted:
                        return path, version
    return None


def _at(view: View, path: str) -> Iterator[tuple[bytes, bytes]]:
    key = to_key(TreePath(path))
    data = view.live_data(key) if key and not is_system_key(key) else None
    return iter(()) if data is None else iter([(key, data)])


def _system_chunks(repository: Repository) -> frozenset[bytes]:
    """Every chunk that a file of the system namespace refers to, or referred to.

    What was put into a fork is left out: root may read it, and the tree may have it, too.
    """
    found: set[bytes] = set()
    with repository.view() as view:
        for walk in (view.walk, view.graves):
            before = takewhile(lambda item: item[0] <= _FORKS_KEY, walk(SYSTEM, system=True))
            for _, data in chain(before, walk(SYSTEM, system=True, after=_FORKS_KEY + b"\1")):
                for version in decode_entry(data).versions:
                    found.update(_chunks_of(repository, version.content))
    return frozenset(found)


def _chunks_of(repository: Repository, content: Content) -> set[bytes]:
    found: set[bytes] = set()
    # Of a deleted file nothing need be here, and then nothing of it can be sent.
    with suppress(CorruptError):
        found.update(pieces(content, lambda name: bytes(repository.plain_chunk(name))))
    with suppress(CorruptError):
        found.update(name for _, name, _ in repository.references(content))
    return found

"""Chunks of files that were edited, for a server that has the old ones.

The old bytes are gone here. So the server is asked what the old chunks are made of (`core.parts`),
and told how to make the new ones, where that is much less than sending them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from aeorsync.client.uploading import plain_of
from aeorsync.core.parts import write_steps
from aeorsync.core.replaced import replaced
from aeorsync.folder.facts import Place, places
from aeorsync.folder.fetching import MIN_TWIN
from aeorsync.folder.plan import Give
from aeorsync.folder.work import Work
from aeorsync.runtime import bridge
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.framing import Chunk
from aeorsync.wire.recipes import MAX_DESCRIBED

MIN_SIZE: Final = 16 * 1024
"""A chunk that is sent with fewer bytes is sent as it is."""


class Recipes:
    """Has chunks made where that pays; gives up when it did not. For one file, or one batch."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._is_vain = False

    async def send(self, gives: Iterable[Give], chunks: Sequence[Chunk]) -> list[Chunk]:
        """Have some chunks made there, and return those that have to be sent whole."""
        large = {chunk.id for chunk in chunks if len(chunk.stored) >= MIN_SIZE}
        bases = {} if self._is_vain else await bridge.run(_bases, gives, large)
        if not bases or not await self._work.server.knows_deltas():
            return list(chunks)
        asked = list(dict.fromkeys(base for some in bases.values() for base in some))
        described = await self._work.server.parts(asked[:MAX_DESCRIBED])
        recipes = await bridge.run(_write, chunks, bases, described)
        if not recipes:
            self._is_vain = True
            return list(chunks)
        refused = await self._work.server.send_recipes(recipes)
        self._work.tally.bytes_sent += sum(len(recipe.stored) for recipe in recipes)
        made = {recipe.id for recipe in recipes} - refused
        return [chunk for chunk in chunks if chunk.id not in made]


async def lacking(work: Work, gives: Iterable[Give]) -> set[bytes]:
    """Which chunks of some files have to be sent.

    Those of what was agreed on are there most likely and are not asked about, nor those of a file
    that has just another name now; also who may not learn what the server has may refer to them.
    Should they be gone, the commit says so.
    """
    names = await bridge.run(_unknown, work, list(gives))
    return await work.server.check(sorted(names)) if names else names


def _unknown(work: Work, gives: Iterable[Give]) -> set[bytes]:
    """Ids of the chunks that were never agreed on."""
    names: set[bytes] = set()
    for give in gives:
        known = {place.id for place in before(give)}
        if give.was is None and give.content is not None and give.content.size >= MIN_TWIN:
            for _, agreed in work.ledger.by_content(give.content.hash, limit=1):
                known.update(place.id for place in places(agreed.chunks))
        names.update(place.id for place in after(give) if place.id not in known)
    return names


def after(give: Give) -> Iterator[Place]:
    """The chunks of what is given."""
    return places(give.content.chunks if give.content is not None else b"")


def before(give: Give) -> Iterator[Place]:
    """The chunks of what was agreed on at a path."""
    return places(give.was.chunks if give.was is not None else b"")


def _bases(gives: Iterable[Give], wanted: set[bytes]) -> Bases:
    found: dict[bytes, tuple[bytes, ...]] = {}
    for give in gives if wanted else ():
        if give.content is not None:
            old = [(place.id, place.size) for place in before(give)]
            new = [(place.id, place.size) for place in after(give)]
            found.update(replaced(old, new, wanted))
    return found


def _write(chunks: Iterable[Chunk], bases: Bases, described: Mapping[bytes, bytes]) -> list[Delta]:
    """Recipes for those chunks of which they have at most half the bytes. Blocking."""
    recipes: list[Delta] = []
    for chunk in chunks:
        known = tuple(base for base in bases.get(chunk.id, ()) if base in described)
        if known:
            steps = write_steps(plain_of(chunk), [described[base] for base in known])
            if len(steps) <= len(chunk.stored) // 2:
                recipes.append(Delta(chunk.id, chunk.size, known, steps))
    return recipes

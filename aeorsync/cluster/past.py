"""Bringing trees of the past here: those that records from elsewhere name (`storage.versions`).

A record of a snapshot comes like any file; the tree it names may not be here. Its nodes are asked
for by id, as far as they are not shared with the present tree or here already, and each is checked
against its place (`core.repair`); then come the bytes of its files. All of it is stored as it
comes, so what was cut off goes on where it was. Until a tree is whole, reading it answers 503.

A link with filters is not asked: a tree holds everything, and nothing may pass a filter. This has
no hurry: it rests between two steps for as long as a step took.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from aeorsync.cluster.fetch import fetch_contents
from aeorsync.cluster.plan import contents_of
from aeorsync.core.nodes import EMPTY
from aeorsync.core.paths import ROOT, parse_key
from aeorsync.core.repair import Descent
from aeorsync.core.versions import Content, parse_entry
from aeorsync.errors import AeorError, BadRequestError, CorruptError, UnavailableError
from aeorsync.remote.calls import Remote
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger
from aeorsync.storage.keeping import COMPLETE, LOST
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.repository import Repository

PAUSE_S: Final = 5.0
"""Between two looks for records that are new."""
RETRY_S: Final = 60.0
"""Between two tries to complete a tree."""
BATCH: Final = 128
"""Tree nodes looked at in one step."""
_MAX_BYTES: Final = 6 << 20
_MAX_PAUSE_S: Final = 1.0
_log = get_logger(__name__)


class Past:
    """Completes the trees that must stay readable. Belongs to one event loop."""

    def __init__(self, repository: Repository, dial: Callable[[], list[Remote]]) -> None:
        """Prepare; `run` does it.

        Args:
            repository: Whose trees.
            dial: Makes ways to the peers that may be asked; whoever calls it closes them.
        """
        self._repository = repository
        self._dial = dial
        self._seen: bytes | None = None
        self._is_blind = False
        self._is_alone = False

    async def run(self) -> None:
        """Look for trees that are not whole, for ever, and complete them."""
        while True:
            root = self._repository.head.root
            is_whole = root == self._seen or await self.complete()
            if is_whole:
                self._seen = root
            await (asyncio.sleep(PAUSE_S) if is_whole else self._rest())

    async def _rest(self) -> None:
        """Wait before another try; where nobody could be asked, until somebody can be.

        So a node that has just started, and has met nobody yet, does not lose a minute.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + RETRY_S
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(PAUSE_S, left))
            if self._is_alone:
                remotes = self._dial()
                for remote in remotes:
                    await remote.close()
                if remotes:
                    return

    async def complete(self) -> bool:
        """Complete every tree, as far as peers can; returns whether all are whole."""
        try:
            wanted = await bridge.run(self._unknown)
        except AeorError as error:
            _log.warning("records cannot be read", reason=error.message)
            self._is_blind = True
            return False
        if self._is_blind:
            self._is_blind = False
            await bridge.settle(self._repository.settle_trees())
        left = set(wanted)
        for root, name in wanted.items():
            try:
                await self._complete(root)
            except AeorError as error:
                _log.info("tree not complete yet", tree=name, reason=error.message)
            else:
                _log.info("tree is complete", tree=name, root=root.hex())
                left.discard(root)
        return not left

    def _unknown(self) -> dict[bytes, str]:
        """Roots of trees that are not known to be whole; forgets those that nobody names."""
        repository = self._repository
        roots = kept_roots(repository)
        whole = repository.notes(COMPLETE).keys()
        named = {root.hex() for root in roots}
        for space in (COMPLETE, LOST):
            for text in repository.notes(space).keys() - named:
                repository.set_note(space, text, None)
        return {root: name for root, name in roots.items() if root.hex() not in whole}

    async def _complete(self, root: bytes) -> None:
        """Complete one tree.

        Raises:
            UnavailableError: Nobody who can be reached has all of it.
        """
        remotes = self._dial()
        self._is_alone = not remotes
        try:
            descent = Descent(root)
            while names := descent.wanted(BATCH):
                began = asyncio.get_running_loop().time()
                await self._fetch_nodes(remotes, descent, names)
                contents = await bridge.run(self._enter, descent, names)
                await self._fetch_files(remotes, contents)
                spent = asyncio.get_running_loop().time() - began
                await asyncio.sleep(min(spent, _MAX_PAUSE_S))
        finally:
            for remote in remotes:
                await remote.close()
        if root != EMPTY:
            await bridge.run(self._note_whole, root)
            await bridge.settle(self._repository.settle_trees())

    def _note_whole(self, root: bytes) -> None:
        self._repository.set_note(COMPLETE, root.hex(), b"1")
        self._repository.set_note(LOST, root.hex(), None)

    async def _fetch_nodes(
        self, remotes: Sequence[Remote], descent: Descent, names: Sequence[bytes]
    ) -> None:
        missing = set((await bridge.run(self._repository.trees.bodies, names, _MAX_BYTES)).missing)
        for remote in remotes:
            while missing:
                try:
                    answer = await remote.nodes(sorted(missing))
                    for name, body in answer.bodies.items():
                        descent.check(name, body)
                except AeorError as error:
                    _log.info("no nodes from a peer", peer=remote.address, reason=error.message)
                    break
                await bridge.run(self._keep, answer.bodies)
                missing -= answer.bodies.keys()
                if missing <= answer.missing:
                    break
        if missing:
            raise UnavailableError(f"{len(missing)} tree nodes are with nobody who can be asked")

    def _keep(self, bodies: dict[bytes, bytes]) -> None:
        trees = self._repository.trees
        for name in bodies.keys() - trees.missing(bodies):
            trees.regain(name, bodies[name])  # what is held of it is damaged
        trees.put(bodies)

    def _enter(self, descent: Descent, names: Sequence[bytes]) -> list[Content]:
        """Go through nodes that are here; returns the files that their entries need.

        Raises:
            CorruptError: A node is damaged.
            BadRequestError: It is no part of that tree, or holds what is no entry.
        """
        found: list[Content] = []
        with self._repository.view() as view:
            ours, _ = self._repository.trees.ours(view.head)
            bodies = self._repository.trees.bodies(names, _MAX_BYTES).found
            if not bodies:
                raise CorruptError(f"tree node {names[0].hex()} is damaged here")
            for name, body in bodies.items():
                for key, _, data in descent.take(name, body, ours):
                    if data is not None:
                        # Whoever reads the tree will take its names as they are.
                        if parse_key(key, allow_system=True) == ROOT:
                            raise BadRequestError("the root is no entry")
                        found += contents_of(parse_entry(data).versions)
        return list(dict.fromkeys(found))

    async def _fetch_files(self, remotes: Sequence[Remote], contents: list[Content]) -> None:
        lacking = contents
        for remote in remotes:
            if not lacking:
                return
            try:
                fetched = await fetch_contents(self._repository, remote, lacking)
            except AeorError as error:
                _log.info("no files from a peer", peer=remote.address, reason=error.message)
            else:
                lacking = list(fetched.spoiled)
        if lacking and (await bridge.run(self._repository.lacking, lacking))[0]:
            raise UnavailableError(f"{len(lacking)} files are whole with nobody who can be asked")

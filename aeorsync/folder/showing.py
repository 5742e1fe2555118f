"""Conflict copies: the versions of a path that readers do not see, as files beside it.

    of the versions         a copy on the disk              then
    ---------------         ------------------              ----
    it is known             as it was written               nothing
    it is known             edited, or deleted              `edits` tells the server
    it is not known         a file of its form and content  that is it: the ledger was lost, or the
                                                            version has a new name by an edit
    it is not known         none                            it is written
    it is a deletion        -                               nothing to show; it is listed
    it is no more           as it was written               it goes: somebody has settled it
    it is no more           edited                          `edits` tells the server, as a version

A copy is never a file of its own for the server, and there is at most one for each version.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from aeorsync.core.versions import Kind
from aeorsync.errors import AeorError, StaleError
from aeorsync.folder import content, facts
from aeorsync.folder.copies import copy_name, may_show
from aeorsync.folder.events import Conflicted, Settled, Why
from aeorsync.folder.facts import NOWHERE, Copy, Fingerprint
from aeorsync.folder.fetching import chunk_ids, fetch
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.placing import Done, Placer
from aeorsync.folder.plan import Take
from aeorsync.folder.root import LostError, told
from aeorsync.folder.told import Loser, Told
from aeorsync.folder.work import CONFLICT, Work
from aeorsync.folder.writing import write
from aeorsync.runtime import bridge
from aeorsync.wire.framing import Chunk


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What is noted about a path in conflict: how many versions are deletions."""

    deletions: int = 0


async def show(work: Work, placer: Placer, shown: Mapping[str, Told | None]) -> None:
    """Bring the copies of some paths up to date with what the server told.

    Raises:
        AeorError: The server cannot be reached.
    """
    for path, told_now in shown.items():
        agreed = await bridge.run(work.ledger.agreed, path)
        version = None if agreed is None else agreed.version
        if version == (None if told_now is None else told_now.version):
            losers = () if told_now is None else told_now.losers
            await _Showing(work, placer, path, losers).run()


class _Showing:
    def __init__(self, work: Work, placer: Placer, path: str, losers: Sequence[Loser]) -> None:
        self._work = work
        self._placer = placer
        self._path = path
        self._losers = losers
        self._folder = facts.parent(path)

    async def run(self) -> None:
        known = _written(self._work.ledger.copies_of(self._path))
        by_version = {copy.version: path for path, copy in known.items()}
        visible = [loser for loser in self._losers if _is_visible(loser)]
        spare = {
            path: copy
            for path, copy in known.items()
            if copy.version not in {loser.version for loser in self._losers}
        }
        names = [by_version[loser.version] for loser in visible if loser.version in by_version]
        failed = False
        for loser in visible:
            if loser.version in by_version:
                continue
            name = await bridge.run(self._adopt, loser, spare)
            if name is None:
                name = await self._write(loser)
            if name is None:
                failed = True
            else:
                names.append(name)
        is_done = await bridge.run(self._drop, spare)
        self._note(sorted(names))
        if is_done and not failed:
            await bridge.run(self._work.ledger.settle, self._path)

    def _note(self, names: list[str]) -> None:
        name = CONFLICT + self._path
        before = self._work.ledger.noted(name)
        if not self._losers:
            if before is not None:
                self._work.ledger.note(name, None)
                self._work.report(Settled(self._path))
            return
        note = Note(sum(1 for loser in self._losers if loser.deleted))
        self._work.ledger.note(name, msgspec.json.encode(note).decode())
        self._work.report(Conflicted(self._path, tuple(names)))

    def _adopt(self, loser: Loser, spare: dict[str, Copy]) -> str | None:
        """A file that shows this version already."""
        ledger = self._work.ledger
        for path, copy in spare.items():
            if copy.content == loser.content:
                del spare[path]
                touched = self._touch(path, copy.fingerprint, loser)
                ledger.add_copy(path, _copy(self._path, loser, touched))
                return path
        try:
            with self._work.root.folder(self._folder) as folder, told(self._path):
                taken = _written(ledger.copies(self._folder))
                original = facts.name(self._path)
                for name in _entries(folder.handle, original):
                    path = facts.join(self._folder, name)
                    here = folder.look(name)
                    if path in taken or here is None or not _may_be(here, loser):
                        continue
                    if _content(folder, name, here) == loser.content:
                        ledger.add_copy(path, _copy(self._path, loser, here))
                        ledger.forget([path])
                        return path
        except AeorError:
            return None
        return None

    def _touch(self, path: str, here: Fingerprint, loser: Loser) -> Fingerprint:
        """Give a copy the times and the mode of its version; one that was edited is left."""
        wanted = loser.mtime_ns, loser.executable
        if here.kind is not Kind.FILE or (here.mtime_ns, here.executable) == wanted:
            return here
        try:
            with self._work.root.folder(facts.parent(path)) as folder, told(path):
                name = facts.name(path)
                return folder.touch(name, here, wanted[0], executable=wanted[1])
        except AeorError:
            return here

    async def _write(self, loser: Loser) -> str | None:
        """Write the copy of a version."""
        taken = await bridge.run(self._taken)
        if taken is None:
            return None
        node, updated = loser.node, loser.updated
        name = copy_name(facts.name(self._path), node, updated, taken)
        path = facts.join(self._folder, name)
        shown = Told(
            loser.kind,
            loser.content,
            loser.size,
            loser.chunks,
            loser.executable,
            loser.mtime_ns,
            loser.etag,
            loser.version,
        )
        take = Take(path, shown, None, None)
        chunks = await fetch(self._work.server, chunk_ids(loser.chunks))
        self._work.tally.bytes_received += sum(len(chunk.stored) for chunk in chunks)
        # Written down before: a crash in between would leave a file that nobody knows for a copy.
        announced = _copy(self._path, loser, NOWHERE)
        await bridge.run(self._work.ledger.add_copy, path, announced)
        done = await bridge.run(self._place, take, chunks)
        for settled in done.settled:
            if settled.agreed is not None:
                copy = _copy(self._path, loser, settled.agreed.fingerprint)
                await bridge.run(self._work.ledger.add_copy, path, copy)
                return path
        await bridge.run(self._work.ledger.drop_copy, path)
        return None

    def _place(self, take: Take, chunks: list[Chunk]) -> Done:
        if take.told.kind == Kind.SYMLINK:
            return self._placer.make_links([take])
        return write(self._work, self._placer, [take], chunks, {})

    def _taken(self) -> set[str] | None:
        try:
            with self._work.root.folder(self._folder) as folder, told(self._folder):
                here = set(_entries(folder.handle, facts.name(self._path)))
        except LostError:
            return None
        # The name of a copy that somebody deleted a moment ago still stands for its version.
        written = _written(self._work.ledger.copies(self._folder))
        return here | {facts.name(path) for path in written}

    def _drop(self, spare: dict[str, Copy]) -> bool:
        """Remove the copies of versions that are no more; an edited one is a new version.

        Returns:
            Whether all are seen to. One that looks otherwise than it did is looked at again: only
            a scan tells whether somebody edited it or merely touched it.
        """
        changed, refused = [], False
        for path, copy in spare.items():
            try:
                with self._work.root.folder(facts.parent(path)) as folder, told(path):
                    here = folder.look(facts.name(path))
                    if here is not None and here != copy.fingerprint:
                        changed.append(path)
                        continue
                    if here is not None:
                        folder.remove(facts.name(path), copy.fingerprint)
                        folder.sync()
            except LostError:
                pass
            except StaleError:
                changed.append(path)
                continue
            except AeorError as error:
                self._work.trouble(path, Why.DISK, error.message)
                refused = True
                continue
            self._work.ledger.drop_copy(path)
        if changed:
            self._work.tally.again.update(changed, (self._path,))
        return not (changed or refused)


def _written(copies: dict[str, Copy]) -> dict[str, Copy]:
    return {path: copy for path, copy in copies.items() if not copy.is_announced}


def _is_visible(loser: Loser) -> bool:
    return not loser.deleted and loser.kind != Kind.DIRECTORY


def _copy(path: str, loser: Loser, here: Fingerprint) -> Copy:
    return Copy(path, loser.version, loser.etag, loser.content, here)


def _entries(handle: int, original: str) -> list[str]:
    """Names in a folder that may be copies of a file."""
    with os.scandir(handle) as entries:
        return sorted(entry.name for entry in entries if may_show(entry.name, original))


def _may_be(here: Fingerprint, loser: Loser) -> bool:
    if here.kind != loser.kind:
        return False
    return here.kind is Kind.SYMLINK or here.size == loser.size


def _content(folder: HeldFolder, name: str, here: Fingerprint) -> bytes:
    if here.kind is Kind.SYMLINK:
        return folder.read_link(name).encode()
    handle = folder.open(name)
    try:
        return content.read(handle).hash
    finally:
        os.close(handle)

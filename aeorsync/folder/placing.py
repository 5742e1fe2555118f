"""Changing the folder as the server says, files' bytes aside. Blocking.

What is there has to be what was expected; else it is left as it is and looked at again. Names are
made durable before anything is written down: else a power cut could leave a ledger that knows a
file and a disk that does not, which looks like a deletion.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from aeorsync.core.versions import Kind
from aeorsync.errors import AeorError, CorruptError, StaleError
from aeorsync.folder import facts
from aeorsync.folder.events import Why
from aeorsync.folder.facts import Agreed, Fingerprint
from aeorsync.folder.held import HeldFolder, NameTakenError
from aeorsync.folder.plan import Remove, Settled, Take
from aeorsync.folder.root import BadNameError, SafeRoot, told
from aeorsync.folder.told import Told
from aeorsync.folder.work import Work, placed
from aeorsync.runtime.clock import WallClock

FEW: Final = 4
"""So many files or folders are made durable one by one, more of them with the file system."""
MAX_HELD: Final = 200
"""So many folders are held open at a time."""


class Step(Protocol):
    """What is done to one path."""

    @property
    def path(self) -> str:
        """Which."""


S = TypeVar("S", bound=Step)


class Done(msgspec.Struct):
    """What came of some steps.

    Attributes:
        settled: What is agreed on now.
        lacking: Files of which chunks are missing.
    """

    settled: list[Settled] = msgspec.field(default_factory=list)
    lacking: list[Take] = msgspec.field(default_factory=list)

    def add(self, path: str, agreed: Agreed | None) -> None:
        """A step is done."""
        self.settled.append(Settled(path, agreed))

    def paths(self) -> set[str]:
        """Where; made anew each time."""
        return {settled.path for settled in self.settled}


class Folders:
    """Folders held open while their entries change. For one thread at a time."""

    def __init__(self, root: SafeRoot, *, are_many: bool = False) -> None:
        """Hold none yet.

        Args:
            root: Above all of them.
            are_many: Make more durable in the end than names: all that was done.
        """
        self._root = root
        self._held: dict[str, HeldFolder] = {}
        self._are_many = are_many

    def of(self, path: str, *, makes: bool = True) -> HeldFolder:
        """The folder that holds a path; made when the server has it only by what is in it.

        Args:
            path: Of an entry.
            makes: Whether the folder is made; not for what goes from there.

        Raises:
            LostError: Something on the way is no folder, or not there.
            DiskError: The disk refused.
        """
        parent = facts.parent(path)
        found = self._held.get(parent)
        if found is None:
            if len(self._held) >= MAX_HELD:
                self._are_many = True
                self._let_go()
            with told(parent):
                found = HeldFolder(self._root.owner, self._walk(parent, makes=makes), parent)
            self._held[parent] = found
        return found

    def sync(self) -> None:
        """Make all names durable that changed in them, and where there are many, all else."""
        if self._are_many or len(self._held) > FEW:
            self._root.sync()
            return
        with told(""):
            for folder in self._held.values():
                folder.sync()

    def close(self) -> None:
        """Let go of all of them."""
        self._let_go()

    def _walk(self, path: str, *, makes: bool) -> int:
        try:
            return self._root.walk(path)
        except FileNotFoundError:
            if not makes:
                raise
            names = path.split("/")
            for depth in range(len(names)):
                with self._root.folder("/".join(names[:depth])) as folder:
                    folder.make_folder(names[depth])
                    folder.sync()
            return self._root.walk(path)

    def _let_go(self) -> None:
        for folder in self._held.values():
            os.close(folder.handle)
        self._held.clear()


class Placer:
    """Changes the folder. For one thread at a time."""

    def __init__(self, work: Work, clock: WallClock) -> None:
        self._work = work
        self._clock = clock

    def make_folders(self, takes: Iterable[Take]) -> Done:
        """Make folders, the outer ones first; what is a file or a link there goes."""
        done = Done()

        def make(folder: HeldFolder, take: Take) -> None:
            name = facts.name(take.path)
            if take.here is not None and take.here.kind is not Kind.DIRECTORY:
                folder.remove(name, take.here)
            folder.make_folder(name)
            done.add(take.path, Agreed(facts.FOLDER))

        self.each(takes, make)
        return done

    def make_links(self, takes: Iterable[Take]) -> Done:
        """Make symbolic links, in place of what is there."""
        done = Done()

        def make(folder: HeldFolder, take: Take) -> None:
            expected = self.make_room(folder, take)
            staged = folder.stage_link(take.told.content.decode(), take.told.mtime_ns)
            try:
                here = folder.place(staged, facts.name(take.path), expected)
            finally:
                staged.close()
            done.add(take.path, self.agreed(here, take.told, b""))

        # Nobody can sync the times of a link, but for those of all that there is.
        self.each(takes, make, are_many=True)
        return done

    def touch(self, takes: Sequence[Take]) -> Done:
        """Set the times and the executable bit of files whose bytes are right."""
        done = Done()
        are_few = len(takes) <= FEW

        def touch(folder: HeldFolder, take: Take) -> None:
            if take.here is None or take.held is None:
                raise StaleError("it is not there any more")
            mtime, executable = take.told.mtime_ns, take.told.executable
            name = facts.name(take.path)
            here = folder.touch(name, take.here, mtime, executable=executable, syncs=are_few)
            # A write that came just before the time was set left its bytes, and no other trace.
            agreed = self.agreed(here, take.told, take.held.chunks)
            done.add(take.path, replace(agreed, is_racy=True))

        self.each(takes, touch, are_many=not are_few)
        return done

    def move(self, moves: Sequence["Move"]) -> Done:
        """Give files that go the places of files that come; those that changed are left."""
        done = Done()
        are_few = len(moves) <= FEW
        folders = Folders(self._work.root, are_many=not are_few)

        def move(step: Move) -> None:
            take, source = step.take, step.source
            old, new = folders.of(source.path, makes=False), folders.of(take.path)
            name = facts.name(take.path)
            with told(take.path):
                old.move(facts.name(source.path), new, name, source.here)
                here = new.look(name)
                if here is None:
                    raise StaleError("it is not there any more")
                mtime, executable = take.told.mtime_ns, take.told.executable
                is_touched = (here.mtime_ns, here.executable) != (mtime, executable)
                if is_touched:
                    here = new.touch(name, here, mtime, executable=executable, syncs=are_few)
            done.add(source.path, None)
            agreed = self.agreed(here, take.told, step.chunks)
            done.add(take.path, replace(agreed, is_racy=agreed.is_racy or is_touched))

        try:
            for step in moves:
                # Should it not work, the file is fetched, and the old one deleted.
                self.attempt(step.path, move, step)
            folders.sync()
        finally:
            folders.close()
        return done

    def remove(self, removes: Sequence[Remove]) -> Done:
        """Delete files and links, then folders that are empty by then, deepest first."""
        done = Done()
        leaves = [step for step in removes if step.here.kind is not Kind.DIRECTORY]
        inner = [step for step in removes if step.here.kind is Kind.DIRECTORY]
        inner.sort(key=lambda step: step.path.split("/"), reverse=True)

        def remove(folder: HeldFolder, step: Remove) -> None:
            name = facts.name(step.path)
            if step.here.kind is Kind.DIRECTORY:
                if not folder.remove_folder(name):
                    text = "it is gone on the server; here it stays for what is in it"
                    self._work.trouble(step.path, Why.NOT_EMPTY, text)
                    return
            elif folder.look(name) is not None:
                folder.remove(name, step.here)
            done.add(step.path, None)

        self.each([*leaves, *inner], remove, makes=False)
        return done

    # For all of these

    def each(
        self,
        steps: Iterable[S],
        act: Callable[[HeldFolder, S], None],
        *,
        makes: bool = True,
        are_many: bool = False,
    ) -> None:
        """Do something to some paths, and make their names durable; of many all that was done."""
        folders = Folders(self._work.root, are_many=are_many)

        def one(step: S) -> None:
            with told(step.path):
                act(folders.of(step.path, makes=makes), step)

        try:
            for step in steps:
                self.attempt(step.path, one, step)
            folders.sync()
        finally:
            folders.close()

    def attempt(self, path: str, act: Callable[[S], None], step: S) -> None:
        """Do something to one path; what goes wrong does not stop the rest."""
        try:
            act(step)
        except StaleError:
            self._work.tally.again.add(path)
        except CorruptError as error:
            self._work.trouble(path, Why.MISSING_CONTENT, error.message)
        except NameTakenError as error:
            self._work.trouble(path, Why.CLASH, error.message)
        except BadNameError as error:
            self._work.trouble(path, Why.NAME, error.message)
        except AeorError as error:
            self._work.trouble(path, Why.DISK, error.message)

    def make_room(self, folder: HeldFolder, take: Take) -> Fingerprint | None:
        """What is expected in a place that something takes; a folder goes before."""
        if take.here is None or take.here.kind is not Kind.DIRECTORY:
            return take.here
        if not folder.remove_folder(facts.name(take.path)):
            text = "it is no folder any more on the server; here it stays one for what is in it"
            self._work.trouble(take.path, Why.NOT_EMPTY, text)
            raise StaleError(text)
        return None

    def agreed(self, here: Fingerprint, wanted: Told, chunks: bytes) -> Agreed:
        """What is agreed on about something that was just put in its place."""
        base, version = wanted.base, wanted.version
        agreed = Agreed(here, wanted.mtime_ns, wanted.content, chunks, base, version)
        return placed(agreed, self._clock.now_ns())


class Move(msgspec.Struct, frozen=True):
    """A file that goes at one path and comes at another.

    Attributes:
        source: Where it goes.
        take: Where it comes.
        chunks: Its packed chunk list.
    """

    source: Remove
    take: Take
    chunks: bytes

    @property
    def path(self) -> str:
        """Where it comes."""
        return self.take.path

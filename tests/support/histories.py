"""Histories of a few files in three folders, two servers and a bad world: each is explained.

Folders 0 and 1 are kept equal to server 0, folder 2 to server 1. All is the real engine; only
wires, and the moment of death, are ours. A history is a list of steps, so that it can be told,
repeated, shortened and kept:

    write F P, delete F P       somebody writes a new content to path P of folder F, or deletes it
    rename F P Q, drop F P      renames it over Q; deletes a conflict copy of it
    sync F                      a pass
    kill F N                    a pass that is killed at its N-th moment
    lose F N                    a pass whose answer is lost if that is its N-th moment
    during F N [step]           a pass, and somebody works in the same folder at its N-th moment
    cut, heal, exchange         the servers cannot meet, can again, do
    restart S                   server S is started anew
    save S, back S              a backup is made of server S, is put back

Every content is written once, so what somebody saw of a path is known. The *explanation*:
each write, deletion or rename is a version that has seen the one that was in that folder, and
nothing else. When all is quiet, what is shown has to be just those versions that no other has
seen: one that is missing is lost, one more came back, or is a false conflict.
"""

import asyncio
import itertools
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import httpx

from aeorsync.errors import AeorError
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Outcome
from aeorsync.folder.options import Options
from aeorsync.folder.session import FolderSync
from tests.support.folder_trees import Seen, digest, exchange, leaf_at, look, move_new, original_of
from tests.support.history_steps import FOLDERS, SERVERS, Step
from tests.support.hosts import Host, KilledError, Wire, pull

_ROUNDS: Final = 12
Place: TypeAlias = tuple[str, str]
"""A content and its path."""


@dataclass
class Explanation:
    """What must be shown, by what everybody saw.

    Who deletes one version of several gives it up, and states the one that is shown again: what
    others decide about that one at the same moment contradicts it, and then one version stays
    that somebody wanted gone. So nothing is judged to be back at such a path; nothing may be lost.

    Attributes:
        alive: Versions that no other has seen.
        ended: Those that some have.
        unsure: Those that were written twice: they share one fate, or do not.
        contested: Those at paths where one of several versions was given up.
        known: All contents.
    """

    alive: set[Place] = field(default_factory=set)
    ended: set[Place] = field(default_factory=set)
    unsure: set[Place] = field(default_factory=set)
    contested: set[Place] = field(default_factory=set)
    known: set[str] = field(default_factory=set)

    def born(self, place: Place) -> None:
        """A version was made."""
        if place in self.ended or place in self.alive:
            self.unsure.add(place)
        self.known.add(place[0])
        self.alive.add(place)

    def end(self, place: Place, *, is_deleted: bool = True) -> None:
        """Somebody who saw it deleted it, or replaced it by another one."""
        self.alive.discard(place)
        self.ended.add(place)
        here = {(content, path) for content, path in self.alive if path == place[1]}
        if is_deleted and here:
            self.contested |= here | {one for one in self.ended if one[1] == place[1]}

    def wrong(self, seen: Seen, *, may_return: bool) -> list[str]:
        """What is shown and cannot be explained, or is not shown though it must be."""
        shown = {(leaf.content, original_of(path)) for path, leaf in seen.tree.items()}
        shown |= {(content, path) for path, some in seen.copies.items() for content in some}
        lost = self.alive - shown - self.unsure
        back = set() if may_return else shown - self.alive - self.unsure - self.contested
        return [
            *(f"lost: {content[:8]} of {path}" for content, path in sorted(lost)),
            *(f"unexplained: {content[:8]} of {path}" for content, path in sorted(back)),
            *(f"foreign: {c[:8]} of {path}" for c, path in sorted(shown) if c not in self.known),
            *(f"left: {path}" for path in seen.temps),
        ]


class Folder:
    """One folder, the people in it, and its client."""

    def __init__(self, base: Path, number: int, host: Host, world: "World") -> None:
        self.number = number
        self.path = base / f"folder{number}"
        self.aside = base / f"aside{number}"
        for made in (self.path, self.aside):
            made.mkdir()
        self.ledger = base / f"ledger{number}"
        self.host = host
        self.world = world
        self.options = Options()

    # People

    def work(self, kind: str, path: str, target: str = "") -> None:
        """Do what somebody does at once."""
        if kind == "write":
            self._put(self._new(), path)
        elif kind == "delete":
            self._end_all(self._take(path), path)
        elif kind == "drop":
            copies = [entry.name for entry in self.path.iterdir()]
            for name in sorted(name for name in copies if original_of(name) == path != name)[:1]:
                self._end_all(self._take(name), path)
        elif path != target and (came := self._take(path)) is not None:
            self._end_all(came, path)
            self._put(came, target)

    def _new(self) -> Path:
        made = self.aside / f"new{next(self.world.numbers)}"
        made.write_text(f"{self.number} {made.name}")
        return made

    def _put(self, made: Path, path: str) -> None:
        content = digest(made.read_bytes())
        self.world.tell(f"folder {self.number}: {path} = {content[:8]}")
        while not move_new(made, self.path / path):
            if exchange(made, self.path / path):
                self._end_all(made, path, is_deleted=False)
                break
        self.world.truth.born((content, path))

    def _take(self, path: str) -> Path | None:
        gone = self.aside / f"gone{next(self.world.numbers)}"
        return gone if move_new(self.path / path, gone) else None

    def _end_all(self, gone: Path | None, path: str, *, is_deleted: bool = True) -> None:
        leaf = None if gone is None else leaf_at(gone)
        if leaf is not None:
            self.world.tell(f"folder {self.number}: {path} was {leaf.content[:8]}")
            self.world.truth.end((leaf.content, path), is_deleted=is_deleted)

    # Its client

    async def sync(self, hook: Callable[[int, bool], None] | None = None) -> Outcome | None:
        """One pass; None when it broke off."""
        wire = Wire(self.host)
        moments = itertools.count()
        if hook is not None:
            wire.hook = lambda _, is_done: hook(next(moments), is_done)
        async with self.host.client(wire) as client:
            sync = FolderSync(self.path, client, "/", self.options, self.ledger)
            try:
                async with sync:
                    outcome = await sync.run_once()
            except MassDeletionError as error:
                # A person is asked, and finds that what is here must not go.
                self.world.tell(f"folder {self.number}: {error}")
                for file in self.ledger.parent.glob(f"{self.ledger.name}*"):
                    file.unlink()
                return None
            except (AeorError, KilledError) as error:
                self.world.tell(f"folder {self.number}: broke off: {error!r}")
                return None
        self.world.tell(f"folder {self.number}: {outcome}")
        return outcome


class World:
    """All of it. Enter it in an event loop."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.truth = Explanation()
        self.numbers = itertools.count()
        self.log: list[str] = []
        self.is_cut = self.went_back = False
        self.saved: set[int] = set()
        self._stack = AsyncExitStack()
        self._acts: dict[str, Callable[..., Awaitable[None]]] = {
            "sync": self._sync,
            "kill": self._kill,
            "lose": self._lose,
            "during": self._during,
            "cut": self._cut,
            "heal": self._heal,
            "exchange": self.exchange,
            "restart": self._restart,
            "save": self._save,
            "back": self._back,
        }

    def tell(self, line: str) -> None:
        """Write down what happened."""
        self.log.append(line)

    async def __aenter__(self) -> Self:
        self.hosts = [
            await self._stack.enter_async_context(Host(self.base / f"node{number}", number + 1))
            for number in range(SERVERS)
        ]
        homes = (0, 0, 1)
        self.folders = [
            Folder(self.base, number, self.hosts[homes[number]], self) for number in range(FOLDERS)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def play(self, step: Step) -> None:
        """Do one step."""
        self.tell(json.dumps(step))
        kind, *rest = step
        if kind in self._acts:
            await self._acts[kind](*rest)
        else:
            folder, *paths = rest
            self.folders[folder].work(kind, *paths)

    async def _cut(self) -> None:
        self.is_cut = True

    async def _heal(self) -> None:
        self.is_cut = False

    async def _sync(self, folder: int) -> None:
        await self.folders[folder].sync()

    async def _kill(self, folder: int, moment: int) -> None:
        await self._broken(folder, moment, KilledError())

    async def _lose(self, folder: int, moment: int) -> None:
        await self._broken(folder, moment, httpx.ReadError("lost"))

    async def _restart(self, server: int) -> None:
        await self.hosts[server].stop()
        await self.hosts[server].start()

    async def _save(self, server: int) -> None:
        await self.hosts[server].save()
        self.saved.add(server)

    async def _back(self, server: int) -> None:
        if server in self.saved:
            self.went_back = True
            await self.hosts[server].put_back()

    async def exchange(self) -> None:
        """Let the servers meet, if they can."""
        if not self.is_cut:
            for one, other in itertools.permutations(self.hosts, 2):
                await pull(one, other)

    async def _broken(self, number: int, moment: int, how: BaseException) -> None:
        folder = self.folders[number]

        def hook(count: int, is_done: bool) -> None:  # noqa: FBT001 - as it is called
            if count == moment and (is_done or isinstance(how, KilledError)):
                raise how

        await folder.sync(hook)

    async def _during(self, number: int, moment: int, work: Step) -> None:
        folder = self.folders[number]

        def hook(count: int, _: bool) -> None:  # noqa: FBT001 - as it is called
            if count == moment:
                self.tell(json.dumps(work))
                folder.work(work[0], *work[2:])

        await folder.sync(hook)

    async def settle(self) -> None:
        """Heal everything and wait until nothing changes any more.

        Raises:
            AssertionError: It never does.
        """
        self.is_cut = False
        outcomes: list[Outcome | None] = []
        for _ in range(_ROUNDS):
            await self.exchange()
            before = {host.repository.head.root for host in self.hosts}
            outcomes = [await folder.sync() for folder in self.folders]
            after = {host.repository.head.root for host in self.hosts}
            done = [outcome for outcome in outcomes if outcome is not None]
            is_quiet = not any(one.changes or one.failures for one in done)
            if before == after and len(after) == 1 and is_quiet and len(done) == FOLDERS:
                return
        raise AssertionError(f"it never settles: {outcomes}")

    def wrong(self) -> list[str]:
        """What is not as it must be, when all is quiet."""
        first, *others = [look(folder.path) for folder in self.folders]
        found = self.truth.wrong(first, may_return=self.went_back)
        for number, other in enumerate(others, 1):
            if (_contents(other), other.copies) != (_contents(first), first.copies):
                found.append(f"folder {number} is not like folder 0: {other} is not {first}")
        return found


def _contents(seen: Seen) -> dict[str, tuple[str, int]]:
    return {path: (leaf.content, leaf.mtime_ns) for path, leaf in seen.tree.items()}


@dataclass(frozen=True)
class Verdict:
    """What came of a history.

    Attributes:
        wrong: What is not as it must be; empty when all is explained.
        log: What happened.
    """

    wrong: list[str]
    log: list[str]


def judge(base: Path, history: Sequence[Step]) -> Verdict:
    """Play a history in an empty folder, which is removed, and say what came of it."""

    async def play() -> Verdict:
        async with World(base) as world:
            try:
                for step in history:
                    await world.play(step)
                await world.settle()
            except (AssertionError, AeorError) as error:
                return Verdict([f"{type(error).__name__}: {error}"], world.log)
            return Verdict(world.wrong(), world.log)

    base.mkdir(parents=True)
    try:
        return asyncio.run(asyncio.wait_for(play(), 60))
    except TimeoutError:
        return Verdict(["it hangs"], [])
    finally:
        shutil.rmtree(base, ignore_errors=True)

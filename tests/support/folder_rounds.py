"""Rounds of work in several synced folders, with what goes wrong meanwhile, and the judgement.

    round    editors, git, tar in all folders at once; clients and servers killed and frozen
    quiet    everybody stops; all folders and servers become equal, or the round failed; what only
             a look at everything mends, which comes every five minutes by itself, is said
    judge    the model says what must be there, what must not, and what nobody wrote

| path | who works there | what must hold |
| --- | --- | --- |
| ``shared/`` | editors in all folders, at once | the model |
| ``own-<folder>/`` | an editor in one folder | exactly as left, no conflict at all |
| ``git-<folder>/`` | ``git checkout`` in one folder | the same, and git finds nothing to say |
| ``tar-<folder>/`` | ``tar x`` in one folder | the same |
"""

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.support import folder_actors
from tests.support.folder_actors import Editor
from tests.support.folder_clients import FolderProcess
from tests.support.folder_model import Model
from tests.support.folder_trees import (
    FOLDER,
    Seen,
    Tree,
    differences,
    look,
    look_at_server,
    walk,
    without_times,
)
from tests.support.nodes import NodeProcess, is_active, wait_until

TOP: Final = "/team"
SHARED: Final = "shared"
QUIET_S: Final = 120.0
NUDGE_S: Final = 45.0
_STEADY_S: Final = 1.0


class WrongError(Exception):
    """Something is not as it must be; the text is a report for a person."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much goes on.

    Attributes:
        folders: How many there are.
        servers: One, or two of one cluster.
        acts: Of editors in a round.
        with_programs: Whether git and tar work, too.
    """

    folders: int = 3
    servers: int = 2
    acts: int = 120
    with_programs: bool = True


class World:
    """Servers, folders, and who works in them; one seed decides all choices."""

    def __init__(self, work: Path, seed: int, size: Size, say: Callable[[str], None]) -> None:
        """Start everything.

        Args:
            work: An empty folder that stays when something is wrong.
            seed: Of all choices; timing adds its own.
            size: How much goes on.
            say: Takes lines about what goes on.
        """
        self._work = work
        self._seed = seed
        self._size = size
        self._say = say
        self._random = random.Random(seed)
        self._round = 0
        self.model = Model()
        self._stack = contextlib.ExitStack()
        try:
            self._servers = self._start_servers()
            self._clients = self._start_clients()
            self._prepare_programs()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """End all processes."""
        self._stack.close()

    def run_round(self) -> None:
        """Make one round and judge it.

        Raises:
            WrongError: Something is not as it must be.
        """
        self._round += 1
        acts = self._size.acts
        self._note(f"round {self._round}")
        for _ in range(acts):
            self._act()
            if self._random.random() < 0.5:
                time.sleep(self._random.random() * 0.1)
        left = {top: self._left(client, top) for client, top in self._owned()}
        self._note("quiet")
        began = time.monotonic()
        seen = self._settle()
        took = time.monotonic() - began
        self._judge(seen, left)
        tree = seen[0].tree
        conflicts = sum(map(len, seen[0].copies.values()))
        self._say(
            f"round {self._round}: {acts} acts; {len(tree)} paths, {conflicts} conflict copies;"
            f" all equal after {took:.1f} s"
        )

    def _start_servers(self) -> list[NodeProcess]:
        first = self._stack.enter_context(NodeProcess(self._work / "server-a"))
        servers = [first]
        for name in "bcd"[: self._size.servers - 1]:
            flags = ("--join", first.url, "--join-token", first.key or "")
            server = self._stack.enter_context(NodeProcess(self._work / f"server-{name}", *flags))
            server.key = first.key
            servers.append(server)
            wait_until(lambda server=server: is_active(server))  # type: ignore[misc]
        return servers

    def _start_clients(self) -> list[FolderProcess]:
        clients = []
        for number in range(self._size.folders):
            server = self._servers[number % len(self._servers)]
            client = FolderProcess(
                self._work,
                f"f{number}",
                f"{server.url}{TOP}",
                server.key or "",
                "--max-delete",
                "100%",
            )
            clients.append(self._stack.enter_context(client))
            client.start()
        self._editors = [self._editor(client, SHARED) for client in clients]
        self._owners = [self._editor(client, f"own-{client.name}") for client in clients]
        return clients

    def _editor(self, client: FolderProcess, top: str) -> Editor:
        source = random.Random(self._random.getrandbits(64))
        return Editor(client.root, top, self.model, source, client.knows)

    def _prepare_programs(self) -> None:
        self._branches: list[str] = []
        if self._size.with_programs:
            first, *_, last = self._clients
            self._repository = first.root / f"git-{first.name}"
            self._branches = folder_actors.make_repository(self._repository, self._random)
            self._archive = self._work / "archive.tar.gz"
            folder_actors.make_archive(self._archive, self._random)
            self._unpacked = last.root / f"tar-{last.name}"

    def _owned(self) -> Iterator[tuple[FolderProcess, str]]:
        for client in self._clients:
            yield client, f"own-{client.name}"
        if self._size.with_programs:
            yield self._clients[0], self._repository.name
            yield self._clients[-1], self._unpacked.name

    def _act(self) -> None:
        chance = self._random.random()
        if chance < 0.55:
            self._random.choice(self._editors).act()
        elif chance < 0.8:
            self._random.choice(self._owners).act()
        elif chance < 0.9:
            self._edit_in_all()
        elif chance < 0.95:
            self._break_something()
        elif self._size.with_programs:
            self._run_program()

    def _edit_in_all(self) -> None:
        """Write one path in all folders at once: a conflict, most of the time."""
        path = f"{SHARED}/{self._random.choice(('hot.txt', 'docs/hot.bin', 'plan'))}"
        for editor in self._random.sample(self._editors, len(self._editors)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, FileExistsError):
                editor.write(path)

    def _break_something(self) -> None:
        client = self._random.choice(self._clients)
        match self._random.randrange(6):
            case 0 | 1:
                self._note(f"kill -9 {client.name}")
                client.kill()
            case 2:
                self._note(f"freeze or thaw {client.name}")
                client.freeze()
                time.sleep(self._random.random())
                client.thaw()
            case 3:
                self._note(f"stop {client.name}")
                if client.is_running:
                    client.stop()
            case 4:
                server = self._random.choice(self._servers)
                self._note(f"kill -9 {server.data.name}")
                server.kill()
                time.sleep(self._random.random())
                server.start()
            case _:
                self._start_missing()
        if self._random.random() < 0.6:
            self._start_missing()

    def _start_missing(self) -> None:
        for client in self._clients:
            if not client.is_running:
                self._note(f"start {client.name}")
                client.start()

    def _run_program(self) -> None:
        if self._random.random() < 0.6:
            branch = self._random.choice(self._branches)
            self._note(f"git checkout {branch}")
            folder_actors.checkout(self._repository, branch)
        elif self._unpacked.exists() and self._random.random() < 0.5:
            self._note("rm -r of what was unpacked")
            shutil.rmtree(self._unpacked)
        else:
            self._note("tar x")
            folder_actors.unpack(self._archive, self._unpacked)

    def _left(self, client: FolderProcess, top: str) -> Tree:
        return _below(walk(client.root), top)

    def _settle(self) -> list[Seen]:
        """Wait until all folders and servers are equal and stay so.

        Raises:
            WrongError: They do not become so.
        """
        self._start_missing()
        end = time.monotonic() + QUIET_S
        nudge_at = time.monotonic() + NUDGE_S
        equal_since = None
        while True:
            seen = self._look_at_all()
            wrong = self._unequal(seen)
            now = time.monotonic()
            if wrong:
                equal_since = None
                self._clear_clashes(seen)
            elif equal_since is None:
                equal_since = now
            elif now - equal_since > _STEADY_S:
                return seen
            if wrong and now > nudge_at:
                nudge_at = end + QUIET_S
                self._nudge(wrong)
            if now > end:
                raise self._report("not equal", wrong)
            if any(not client.is_running for client in self._clients):
                raise self._report("a client ended by itself", [])
            time.sleep(0.3)

    def _nudge(self, wrong: list[str]) -> None:
        """Have everything looked at, as happens every five minutes by itself; say so."""
        self._say(f"round {self._round}: only a look at everything mends: {'; '.join(wrong[:4])}")
        self._note("nudge")
        for client in self._clients:
            client.stop()
            client.start()

    def _look_at_all(self) -> list[Seen]:
        servers = [self._look_at(server) for server in self._servers]
        while True:
            with contextlib.suppress(OSError):
                return [look(client.root, servers[0].tree) for client in self._clients] + servers

    def _look_at(self, server: NodeProcess) -> Seen:
        with server.client() as client:
            try:
                return look_at_server(client, TOP)
            except (httpx.HTTPError, AssertionError):
                # Somebody deleted a folder while it was listed.
                return Seen({"(not to be read just now)": FOLDER}, {}, [])

    def _unequal(self, seen: list[Seen]) -> list[str]:
        count = len(self._clients)
        names = [client.name for client in self._clients]
        names += [server.data.name for server in self._servers]
        first = seen[0]
        wrong: list[str] = []
        for number, other in enumerate(seen[1:], 1):
            one, two = first.tree, other.tree
            if number >= count:
                one, two = without_times(one), without_times(two)
            found = differences(one, two)
            found += [
                f"{path}: copies {first.copies.get(path)} / {other.copies.get(path)}"
                for path in sorted(first.copies.keys() | other.copies.keys())
                if first.copies.get(path) != other.copies.get(path)
            ]
            wrong += [f"{names[0]} / {names[number]}: {line}" for line in found]
        return wrong

    def _clear_clashes(self, seen: list[Seen]) -> None:
        """Do what a person does about a file and a folder of one name: move one away."""
        there = seen[len(self._clients)].tree
        for number, client in enumerate(self._clients):
            for problem in client.status()["problems"]:
                path = problem["path"]
                here = seen[number].tree.get(path)
                other = there.get(path)
                if here and other and (here.kind == "folder") != (other.kind == "folder"):
                    self._editors[number].clear_way(path)

    def _judge(self, seen: list[Seen], left: dict[str, Tree]) -> None:
        for editor in (*self._editors, *self._owners):
            editor.swept()
        wrong = [f"temporary file: {path}" for some in seen for path in some.temps]
        first = seen[0]
        wrong += self.model.wrong(_only(first, (SHARED, "own-")))
        for client, top in self._owned():
            for number, some in enumerate(seen[: len(self._clients)]):
                now = _below(some.tree, top)
                found = differences(left[top], now)
                wrong += [f"{top} of {client.name} in f{number}: {line}" for line in found]
        owned = tuple(f"{top}/" for _, top in self._owned())
        wrong += [f"false conflict: {path}" for path in first.copies if path.startswith(owned)]
        wrong += self._ask_git()
        if wrong:
            raise self._report("wrong", wrong)

    def _ask_git(self) -> list[str]:
        if not self._size.with_programs:
            return []
        wrong = []
        for client in self._clients:
            folder = client.root / self._repository.name
            for words in (("status", "--porcelain"), ("fsck", "--strict")):
                done = subprocess.run(
                    ["git", "--no-optional-locks", "-C", folder, *words],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode or (words[0] == "status" and done.stdout):
                    wrong.append(f"git {words[0]} in {client.name}: {done.stdout}{done.stderr}")
        return wrong

    def _note(self, what: str) -> None:
        self.model.note("----", what)

    def _report(self, what: str, wrong: list[str]) -> WrongError:
        lines = [f"{what} (seed {self._seed}, round {self._round}); kept in {self._work}"]
        lines += wrong[:30]
        for line in wrong[:3]:
            lines += [f"-- what was done about: {line}", *self.model.story_of(line)[-25:]]
        for client in self._clients:
            lines += [f"-- the last of {client.name}:", client.tail()]
            lines += [f"-- problem of {client.name}: {p}" for p in client.status()["problems"]]
        (self._work / "acts.log").write_text("\n".join(self.model.log))
        return WrongError("\n".join(lines))


def _below(tree: Tree, top: str) -> Tree:
    return {path: leaf for path, leaf in tree.items() if path == top or path.startswith(f"{top}/")}


def _only(seen: Seen, heads: tuple[str, ...]) -> Seen:
    tree = {path: leaf for path, leaf in seen.tree.items() if path.startswith(heads)}
    copies = {path: some for path, some in seen.copies.items() if path.startswith(heads)}
    return Seen(tree, copies, [])

"""Folders kept by real clients on several nodes of a ring, and people who edit them.

    shared/        editors in all folders at once: judged by the model of `folder_model`
    own-<name>/    an editor in one folder: exactly as left, without any conflict
    http/          written over HTTP; nobody edits it here, all folders have it in the end

The first client stays up for the whole run, so that growth shows over all of it.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

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
from tests.support.nodes import NodeProcess

TOP: Final = "/team"
SHARED: Final = "shared"
OVER_HTTP: Final = "http"
_HOT: Final = ("hot.txt", "docs/hot.bin", "plan")
_BUSY: Final = (FileNotFoundError, NotADirectoryError, FileExistsError, IsADirectoryError)


class Folders:
    """The clients, their folders, and who works there. Blocking."""

    def __init__(self, work: Path, nodes: list[NodeProcess], count: int, seed: int) -> None:
        """Start them; each folder is kept equal to one path of a node of its own.

        Args:
            work: Where they lie.
            nodes: Of one cluster.
            count: How many folders.
            seed: Of all choices.
        """
        self.model = Model()
        self._random = random.Random(seed)
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._is_closed = False
        self.acts = 0
        self.clients: list[FolderProcess] = []
        for number in range(count):
            node = nodes[number % len(nodes)]
            flags = ("--max-delete", "100%")
            client = FolderProcess(work, f"f{number}", f"{node.url}{TOP}", node.key or "", *flags)
            self.clients.append(self._stack.enter_context(client))
        self._editors = [self._editor(client, SHARED) for client in self.clients]
        self._owners = [self._editor(client, f"own-{client.name}") for client in self.clients]
        self._left: dict[str, Tree] = {}
        self.start_missing()

    def _editor(self, client: FolderProcess, top: str) -> Editor:
        source = random.Random(self._random.getrandbits(64))
        return Editor(client.root, top, self.model, source, client.knows)

    def start_missing(self) -> None:
        """Start the clients that do not run, unless all is over."""
        with self._lock:
            for client in self.clients:
                if not (client.is_running or self._is_closed):
                    client.start()

    def nudge(self) -> None:
        """Have everything looked at, as happens every five minutes by itself."""
        for client in self.clients:
            client.stop()
        self.start_missing()

    def act(self) -> None:
        """One thing that somebody does."""
        self.acts += 1
        chance = self._random.random()
        with contextlib.suppress(*_BUSY):
            if chance < 0.55:
                self._random.choice(self._editors).act()
            elif chance < 0.93:
                self._random.choice(self._owners).act()
            else:
                path = f"{SHARED}/{self._random.choice(_HOT)}"
                for editor in self._random.sample(self._editors, len(self._editors)):
                    editor.write(path)

    def leave(self) -> None:
        """Everybody stops working; what is in folders of their own now has to stay."""
        self.start_missing()
        for client in self.clients:
            top = f"own-{client.name}"
            self._left[client.name] = _below(walk(client.root), top)

    def unequal(self, nodes: list[NodeProcess]) -> list[str]:
        """What keeps folders and nodes from being equal, in words; does what a person would."""
        seen = self._look(nodes)
        if seen is None:
            return ["something moved while it was looked at"]
        wrong = [f"{client.name} ended" for client in self.clients if not client.is_running]
        first = seen[0]
        names = [client.name for client in self.clients] + [node.data.name for node in nodes]
        for number, other in enumerate(seen[1:], 1):
            one, two = first.tree, other.tree
            if number >= len(self.clients):
                one, two = without_times(one), without_times(two)
            found = differences(one, two)
            found += [
                f"{path}: copies {first.copies.get(path)} / {other.copies.get(path)}"
                for path in sorted(first.copies.keys() | other.copies.keys())
                if first.copies.get(path) != other.copies.get(path)
            ]
            wrong += [f"{names[0]} / {names[number]}: {line}" for line in found]
        if wrong:
            self._clear_clashes(seen)
        return wrong

    def judge(self, nodes: list[NodeProcess]) -> list[str]:
        """All is equal and quiet: what is not as it must be."""
        seen = self._look(nodes)
        if seen is None:
            return ["something moved while all should be quiet"]
        for editor in (*self._editors, *self._owners):
            editor.swept()
        first = seen[0]
        wrong = [f"temporary file: {path}" for some in seen for path in some.temps]
        for line in self.model.wrong(_only(first, (f"{SHARED}/", "own-"))):
            wrong.append(line)
            wrong += [f"    {told}" for told in self.model.story_of(line)[-12:]]
        for client in self.clients:
            top = f"own-{client.name}"
            for other, some in zip(self.clients, seen, strict=False):
                found = differences(self._left[client.name], _below(some.tree, top))
                wrong += [f"{top} in {other.name}: {line}" for line in found]
        owned = tuple(f"own-{client.name}/" for client in self.clients)
        wrong += [f"false conflict: {path}" for path in first.copies if path.startswith(owned)]
        return wrong

    def tails(self) -> str:
        """The last that each client told."""
        return "\n".join(f"-- {client.name}\n{client.tail()}" for client in self.clients)

    def close(self) -> None:
        """End all processes; none is started after that."""
        with self._lock:
            self._is_closed = True
            self._stack.close()

    def _look(self, nodes: list[NodeProcess]) -> list[Seen] | None:
        try:
            servers = [_look_at(node) for node in nodes]
            return [look(client.root, servers[0].tree) for client in self.clients] + servers
        except OSError:
            return None

    def _clear_clashes(self, seen: list[Seen]) -> None:
        """Do what a person does about a file and a folder of one name: move one away."""
        there = seen[len(self.clients)].tree
        for number, client in enumerate(self.clients):
            for problem in client.status()["problems"]:
                path = problem["path"]
                here, other = seen[number].tree.get(path), there.get(path)
                if here and other and (here.kind == "folder") != (other.kind == "folder"):
                    self._editors[number].clear_way(path)


def work_until(is_over: Callable[[], bool], folders: Folders, per_second: float) -> None:
    """Have people work at a pace, until told otherwise; with pauses, as people make."""
    source = random.Random(per_second)
    while not is_over():
        folders.act()
        time.sleep(source.expovariate(per_second))


def _look_at(node: NodeProcess) -> Seen:
    with node.client() as client:
        try:
            return look_at_server(client, TOP)
        except (httpx.HTTPError, AssertionError):
            # Somebody deleted a folder while it was listed.
            return Seen({f"(not to be read just now: {node.data.name})": FOLDER}, {}, [])


def _below(tree: Tree, top: str) -> Tree:
    return {path: leaf for path, leaf in tree.items() if path == top or path.startswith(f"{top}/")}


def _only(seen: Seen, heads: tuple[str, ...]) -> Seen:
    tree = {path: leaf for path, leaf in seen.tree.items() if path.startswith(heads)}
    copies = {path: some for path, some in seen.copies.items() if path.startswith(heads)}
    return Seen(tree, copies, [])

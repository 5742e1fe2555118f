"""A ring of real nodes, linked through wires that can be cut, and what goes wrong with it.

The first node stays up for the whole run, so that growth shows over all of it; the others are
killed and restarted. Whoever asks a node something has to know whether it was there all the time:
`Ring.epoch` of a node moves on whenever it goes and comes.
"""

import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.nodes import NodeProcess, is_active, root_of, wait_until
from tests.support.relay import Relay

_START_S: Final = 120.0


class Ring:
    """The nodes, and the wires between neighbours: one for each direction of a link."""

    def __init__(self, work: Path, count: int, *flags: str) -> None:
        """Start them all, linked and active.

        Args:
            work: Where their data and logs lie.
            count: How many nodes, two at least.
            flags: For every start of every node.
        """
        self._stack = contextlib.ExitStack()
        self.nodes: list[NodeProcess] = []
        self._epochs = [0] * count
        self._is_up = [True] * count
        self._lock = threading.Lock()
        self._is_closed = False
        try:
            self._start(work, count, flags)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, work: Path, count: int, flags: tuple[str, ...]) -> None:
        ports = free_ports(count)
        self.wires: dict[tuple[int, int], Relay] = {
            (here, there): self._stack.enter_context(Relay(ports[there]))
            for here in range(count)
            for there in sorted({(here + 1) % count, (here - 1) % count})
        }
        for here, port in enumerate(ports):
            peers = [wire.url for (near, _), wire in self.wires.items() if near == here]
            # One identity file makes them one cluster without anybody joining anybody.
            own = ("--auth", f"file://{work / 'identity'}", "--peers", ",".join(peers))
            node = NodeProcess(work / f"node{here}", *own, *flags, port=port)
            self.nodes.append(self._stack.enter_context(node))
            node.key = node.key or self.nodes[0].key
        wait_until(lambda: all(map(is_active, self.nodes)), _START_S)

    @property
    def up(self) -> list[int]:
        """The nodes that should answer."""
        return [number for number, is_up in enumerate(self._is_up) if is_up]

    def epoch(self, number: int) -> int:
        """Moves on when a node goes, and when it is back; odd while it is away."""
        return self._epochs[number]

    @contextlib.contextmanager
    def _away(self, number: int) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("all nodes were ended")
            self._is_up[number] = False
            self._epochs[number] += 1
            # What is under way there may end as it likes: its askers look at the epoch.
            yield
            self._epochs[number] += 1
            self._is_up[number] = True

    def kill(self, number: int, pause: float) -> None:
        """End a node as ``kill -9`` does, and start it again after a pause in seconds."""
        with self._away(number):
            self.nodes[number].kill()
            time.sleep(pause)
            self.nodes[number].start()

    def restart(self, number: int) -> list[str]:
        """Stop a node as a service manager does, verify its data, start it; return the damage."""
        node = self.nodes[number]
        with self._away(number):
            code = node.stop()
            wrong = [f"exit code {code} of a stop"] if code else []
            wrong += verify(node.data)
            node.start()
        return wrong

    def cut(self, source: random.Random) -> str:
        """Cut the wire between two neighbours, in one direction or both; return what was cut."""
        here, there = source.choice(sorted(self.wires))
        self.wires[here, there].cut()
        if source.random() < 0.3:
            return f"{here} -> {there}"
        self.wires[there, here].cut()
        return f"{here} <-> {there}"

    def mend(self) -> None:
        """Undo all cuts."""
        for wire in self.wires.values():
            wire.mend()

    @property
    def is_cut(self) -> bool:
        """Whether any wire is cut."""
        return any(wire.is_cut for wire in self.wires.values())

    def is_equal(self) -> bool:
        """Whether all nodes have one root."""
        return len({root_of(node) for node in self.nodes}) == 1

    def close(self) -> None:
        """End all processes, after a restart that is under way; none is started after that."""
        with self._lock:
            self._is_closed = True
            self._stack.close()


def verify(data: Path) -> list[str]:
    """Check every chunk and every node of a stopped node's data; return what is damaged."""
    command = [sys.executable, "-m", "aeorsync", "verify", "-D", str(data), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == 0:
        return []
    told = done.stdout or done.stderr
    with contextlib.suppress(ValueError):
        told = json.dumps(json.loads(done.stdout))
    return [f"verify of {data.name} ended with {done.returncode}: {told[:2000]}"]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in sockets]

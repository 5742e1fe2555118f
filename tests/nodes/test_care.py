"""A node that collects garbage while people work meets no failure."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.cli.test_care import aeorsync
from tests.support.nodes import NodeProcess

BODIES = [Random(seed).randbytes(30_000 + seed * 40_000) for seed in range(6)]


def make_old(data: Path) -> None:
    """Make every chunk look as if it had been put long ago."""
    with closing(sqlite3.connect(data / "meta.sqlite3", timeout=30)) as db, db:
        db.execute("UPDATE chunks SET touched = 1")


@dataclass
class Users:
    """People who write and read while garbage is collected."""

    node: NodeProcess
    stop: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"put": 0, "get": 0})

    def write(self, who: int) -> None:
        with self.node.client() as client:
            while not self.stop.is_set():
                number = self.counts["put"]
                body, path = BODIES[(number + who) % len(BODIES)], f"/files/w{who}/f{number % 3}"
                answer = client.put(path, content=body)
                # It may be told to send again what was collected under its hands.
                if answer.status_code == 503 and "send them again" in answer.text:
                    answer = client.put(path, content=body)
                self.note("put", answer.status_code == 201, answer.text)

    def read(self) -> None:
        with self.node.client() as client:
            for number, body in enumerate(BODIES):
                client.put(f"/files/kept/{number}", content=body[::-1])
            while not self.stop.is_set():
                number = self.counts["get"] % len(BODIES)
                answer = client.get(f"/files/kept/{number}")
                self.note("get", answer.content == BODIES[number][::-1], str(answer.status_code))

    def note(self, what: str, is_right: bool, text: str) -> None:  # noqa: FBT001
        self.counts[what] += 1
        if not is_right:
            self.failures.append(f"{what}: {text}")


def collect_often(node: NodeProcess) -> int:
    """Collect again and again; returns how many chunks went."""
    collected = 0
    with node.client() as client:
        for _ in range(12):
            make_old(node.data)
            answer = client.post("/system/gc")
            assert answer.status_code == 200, answer.text
            collected += answer.json()["garbage_chunks"]
    return collected


def test_uploads_and_reads_go_on_while_garbage_is_collected(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        users = Users(node)
        threads = [threading.Thread(target=users.write, args=(who,)) for who in range(2)]
        threads.append(threading.Thread(target=users.read))
        for thread in threads:
            thread.start()
        collected = collect_often(node)
        users.stop.set()
        for thread in threads:
            thread.join()
        assert users.failures == []
        assert collected > 0
        assert min(users.counts.values()) > 10
        refused = aeorsync("gc", "-D", node.data)
        assert (refused.returncode, "POST /system/gc" in refused.stderr) == (4, True)
        assert node.stop() == 0
    assert "request failed" not in node.log
    done = aeorsync("verify", "-D", node.data)
    assert done.returncode == 0, done.stdout

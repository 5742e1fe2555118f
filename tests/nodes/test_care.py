"""A node that collects garbage while people work meets no failure."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from random import Random

from tests.cli.test_care import aeorsync
from tests.support.nodes import NodeProcess


def make_old(data: Path) -> None:
    """Make every chunk look as if it had been put long ago."""
    with closing(sqlite3.connect(data / "meta.sqlite3", timeout=30)) as db, db:
        db.execute("UPDATE chunks SET touched = 1")


def test_uploads_and_reads_go_on_while_garbage_is_collected(tmp_path: Path) -> None:
    bodies = [Random(seed).randbytes(30_000 + seed * 40_000) for seed in range(6)]
    stop = threading.Event()
    failures: list[str] = []
    counts = {"put": 0, "get": 0}

    def write(node: NodeProcess, who: int) -> None:
        with node.client() as client:
            number = 0
            while not stop.is_set():
                body = bodies[(number + who) % len(bodies)]
                answer = client.put(f"/files/w{who}/f{number % 3}", content=body)
                # It may be told to send again what was collected under its hands.
                if answer.status_code == 503 and "send them again" in answer.text:
                    answer = client.put(f"/files/w{who}/f{number % 3}", content=body)
                if answer.status_code != 201:
                    failures.append(answer.text)
                number += 1
            counts["put"] += number

    def read(node: NodeProcess) -> None:
        with node.client() as client:
            for number, body in enumerate(bodies):
                client.put(f"/files/kept/{number}", content=body[::-1])
            while not stop.is_set():
                for number, body in enumerate(bodies):
                    answer = client.get(f"/files/kept/{number}")
                    if answer.content != body[::-1]:
                        failures.append(answer.text[:200])
                    counts["get"] += 1

    with NodeProcess(tmp_path / "a") as node:
        threads = [threading.Thread(target=write, args=(node, who)) for who in range(2)]
        threads.append(threading.Thread(target=read, args=(node,)))
        for thread in threads:
            thread.start()
        collected = 0
        with node.client() as client:
            for _ in range(12):
                make_old(node.data)
                answer = client.post("/system/gc")
                assert answer.status_code == 200, answer.text
                collected += answer.json()["garbage_chunks"]
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert collected > 0
        assert min(counts.values()) > 10
        refused = aeorsync("gc", "-D", node.data)
        assert (refused.returncode, "POST /system/gc" in refused.stderr) == (4, True)
        assert node.stop() == 0
    assert "error" not in node.log.lower().replace("errors", "")
    done = aeorsync("verify", "-D", node.data)
    assert done.returncode == 0, done.stdout

"""kill -9, many times, under load: no acknowledged write is lost, and the nodes end up equal."""

import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support.nodes import NodeProcess, pair, root_of, wait_until

KILLS = 12
WRITERS = 4


class Load(threading.Thread):
    """Writes to whichever node answers, and remembers what was acknowledged."""

    def __init__(self, nodes: tuple[NodeProcess, NodeProcess], number: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.number = number
        self.acknowledged: dict[str, bytes | None] = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        source = random.Random(self.number)
        count = 0
        while not self.is_over.is_set():
            node = self.nodes[source.randrange(2)]
            path = f"/files/w{self.number}/{count}"
            body = source.randbytes(source.choice((10, 3000, 200_000)))
            count += 1
            try:
                with node.client() as client:
                    if client.put(path, content=body).status_code == 201:
                        self.acknowledged[path] = body
                    if source.random() < 0.2 and client.delete(path).status_code == 200:
                        self.acknowledged[path] = None
            except httpx.TransportError:
                # Not acknowledged: both are allowed, so nothing is expected of this path.
                self.acknowledged.pop(path, None)
                time.sleep(0.02)


@pytest.mark.timeout(400)
def test_no_acknowledged_write_is_lost_to_kills(tmp_path: Path) -> None:
    source = random.Random(1)
    with pair(tmp_path) as nodes:
        writers = [Load(nodes, number) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            time.sleep(source.uniform(0.05, 0.6))
            victim = nodes[source.randrange(2)]
            victim.kill()
            victim.start()
        for writer in writers:
            writer.is_over.set()
            writer.join()
        wait_until(lambda: root_of(nodes[0]) == root_of(nodes[1]), 60)
        acknowledged = {path: body for w in writers for path, body in w.acknowledged.items()}
        assert len(acknowledged) > 20
        for node in nodes:
            with node.client() as client:
                assert client.get("/sync/conflicts").json()["items"] == []
                for path, body in acknowledged.items():
                    answer = client.get(path)
                    if body is None:
                        assert answer.status_code == 404
                    else:
                        assert answer.content == body

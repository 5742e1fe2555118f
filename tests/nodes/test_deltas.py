"""What small edits put on the wire between real processes: every byte of TCP, both ways."""

from pathlib import Path
from random import Random

from tests.support.nodes import NodeProcess, is_active, root_of, wait_until
from tests.support.relay import Relay

SIZE = 8_000_000


def test_scattered_edits_of_a_large_file_move_a_hundredth_of_their_chunks(tmp_path: Path) -> None:
    source = Random(1)
    old = source.randbytes(SIZE)
    new = bytearray(old)
    for _ in range(16):
        at = source.randrange(SIZE - 8)
        new[at : at + 8] = source.randbytes(8)
    with NodeProcess(tmp_path / "a") as a, Relay(a.port) as relay, a.client() as client:
        joining = ("--join", relay.url, "--join-token", a.key or "")
        with NodeProcess(tmp_path / "b", *joining) as b, b.client(a.key) as reader:
            b.key = a.key
            wait_until(lambda: is_active(b))
            client.put("/files/f", content=old)
            wait_until(lambda: root_of(a) == root_of(b))
            before = relay.passed + relay.returned
            client.put("/files/f", content=bytes(new))
            wait_until(lambda: root_of(a) == root_of(b))
            moved = relay.passed + relay.returned - before
            assert moved < 40_000
            assert reader.get("/files/f").content == bytes(new)

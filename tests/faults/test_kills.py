"""kill -9 under load, with an oracle that knows every acknowledged write; the short form."""

import time
from pathlib import Path

from tests.support.kills import Kills


def test_nothing_acknowledged_is_lost_and_nothing_comes_back(tmp_path: Path) -> None:
    world = Kills(tmp_path, 5, 2, print)
    world.pause_s = 0.02  # it is about moments, not about the machine
    try:
        record = world.run(8, time.monotonic() + 60)
    finally:
        world.close()
    assert record.wrong == []
    assert record.kills == 8
    assert record.counts["acknowledged"] > 50
    assert record.counts["paths heard of"] > 50

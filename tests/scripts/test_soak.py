"""The short form of ``./scripts/soak``."""

import asyncio
from pathlib import Path

import pytest

from tests.support.soak_run import Run, Settings


@pytest.mark.timeout(400)
def test_a_ring_under_load_loses_nothing_and_comes_to_rest(tmp_path: Path) -> None:
    settings = Settings(
        seconds=10,
        seed=3,
        streams=50,
        rate=25,
        files=24,
        reads=0.4,
        acts=2,
        checkpoint_s=5,
        trouble_s=3,
        sample_s=1,
        # On a machine that does much else nothing is said about speed.
        latency_limit_s=60,
    )
    report = asyncio.run(Run(tmp_path, settings, print).go())
    assert report["violations"] == []
    assert report["streams"]["open"] == 50
    assert report["latencies"]["put"]["count"] > 10
    assert report["latencies"]["quiet until all is equal"]["count"] >= 1

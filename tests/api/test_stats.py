"""`GET /system/stats`, `POST /system/repair`, `GET /events/me`."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from aeorsync.core.apikeys import KeyRule
from tests.api.conftest import Browser, NoMember, running


@dataclass
class Repaired:
    results: list[object] = field(default_factory=list)
    skipped: list[object] = field(default_factory=list)


class Alone(NoMember):
    """A member without peers."""

    async def repair(self, _peer: int | None) -> Repaired:
        return Repaired()


@pytest.fixture
def call(loop: asyncio.Runner, tmp_path: Path) -> Iterator[Browser]:
    context = running(tmp_path, member=Alone())
    here = loop.run(context.__aenter__())
    yield Browser(loop, here)
    loop.run(context.__aexit__(None, None, None))


def test_the_node_is_told_in_figures(call: Browser) -> None:
    call("PUT", "/files/d/a", content=b"1" * 1000)
    call("POST", "/versions/snapshots", json={"name": "s"})
    told = call("GET", "/system/stats").json()
    assert told["identity"]["node_id"] == 7
    assert told["counts"]["chunks"] >= 1
    assert told["counts"]["entries"] >= 2
    assert (told["counts"]["snapshots"], told["counts"]["peers"]) == (1, 0)
    assert told["sizes"]["disk_free"] > 0
    assert told["throughput"]["requests"] >= 2
    assert told["memory"]["resident_bytes"] > 1_000_000
    assert told["health"]["status"] in {"healthy", "degraded", "unhealthy"}


def test_figures_are_for_who_may_look_at_the_node(call: Browser) -> None:
    watcher = call.here.make_key(user_id=uuid4(), rules=(KeyRule("/", "-------y"),))[0]
    reader = call.here.make_key(rules=(KeyRule("/**", "-r--l---"),))[0]
    assert call("GET", "/system/stats", token=watcher).status_code == 200
    assert call("GET", "/system/stats", token=reader).status_code == 403
    assert call("POST", "/system/repair", token=reader).status_code == 403


def test_a_repair_finds_damage_and_never_serves_it(call: Browser, tmp_path: Path) -> None:
    call("PUT", "/files/good", content=b"good")
    call("PUT", "/files/bad", content=b"precious")
    call.here.node.repository.store.flush()
    pack = next((tmp_path / "packs").glob("*.pack"))
    whole = call("POST", "/system/repair").json()
    assert (whole["damaged_chunks"], whole["damaged_nodes"]) == (0, 0)
    assert whole["chunks"] >= 2
    assert whole["peers"]["results"] == []
    pack.write_bytes(pack.read_bytes().replace(b"precious", b"precioux"))
    found = call("POST", "/system/repair").json()
    assert (found["damaged_chunks"], found["recovered_chunks"]) == (1, 0)
    assert call("GET", "/files/bad").status_code == 500
    assert call("GET", "/files/good").content == b"good"
    # Whoever has the bytes puts them, and all is well.
    call("PUT", "/files/bad", content=b"precious")
    assert call("GET", "/files/bad").content == b"precious"
    assert call("POST", "/system/repair").json()["damaged_chunks"] == 0

"""Measures what nodes do together: settling, chains, frames against JSON, very large trees."""

import asyncio
import base64
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from _measure import (
    CLIENTS,
    Figures,
    NodeProcess,
    WrongError,
    connect,
    headers_of,
    is_active,
    joined,
    make_big,
    put_big,
    put_many,
    small_files,
    time_to_equal,
    wait_until,
)

from aeorsync.core.hashing import chunk_id

CHAIN = 5
CHAIN_WRITES = 100
SETTLES = 9
JSON_BATCH = 500


def ask(node: NodeProcess, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    connection = connect(node)
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, data, headers_of(node))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise WrongError(f"{method} {path} answered {answer.status}: {text[:200]!r}")
    return json.loads(text)


def bench_settle(folder: Path, figures: Figures) -> None:
    identity = ("--auth", f"file://{folder / 'settle-identity'}")
    times = []
    with (
        NodeProcess(folder / "settle-a", *identity) as a,
        NodeProcess(folder / "settle-b", *identity) as b,
    ):
        for _ in range(SETTLES):
            began = time.perf_counter()
            peer = ask(a, "POST", "/sync/peers", {"address": b.url})
            wait_until(lambda: is_active(a))
            times.append((time.perf_counter() - began) * 1000)
            ask(a, "DELETE", f"/sync/peers/{peer['node_id']}")
    took = statistics.median(times)
    figures.add("link added to active (honeymoon)", took, "ms", "< 2000", met=took < 2000)


def bench_chain(folder: Path, figures: Figures) -> None:
    identity = ("--auth", f"file://{folder / 'chain-identity'}")
    nodes: list[NodeProcess] = []
    try:
        for at in range(CHAIN):
            peers = ("--peers", nodes[-1].url) if nodes else ()
            nodes.append(NodeProcess(folder / f"chain{at}", *identity, *peers))
            nodes[at].key = nodes[0].key
            if at:
                ask(nodes[at - 1], "POST", "/sync/peers", {"address": nodes[at].url})
        wait_until(lambda: all(map(is_active, nodes)))
        took = [time_through(nodes, number) for number in range(CHAIN_WRITES)]
    finally:
        for node in nodes:
            node.stop()
    figures.add(f"through a chain of {CHAIN}, median", statistics.median(took), "ms", "", met=True)
    worst = sorted(took)[int(len(took) * 0.99)]
    figures.add(f"through a chain of {CHAIN}, p99", worst, "ms", "", met=True)


def time_through(nodes: list[NodeProcess], number: int) -> float:
    one, other = connect(nodes[0]), connect(nodes[-1])
    path = f"/files/chain/f{number}"
    one.request("PUT", path, b"a small file", headers_of(nodes[0]))
    one.getresponse().read()
    began = time.perf_counter()
    while True:
        other.request("GET", path, headers=headers_of(nodes[-1]))
        answer = other.getresponse()
        answer.read()
        if answer.status == 200:
            break
        time.sleep(0.0005)
    took = (time.perf_counter() - began) * 1000
    one.close()
    other.close()
    time.sleep(0.03)
    return took


def pull_json(node: NodeProcess) -> float:
    """Seconds to fetch and check everything as JSON; nothing is stored."""
    began = time.perf_counter()
    since, more = None, True
    held: set[str] = set()
    while more:
        page = ask(node, "POST", "/sync/diff", {"since_root_hash": since})
        wanted = [name for name in page["chunk_hashes_needed"] if name not in held]
        for start in range(0, len(wanted), JSON_BATCH):
            batch = wanted[start : start + JSON_BATCH]
            for chunk in ask(node, "POST", "/sync/chunks", {"hashes": batch})["chunks"]:
                if chunk_id(base64.b64decode(chunk["data"])).hex() != chunk["hash"]:
                    raise WrongError("a chunk does not match its hash")
        held.update(wanted)
        since, more = page["root_hash"], page["more"]
    return time.perf_counter() - began


def bench_json(folder: Path, figures: Figures) -> None:
    big = folder / "big.bin"
    if not big.exists():
        make_big(big)
    for name, fill in (
        ("10 000 files", lambda node: asyncio.run(put_many(node, small_files(), CLIENTS))),
        ("1 GiB", lambda node: put_big(node, big)),
    ):
        where = folder / f"json-{name.replace(' ', '')}"
        where.mkdir()
        with NodeProcess(where / "a") as a, joined(where, a, "b") as b:
            b.stop()
            fill(a)
            in_json = pull_json(a)
            b.start()
            in_frames = time_to_equal(a, b)
        shutil.rmtree(where)
        figures.add(f"{name}, JSON: fetched and checked", in_json, "s", "", met=True)
        met = in_frames < in_json
        figures.add(
            f"{name}, frames: fetched, checked, durable", in_frames, "s", "< JSON", met=met
        )


CLUSTER_WORKS = {"settle": bench_settle, "chain": bench_chain, "json": bench_json}

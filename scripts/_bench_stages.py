"""Where the time of a file goes: processor time of each stage, alone.

Stages run here, in one process, without a network between them; what they cost inside a node or a
client is this and what lies between them (threads, waiting, HTTP). Processor time says nearly the
same on a busy machine as on a quiet one.
"""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _measure
from _bench_folder import make_small
from _bench_record import markdown
from _measure import Figures

from aeorsync.api.news import Entries, EntryTold, wrap
from aeorsync.core.chunking import Chunker
from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.core.paths import parse
from aeorsync.runtime.clock import SystemClock
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.compression import pack, unpack
from aeorsync.storage.draft import Draft
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing

MIB = 1 << 20
TRIES = 3
_GROUP = 1000


def cut(data: bytes) -> list[bytes]:
    """The chunks of a file."""
    chunker = Chunker()
    chunks = [bytes(chunk) for chunk in chunker.feed(data)]
    return [*chunks, last] if (last := chunker.finish()) else chunks


def frame(chunks: Sequence[StoredChunk]) -> bytes:
    """Chunks as they travel."""
    return b"".join(
        framing.encode_chunk(chunk.id, framing.Codec(chunk.codec), chunk.size, chunk.data)
        for chunk in chunks
    )


def unframe(body: bytes) -> list[framing.Chunk]:
    """Chunks as they arrived, in pieces as a socket gives them."""
    decoder = framing.Decoder()
    found = []
    for at in range(0, len(body), 1 << 18):
        found += [
            framing.parse_chunk(one.payload) for one in decoder.feed(body[at : at + (1 << 18)])
        ]
    return found


def through_socket(body: bytes) -> None:
    """Send over loopback and receive; both ends are here."""

    def send(address: tuple[str, int]) -> None:
        with socket.create_connection(address) as one:
            one.sendall(body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=send, args=(listener.getsockname(),))
        sender.start()
        taker, _ = listener.accept()
        buffer = bytearray(MIB)
        with taker:
            while taker.recv_into(buffer):
                pass
        sender.join()


class Stages:
    """One set of files through all stages."""

    def __init__(self, folder: Path, figures: Figures, paths: list[Path], per: str) -> None:
        self._folder, self._figures, self._paths = folder, figures, paths
        self._per = per
        self._units = 1.0
        self.rows: dict[str, float] = {}

    def run(self) -> None:
        """Measure all stages, each on what the one before it made."""
        bodies = self._take("read", self._read)
        octets = sum(map(len, bodies))
        self._units = len(bodies) if self._per == "file" else octets / MIB
        self.rows["read"] /= self._units
        chunks = [
            one for cutted in self._take("cut", lambda: [*map(cut, bodies)]) for one in cutted
        ]
        names = self._take("chunk hash", lambda: [*map(chunk_id, chunks)])
        self._take("file hash", lambda: [*map(content_hash, bodies)])
        pairs = list(zip(names, chunks, strict=True))
        stored = self._take("compress", lambda: [pack(*pair) for pair in pairs])
        body = self._take("frame", lambda: frame(stored))
        self._take("socket, both ends", lambda: through_socket(body))
        arrived = self._take("unframe", lambda: unframe(body))
        came = [StoredChunk(one.id, one.codec, one.size, one.stored) for one in arrived]
        self._take("verify", lambda: [*map(unpack, came)])
        self._store(bodies)
        told = [EntryTold(parse(f"/d/f{at}"), "file", size=9, hash="0" * 64) for at in range(100)]
        turns = max(1, len(bodies) // 100)

        def tell() -> None:
            for _ in range(turns):
                wrap("entries_created", "1-1", 0, Entries(tuple(told)))

        if self._per == "file":
            self._take("event", tell)
        for name, micros in self.rows.items():
            self._figures.add(f"{name}, a {self._per}", micros, "us", "", met=True)

    def _take(self, name: str, work: Callable[[], Any], tries: int = TRIES) -> Any:  # noqa: ANN401
        """Do a stage some times and keep the quickest; returns what it made."""
        took = []
        for _ in range(tries):
            began = time.process_time()
            made = work()
            took.append(time.process_time() - began)
        self.rows[name] = min(took) * 1e6 / self._units
        return made

    def _read(self) -> list[bytes]:
        bodies = []
        for path in self._paths:
            with path.open("rb", buffering=0) as file:
                bodies.append(file.read())
        return bodies

    def _store(self, bodies: list[bytes]) -> None:
        """Packs and index, then tree and commit, fsync included."""
        root = self._folder / "stages-store"
        root.mkdir()
        repository = Repository(EmbeddedStore(root, first_head(1)), SystemClock())

        def store() -> list[FileState]:
            return [FileState(repository.store_small(body), "text/plain") for body in bodies]

        states = self._take("cut, hash, compress and store", store, 1)

        def commit() -> None:
            for start in range(0, len(states), _GROUP):
                some = states[start : start + _GROUP]
                repository.commit(
                    lambda draft, at=start, some=some: _put(draft, at, some)
                ).result()

        self._take("tree and commit", commit, 1)
        repository.close()
        shutil.rmtree(root)


def _put(draft: Draft, start: int, states: list[FileState]) -> None:
    for at, state in enumerate(states, start):
        put_file(draft, parse(f"/stages/d{at // 100:04d}/f{at:06d}"), state)


def bench_stages(folder: Path, figures: Figures) -> None:
    """Small files, then a large one."""
    small, large = folder / "stages-small", folder / "stages-large"
    make_small(small, _measure.scaled(4000))
    large.mkdir()
    (large / "big.bin").write_bytes(os.urandom(_measure.scaled(256) * MIB))
    found = []
    for root, per in ((small, "file"), (large, "MiB")):
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        stages = Stages(folder, figures, paths, per)
        stages.run()
        found.append(stages.rows)
    rows = [
        [name, *(f"{side[name]:,.0f}" if name in side else "-" for side in found)]
        for name in found[0]
    ]
    heads = ["stage, alone", "us of processor a small file", "us a MiB of a large one"]
    figures.tables.append(markdown(heads, rows))


STAGES_WORKS = {"stages": bench_stages}

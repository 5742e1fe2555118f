"""Short words for cycles between a repository and a fake peer."""

from random import Random

from aeorsync.cluster.cycle import Peering, Report, run_cycle
from aeorsync.cluster.peers import LinkRecord
from aeorsync.core.paths import parse
from aeorsync.storage.changes import FileState, delete, put_file
from aeorsync.storage.repository import Repository
from tests.support.loops import run
from tests.support.peer import ADDRESS, FakePeer


def peering(target: Repository, peer: FakePeer, **link: object) -> Peering:
    """The two sides of a cycle."""
    record = LinkRecord(id=1, address=ADDRESS, node_id=peer.node_id, **link)  # type: ignore[arg-type]
    database = peer.repository.database_id
    return Peering(target, peer.remote(), record, target.head.node, database, 5)


def cycle(target: Repository, peer: FakePeer, ahead: str | None = None, **link: object) -> Report:
    """One cycle in which ``target`` pulls from ``peer``."""
    return run(run_cycle(peering(target, peer, **link), ahead))


def put_large(repository: Repository, path: str, data: bytes) -> None:
    """Write a file of many chunks and wait until it is durable."""
    upload = repository.upload()
    upload.feed(data)
    file = FileState(upload.finish(), "application/octet-stream")
    repository.commit(lambda draft: put_file(draft, parse(path), file)).result(timeout=30)


def remove(repository: Repository, path: str) -> None:
    """Delete a path and wait until that is durable."""
    repository.commit(lambda draft: delete(draft, parse(path))).result(timeout=30)


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return Random(seed).randbytes(size)

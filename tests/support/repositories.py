"""Repositories to test with, and short words for what tests do to them."""

from pathlib import Path

from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Entry, Vector, Version, decode_entry, parse_entry
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.answers import Applied
from aeorsync.storage.changes import Conditions, FileState, put_file
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.storage.memory import MemoryStore
from aeorsync.storage.repository import Repository
from tests.support.clock import FakeClock


def open_repository(folder: Path, node: int = 7, wall: WallClock | None = None) -> Repository:
    """A repository in a folder, made when it is not there."""
    folder.mkdir(exist_ok=True)
    wall = wall or FakeClock()
    store = EmbeddedStore(folder, first_head(node), wall)
    try:
        return Repository(store, wall)
    except BaseException:
        store.close()
        raise


def memory_repository(node: int = 7, wall: WallClock | None = None) -> Repository:
    """A repository that is gone with the process."""
    wall = wall or FakeClock()
    return Repository(MemoryStore(first_head(node), wall), wall)


def put(
    repository: Repository, path: str, data: bytes, base: Vector | None = None, **state: object
) -> Version:
    """Write a file and wait until it is durable."""
    content = repository.store_small(data)
    file = FileState(content, "text/plain", **state)  # type: ignore[arg-type]
    conditions = Conditions(base=base)
    future = repository.commit(lambda draft: put_file(draft, parse(path), file, conditions))
    return future.result(timeout=30)


def get(repository: Repository, path: str) -> bytes | None:
    """The bytes readers see at a path; None when it is not live."""
    with repository.view() as view:
        sight = view.sight(parse(path))
    return None if sight is None else b"".join(repository.read(sight.winner.content))


def files(repository: Repository) -> dict[str, bytes]:
    """All live files and what is in them."""
    with repository.view() as view:
        entries = [(key, decode_entry(data)) for key, data in view.walk()]
    return {
        "/" + key.replace(b"\0", b"/").decode(): get(repository, key.replace(b"\0", b"/").decode())
        or b""
        for key, entry in entries
        if any(version.kind == 2 for version in entry.versions)
    }


def pull(target: Repository, source: Repository) -> Applied:
    """Bring everything that ``source`` knows to ``target``, as a replication cycle would."""
    with source.view() as view:
        items = [*view.walk(system=True), *view.graves(system=True)]
    entries = [(key, parse_entry(data)) for key, data in items]
    contents = [
        version.content
        for _, entry in entries
        for version in entry.versions
        if not version.deleted and version.kind == 2
    ]
    while True:
        wanted, _ = target.lacking(contents)
        if not wanted:
            break
        target.receive(source.stored_chunks(list(wanted)))
    return target.apply(entries, source.head.node).result(timeout=30)


def exchange(*repositories: Repository) -> None:
    """Let everybody pull from everybody until all know all."""
    for _ in range(2):
        for target in repositories:
            for source in repositories:
                if target is not source:
                    pull(target, source)


def entry_at(repository: Repository, path: str) -> Entry | None:
    """The whole entry at a path, live or deleted."""
    with repository.view() as view:
        return view.entry(to_key(parse(path)))

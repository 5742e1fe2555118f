"""Folders, the past and the possible."""

from collections.abc import Iterator

import httpx
import pytest

from aeorsync.client import Client, trees
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    DeniedError,
    NotFoundError,
    UnauthorizedError,
)
from tests.client.conftest import store
from tests.support.nodes import NodeProcess


@pytest.fixture(scope="module")
def client(node: NodeProcess) -> Iterator[Client]:
    with Client(node.url, node.key) as made:
        yield made


@pytest.fixture
def full(client: Client, http: httpx.Client, folder: str) -> str:
    """A folder with something in it."""
    store(http, f"{folder}/b.txt", b"bb")
    store(http, f"{folder}/a.txt", b"a")
    store(http, f"{folder}/sub/deep/c.txt", b"ccc")
    client.link(f"{folder}/link", "a.txt")
    client.mkdir(f"{folder}/empty")
    return folder


def test_a_folder_is_listed_page_by_page(
    client: Client, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["empty", "sub", "a.txt", "b.txt", "link"]
    assert [entry.name for entry in client.list(full)] == names
    monkeypatch.setattr(trees, "MAX_ROWS", 2)
    assert [entry.name for entry in client.list(full)] == names
    kinds = {entry.name: entry.kind for entry in client.list(full)}
    assert kinds == {
        "empty": "directory",
        "sub": "directory",
        "a.txt": "file",
        "b.txt": "file",
        "link": "symlink",
    }
    assert [entry.name for entry in client.list(full, glob="*.txt", sort="size")] == [
        "a.txt",
        "b.txt",
    ]
    assert [entry.path for entry in client.list(full, depth=-1, glob="c.*")] == [
        f"{full}/sub/deep/c.txt"
    ]


def test_a_walk_tells_each_folder_before_what_is_in_it(client: Client, full: str) -> None:
    told = [entry.path.removeprefix(full) for entry in client.walk(full)]
    assert told == [
        "/empty",
        "/sub",
        "/a.txt",
        "/b.txt",
        "/link",
        "/sub/deep",
        "/sub/deep/c.txt",
    ]


def test_what_is_no_folder_cannot_be_listed(client: Client, full: str) -> None:
    for path in (f"{full}/a.txt", f"{full}/nothing"):
        with pytest.raises((NotFoundError, BadRequestError)):
            list(client.list(path))


def test_paths_are_moved_copied_deleted_and_brought_back(client: Client, full: str) -> None:
    client.move(f"{full}/a.txt", f"{full}/moved.txt")
    with pytest.raises(ConflictError):
        client.move(f"{full}/moved.txt", f"{full}/b.txt")
    copied = client.copy([f"{full}/sub", f"{full}/nope"], f"{full}/copies")
    assert f"{full}/copies/sub/deep/c.txt" in copied.copied
    assert len(copied.errors) == 1
    with pytest.raises(BadRequestError, match="not empty"):
        client.delete(f"{full}/sub")
    client.delete(f"{full}/sub", recursive=True)
    assert not client.exists(f"{full}/sub")
    assert f"{full}/sub/deep/c.txt" in [one.path for one in client.trash(full)]
    client.undelete(f"{full}/sub/deep/c.txt")
    assert client.read(f"{full}/sub/deep/c.txt") == b"ccc"
    assert not client.mkdir(f"{full}/sub")


def test_a_deletion_of_what_was_not_seen_is_refused_or_a_conflict(
    client: Client, folder: str
) -> None:
    path = f"{folder}/a"
    old = client.put(path, b"old").etag
    client.put(path, b"new")
    with pytest.raises(Exception, match="If-Match"):
        client.delete(path, if_match=old)
    client.delete(path, base=old)
    assert client.read(path) == b"new"
    assert client.conflict(path).conflict_type == "ModifyDelete"
    client.resolve(path, "winner")


def test_links_are_edited_from_a_base(client: Client, folder: str) -> None:
    etag = client.link(f"{folder}/l", "a").etag
    client.link(f"{folder}/l", "b")
    client.link(f"{folder}/l", "c", base=etag)
    assert client.stat(f"{folder}/l").target in {"b", "c"}
    assert client.stat(f"{folder}/l").conflict


def test_the_past_is_kept_looked_at_and_brought_back(client: Client, folder: str) -> None:
    path = f"{folder}/a"
    client.put(path, b"one")
    kept = client.snapshot(f"s-{folder[6:30]}", {"why": "test"})
    assert kept.metadata["why"] == "test"
    client.put(path, b"two")
    assert client.read(path, snapshot=kept.name) == b"one"
    assert [entry.name for entry in client.list(folder, snapshot=kept.id)] == ["a"]
    rows = client.history(path).history
    assert [row.snapshot for row in rows] == ["HEAD", kept.name]
    assert client.restore(path, version=rows[1].version).changed == 1
    assert client.read(path) == b"one"
    client.put(path, b"three")
    assert client.restore(path, snapshot=kept.name).changed == 1
    client.put(path, b"three")
    restored = client.restore(snapshot=kept.name)
    assert restored.auto_snapshot
    assert client.read(path) == b"one"
    client.rename_snapshot(kept.name, "other name")
    assert "other name" in [one.name for one in client.snapshots()]
    client.delete_snapshot("other name")
    assert kept.id not in [one.id for one in client.snapshots()]


def test_changes_are_tried_in_a_fork(client: Client, folder: str) -> None:
    path = f"{folder}/a"
    client.put(path, b"one")
    name = f"f-{folder[6:30]}"
    client.fork(name)
    body = b"x" * 3_000_000
    client.put(path, body, fork=name)
    client.put(f"{folder}/b", b"two", fork=name)
    client.delete(f"{folder}/b", fork=name)
    assert client.read(path, fork=name) == body
    assert client.read(path) == b"one"
    assert name in [fork.name for fork in client.forks()]
    assert client.promote(name).conflicts == 0
    assert client.read(path) == body
    client.fork(name)
    client.abandon(name)
    assert name not in [fork.name for fork in client.forks()]


def test_the_server_tells_of_itself(client: Client) -> None:
    assert client.health()["status"] in {"healthy", "degraded", "unhealthy"}
    assert client.status()["node_id"]
    assert client.trigger()["peers_synced"] == 0


def test_a_key_that_is_limited_sees_and_does_no_more_than_it_may(
    client: Client, node: NodeProcess, folder: str
) -> None:
    client.put(f"{folder}/mine/a", b"a")
    client.put(f"{folder}/other/b", b"b")
    made = client.make_key("guest", days=1, rules=[{f"{folder}/mine/**": "crudl---"}])
    assert made.key
    assert made.key not in repr(made)
    body = bytes(range(256)) * 20_000
    with Client(node.url, made.key) as guest:
        assert guest.read(f"{folder}/mine/a") == b"a"
        assert not guest.exists(f"{folder}/other/b")
        assert guest.put(f"{folder}/mine/long", body).size == len(body)
        assert guest.read(f"{folder}/mine/long") == body
        for data in (b"x", body):
            with pytest.raises((NotFoundError, DeniedError)):
                guest.put(f"{folder}/other/c", data)
        assert [entry.name for entry in guest.list(f"{folder}/mine")] == ["a", "long"]
        assert [entry.name for entry in guest.list(folder)] == ["mine"]
        assert made.key_id in {key.key_id for key in tuple(guest.keys())}
        client.revoke_key(made.key_id)
        with pytest.raises(UnauthorizedError):
            guest.stat(f"{folder}/mine/a")
    found = list(client.keys())
    assert [key.is_revoked for key in found if key.key_id == made.key_id] == [True]

"""AeorDB's desktop client works against our server: what it calls, reads and expects."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.desktop import BOTH, Deletes, Desktop
from tests.support.nodes import NodeProcess, wait_until

NAMES = ("a.txt", "deep/er/b.bin", "é ü.txt", "no-content")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("desktop") / "node") as node:
        yield node


@pytest.fixture
def node(server: NodeProcess) -> NodeProcess:
    """A node without any files."""
    with server.client() as client:
        for item in client.get("/files/").json()["items"]:
            client.delete(f"/files{item['path']}?recursive=true").raise_for_status()
    return server


def write(folder: Path, path: str, data: bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file and symlink below a folder."""
    found: dict[str, bytes | str] = {}
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            file = Path(here, name)
            path = file.relative_to(folder).as_posix()
            if file.is_symlink():
                found[path] = f"-> {file.readlink()}"
            elif file.is_file():
                found[path] = file.read_bytes()
    return found


Make = Callable[..., Desktop]


@pytest.fixture
def desktop(node: NodeProcess, tmp_path: Path) -> Iterator[Make]:
    """Makes clients of the node, each with a folder of its own."""
    with ExitStack() as stack:

        def make(name: str, key: str | None = None, deletes: Deletes = BOTH) -> Desktop:
            made = Desktop(tmp_path / name, node.url, key or node.key or "", deletes=deletes)
            stack.callback(made.close)
            return made

        yield make


def scoped(node: NodeProcess, *rules: tuple[str, str]) -> str:
    with node.client() as client:
        body = {"rules": [{glob: flags} for glob, flags in rules]}
        reply = client.post("/auth/keys", json=body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["key"])


def test_two_folders_become_equal_pass_by_pass(desktop: Make) -> None:
    a, b = desktop("a"), desktop("b")
    assert a.is_reachable()
    for name in NAMES:
        write(a.folder, name, b"" if name == "no-content" else name.encode() * 50_000)
    (a.folder / "link").symlink_to("deep/er/b.bin")
    write(b.folder, "from-b.txt", b"b")
    for client in (a, b, a):
        client.sync()
    assert tree(a.folder) == tree(b.folder)
    assert len(tree(a.folder)) == len(NAMES) + 2
    assert a.seen.failures == b.seen.failures == []
    # Nothing is sent again but the links, which it puts on every pass.
    sent = len(a.seen.calls)
    a.sync()
    assert a.seen.calls[sent:] == [("POST", "/sync/diff"), ("PUT", "/links/link")]


def test_a_token_is_had_for_the_key_and_where_not_the_key_will_do(desktop: Make) -> None:
    a = desktop("a")
    assert not a.bearer.startswith("aeor_k_")
    raw = desktop("b")
    raw._bearer = raw.key  # as after a failed exchange
    write(raw.folder, "x", b"1")
    raw.sync()
    a.sync()
    assert tree(a.folder) == {"x": b"1"}
    assert raw.seen.failures == []


def test_changes_moves_and_deletions_travel(node: NodeProcess, desktop: Make) -> None:
    a, b = desktop("a"), desktop("b")
    for name in ("stay", "edit", "move", "gone"):
        write(a.folder, name, name.encode())
    # Twice, or it would pull its own files again over what is edited next: a known habit.
    for client in (a, b, a):
        client.sync()
    with node.client() as http:
        created = http.head("/files/move").headers["x-aeordb-created-at"]
    write(a.folder, "edit", b"edited")
    write(a.folder, "sub/.keep", b"k")
    (a.folder / "move").rename(a.folder / "sub" / "moved")
    (a.folder / "gone").unlink()
    a.sync()
    assert ("PATCH", "/files/move") in a.seen.calls
    assert ("DELETE", "/files/gone") in a.seen.calls
    b.sync()
    expected = {"stay": b"stay", "edit": b"edited", "sub/.keep": b"k", "sub/moved": b"move"}
    assert tree(a.folder) == tree(b.folder) == expected
    with node.client() as http:
        assert http.head("/files/sub/moved").headers["x-aeordb-created-at"] == created
    assert a.seen.failures == b.seen.failures == []


def test_without_propagation_nothing_is_deleted_anywhere(node: NodeProcess, desktop: Make) -> None:
    neither = Deletes()
    a = desktop("a", deletes=neither)
    b = desktop("b", deletes=neither)
    write(a.folder, "x", b"1")
    write(a.folder, "y", b"2")
    a.sync()
    b.sync()
    (a.folder / "x").unlink()
    a.sync()
    with node.client() as client:
        assert client.get("/files/x").content == b"1"
        client.delete("/files/y").raise_for_status()
    b.sync()
    assert tree(b.folder) == {"x": b"1", "y": b"2"}


def test_a_folder_can_be_browsed(desktop: Make) -> None:
    a = desktop("a")
    write(a.folder, "d/f", b"1")
    (a.folder / "d" / "l").symlink_to("f")
    a.sync()
    assert a.browse("/") == [("d", 3)]
    assert sorted(a.browse("/d")) == [("f", 2), ("l", 8)]


def test_what_one_writes_the_other_has_a_moment_later(desktop: Make) -> None:
    with desktop("a") as a, desktop("b") as b:
        wait_until(lambda: a.seen.connects and b.seen.connects)
        write(a.folder, "live.txt", b"one")
        wait_until(lambda: tree(b.folder) == {"live.txt": b"one"} and a.has_heard(b"one"))
        # An overwrite is told as entries_created, which is all it listens to.
        heard = len(b.seen.events)
        write(a.folder, "live.txt", b"two!")
        wait_until(lambda: tree(b.folder) == {"live.txt": b"two!"} and a.has_heard(b"two!"))
        kinds = [event["event_type"] for event in b.seen.events[heard:]]
        assert "entries_created" in kinds
        write(b.folder, "sub/back.txt", b"b")
        wait_until(lambda: len(tree(a.folder)) == 2 and b.has_heard(b"b"))
        (a.folder / "live.txt").rename(a.folder / "sub" / "moved.txt")
        wait_until(
            lambda: tree(b.folder) == {"sub/back.txt": b"b", "sub/moved.txt": b"two!"},
        )
        (b.folder / "sub" / "back.txt").unlink()
        wait_until(lambda: tree(a.folder) == {"sub/moved.txt": b"two!"})
        assert a.seen.failures == b.seen.failures == []


def test_it_comes_back_after_the_server_was_away(node: NodeProcess, desktop: Make) -> None:
    with desktop("a") as a, desktop("b") as b:
        wait_until(lambda: a.seen.connects and b.seen.connects)
        before = b.seen.connects
        node.kill()
        node.start()
        wait_until(lambda: b.seen.connects > before)
        write(a.folder, "after.txt", b"1")
        wait_until(lambda: tree(b.folder).get("after.txt") == b"1")


def test_a_key_with_rules_syncs_what_it_may_and_nothing_else(
    node: NodeProcess, desktop: Make
) -> None:
    with node.client() as client:
        for path in ("/docs/a", "/docs/secret/b", "/other/c"):
            client.put(f"/files{path}", content=path.encode()).raise_for_status()
    rules = (
        ("/docs/secret/**", "--------"),
        ("/docs/secret", "--------"),
        ("/docs/**", "crudl---"),
        ("/docs", "crudl---"),
    )
    key = scoped(node, *rules)
    guest = desktop("guest", key)
    guest.sync()
    assert tree(guest.folder) == {"docs/a": b"/docs/a"}
    assert guest.seen.failures == []
    assert guest.browse("/") == [("docs", 3)]
    write(guest.folder, "docs/mine", b"m")
    write(guest.folder, "other/mine", b"m")
    guest.sync()
    # What is refused looks missing, and holds nothing else up.
    assert guest.seen.failures == ["PUT /files/other/mine: 404"]
    root = desktop("root")
    root.sync()
    there = tree(root.folder)
    assert there["docs/mine"] == b"m"
    assert "other/mine" not in there
    assert there["docs/secret/b"] == b"/docs/secret/b"


def test_a_key_with_rules_hears_of_what_it_may_read_only(node: NodeProcess, desktop: Make) -> None:
    key = scoped(node, ("/docs/**", "-r--l---"), ("/docs", "-r--l---"))
    with desktop("guest", key) as guest:
        wait_until(lambda: guest.seen.connects)
        with node.client() as client:
            for path in ("/other/x", "/docs/x", "/other/y", "/docs/y"):
                client.put(f"/files{path}", content=b"1").raise_for_status()
            client.delete("/files/other/x").raise_for_status()
            client.delete("/files/docs/x").raise_for_status()
        wait_until(lambda: tree(guest.folder) == {"docs/y": b"1"})
        heard: list[Any] = [
            entry["path"] for event in guest.seen.events for entry in event["payload"]["entries"]
        ]
        assert {path for path in heard if not path.startswith("/docs")} == set()
        assert guest.seen.failures == []


def test_a_revoked_key_ends_it(node: NodeProcess, desktop: Make) -> None:
    key = scoped(node, ("/**", "crudl---"))
    guest = desktop("guest", key)
    guest.sync()
    with node.client() as client:
        items = client.get("/auth/keys").json()
        mine = next(item for item in items if item["key_id"].replace("-", "")[:16] in key)
        client.delete(f"/auth/keys/{mine['key_id']}").raise_for_status()
    write(guest.folder, "x", b"1")
    guest.sync()
    assert guest.seen.failures == ["diff: 401", "PUT /files/x: 401"]

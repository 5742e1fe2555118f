"""The client that waits is the other one: same methods, same errors, no more."""

import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import aeorsync
from aeorsync.client import AsyncClient, Client
from aeorsync.errors import NotFoundError
from tests.client.conftest import store
from tests.support.nodes import NodeProcess


@pytest.fixture
def client(node: NodeProcess) -> Iterator[Client]:
    with Client(node.url, node.key) as made:
        yield made


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_method_of_the_one_is_one_of_the_other() -> None:
    plumbing = {"beside", "patiently_open", "rest"}
    assert public(AsyncClient) - plumbing == public(Client)
    for name in public(Client) - {"address", "close"}:
        ours, theirs = getattr(Client, name), getattr(AsyncClient, name)
        assert ours.__doc__ == theirs.__doc__
        assert inspect.signature(ours) == inspect.signature(theirs)


def test_every_public_method_says_what_it_does() -> None:
    assert [name for name in public(Client) if not getattr(Client, name).__doc__] == []


def test_files_are_read_piece_by_piece(node: NodeProcess, client: Client, folder: str) -> None:
    body = bytes(range(256)) * 10_000
    with node.client() as http:
        store(http, f"{folder}/a", body)
    with client.open(f"{folder}/a") as file:
        assert file.entry.size == len(body)
        assert file.read(3) == body[:3]
        assert file.read(0) == b""
        assert file.read() == body[3:]
        assert file.read(10) == b""
    with client.open(f"{folder}/a") as file:
        assert b"".join(file) == body
    with client.open(f"{folder}/a", start=1) as file:
        assert file.read(2) == body[1:3]


def test_errors_are_the_same(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.stat("/nothing/there")
    with pytest.raises(NotFoundError), client.open("/nothing/there"):
        pass


def test_events_are_an_iterator_that_can_be_left(
    node: NodeProcess, client: Client, folder: str
) -> None:
    def later() -> None:
        with node.client() as http:
            store(http, f"{folder}/a")

    for event in client.events(["connected", "entries_created"], prefix=folder):
        if event.kind == "connected":
            threading.Thread(target=later).start()
        else:
            assert event.payload["entries"]
            break


def test_several_threads_may_use_one_client(client: Client) -> None:
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(client.exists("/"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_closing_twice_is_harmless_and_forgetting_it_holds_nobody_up(node: NodeProcess) -> None:
    client = Client(node.url, node.key)
    client.close()
    client.close()
    program = f"from aeorsync import Client; Client({node.url!r}, {node.key!r}).stat('/')"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert time.monotonic() - began < 20


def test_importing_the_package_loads_no_client() -> None:
    program = "import aeorsync, sys; assert 'httpx' not in sys.modules; aeorsync.Client"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert aeorsync.Client is Client
    assert aeorsync.AsyncClient is AsyncClient
    with pytest.raises(AttributeError, match="Nobody"):
        _ = aeorsync.Nobody

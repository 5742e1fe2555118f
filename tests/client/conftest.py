"""A real node, and a client of it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from aeorsync.client import AsyncClient
from tests.support.nodes import NodeProcess


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("client") / "data") as process:
        yield process


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """A folder on the node that no other test uses."""
    return f"/{request.node.name[:60]}"


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    """What the node says to anybody else."""
    with node.client() as client:
        yield client


def client_of(node: NodeProcess, patience_s: float = 20) -> AsyncClient:
    return AsyncClient(node.url, node.key, patience_s=patience_s)


def store(http: httpx.Client, path: str, data: bytes = b"x", **fields: str) -> str:
    """Put a file; returns its ETag."""
    answer = http.put(f"/files{quote(path)}", content=data, headers=fields).raise_for_status()
    etag: str = answer.json()["etag"]
    return etag


def remove(http: httpx.Client, path: str) -> None:
    http.delete(f"/files{quote(path)}").raise_for_status()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path

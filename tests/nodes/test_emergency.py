"""A lost root key: one command on a stopped node, and the whole cluster has a new one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aeorsync.config import Exit
from tests.support.nodes import NodeProcess, is_active, pair, root_of, wait_until


def reset(folder: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "aeorsync", "emergency-reset", "-D", str(folder), *flags]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def works(node: NodeProcess, key: str) -> bool:
    with node.client(key) as client:
        return client.get("/files/").status_code == 200


def test_the_old_keys_are_refused_and_the_new_one_works_on_every_node(tmp_path: Path) -> None:
    with pair(tmp_path) as (a, b):
        old = a.key or ""
        wait_until(lambda: root_of(a) == root_of(b))
        with a.client() as client:
            token = client.post("/auth/token", json={"api_key": old}).json()["token"]
        assert reset(a.data, "--yes").returncode == Exit.DATA_LOCKED
        a.stop()
        done = reset(a.data, "--yes", "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["revoked"]) == (Exit.OK, 1)
        a.start()
        a.key = b.key = told["root_key"]
        wait_until(lambda: works(b, told["root_key"]))
        for node in (a, b):
            assert works(node, told["root_key"])
            assert not works(node, old)
            assert not works(node, token)
        wait_until(lambda: is_active(a) and is_active(b))
        assert told["root_key"] not in a.log + b.log + done.stderr


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_nobody_is_asked_nothing_is_changed(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with NodeProcess(tmp_path / "a") as node:
        node.stop()
        refused = reset(node.data, *flags)
        assert refused.returncode == Exit.USAGE
        assert "say --yes" in refused.stderr
        node.start()
        assert works(node, node.key or "")


def test_where_no_node_lives_none_is_made(tmp_path: Path) -> None:
    refused = reset(tmp_path / "none", "--yes")
    assert refused.returncode == Exit.DATA_UNUSABLE
    assert not (tmp_path / "none").exists()

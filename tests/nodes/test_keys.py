"""Keys and users on two real nodes, and the commands for them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeorsync.config import Exit
from tests.support.nodes import NodeProcess, pair, root_of, wait_until

READ = [{"/docs/**": "-r--l---"}]
Pair = tuple[NodeProcess, NodeProcess]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("keys")) as (a, b):
        with a.client() as client:
            client.put("/files/docs/a.txt", content=b"a").raise_for_status()
            client.put("/files/b.txt", content=b"b").raise_for_status()
        wait_until(lambda: status(b, str(b.key), "/files/b.txt") == 200)
        yield a, b


def status(node: NodeProcess, key: str, path: str = "/files/docs/a.txt") -> int:
    with node.client(key) as client:
        return client.get(path).status_code


def post(node: NodeProcess, path: str, **body: object) -> dict[str, Any]:
    with node.client() as client:
        reply = client.post(path, json=body)
    reply.raise_for_status()
    told: dict[str, Any] = reply.json()
    return told


def refresh(node: NodeProcess, token: str) -> httpx.Response:
    with node.client() as client:
        return client.post("/auth/refresh", json={"refresh_token": token})


def test_a_key_made_on_one_node_works_on_the_other_until_it_is_revoked(nodes: Pair) -> None:
    a, b = nodes
    made = post(a, "/auth/keys", rules=READ)
    wait_until(lambda: status(b, made["key"]) == 200)
    assert status(b, made["key"], "/files/b.txt") == 404
    with b.client() as client:
        assert client.delete(f"/auth/keys/{made['key_id']}").status_code == 200
    assert status(b, made["key"]) == 401
    wait_until(lambda: status(a, made["key"]) == 401, 5)


def test_a_user_deactivated_on_one_node_is_out_on_the_other(nodes: Pair) -> None:
    a, b = nodes
    ada = post(a, "/system/users", username="ada", rules=READ)
    made = post(a, "/auth/keys", user_id=ada["user_id"])
    wait_until(lambda: status(b, made["key"]) == 200)
    url = f"/system/users/{ada['user_id']}"
    with b.client() as client:
        client.patch(url, json={"is_active": False}).raise_for_status()
    assert status(b, made["key"]) == 401
    wait_until(lambda: status(a, made["key"]) == 401, 5)
    with a.client() as client:
        client.patch(url, json={"is_active": True}).raise_for_status()
        wait_until(lambda: status(b, made["key"]) == 200)
        client.delete(url).raise_for_status()
    assert status(a, made["key"]) == 401
    wait_until(lambda: status(b, made["key"]) == 401, 5)


def test_a_chain_of_refresh_tokens_goes_on_on_any_node_and_ends_on_all(nodes: Pair) -> None:
    a, b = nodes
    made = post(a, "/auth/keys", rules=READ)
    first = post(a, "/auth/token", api_key=made["key"], include_refresh=True)["refresh_token"]
    wait_until(lambda: same_root(a, b))
    second = refresh(b, first).json()
    assert status(b, second["token"]) == 200
    assert status(b, second["token"], "/files/b.txt") == 404
    third = refresh(b, second["refresh_token"]).json()["refresh_token"]
    # An old one, sent to the other node as soon as it has heard of the new ones.
    wait_until(lambda: same_root(a, b))
    assert refresh(a, first).status_code == 401
    wait_until(lambda: same_root(a, b))
    assert refresh(b, third).status_code == 401
    assert refresh(a, third).status_code == 401
    assert status(b, made["key"]) == 200


def test_one_refresh_token_used_on_two_nodes_at_once_ends_its_chain(nodes: Pair) -> None:
    a, b = nodes
    made = post(a, "/auth/keys", rules=READ)
    told = post(a, "/auth/token", api_key=made["key"], include_refresh=True)
    wait_until(lambda: same_root(a, b))
    pause(a, b, is_paused=True)
    here = refresh(a, told["refresh_token"]).json()
    there = refresh(b, told["refresh_token"]).json()
    assert status(a, here["token"]) == 200
    assert status(b, there["token"]) == 200
    pause(a, b, is_paused=False)
    for node in (a, b):
        wait_until(partial(is_refused, node, told["token"]))
        for one in (here, there):
            assert refresh(node, one["refresh_token"]).status_code == 401
            assert status(node, one["token"]) == 401
        assert status(node, made["key"]) == 200


def is_refused(node: NodeProcess, key: str) -> bool:
    return status(node, key) == 401


def pause(a: NodeProcess, b: NodeProcess, *, is_paused: bool) -> None:
    """Cut the links between two nodes, or let them run again."""
    for node, other in ((a, b), (b, a)):
        with node.client() as client:
            url = f"/sync/peers/{other.node_id}"
            client.patch(url, json={"enabled": not is_paused}).raise_for_status()


def test_nothing_secret_is_in_the_logs(nodes: Pair) -> None:
    a, b = nodes
    made = post(a, "/auth/keys")
    told = post(a, "/auth/token", api_key=made["key"], include_refresh=True)
    refresh(a, told["refresh_token"])
    refresh(a, told["refresh_token"][:-1])
    for secret in (made["key"], told["refresh_token"], told["token"]):
        for node in (a, b):
            assert secret[30:] not in node.log


def same_root(a: NodeProcess, b: NodeProcess) -> bool:
    return root_of(a) == root_of(b)


def aeorsync(node: NodeProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aeorsync", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "AEORSYNC_URL": node.url,
            "AEORSYNC_KEY": str(node.key),
            "COLUMNS": "200",
        },
    )


def told(node: NodeProcess, *arguments: str) -> dict[str, Any]:
    done = aeorsync(node, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_somebody_is_given_access_and_loses_it_by_commands(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        with node.client() as client:
            client.put("/files/docs/a.txt", content=b"a")
            client.put("/files/docs/private/b.txt", content=b"b")
        assert "No users" in aeorsync(node, "users", "list").stdout
        rules = ("--write", "docs", "--deny", "docs/private")
        made = told(node, "users", "add", "ada", *rules, "--with-key", "laptop")
        key = made["key"]["key"]
        assert status(node, key) == 200
        assert status(node, key, "/files/docs/private/b.txt") == 404
        shown = aeorsync(node, "users", "list").stdout
        assert "ada" in shown
        assert "-------- /docs/private and inside" in shown
        again = aeorsync(node, "users", "add", "ada")
        assert (again.returncode, "already" in again.stderr) == (Exit.FAILED, True)
        assert "disabled" in aeorsync(node, "users", "set", "ada", "--disable").stdout
        assert status(node, key) == 401
        told(node, "users", "set", "ada", "--enable", "--read", "docs")
        assert status(node, key, "/files/docs/private/b.txt") == 200
        both = aeorsync(node, "users", "set", "ada", "--no-rules", "--read", "/")
        assert both.returncode == Exit.USAGE
        assert aeorsync(node, "users", "set", "ada").returncode == Exit.USAGE
        assert aeorsync(node, "users", "remove", "ada").returncode == Exit.USAGE
        assert "gone" in aeorsync(node, "users", "remove", "ada", "--yes").stdout
        assert status(node, key) == 401
        assert aeorsync(node, "users", "remove", "ada", "--yes").returncode == Exit.FAILED


def test_keys_are_made_listed_renamed_and_revoked_by_commands(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        with node.client() as client:
            client.put("/files/docs/a.txt", content=b"a")
        done = aeorsync(node, "keys", "create", "guest", "--read", "docs", "--days", "3")
        assert done.returncode == 0, done.stderr
        key = done.stdout.splitlines()[0]
        assert status(node, key) == 200
        listed = told(node, "keys", "list")["items"]
        assert [one["label"] for one in listed] == ["root", "guest"]
        own = aeorsync(node, "keys", "list", "--key", key)
        assert "guest (this one)" in own.stdout
        assert str(node.key)[7:15] not in own.stdout
        child = aeorsync(node, "keys", "create", "child", "--key", key).stdout.splitlines()[0]
        assert status(node, child, "/files/") == 200
        assert "visitor" in aeorsync(node, "keys", "rename", "guest", "visitor").stdout
        start = listed[1]["key_id"][:8]
        assert told(node, "keys", "revoke", start, "--with-made")["others"] == 1
        assert {status(node, key), status(node, child)} == {401}
        assert len(told(node, "keys", "list")["items"]) == 1
        assert len(told(node, "keys", "list", "--revoked")["items"]) == 3
        assert "revoked" in aeorsync(node, "keys", "list", "--revoked").stdout
        for bad, code in (
            (("keys", "revoke", "nobody"), Exit.FAILED),
            (("keys", "create", "--user", "nobody"), Exit.FAILED),
            (("keys", "create", "--rule", "/a"), Exit.USAGE),
            (("keys", "create", "--rule", "/a=r"), Exit.FAILED),
            (("keys", "create", "--days", "0"), Exit.USAGE),
            (("keys", "list", "--key", key), Exit.NODE_REFUSED),
            (("keys", "revoke", "root"), Exit.USAGE),
        ):
            assert aeorsync(node, *bad).returncode == code, bad
        assert status(node, str(node.key)) == 200
        made = aeorsync(node, "keys", "create")
        assert "may do whatever yours may" in made.stdout

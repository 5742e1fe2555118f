"""The commands that talk to a running node, as a person calls them."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aeorsync.cli.main import main
from aeorsync.config import Exit
from tests.support.nodes import NodeProcess, pair, wait_until

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with pair(tmp_path_factory.mktemp("client")) as made:
        yield made


@pytest.fixture
def command(
    nodes: tuple[NodeProcess, NodeProcess],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs ``aeorsync ...`` against the first node; returns its exit code and output."""
    monkeypatch.setenv("AEORSYNC_URL", nodes[0].url)
    monkeypatch.setenv("AEORSYNC_KEY", nodes[0].key or "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aeorsync", *arguments])
        try:
            code = main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def told(outcome: tuple[int, str, str]) -> Any:  # noqa: ANN401  # any JSON
    code, out, _ = outcome
    assert code == Exit.OK
    return json.loads(out)


def test_status_shows_the_node_its_peers_and_its_conflicts(
    command: Command, nodes: tuple[NodeProcess, NodeProcess]
) -> None:
    a, b = nodes
    code, out, err = command("status")
    assert (code, err) == (Exit.OK, "")
    for word in (str(a.node_id), a.url, str(b.node_id), str(b.port), "active", "no conflicts"):
        assert word in out
    reply = told(command("status", "--json"))
    assert (reply["node_id"], reply["peer_count"], reply["conflict_count"]) == (a.node_id, 1, 0)


def test_a_peer_is_changed_by_its_label_or_address(
    command: Command, nodes: tuple[NodeProcess, NodeProcess]
) -> None:
    node_id = str(nodes[1].node_id)
    reply = told(command("peers", "set", node_id, "--bandwidth-limit=5", "--json"))
    reply = told(command("peers", "set", reply["address"], "--label", "bee", "--json"))
    assert (reply["label"], reply["bandwidth_limit"]) == ("bee", 5)
    reply = told(command("peers", "set", "bee", "--path", "/x/**", "--exclude", "*.o", "--json"))
    assert (reply["sync_paths"], reply["excludes"]) == (["/x/**"], ["*.o"])
    assert "only /x/**" in command("peers", "list")[1]
    flags = ("--path=", "--exclude=", "--bandwidth-limit=0", "--disable", "--json")
    reply = told(command("peers", "set", "bee", *flags))
    assert (reply["sync_paths"], reply["excludes"]) == (None, None)
    assert "paused" in command("peers", "list")[1]
    code, _, err = command("peers", "pull", "bee")
    assert code == Exit.FAILED
    assert err == "error: 1 of 1 peers did not pull\n"
    told(command("peers", "set", "bee", "--enable", "--json"))
    [peer] = told(command("peers", "list", "--json"))["items"]
    assert peer["label"] == "bee"


@pytest.mark.parametrize("direction", ["pull", "push"])
def test_a_cycle_is_run_and_waited_for(
    command: Command, nodes: tuple[NodeProcess, NodeProcess], direction: str
) -> None:
    wait_until(lambda: "active" in command("peers", "list")[1])
    code, out, _ = command("peers", direction)
    assert (code, f"{direction}ed" in out) == (Exit.OK, True)
    reply = told(command("peers", direction, str(nodes[1].node_id), "--json"))
    assert reply["peers_synced"] == 1


@pytest.mark.parametrize("verb", ["pull", "push", "remove", "set"])
def test_an_unknown_peer_is_an_error(command: Command, verb: str) -> None:
    flags = ("--label=x",) if verb == "set" else ()
    code, out, err = command("peers", verb, "nobody", *flags)
    assert (code, out) == (Exit.FAILED, "")
    assert err == "error: there is no peer nobody; see aeorsync peers list\n"


def test_a_peer_is_added_and_removed(command: Command) -> None:
    reply = told(command("peers", "add", "http://127.0.0.1:1", "--label", "gone", "--json"))
    assert reply["address"] == "http://127.0.0.1:1"
    code, out, _ = command("peers", "remove", "gone")
    assert code == Exit.OK
    assert "removed" in out
    assert len(told(command("peers", "list", "--json"))["items"]) == 1


def test_what_the_node_refuses_is_one_line(command: Command) -> None:
    code, out, err = command("peers", "add", "nonsense")
    assert (code, out) == (Exit.FAILED, "")
    assert "answered 400" in err
    assert len(err.splitlines()) == 1


def test_a_node_that_is_not_there_and_a_wrong_key_have_their_exit_codes(
    command: Command,
) -> None:
    code, _, err = command("status", "--url", "http://127.0.0.1:1")
    assert code == Exit.NODE_UNREACHABLE
    assert "cannot reach http://127.0.0.1:1" in err
    code, _, err = command("status", "--key", "aeor_k_0123456789abcdef_" + "0" * 64)
    assert code == Exit.NODE_REFUSED
    assert "AEORSYNC_KEY" in err


def test_nothing_to_change_is_a_mistake_in_the_call(command: Command) -> None:
    assert command("peers", "set", "bee")[0] == Exit.USAGE

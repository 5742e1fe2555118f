"""``aeorsync snapshots`` and ``aeorsync history``, as a person calls them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aeorsync.cli.main import main
from aeorsync.config import Exit
from tests.support.nodes import NodeProcess


def test_the_past_is_kept_shown_and_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with NodeProcess(tmp_path / "a") as node, node.client() as client:
        command = caller(node, monkeypatch, capsys)
        assert command("snapshots", "list") == (Exit.OK, "no snapshots\n", "")
        client.put("/files/a b.txt", content=b"one")
        code, out, _ = command("snapshots", "create", "first one")
        assert (code, "snapshot first one made" in out) == (Exit.OK, True)
        assert "nothing has changed since" in command("snapshots", "create", "first one")[1]
        client.put("/files/a b.txt", content=b"three")
        code, out, _ = command("snapshots", "list")
        assert "first one" in out
        assert "manual" in out
        shown = json.loads(command("snapshots", "list", "--json")[1])
        assert [one["name"] for one in shown["items"]] == ["first one"]
        code, _, err = command("snapshots", "create", "first one")
        assert (code, "already" in err) == (Exit.FAILED, True)
        code, out, _ = command("history", "/a b.txt")
        assert [word in out for word in ("modified", "added", "first one", "HEAD")] == [True] * 4
        code, out, _ = command("snapshots", "restore", "first one", "--path", "a b.txt")
        assert "1 path is as it was; what was there is kept as snapshot auto-pre" in out
        assert client.get("/files/a b.txt").content == b"one"
        assert "nothing to do" in command("snapshots", "restore", "first one")[1]
        client.put("/files/a b.txt", content=b"x")
        restored = json.loads(
            command("snapshots", "restore", shown["items"][0]["id"], "--json")[1]
        )
        assert restored["changed"] == 1
        assert "forgotten" in command("snapshots", "delete", "first one")[1]
        code, _, err = command("snapshots", "delete", "first one")
        assert (code, "there is no snapshot first one" in err) == (Exit.FAILED, True)
        assert command("history", "nowhere")[0] == Exit.FAILED
        assert command("snapshots", "list", "--key", "wrong")[0] == Exit.NODE_REFUSED


def caller(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``aeorsync ...`` against a node; gives its exit code and output."""
    monkeypatch.setenv("AEORSYNC_URL", node.url)
    monkeypatch.setenv("AEORSYNC_KEY", node.key or "")
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

"""`aeorsync sync` as a user calls it, with a real server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.folder_clients import FolderProcess
from tests.support.folder_trees import look
from tests.support.nodes import NodeProcess, wait_until


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node") / "a") as node:
        yield node


@pytest.fixture
def pair(node: NodeProcess, tmp_path: Path) -> Iterator[tuple[FolderProcess, FolderProcess]]:
    url = f"{node.url}/{tmp_path.name}"
    with (
        FolderProcess(tmp_path, "one", url, node.key or "") as one,
        FolderProcess(tmp_path, "other", url, node.key or "") as other,
    ):
        yield one, other


Pair = tuple[FolderProcess, FolderProcess]


def fill(root: Path, count: int = 40) -> None:
    for number in range(count):
        path = root / f"d{number % 4}" / f"f{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"file {number}")


def test_two_commands_make_two_folders_equal(pair: Pair) -> None:
    one, other = pair
    fill(one.root)
    (one.root / "empty").mkdir()
    (one.root / "link").symlink_to("d0/f0.txt")
    (one.root / "run.sh").write_text("#!/bin/sh\n")
    (one.root / "run.sh").chmod(0o755)
    done = one.once()
    assert done.returncode == 0, done.stderr
    assert "uploaded run.sh" in done.stdout
    done = other.once()
    assert done.returncode == 0, done.stderr
    assert look(one.root).tree == look(other.root).tree
    assert one.once().stdout.startswith("nothing to do")


def test_what_is_deleted_here_is_deleted_there(pair: Pair) -> None:
    one, other = pair
    fill(one.root)
    one.once()
    other.once()
    (one.root / "d0/f0.txt").unlink()
    assert "deleted there d0/f0.txt" in one.once().stdout
    assert "deleted here d0/f0.txt" in other.once().stdout
    assert not (other.root / "d0/f0.txt").exists()


def test_a_dry_run_tells_and_changes_nothing(pair: Pair) -> None:
    one, other = pair
    fill(one.root, 3)
    done = one.once("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would upload d0/f0.txt" in done.stdout
    assert not one.state.exists()
    assert other.once().stdout.startswith("nothing to do")
    assert look(other.root).tree == {}


def test_a_conflict_is_shown_counted_and_settled_by_deleting_the_copy(pair: Pair) -> None:
    one, other = pair
    (one.root / "a.txt").write_text("base")
    one.once()
    other.once()
    (one.root / "a.txt").write_text("ada")
    (other.root / "a.txt").write_text("bob")
    assert one.once().returncode == 0
    done = other.once()
    assert done.returncode == 30, done.stdout + done.stderr
    assert "conflict a.txt" in done.stdout
    assert one.once().returncode == 30
    for folder in pair:
        status = folder.status()
        assert (status["state"], status["conflict_count"]) == ("conflicts", 1)
        (copy,) = folder.root.glob("a (conflict *).txt")
        texts = {copy.read_text(), (folder.root / "a.txt").read_text()}
        assert texts == {"ada", "bob"}
    kept = (one.root / "a.txt").read_text()
    next(one.root.glob("a (conflict *).txt")).unlink()
    assert one.once().returncode == 0
    done = other.once()
    assert (done.returncode, "settled a.txt" in done.stdout) == (0, True), done.stdout
    assert [path.name for path in other.root.iterdir()] == ["a.txt"]
    assert (other.root / "a.txt").read_text() == kept


@pytest.mark.parametrize("keeps", ["copy", "shown"])
def test_a_conflict_is_settled_by_naming_the_file_that_is_to_stay(pair: Pair, keeps: str) -> None:
    one, other = pair
    (one.root / "a.txt").write_text("ada")
    (other.root / "a.txt").write_text("bob")
    one.once()
    assert other.once().returncode == 30
    (copy,) = other.root.glob("a (conflict *).txt")
    named = copy if keeps == "copy" else other.root / "a.txt"
    kept = named.read_text()
    done = other.aeorsync("conflicts", "diff", str(copy))
    assert {"-ada", "-bob"} & set(done.stdout.splitlines()), done.stdout
    done = other.aeorsync("conflicts", "resolve", str(named))
    assert done.returncode == 0, done.stderr
    assert other.once().returncode == 0
    assert [path.name for path in other.root.iterdir()] == ["a.txt"]
    assert (other.root / "a.txt").read_text() == kept


def test_a_mass_deletion_stops_without_a_terminal(pair: Pair) -> None:
    one, other = pair
    fill(one.root)
    one.once()
    other.once()
    for path in sorted(one.root.rglob("*.txt"))[:30]:
        path.unlink()
    done = one.once()
    assert done.returncode == 32, done.stdout
    assert one.status()["state"] == "stopped"
    assert other.once().stdout.startswith("nothing to do")
    assert one.once("--max-delete", "100%").returncode == 0
    # What somebody agreed to on one machine is asked again on the other.
    assert other.once().returncode == 32
    assert other.once("--max-delete", "100%").returncode == 0
    assert look(one.root).tree == look(other.root).tree


def test_a_folder_that_is_gone_stops_and_deletes_nothing(pair: Pair) -> None:
    one, other = pair
    fill(one.root)
    one.once()
    one.root.rename(one.root.with_name("unmounted"))
    assert one.once().returncode == 33
    assert not one.root.exists()
    other.once()
    assert len(list(other.root.rglob("*.txt"))) == 40


def test_a_refused_key_and_a_server_that_is_away_have_their_codes(
    node: NodeProcess, tmp_path: Path
) -> None:
    wrong = f"aeor_k_{'0' * 16}_{'0' * 64}"
    stranger = FolderProcess(tmp_path, "stranger", f"{node.url}/x", wrong)
    done = stranger.once()
    assert done.returncode == 11, done.stdout + done.stderr
    away = FolderProcess(tmp_path, "away", "http://127.0.0.1:9/x", node.key or "")
    (away.root / "a").write_text("a")
    done = away.once()
    assert done.returncode == 10, done.stdout + done.stderr
    status = away.status()
    assert (status["state"], status["offline_since"] > 0) == ("offline", True)


def test_a_special_file_is_a_problem_and_the_rest_goes_on(pair: Pair) -> None:
    one, other = pair
    os.mkfifo(one.root / "pipe")
    (one.root / "a.txt").write_text("a")
    done = one.once()
    assert done.returncode == 31, done.stdout
    assert "problem pipe" in done.stdout
    (problem,) = one.status()["problems"]
    assert (problem["path"], problem["why"]) == ("pipe", "special")
    other.once()
    assert [path.name for path in other.root.iterdir()] == ["a.txt"]


def test_watched_folders_follow_each_other_and_a_server_that_comes_back(
    tmp_path: Path,
) -> None:
    with (
        NodeProcess(tmp_path / "node") as node,
        FolderProcess(tmp_path, "one", f"{node.url}/w", node.key or "") as one,
        FolderProcess(tmp_path, "other", f"{node.url}/w", node.key or "") as other,
    ):
        one.start()
        other.start()
        (one.root / "a.txt").write_text("one")
        wait_until((other.root / "a.txt").exists)
        (other.root / "a.txt").write_text("two")
        wait_until(lambda: (one.root / "a.txt").read_text() == "two")
        wait_until(lambda: one.status()["is_running"])
        node.kill()
        (one.root / "b.txt").write_text("while it was away")
        wait_until(lambda: any(event["event"] == "offline" for event in one.events()))
        node.start()
        wait_until((other.root / "b.txt").exists, 60)
        assert one.stop() == 0
        assert other.interrupt() == 130
        assert not one.status()["is_running"]


def test_ctrl_c_in_the_middle_and_the_next_run_goes_on(pair: Pair) -> None:
    one, other = pair
    for number in range(8):
        (one.root / f"big{number}").write_bytes(os.urandom(12 << 20))
    process = subprocess.Popen(
        one.command("--json"), stdout=subprocess.PIPE, env=one.environment, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    ended = json.loads(out.splitlines()[-1])
    assert (ended["event"], ended["exit_code"]) == ("ended", 130)
    assert "the next run goes on from there" in ended["reason"]
    assert one.once().returncode == 0
    assert other.once().returncode == 0
    assert look(one.root).tree == look(other.root).tree


def test_all_folders_of_a_file_are_kept(node: NodeProcess, tmp_path: Path) -> None:
    config = tmp_path / "aeorsync.toml"
    tables = [
        f'[[sync]]\nlocal = "{tmp_path}/{name}"\nremote = "{node.url}/{tmp_path.name}/{name}"\n'
        for name in ("x", "y")
    ]
    config.write_text("".join(tables))
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.txt").write_text("a")
    environment = {
        **os.environ,
        "AEORSYNC_KEY": node.key or "",
        "AEORSYNC_CONFIG": str(config),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def aeorsync(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "aeorsync", "sync", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )

    done = aeorsync("--all")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/x: uploaded a.txt" in done.stdout
    status = json.loads(aeorsync("status", "--json").stdout)
    assert [folder["state"] for folder in status["folders"]] == ["in-sync", "in-sync"]


def test_what_waited_for_a_name_comes_as_soon_as_the_name_is_free(pair: Pair) -> None:
    one, other = pair
    (one.root / "d").mkdir()
    (one.root / "d/x").write_text("x")
    one.once()
    other.once()
    (other.root / "d/x").unlink()
    (other.root / "d").rmdir()
    (other.root / "d").write_text("a file now")
    (one.root / "d/new").write_text("came meanwhile")
    one.once()
    other.start()
    wait_until(lambda: any(event["event"] == "pass-ended" for event in other.events()), 60)
    assert other.status()["state"] == "problems"
    (other.root / "d").rename(other.root / "e")
    wait_until((other.root / "d/new").exists)
    one.once()
    assert (one.root / "e").read_text() == "a file now"
    assert not (one.root / "d/x").exists()
    wait_until(lambda: other.status()["state"] == "in-sync")

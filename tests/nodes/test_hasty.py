"""`aeorsync sync` with little to do: what it loads, and when it goes the long way."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aeorsync.config import Exit
from aeorsync.folder.places import Places
from tests.support.folder_clients import FolderProcess
from tests.support.nodes import NodeProcess

HEAVY = {
    "asyncio",
    "concurrent",
    "ctypes",
    "dataclasses",
    "httpx",
    "inspect",
    "logging",
    "pyfastcdc",
    "ssl",
    "subprocess",
    "tomllib",
    "uvloop",
    "zstandard",
}
"""Each takes longer to load than a hundred files to look at."""
MOST = 96
"""Modules of ours, and most that it may be: each is half a millisecond."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node") / "a") as node:
        yield node


@pytest.fixture
def folder(node: NodeProcess, tmp_path: Path) -> Iterator[FolderProcess]:
    with FolderProcess(tmp_path, "one", f"{node.url}/{tmp_path.name}", node.key or "") as one:
        for number in range(40):
            path = one.root / f"d{number % 4}" / f"f{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"file {number}")
        assert one.once().returncode == 0
        yield one


def passed(folder: FolderProcess) -> tuple[str, set[str]]:
    """What a pass told last, and what it loaded."""
    environment = {**folder.environment, "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        folder.command(), capture_output=True, text=True, env=environment, check=False
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()[-1], loaded


def tops(loaded: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in loaded}


def test_a_pass_with_nothing_to_do_loads_next_to_nothing(folder: FolderProcess) -> None:
    said, loaded = passed(folder)
    assert said.startswith("nothing to do")
    assert HEAVY.isdisjoint(tops(loaded))
    assert sum(name.startswith("aeorsync") for name in loaded) <= MOST


def test_a_small_file_that_changed_is_sent_without_an_event_loop(folder: FolderProcess) -> None:
    (folder.root / "d1/f1.txt").write_text("changed")
    (folder.root / "d1/f5.txt").unlink()
    (folder.root / "d1/new.txt").write_text("new")
    said, loaded = passed(folder)
    assert said.startswith("2 uploaded, 1 deleted there")
    assert {"asyncio", "httpx", "uvloop", "ssl"}.isdisjoint(tops(loaded))
    assert passed(folder)[0].startswith("nothing to do")


def test_what_comes_from_the_server_goes_the_long_way(
    folder: FolderProcess, tmp_path: Path
) -> None:
    key = folder.environment["AEORSYNC_KEY"]
    with FolderProcess(tmp_path, "other", folder.url, key) as other:
        assert other.once().returncode == 0
        (other.root / "d0/f0.txt").write_text("of another")
        assert other.once().returncode == 0
    (folder.root / "d2/f2.txt").write_text("of ours")
    said, loaded = passed(folder)
    assert said.startswith("1 uploaded, 1 downloaded")
    assert "asyncio" in tops(loaded)
    assert (folder.root / "d0/f0.txt").read_text() == "of another"


def test_each_event_is_told_once_whichever_way_it_goes(folder: FolderProcess) -> None:
    (folder.root / "d1/f1.txt").write_text("changed")
    short = folder.once("--json")
    (folder.root / "d1/large").write_bytes(bytes(300_000))
    long = folder.once("--json")
    for done, path in ((short, "d1/f1.txt"), (long, "d1/large")):
        told = [json.loads(line) for line in done.stdout.splitlines()]
        names = [one["event"] for one in told if one["event"] != "progress"]
        assert names == ["pass-started", "uploaded", "pass-ended", "ended"]
        assert next(one["path"] for one in told if one["event"] == "uploaded") == path
        assert {one["folder"] for one in told} == {str(folder.root)}


def test_a_pass_notes_how_the_folder_stands(folder: FolderProcess) -> None:
    before = folder.status()["last_pass"]
    assert folder.once().returncode == 0
    status = folder.status()
    assert (status["state"], status["is_running"]) == ("in-sync", False)
    assert status["last_pass"] > before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_is_told_how_far_it_came(folder: FolderProcess, number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # The same place and ledger, and a server that takes requests and never answers.
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        places = Places(folder.state / "aeorsync")
        ((place, note),) = places.all()
        other = places.place(folder.root, address, note.path)
        shutil.copytree(place.folder, other.folder)
        folder.url = f"{address}{note.path}"
        command = folder.command()
        with (
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=folder.environment
            ) as process,
            silent.accept()[0] as line,
        ):
            line.recv(1)
            process.send_signal(number)
            told, _ = process.communicate(timeout=30)
    assert told == "stopped after 0 changes; the next run goes on from there\n"
    assert process.returncode == Exit.INTERRUPTED


def test_a_refusal_is_told_as_ever(folder: FolderProcess) -> None:
    wrong = {**folder.environment, "AEORSYNC_KEY": "aeor_k_wrong"}
    done = subprocess.run(folder.command(), capture_output=True, text=True, env=wrong, check=False)
    assert done.returncode == Exit.NODE_REFUSED
    assert "Invalid API key; give a key that may do this" in done.stdout

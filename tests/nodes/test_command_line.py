"""The commands that work on files of a running node: the real program, as a person calls it."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aeorsync.cli.main import main
from aeorsync.config import Exit
from tests.support.nodes import NodeProcess, wait_until

COMMAND = [str(Path(sys.executable).with_name("aeorsync"))]


@dataclass
class Done:
    """What came of a command."""

    stdout: bytes
    stderr: bytes


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("command") / "data") as process:
        yield process


@pytest.fixture
def environment(node: NodeProcess, tmp_path: Path) -> dict[str, str]:
    """What a process of its own is given."""
    told = {"AEORSYNC_URL": node.url, "AEORSYNC_KEY": node.key or "", "COLUMNS": "200"}
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return {**os.environ, **told, **home, "NO_COLOR": "1"}


@pytest.fixture
def run(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Runs ``aeorsync ...`` in a folder of its own, in this process: a start takes longest."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str, give: bytes = b"", code: int = 0, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["aeorsync", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(give)))
            for name, value in variables.items():
                patch.setenv(name, value)
            try:
                ended = main()
            except SystemExit as stop:
                ended = int(stop.code or 0)
        found = capfdbinary.readouterr()
        assert ended == code, found.err.decode()
        return Done(found.out, found.err)

    return command


def told(done: Done) -> Any:  # noqa: ANN401  # any JSON
    return json.loads(done.stdout)


def test_a_login_is_stored_once_it_works_and_used_from_then_on(
    run: Run, node: NodeProcess, tmp_path: Path
) -> None:
    nothing = {"AEORSYNC_URL": "", "AEORSYNC_KEY": ""}
    key = (node.key or "").encode()
    wrong = b"aeor_k_0123456789abcdef_" + b"0" * 64
    done = run("login", node.url, give=wrong, code=Exit.NODE_REFUSED, **nothing)
    assert not (tmp_path / "config").exists()
    done = run("login", node.url, give=key + b"\n", **nothing)
    assert key not in done.stdout + done.stderr
    run("login", node.url, "--profile", "other", give=key, **nothing)
    file = tmp_path / "config/aeorsync/profiles.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert told(run("login", "--list", "--json", **nothing))["items"] == [
        {"profile": "default", "url": node.url},
        {"profile": "other", "url": node.url},
    ]
    run("mkdir", "/login", **nothing)
    assert b"login" in run("ls", "/", **nothing).stdout
    run("logout", **nothing)
    run("ls", "/", "--url", node.url, "--profile", "other", **nothing)
    run("ls", "/", "--profile", "default", code=Exit.CONFIG, **nothing)
    run("logout", code=Exit.NOT_FOUND, **nothing)


def test_a_folder_goes_there_and_comes_back_as_it_was(run: Run, tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "src/a/b").mkdir(parents=True)
    (here / "src/empty").mkdir()
    for name in ("one.txt", "a/two.txt", "a/b/[red]three ü"):
        (here / "src" / name).write_bytes(name.encode() * 1000)
    (here / "src/one.txt").chmod(0o755)
    os.utime(here / "src/one.txt", ns=(0, 1_700_000_000_123_456_789))
    (here / "src/link").symlink_to("one.txt")
    (here / "src/dangling").symlink_to("../../nowhere")
    run("put", "src", "/there")
    tree = run("tree", "/there").stdout.decode()
    assert "one.txt" in tree
    assert "[red]three ü" in tree
    report = told(run("get", "/there", "--json"))
    assert (len(report["files"]), report["problems"]) == (5, [])
    compared = subprocess.run(
        ["diff", "-r", "--no-dereference", "src", "there"],
        cwd=here,
        capture_output=True,
        check=False,
    )
    assert compared.stdout == b""
    found = (here / "there/one.txt").stat()
    assert (found.st_mode & 0o111, found.st_mtime_ns) == (0o111, 1_700_000_000_123_456_789)
    report = told(run("get", "/there", "--json"))
    assert (report["files"], report["skipped"]) == ([], 5)


def test_what_is_here_is_left_alone_unless_forced(run: Run, tmp_path: Path) -> None:
    run("put", "-", "/left/a", give=b"theirs")
    mine = tmp_path / "here/a"
    mine.write_bytes(b"mine")
    done = run("get", "/left/a", code=Exit.FAILED)
    assert b"--force" in done.stderr
    assert mine.read_bytes() == b"mine"
    run("get", "/left/a", "-f")
    assert mine.read_bytes() == b"theirs"
    run("put", "a", "/left/a", "--no-clobber", code=Exit.FAILED)


def test_nothing_is_written_through_a_link_that_lies_in_the_way(run: Run, tmp_path: Path) -> None:
    run("put", "-", "/trick/sub/a", give=b"x")
    run("put", "-", "/trick/b", give=b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "here/trick").mkdir()
    (tmp_path / "here/trick/sub").symlink_to(outside)
    (tmp_path / "here/trick/b").symlink_to(outside / "b")
    run("get", "/trick", "-o", "trick/..", "-f", code=Exit.FAILED)
    assert list(outside.iterdir()) == []
    assert (tmp_path / "here/trick/b").read_bytes() == b"x"


def test_pipes_carry_bytes_both_ways(run: Run) -> None:
    body = os.urandom(3_000_000)
    run("put", "-", "/pipe/a", give=body)
    assert run("cat", "/pipe/a").stdout == body
    assert run("get", "/pipe/a", "-o", "-").stdout == body
    assert run("cat", "/pipe/a", "--range", "5-9").stdout == body[5:10]
    assert run("cat", "/pipe/a", "--range", "-7").stdout == body[-7:]
    assert run("cat", "/pipe/a", "--range", "2999990-").stdout == body[-10:]
    run("cat", "/pipe/a", "--range", "x", code=Exit.USAGE)
    run("put", "-", "/pipe/", give=body, code=Exit.USAGE)


def test_a_reader_that_has_enough_ends_it_quietly(run: Run, environment: dict[str, str]) -> None:
    run("put", "-", "/broken", give=bytes(20_000_000))
    process = subprocess.Popen(
        [*COMMAND, "cat", "/broken"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == Exit.FAILED
    process.stderr.close()


def test_a_download_that_was_killed_goes_on(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    body = os.urandom(60_000_000)
    run("put", "-", "/killed", give=body)
    here = tmp_path / "here"

    def part() -> int:
        return sum(path.stat().st_size for path in here.iterdir())

    process = subprocess.Popen([*COMMAND, "get", "/killed"], env=environment, cwd=here)
    wait_until(lambda: part() > 2_000_000 or process.poll() is not None)
    process.kill()
    process.wait()
    run("get", "/killed", code=0 if not (here / "killed").exists() else Exit.OK)
    assert (here / "killed").read_bytes() == body
    assert [path.name for path in here.iterdir()] == ["killed"]


@pytest.mark.parametrize("stop", [signal.SIGINT])
def test_ctrl_c_ends_it_with_a_word(
    environment: dict[str, str], stop: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "put", "-", "/interrupted"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    process.stdin.write(b"x" * 100_000)
    process.stdin.flush()
    time.sleep(3)
    process.send_signal(stop)
    assert process.wait(20) == Exit.INTERRUPTED
    process.stdin.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_paths_are_made_moved_copied_linked_deleted_and_restored(
    run: Run, node: NodeProcess
) -> None:
    run("mkdir", "/ops/sub", "/ops/other")
    run("put", "-", "/ops/a", give=b"a")
    run("ln", "a", "/ops/l")
    run("mv", "/ops/a", "/ops/b")
    run("mv", "/ops/b", "/ops/l", "/ops/sub/")
    run("mv", "/ops/sub/b", f"{node.url}/ops/b")
    assert told(run("cp", "/ops/b", "/ops/copies", "--json"))["copied"] == ["/ops/copies/b"]
    run("cp", "/ops/nope", "/ops/copies", code=Exit.FAILED)
    names = [item["name"] for item in told(run("ls", "/ops", "--json"))["items"]]
    assert names == ["copies", "other", "sub", "b"]
    assert b"1 byte" in run("ls", "-l", "/ops").stdout
    assert run("ls", "-R", "/ops", "--glob", "b").stdout.split() == [b"/ops/b", b"/ops/copies/b"]
    facts = told(run("stat", f"{node.url}/ops/sub/l", "--json"))
    assert (facts["kind"], facts["target"]) == ("symlink", "a")
    assert b"blake3" in run("stat", "/ops/b").stdout
    run("rm", "/ops/sub", code=Exit.FAILED)
    run("rm", "-r", "/ops/sub", code=Exit.USAGE)
    run("rm", "-ry", "/ops/sub", "/ops/other")
    done = run("rm", "/ops/b", "/ops/nope", code=Exit.FAILED)
    assert b"/ops/nope" in done.stderr
    deleted = {item["path"] for item in told(run("ls", "/ops", "--deleted", "--json"))["items"]}
    assert {"/ops/b", "/ops/sub/l"} <= deleted
    run("restore", "/ops/b")
    assert run("cat", "/ops/b").stdout == b"a"


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "/nope"),
        ("tree", "/nope"),
        ("stat", "/nope"),
        ("cat", "/nope"),
        ("get", "/nope"),
        ("put", "nope", "/x"),
        ("rm", "/nope"),
        ("mv", "/nope", "/x"),
        ("restore", "/nope"),
        ("conflicts", "show", "/nope"),
        ("conflicts", "diff", "/nope"),
        ("conflicts", "resolve", "/nope", "--pick", "winner"),
        ("fork", "promote", "nope"),
    ],
)
def test_what_is_not_there_is_said_so_with_its_code(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, code=Exit.NOT_FOUND)
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("path", ["/a/../b", "/a//b", "/a\x1b[31m", ""])
def test_paths_that_cannot_be_are_refused_and_shown_escaped(run: Run, path: str) -> None:
    if path:
        done = run("ls", path, code=Exit.USAGE)
        assert b"\x1b" not in done.stderr


def test_paths_on_two_servers_are_refused(run: Run) -> None:
    run("mv", "http://127.0.0.1:1/a", "http://127.0.0.1:2/b", code=Exit.USAGE)
    run("ls", "http://127.0.0.1:1/a", "--url", "http://127.0.0.1:2", code=Exit.USAGE)
    run("ls", "http://127.0.0.1:1/a", code=Exit.NODE_UNREACHABLE)


def in_conflict(run: Run, node: NodeProcess, path: str) -> None:
    run("put", "-", path, give=b"a\nb\nc\n")
    with node.client() as http:
        base = http.head(f"/files{path}").headers["etag"]
        http.put(f"/files{path}", content=b"a\nB\nc\n").raise_for_status()
        edit = {"X-AeorSync-Base": base}
        http.put(f"/files{path}", content=b"a\nb\nC\n", headers=edit).raise_for_status()


def test_conflicts_are_listed_compared_and_settled(run: Run, node: NodeProcess) -> None:
    in_conflict(run, node, "/con/x")
    in_conflict(run, node, "/con/y")
    assert told(run("conflicts", "list", "--json"))["count"] == 2
    assert told(run("conflicts", "list", "/con/y", "--json"))["count"] == 1
    assert b"both edited" in run("conflicts", "list", "/con").stdout
    assert b"2 conflicts" in run("status").stdout
    shown = run("conflicts", "show", "/con/x").stdout
    versions = told(run("conflicts", "show", "/con/x", "--json"))["versions"]
    for version in versions:
        assert version["id"].encode() in shown
    difference = run("conflicts", "diff", "/con/x").stdout.decode().splitlines()
    assert {"-C", "+B"} <= set(difference)
    run("conflicts", "diff", "/con/x", "--from", "base", code=Exit.NOT_FOUND)
    run("conflicts", "resolve", "/con/x", "--pick", "3", code=Exit.USAGE)
    run("conflicts", "resolve", "/con/x", "/con/y", "--pick", "2", code=Exit.USAGE)
    run("conflicts", "resolve", "/con/x", "--pick", versions[1]["id"])
    assert run("cat", "/con/x").stdout == b"a\nB\nc\n"
    run("conflicts", "resolve", "--all", "/con/**", "--pick", "newest", "--dry-run")
    report = told(run("conflicts", "resolve", "--all", "/con/*", "--pick", "newest", "--json"))
    assert [one["path"] for one in report["resolved"]] == ["/con/y"]
    assert run("cat", "/con/y").stdout == b"a\nb\nC\n"
    assert told(run("conflicts", "list", "--json"))["count"] == 0


def test_what_both_sides_began_with_is_found_in_a_snapshot(run: Run, node: NodeProcess) -> None:
    run("put", "-", "/base/x", give=b"a\nb\nc\n")
    run("snapshot", "create", "begin")
    with node.client() as http:
        base = http.head("/files/base/x").headers["etag"]
        http.put("/files/base/x", content=b"a\nB\nc\n").raise_for_status()
        http.put("/files/base/x", content=b"C", headers={"X-AeorSync-Base": base})
    difference = run("conflicts", "diff", "/base/x", "--from", "base", "--to", "1").stdout
    assert b"snapshot begin" in difference
    assert b"+C" in difference
    run("conflicts", "resolve", "/base/x", "--pick", "winner")


def test_changes_are_tried_in_a_fork(run: Run) -> None:
    run("put", "-", "/fork/a", give=b"now")
    run("fork", "create", "trial")
    run("put", "-", "/fork/a", "--fork", "trial", give=b"maybe")
    assert run("cat", "/fork/a").stdout == b"now"
    assert run("cat", "/fork/a", "--fork", "trial").stdout == b"maybe"
    assert b"trial" in run("fork", "list").stdout
    assert told(run("fork", "promote", "trial", "--json"))["changed"] == 1
    assert run("cat", "/fork/a").stdout == b"maybe"
    run("fork", "create", "trial")
    run("fork", "abandon", "trial")
    assert told(run("fork", "list", "--json"))["items"] == []


def test_the_past_is_looked_at_and_brought_back(run: Run) -> None:
    run("put", "-", "/past/a", give=b"old")
    run("snapshot", "create", "then")
    run("put", "-", "/past/a", give=b"new")
    assert run("cat", "/past/a", "--snapshot", "then").stdout == b"old"
    assert [
        item["name"] for item in told(run("ls", "/past", "--snapshot=then", "--json"))["items"]
    ]
    rows = told(run("history", "/past/a", "--json"))["history"]
    run("restore", "/past/a", "--snapshot", "then")
    assert run("cat", "/past/a").stdout == b"old"
    run("restore", "/past/a", "--version", rows[0]["version"])
    assert run("cat", "/past/a").stdout == b"new"
    run("restore", "/past/a", "--version", "x", "--snapshot", "then", code=Exit.USAGE)


def test_events_are_shown_as_they_happen(run: Run, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "events", "--prefix", "/live", "--json", "--kind", "entries_created"],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    time.sleep(4)
    run("put", "-", "/live/a", give=b"x")
    event = json.loads(process.stdout.readline())
    assert event["kind"] == "entries_created"
    assert "/live/a" in [entry["path"] for entry in event["payload"]["entries"]]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == Exit.OK
    process.stdout.close()


def test_a_sync_is_asked_for(run: Run) -> None:
    assert told(run("trigger", "--json"))["peers_synced"] == 0
    run("trigger", "--direction", "sideways", code=Exit.USAGE)


def test_a_shell_completes_paths(run: Run, environment: dict[str, str]) -> None:
    run("put", "-", "/complete/apple", give=b"x")
    run("mkdir", "/complete/april")
    asked = {
        "_AEORSYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": "aeorsync ls /complete/ap",
        "COMP_CWORD": "2",
    }

    def completed() -> list[bytes]:
        return subprocess.run(
            COMMAND, env={**environment, **asked}, capture_output=True, timeout=60, check=True
        ).stdout.split()

    # On a busy machine it may take too long, and then says nothing.
    wait_until(lambda: completed() == [b"/complete/april/", b"/complete/apple"])

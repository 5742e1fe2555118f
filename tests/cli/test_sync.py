"""`aeorsync sync` around a session that only plays: words, exit codes, notes, questions."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
import typer

from aeorsync.cli import folders, syncing
from aeorsync.cli.main import main
from aeorsync.cli.sync import How
from aeorsync.config import Exit
from aeorsync.errors import (
    AeorError,
    BusyError,
    CorruptError,
    DeniedError,
    UnauthorizedError,
    UnavailableError,
)
from aeorsync.folder import events
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Act, Outcome, Phase, Report, Side, Why
from aeorsync.folder.options import Options
from aeorsync.folder.places import Places, State
from aeorsync.folder.root import RootGoneError
from aeorsync.folder.session import ConflictCopies, Status

URL = "http://files.example:6830/docs"
TROUBLE = events.Problem("pipe", Why.SPECIAL, "is neither a file nor a link; it was left alone")
COPIES = ConflictCopies("a.txt", ("a (conflict ab12 2026-11-21 10-00-00).txt",))
Play = Callable[["Session", Report], Awaitable[Outcome]]


class Session:
    """Stands in for `FolderSync`; a test writes its play."""

    play: Play
    standing = Status()
    made: list["Session"]

    def __init__(
        self, root: Path, client: object, remote_path: str, options: Options, ledger: Path
    ) -> None:
        self.root, self.client, self.remote_path = root, client, remote_path
        self.options, self.ledger = options, ledger
        assert root.is_dir()
        assert ledger.parent.is_dir()
        Session.made.append(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def run_once(self, report: Report) -> Outcome:
        outcome = await Session.play(self, report)
        report(events.PassEnded(outcome))
        return outcome

    async def watch(self, report: Report) -> None:
        await self.run_once(report)
        await asyncio.Event().wait()

    def status(self) -> Status:
        return Session.standing


def plays(outcome: Outcome, *told: events.Event) -> Play:
    async def play(_session: Session, report: Report) -> Outcome:
        for event in told:
            report(event)
        return outcome

    return play


def fails(error: Exception) -> Play:
    async def play(_session: Session, _report: Report) -> Outcome:
        raise error

    return play


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("AEORSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(syncing, "FolderSync", Session)
    Session.play = staticmethod(plays(Outcome()))
    Session.standing = Status(last_pass=1)
    Session.made = []
    yield tmp_path
    signal.signal(signal.SIGINT, signal.default_int_handler)


def sync(*arguments: object) -> int:
    """Return the exit code of `aeorsync sync` with these arguments."""
    sys.argv = ["aeorsync", "sync", *map(str, arguments)]
    try:
        return main()
    except SystemExit as stop:
        return int(stop.code or 0)


def set_play(play: Play) -> None:
    Session.play = staticmethod(play)


def test_a_folder_in_sync_ends_with_0_and_is_noted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_play(plays(Outcome(uploaded=1), events.Uploaded("a.txt", 1200, is_new=True)))
    assert sync(home / "docs", URL) == Exit.OK
    out = capsys.readouterr().out
    assert "uploaded a.txt (1.2 kB)" in out
    assert "1 uploaded" in out
    ((_, note),) = Places(home / "state" / "aeorsync").all()
    assert note.local == str(home / "docs")
    assert (note.url, note.path) == ("http://files.example:6830", "/docs")
    assert note.state is State.SYNCED


def test_every_option_reaches_the_session(home: Path) -> None:
    flags = ["--direction", "push", "--include", "*.txt", "--include", "*.md"]
    flags += [
        "--exclude",
        "build/",
        "--max-delete",
        "7",
        "--no-delete-local",
        "--no-delete-remote",
    ]
    assert sync(home / "docs", URL, *flags) == Exit.OK
    (made,) = Session.made
    options = made.options
    assert options.direction.value == "push"
    assert (options.include, options.exclude) == (("*.txt", "*.md"), ("build/",))
    assert str(options.max_delete) == "7"
    assert (options.delete_local, options.delete_remote) == (False, False)
    assert made.remote_path == "/docs"


def test_the_same_folder_has_the_same_ledger_and_another_path_another(home: Path) -> None:
    for url in (URL, f"{URL}/", f"{URL}/more"):
        sync(home / "docs", url)
    first, second, third = (session.ledger for session in Session.made)
    assert first == second
    assert first != third
    assert not first.is_relative_to(home / "docs")


@pytest.mark.parametrize(
    ("outcome", "standing", "code", "words"),
    [
        (Outcome(), Status(conflicts=(COPIES,)), Exit.CONFLICTS, "1 conflict"),
        (Outcome(problems=(TROUBLE,)), Status(problems=(TROUBLE,)), Exit.PROBLEMS, "1 problem"),
    ],
    ids=["conflicts", "problems"],
)
def test_what_needs_a_person_has_an_exit_code(  # two fixtures
    home: Path,
    capsys: pytest.CaptureFixture[str],
    outcome: Outcome,
    standing: Status,
    code: Exit,
    words: str,
) -> None:
    set_play(plays(outcome))
    Session.standing = standing
    assert sync(home / "docs", URL) == code
    assert words in capsys.readouterr().out
    assert sync("status", home / "docs") == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnavailableError("the server does not answer"), Exit.NODE_UNREACHABLE),
        (UnauthorizedError("the key is not known"), Exit.NODE_REFUSED),
        (DeniedError("the key may not do this"), Exit.NODE_REFUSED),
        (MassDeletionError("60 of 100 files would be deleted"), Exit.MASS_DELETION),
        (RootGoneError("the folder is gone"), Exit.FOLDER_GONE),
        (BusyError("another process keeps this folder"), Exit.DATA_LOCKED),
        (CorruptError("the ledger is damaged"), Exit.DAMAGED),
        (AeorError("something else"), Exit.FAILED),
    ],
)
def test_what_stops_a_pass_has_an_exit_code_and_is_noted(
    home: Path, capsys: pytest.CaptureFixture[str], error: AeorError, code: Exit
) -> None:
    set_play(fails(error))
    assert sync(home / "docs", URL) == code
    assert error.message in capsys.readouterr().out
    ((_, note),) = Places(home / "state" / "aeorsync").all()
    assert note.reason.startswith(error.message)
    assert sync("status") == code


def test_json_is_one_event_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = (
        events.PassStarted("start", is_full=True),
        events.Progress(Phase.PUSH, 0, 2),
        events.Deleted("old.txt", Side.REMOTE),
        events.Conflicted("a.txt", COPIES.copies),
        TROUBLE,
    )
    set_play(plays(Outcome(deleted_remote=1, conflicts=1, problems=(TROUBLE,)), *told))
    Session.standing = Status(problems=(TROUBLE,))
    sync(home / "docs", URL, "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [line["event"] for line in lines]
    wanted = [
        "pass-started",
        "progress",
        "deleted",
        "conflicted",
        "problem",
        "pass-ended",
        "ended",
    ]
    assert names == wanted
    assert lines[2] == {
        "event": "deleted",
        "path": "old.txt",
        "side": "remote",
        "folder": str(home / "docs"),
    }
    assert lines[4]["why"] == "special"
    assert lines[5]["outcome"]["deleted_remote"] == 1
    assert (lines[6]["state"], lines[6]["exit_code"]) == ("problems", 31)


def test_quiet_tells_only_what_needs_a_person(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = (events.Uploaded("a", 1, is_new=True), TROUBLE, TROUBLE)
    set_play(plays(Outcome(uploaded=1), *told))
    sync(home / "docs", URL, "--quiet")
    out = capsys.readouterr().out
    assert out.splitlines() == [f"problem pipe: {TROUBLE.message}"]


def test_names_cannot_write_to_the_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_play(plays(Outcome(), events.Uploaded("[red]\x1b[2Jx\n", 1, is_new=True)))
    sync(home / "docs", URL)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]\\x1b[2Jx\\n" in out


def test_a_dry_run_changes_nothing_at_all(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = [events.Planned(f"{act.value}.txt", act, 5) for act in Act]
    set_play(plays(Outcome(uploaded=1, is_dry=True), *planned))
    assert sync(home / "docs", URL, "--dry-run", "--watch") == Exit.OK
    out = capsys.readouterr().out
    assert "would upload upload.txt" in out
    assert "would delete here delete-local.txt" in out
    assert "1 would be uploaded" in out
    assert not (home / "docs").exists()
    assert not (home / "state").exists()
    assert Session.made[0].options.dry_run


def test_a_plan_is_made_with_a_copy_of_the_ledger(home: Path) -> None:
    sync(home / "docs", URL)
    ledger = Session.made[0].ledger
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("CREATE TABLE agreed (path TEXT)")

    async def play(session: Session, _report: Report) -> Outcome:
        with closing(sqlite3.connect(session.ledger)) as db, db:
            db.execute("DROP TABLE agreed")
        return Outcome(is_dry=True)

    set_play(play)
    assert sync(home / "docs", URL, "--dry-run") == Exit.OK
    assert Session.made[1].ledger != ledger
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("SELECT count(*) FROM agreed").fetchone() == (0,)


def test_a_known_folder_that_is_gone_is_not_made_anew(home: Path) -> None:
    sync(home / "docs", URL)
    Session.made[0].ledger.touch()
    (home / "docs").rmdir()
    with pytest.raises(AssertionError):
        syncing.run([folders.named(str(home / "docs"), URL, folders.Flags())], How())
    assert not (home / "docs").exists()


def test_a_mass_deletion_asks_at_a_terminal_and_goes_on_if_told_to(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return True

    async def play(session: Session, _report: Report) -> Outcome:
        if str(session.options.max_delete) != "100%":
            raise MassDeletionError("60 of 100 files would be deleted here")
        return Outcome(deleted_local=60)

    set_play(play)
    monkeypatch.setattr(syncing, "is_somebody_there", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    assert sync(home / "docs", URL) == Exit.OK
    assert [str(session.options.max_delete) for session in Session.made] == ["50%", "100%"]
    (question,) = asked
    assert "60 of 100" in question


def test_a_mass_deletion_that_nobody_wants_stops(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_play(fails(MassDeletionError("60 of 100 files would be deleted here")))
    monkeypatch.setattr(syncing, "is_somebody_there", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    assert sync(home / "docs", URL) == Exit.MASS_DELETION


@pytest.mark.parametrize(
    ("number", "flags", "code"),
    [
        (signal.SIGINT, [], 130),
        (signal.SIGINT, ["--watch"], 130),
        (signal.SIGTERM, [], 130),
        (signal.SIGTERM, ["--watch"], 0),
    ],
)
def test_a_signal_stops_it_where_it_is(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    flags: list[str],
    code: int,
) -> None:
    ended: list[bool] = []

    async def play(_session: Session, report: Report) -> Outcome:
        report(events.Uploaded("a.txt", 1, is_new=True))
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)
        return Outcome()

    set_play(play)
    assert sync(home / "docs", URL, *flags) == code
    assert ended
    if not flags:
        assert "after 1 changes; the next run goes on" in capsys.readouterr().out


def test_all_folders_of_the_file_are_kept_and_the_worst_decides(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "config/aeorsync").mkdir(parents=True)
    (home / "config/aeorsync/aeorsync.toml").write_text(
        f"[[sync]]\nlocal = '{home}/a'\nremote = '{URL}/a'\n"
        f"[[sync]]\nlocal = '{home}/b'\nremote = '{URL}/b'\ndirection = 'pull'\n"
    )

    async def play(session: Session, _report: Report) -> Outcome:
        if session.root.name == "a":
            raise UnavailableError("no answer")
        return Outcome(downloaded=2)

    set_play(play)
    assert sync("--all") == Exit.NODE_UNREACHABLE
    out = capsys.readouterr().out
    assert f"{home}/a: stopped no answer" in out
    assert f"{home}/b: 2 downloaded" in out
    assert sync("status") == Exit.NODE_UNREACHABLE
    assert sync("status", home / "b") == Exit.OK


@pytest.mark.parametrize(
    "arguments",
    [
        ["docs"],
        [],
        ["--all", "docs", URL],
        ["--all", "--direction", "pull"],
        ["docs", URL, "--config", "x"],
    ],
)
def test_what_does_not_go_together_is_refused(home: Path, arguments: list[str]) -> None:
    assert sync(*arguments) == Exit.USAGE
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["docs", "files.example/docs"], "REMOTE_URL: 'files.example/docs' is not a URL"),
        (["docs", URL, "--direction", "up"], "--direction: 'up' is not a direction"),
        (["docs", URL, "--max-delete", "half"], "--max-delete: 'half' is neither"),
        (["--all"], "cannot read the settings"),
    ],
)
def test_what_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert sync(*arguments) == Exit.CONFIG
    assert words in capsys.readouterr().err


def test_status_tells_why_and_since_when(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_play(plays(Outcome(problems=(TROUBLE,))))
    Session.standing = Status(conflicts=(COPIES,), problems=(TROUBLE,), waiting=3)
    sync(home / "docs", URL)
    capsys.readouterr()
    assert sync("status", home / "docs" / "sub" / "x.txt") == Exit.PROBLEMS
    out = capsys.readouterr().out
    assert "1 not in sync" in out
    assert "3 changes of the server wait" in out
    assert f"conflict a.txt: {COPIES.copies[0]}" in out
    assert "special pipe: is neither a file nor a link" in out
    sync("status", "--json")
    (folder,) = json.loads(capsys.readouterr().out)["folders"]
    assert (folder["conflict_count"], folder["problem_count"]) == (1, 1)
    assert folder["is_running"] is False


def test_status_of_a_folder_that_was_never_synced_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync("status") == Exit.OK
    assert "No folder yet" in capsys.readouterr().out
    assert sync("status", home / "docs") == Exit.USAGE
    assert "is in no folder that was synced" in capsys.readouterr().err


def test_a_problem_is_over_when_its_path_or_a_folder_above_was_made_equal(home: Path) -> None:
    inside = events.Problem("d/x", Why.CLASH, "is a folder on the other side")

    async def play(_session: Session, report: Report) -> Outcome:
        report(events.PassEnded(Outcome(problems=(inside, TROUBLE))))
        report(events.PassStarted("local", is_full=False))
        report(events.Uploaded("d", 0, is_new=True))
        return Outcome(uploaded=1)

    set_play(play)
    assert sync(home / "docs", URL) == Exit.OK
    ((_, note),) = Places(home / "state" / "aeorsync").all()
    assert [problem.path for problem in note.problems] == [TROUBLE.path]

"""The short way of `aeorsync sync` says what the whole command line would have said."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import aeorsync
from aeorsync.cli import entry, main, sync_flags

COMMAND = typer.main.get_command(main.app).commands["sync"]  # type: ignore[attr-defined]


def whole(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What typer understands."""
    seen: list[dict[str, object]] = []

    def carry_out(**given: object) -> int:
        seen.append(given)
        return 0

    monkeypatch.setattr("aeorsync.cli.sync.carry_out", carry_out)
    with pytest.raises(SystemExit):
        main.app(words)
    return seen[0]


@pytest.mark.parametrize(
    "line",
    [
        "sync ~/docs http://a:1/docs",
        "sync docs http://a:1/docs -w",
        "sync --json docs http://a:1/docs --max-delete 100%",
        "sync --watch --all --config sync.toml -q",
        "sync docs http://a:1 --exclude build/ --exclude=*.o --include src/ -n --key=k=1",
        "sync docs http://a:1 --no-delete-local --delete-remote --direction push --profile work",
        "sync docs http://a:1 --delete-local --no-delete-remote -c file --quiet --dry-run",
        "sync status --json",
        "sync",
        "sync docs http://a:1 --direction=",
    ],
)
def test_what_is_said_plainly_is_understood_alike(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = line.split()
    given = entry.read(words)
    assert given is not None
    expected = whole(words, monkeypatch)
    assert {name: given.get(name, expected[name]) for name in expected} == expected
    nothing = {None, False}
    assert all(expected[name] in nothing for name in expected.keys() - given.keys())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ls /",
        "--help",
        "sync --help",
        "sync docs http://a:1 --frob",
        "sync docs http://a:1 -wq",
        "sync docs http://a:1 more",
        "sync docs http://a:1 --key",
        "sync docs http://a:1 --key --json",
        "sync docs http://a:1 --watch=yes",
        "sync docs http://a:1 -cfile",
        "sync docs http://a:1 -c=file",
        "sync -- docs http://a:1",
    ],
)
def test_whatever_is_not_plain_goes_the_whole_way(line: str) -> None:
    assert entry.read(line.split()) is None


def test_every_flag_of_the_command_is_known_to_the_short_way() -> None:
    options = [one for one in COMMAND.params if one.param_type_name == "option"]
    known = {name for one in options for name in (*one.opts, *one.secondary_opts)}
    assert known - {"--help"} == set(entry.FLAGS)
    for one in options:
        for name in {*one.opts, *one.secondary_opts} & set(entry.FLAGS):
            parameter, kind = entry.FLAGS[name]
            assert parameter == one.name
            assert isinstance(kind, bool) == one.is_flag
            assert (kind is list) == one.multiple


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert aeorsync.__version__ == project["project"]["version"]


def test_telling_the_version_loads_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (
        "import sys; before = set(sys.modules); sys.argv = ['aeorsync', '--version']\n"
        "from aeorsync.cli import entry; entry.main(); print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [f"aeorsync {aeorsync.__version__}", "aeorsync aeorsync.cli aeorsync.cli.entry"]
    monkeypatch.setattr(sys, "argv", ["aeorsync", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main.main()
    assert capsys.readouterr().out.splitlines() == said[:1]


def test_a_pass_loads_no_more_than_it_needs() -> None:
    program = (
        "import sys, aeorsync.cli.entry, aeorsync.cli.sync_flags, aeorsync.cli.syncing\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    heavy = {"typer", "structlog", "pathspec", "watchfiles", "starlette"}
    assert heavy.isdisjoint(loaded)


def test_a_refusal_on_the_short_way_is_told_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sync", "docs"]
    monkeypatch.setattr(sys, "argv", ["aeorsync", *words])
    short = entry.main(), capsys.readouterr()
    assert (main.main(), capsys.readouterr()) == short
    assert "say LOCAL and REMOTE_URL" in short[1].err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EOFError()])
def test_an_interrupt_on_the_short_way_is_one_line(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def carry_out(**_: object) -> int:
        raise error

    monkeypatch.setattr(sync_flags, "carry_out", carry_out)
    monkeypatch.setattr(sys, "argv", ["aeorsync", "sync", "docs", "http://a:1"])
    assert entry.main() == 1
    assert capsys.readouterr().err == "Aborted.\n"

import logging
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from typer.testing import CliRunner

from aeorsync import __version__
from aeorsync.cli.main import app, main
from aeorsync.config import SETTINGS, AuthMode, Exit, Settings
from aeorsync.errors import NotFoundError, StartupError

Run = Callable[[Settings], int]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)
    monkeypatch.delenv("AEORSYNC_DEBUG", raising=False)
    # A terminal's width and colours must not decide what the tests find.
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    structlog.reset_defaults()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    def replace(run: Run) -> None:
        server = ModuleType("aeorsync.server")
        server.run = lambda settings, _announce: run(settings)  # type: ignore[attr-defined]
        server.Ready = object  # type: ignore[attr-defined]  # a stand-in that is made here
        monkeypatch.setitem(sys.modules, "aeorsync.server", server)

    return replace


def recording(seen: list[Settings]) -> Run:
    def run(settings: Settings) -> int:
        seen.append(settings)
        return Exit.OK

    return run


def failing(error: Exception) -> Run:
    def run(_: Settings) -> int:
        raise error

    return run


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Return the exit code of the process that these arguments would start."""
    monkeypatch.setattr(sys, "argv", ["aeorsync", *arguments])
    try:
        return main()
    except SystemExit as stop:
        return int(stop.code or 0)


def test_start_hands_the_settings_to_the_server(
    serve: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []
    serve(recording(seen))
    monkeypatch.setenv("AEORSYNC_SYNC_INTERVAL", "5")
    flags = [
        "-D",
        "nodeA",
        "--auth=no",
        "--host=127.0.0.1",
        "-p0",
        "--peers=http://b:1,http://c:1",
    ]
    assert exit_code(monkeypatch, "start", *flags) == Exit.OK
    (settings,) = seen
    assert settings.data == Path("nodeA")
    assert settings.auth is AuthMode.DISABLED
    assert settings.port == 0
    assert settings.peers == ("http://b:1", "http://c:1")
    assert settings.sync_interval == 5


def test_every_flag_of_the_table_is_taken(
    serve: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Settings] = []
    serve(recording(seen))
    (tmp_path / "node.toml").write_text("")
    texts = {
        "data": "d",
        "auth": "file:///id",
        "host": "::1",
        "port": "1",
        "advertise_url": "http://a:1",
        "peers": "http://b:1",
        "join": "http://c:1",
        "join_token": "t",
        "tls_cert": "cert",
        "tls_key": "key",
        "cors_origins": "http://d:1",
        "cluster_ca": "ca",
        "jwt_expiry": "61",
        "log_format": "json",
        "sync_interval": "2",
        "gc_interval": "3",
        "grave_retention": "3h",
        "config": str(tmp_path / "node.toml"),
    }
    for setting in SETTINGS:
        for flag in setting.flags:
            others = [a for s in SETTINGS if s != setting for a in (s.flag, texts[s.name])]
            arguments = ["start", flag, texts[setting.name], *others]
            assert exit_code(monkeypatch, *arguments) == Exit.OK
    assert len(set(seen)) == 1
    assert seen[0] == Settings(
        data=Path("d"),
        auth=AuthMode.FILE,
        identity_file=Path("/id"),
        host="::1",
        port=1,
        advertise_url="http://a:1",
        peers=("http://b:1",),
        join="http://c:1",
        join_token="t",
        tls_cert=Path("cert"),
        tls_key=Path("key"),
        cors_origins=("http://d:1",),
        cluster_ca=Path("ca"),
        jwt_expiry=61,
        log_format="json",
        sync_interval=2,
        gc_interval=3,
        grave_retention=10_800,
    )


def test_the_exit_code_of_the_server_is_that_of_the_process(
    serve: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(lambda _: Exit.PORT_IN_USE)
    assert exit_code(monkeypatch, "start") == Exit.PORT_IN_USE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StartupError("the folder is in use by process 7", Exit.DATA_LOCKED), Exit.DATA_LOCKED),
        (NotFoundError("the folder is in use by process 7"), Exit.FAILED),
    ],
)
def test_an_error_we_know_is_one_line_and_its_exit_code(
    serve: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    serve(failing(error))
    assert exit_code(monkeypatch, "start") == code
    output = capsys.readouterr()
    assert output.err == "error: the folder is in use by process 7\n"
    assert output.out == ""


def test_an_error_cannot_act_on_the_terminal_or_tell_a_key(
    serve: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(failing(StartupError("[red]a\x1b[2J\nb[/red] aeor_k_0123", Exit.FAILED)))
    assert exit_code(monkeypatch, "start") == Exit.FAILED
    assert capsys.readouterr().err == "error: [red]a\\x1b[2J\\nb[/red] aeor_k_***\n"


def test_a_setting_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "start", "--port", "x") == Exit.CONFIG
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["error: --port: 'x' is not a whole number from 0 to 65535"]


def test_a_bug_is_called_one_and_shows_no_traceback(
    serve: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(failing(ValueError("oh")))
    assert exit_code(monkeypatch, "start") == Exit.FAILED
    logged, told = capsys.readouterr().err.splitlines()
    assert "unexpected error" in logged
    assert told == "error: ValueError: oh (this is a bug; AEORSYNC_DEBUG=1 shows where)"


def test_a_bug_shows_its_traceback_when_asked(
    serve: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(failing(ValueError("oh")))
    monkeypatch.setenv("AEORSYNC_DEBUG", "1")
    assert exit_code(monkeypatch, "start") == Exit.FAILED
    output = capsys.readouterr().err
    assert "Traceback (most recent call last)" in output
    assert output.endswith("error: ValueError: oh (this is a bug)\n")


def test_an_unknown_flag_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "start", "--prot", "1") == Exit.USAGE
    assert "--port" in capsys.readouterr().err


def test_the_help_names_every_flag_and_variable_and_gives_examples() -> None:
    result = CliRunner().invoke(app, ["start", "--help"])
    assert result.exit_code == 0
    for setting in SETTINGS:
        for name in (*setting.flags, setting.env):
            assert name in result.output
    assert "aeorsync start -D nodeA.aeorsync" in result.output


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"aeorsync {__version__}\n")


def test_python_m_runs_the_same_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["aeorsync", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("aeorsync", run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"aeorsync {__version__}\n"


def test_help_does_not_load_the_server() -> None:
    code = """
import sys
from typer.testing import CliRunner
from aeorsync.cli.main import app
assert CliRunner().invoke(app, ["start", "--help"]).exit_code == 0
loaded = {"aeorsync.server", "starlette", "uvicorn", "httpx", "structlog"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)

"""A process of ours that was forked is what one that was started would be."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import Command, command_of, is_alike

SHOW = [sys.executable, "-m", "tests.support.showing"]


def plain(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The same, started from nothing: by a shell, which nobody here has an eye on."""
    return subprocess.run(
        ["sh", "-c", 'exec "$@"', "sh", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        input="told\n",
        env={**os.environ, "COLOUR": "grün", "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )


def forked(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        input="told\n",
        env={**os.environ, "COLOUR": "grün"},
        check=False,
    )


@pytest.mark.parametrize("end", ["0", "7", "error"])
def test_it_has_the_same_arguments_streams_folder_environment_and_end(
    tmp_path: Path, end: str
) -> None:
    words = [*SHOW, end, "ein Wort"]
    one, other = plain(words, tmp_path), forked(words, tmp_path)
    assert one.stdout
    assert (other.returncode, other.stdout) == (one.returncode, one.stdout)
    assert other.stderr.splitlines()[-1:] == one.stderr.splitlines()[-1:]


def test_our_script_has_the_name_a_user_knows(tmp_path: Path) -> None:
    script = [str(Path(sys.executable).with_name("aeorsync")), "ls", "--nonsense"]
    one, other = plain(script, tmp_path), forked(script, tmp_path)
    assert "aeorsync ls" in other.stderr
    assert (other.returncode, other.stderr) == (one.returncode, one.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_is_ended_by_signals_as_any_other(number: signal.Signals) -> None:
    with subprocess.Popen([*SHOW, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stdout.readline()
        assert one.poll() is None
        one.send_signal(number)
        assert one.wait(30) == -number


def test_only_what_is_ours_is_forked_and_nothing_the_interpreter_looks_at_is_lost() -> None:
    python = sys.executable
    assert command_of([python, "-m", "aeorsync", "ls"]) == Command("aeorsync", ["ls"])
    assert command_of([python, "-m", "pip"]) is None
    assert command_of([python, "-c", "pass"]) is None
    assert command_of(["git", "-m", "aeorsync"]) is None
    assert command_of("aeorsync") is None
    assert is_alike({**os.environ, "AEORSYNC_KEY": "x"})
    assert not is_alike({**os.environ, "LD_PRELOAD": "x.so"})
    assert not is_alike({**os.environ, "PYTHONOPTIMIZE": "1"})

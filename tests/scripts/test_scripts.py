import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("scripts", ".ci")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and path.suffix == ""
)


def test_every_documented_script_is_there() -> None:
    names = {path.name for path in SCRIPTS}
    assert names >= {
        "install",
        "start",
        "check",
        "fix",
        "test",
        "bench",
        "demo",
        "lock",
        "run",
        "try-folders",
        "try-kills",
        "mutants",
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_sound_bash_and_can_be_run(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_what_it_does_and_stops_at_the_first_failure(script: Path) -> None:
    first, *rest = script.read_text().splitlines()
    comment = [line for line in rest[:4] if line.startswith("# ")]
    assert first == "#!/usr/bin/env bash"
    assert len(comment) >= 2
    assert "set -euo pipefail" in rest


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_runs_from_any_folder(script: Path) -> None:
    assert 'cd "$(dirname "${BASH_SOURCE[0]}")/.."' in script.read_text()


def test_install_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/install", "--tset"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"--test" in done.stderr


def copy_of_install(folder: Path) -> Path:
    (folder / "scripts").mkdir()
    for name in ("scripts/install", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    return folder / "scripts/install"


def test_install_refuses_an_old_python_and_says_so(tmp_path: Path) -> None:
    python = tmp_path / "old"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python)}
    done = subprocess.run(
        [copy_of_install(tmp_path)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"is not Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def locked_groups() -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    group = ""
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ")
        elif pinned := re.match(r"([a-z0-9-]+)==[^ ]+", line):
            groups.setdefault(group, set()).add(pinned[1])
    return groups


def test_the_lock_pins_every_dependency_of_its_group() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    runtime = re.search(r"^dependencies = \[(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)
    assert runtime is not None
    names = {name.lower() for name in re.findall(r'"([\w-]+)[\[>]', runtime[1])}
    groups = locked_groups()
    assert names
    assert names <= groups["runtime"]
    assert {"pytest", "hypothesis", "pytest-xdist", "pytest-timeout"} <= groups["test"]
    assert {"ruff", "mypy", "import-linter"} <= groups["check"]


def test_every_locked_package_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > 40
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block

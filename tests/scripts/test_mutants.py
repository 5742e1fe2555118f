"""The defects that `./scripts/mutants` makes still fit the code, and one is made and noticed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HARMLESS = """
[[mutant]]
name = "harmless"
promise = "Nothing is broken by another comment."
file = "aeorsync/core/bucket.py"
find = "Amounts that pass at a limited rate."
replace = "Amounts which pass at a limited rate."
tests = ["tests/config/test_target.py"]
"""


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts/_mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module


MUTANTS: Any = script()
ALL: Any = MUTANTS.load()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/_mutants.py", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_many() -> None:
    assert len(ALL) >= 60


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_defect_fits_the_code_and_names_tests_that_are_there(mutant: Any) -> None:  # noqa: ANN401
    assert MUTANTS.broken(mutant) != (ROOT / mutant.file).read_text()
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists()
        assert not name or f"def {name}(" in (ROOT / path).read_text()


def test_one_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    table = HARMLESS.replace("Amounts that", "Amounts these")
    (tmp_path / "some.toml").write_text(table)
    done = run("--table", str(tmp_path))
    assert done.returncode == 2
    assert "harmless: what it replaces is 0 times" in done.stderr


def test_a_defect_is_made_in_a_copy_and_noticed() -> None:
    before = (ROOT / "aeorsync/wire/headers.py").read_text()
    done = run("--only", "range-off-by-one", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["survivors"] == []
    [verdict] = told["verdicts"]
    assert verdict["was_named"]
    assert verdict["caught_by"].startswith("tests/")
    assert (ROOT / "aeorsync/wire/headers.py").read_text() == before


def test_one_that_nobody_notices_is_told(tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text(HARMLESS)
    done = run("--table", str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "harmless: SURVIVED" in done.stdout

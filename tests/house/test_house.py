"""What holds for the repository as a whole."""

import re
import subprocess
from pathlib import Path

import pytest

from aeorsync.config import DEBUG_VARIABLE, SETTINGS, Exit, Setting

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "aeorsync").rglob("*.py"))
OPERATIONS = ROOT / "docs/operations.md"

# Written in parts, so that this file passes its own test.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
        ("anaconda", "org"),
    )
)


def repository_files() -> list[Path]:
    """Return every file that is, or could be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in PACKAGE}
    assert {str(path): size for path, size in sizes.items() if size > 400} == {}


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "helpers", "common", "misc", "manager", "handler"}
    assert [str(path) for path in PACKAGE if vague & set(path.stem.split("_"))] == []


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    sources = [path for path in repository_files() if path.suffix in {".py", ".md", ".toml", ""}]
    assert [str(path) for path in sources if later.search(path.read_text())] == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    found = []
    for path in repository_files():
        text = path.read_bytes().decode(errors="replace").lower()
        found += [f"{path}: {host}" for host in REGISTRY_HOSTS if host in text]
    assert found == []


def test_the_lock_names_no_host_at_all() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_variable_a_flag_and_a_line_in_the_docs(setting: Setting) -> None:
    text = OPERATIONS.read_text()
    wanted = [*setting.flags, setting.env, *setting.toml.split(".")[-1:]]
    assert setting.flag.startswith("--")
    assert setting.env.startswith("AEORSYNC_")
    missing = [
        name for name in wanted if name and not re.search(rf"(?<![\w-]){re.escape(name)}\b", text)
    ]
    assert missing == []


def test_the_docs_list_every_exit_code_and_the_debug_variable() -> None:
    text = OPERATIONS.read_text()
    assert DEBUG_VARIABLE in text
    rows = set(re.findall(r"^\|\s*`?(\d+)\b", text, re.MULTILINE))
    missing = [code.name for code in Exit if str(code.value) not in rows]
    assert missing == []


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()

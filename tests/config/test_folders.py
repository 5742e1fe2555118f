from pathlib import Path

import pytest

from aeorsync.config import Exit
from aeorsync.config import load as load_settings
from aeorsync.config.folders import Remote, SyncFolder, find, load, parse_remote
from aeorsync.config.values import Given
from aeorsync.core.paths import TreePath
from aeorsync.core.reconcile import Direction
from aeorsync.errors import StartupError
from aeorsync.folder.options import DeleteLimit

TWO = """
[server]
port = 6831

[[sync]]
local = "/home/ada/docs"
remote = "http://Files.example:6830/docs/"

[[sync]]
local = "~/photos"
remote = "https://files.example"
profile = "home"
direction = "push"
include = ["*.jpg"]
exclude = ["raw/"]
max_delete = 10
delete_local = false
delete_remote = false
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "aeorsync.toml"
    file.write_text(text)
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(StartupError) as caught:
        load(written(folder, text))
    assert caught.value.exit_code == Exit.CONFIG
    return caught.value.message


def table(**other: str) -> str:
    told = {"local": '"/a"', "remote": '"http://h"'} | other
    return "[[sync]]\n" + "".join(f"{key} = {value}\n" for key, value in told.items())


def test_every_table_is_a_folder(tmp_path: Path) -> None:
    first, second = load(written(tmp_path, TWO))
    assert first == SyncFolder(
        local=Path("/home/ada/docs"),
        remote=Remote("http://files.example:6830", TreePath("/docs")),
    )
    assert second == SyncFolder(
        local=Path("~/photos").expanduser(),
        remote=Remote("https://files.example", TreePath("/")),
        profile="home",
        direction=Direction.PUSH,
        include=("*.jpg",),
        exclude=("raw/",),
        max_delete=DeleteLimit(10, is_percent=False),
        delete_local=False,
        delete_remote=False,
    )


def test_a_node_leaves_the_folders_in_its_file_alone(tmp_path: Path) -> None:
    assert load_settings({"config": str(written(tmp_path, TWO))}, {}).port == 6831


def test_a_file_without_folders_lists_none(tmp_path: Path) -> None:
    assert load(written(tmp_path, "[server]\nport = 1\n")) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[sync]]\nlocal = '/a'\n", "sync 1: remote is missing"),
        ("[[sync]]\nremote = 'http://h'\n", "sync 1: local is missing"),
        (table(locl='"/b"'), "sync 1: there is no setting 'locl'; did you mean 'local'?"),
        (table(direction='"up"'), "sync 1.direction: 'up' is not a direction"),
        (table(direction="1"), "sync 1.direction: must be a text, not 1"),
        (table(include='"*.txt"'), "sync 1.include: must be a list of texts"),
        (table(exclude="[1]"), "sync 1.exclude: must be a list of texts"),
        (table(exclude='[""]'), "sync 1.exclude: '' is not a pattern"),
        (table(max_delete='"101%"'), "sync 1.max_delete: '101%' is neither a number"),
        (table(max_delete="true"), "sync 1.max_delete: must be a whole number or a text"),
        (table(max_delete="-1"), "sync 1.max_delete: '-1' is neither a number"),
        (table(delete_local='"no"'), "sync 1.delete_local: must be true or false"),
        (table(local='"docs"'), "sync 1.local: 'docs' is not an absolute path"),
        (table(remote='"ftp://h/x"'), "sync 1.remote"),
        (table(remote='"http://h/a/../b"'), "sync 1.remote"),
        (table(remote='"http://h/a%FF"'), "has a path that is not UTF-8"),
        (table(remote='"docs"'), "is not a URL like http://host:6830/path"),
        ("sync = 1\n", "must be written as tables"),
        ("snyc = 1\n", "there is no setting 'snyc'; did you mean 'sync'?"),
        (table() + table(local='"/a/b"'), "sync 1 and 2 overlap: /a and /a/b"),
        (table(local='"/a/b"') + table(), "overlap"),
        (table() + table(), "overlap"),
        ("[[sync]\n", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, text)


def test_a_remote_path_may_be_written_with_or_without_escapes() -> None:
    for text in ("http://h:1/my%20docs/%C3%A9", "http://h:1/my docs/é/"):
        remote = parse_remote(Given(text, "remote"))
        assert remote == Remote("http://h:1", TreePath("/my docs/é"))


def test_a_password_in_a_remote_is_refused_and_not_shown() -> None:
    with pytest.raises(StartupError) as caught:
        parse_remote(Given("http://ada:secret@h/x", "remote"))
    assert "secret" not in caught.value.message


def test_the_file_is_the_one_given_else_that_of_the_person(tmp_path: Path) -> None:
    environment = {"AEORSYNC_CONFIG": "/b.toml", "XDG_CONFIG_HOME": str(tmp_path)}
    assert find("/a.toml", environment) == Path("/a.toml")
    assert find(None, environment) == Path("/b.toml")
    environment["AEORSYNC_CONFIG"] = ""
    assert find(None, environment) == tmp_path / "aeorsync/aeorsync.toml"
    assert find(None, {}) == Path("~/.config/aeorsync/aeorsync.toml").expanduser()

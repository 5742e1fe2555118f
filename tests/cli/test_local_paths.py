from pathlib import Path

import blake3
import pytest

from aeorsync.cli.local_paths import place, spot, version_shown
from aeorsync.client.model import ConflictVersion
from aeorsync.folder.places import Copies, Note, Places

COPY = "a (conflict ab12 2026-11-21 10-00-00).txt"
DELETED = ConflictVersion(id="d-1", deleted=True)


def version(name: str, body: bytes) -> ConflictVersion:
    return ConflictVersion(id=name, content_hash=blake3.blake3(body).hexdigest())


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "sub/a.txt").write_bytes(b"shown")
    (docs / f"sub/{COPY}").write_bytes(b"beside")
    place = Places(tmp_path / "state/aeorsync").place(docs, "http://h:1", "/team")
    place.make()
    note = Note(
        local=str(docs),
        url="http://h:1",
        path="/team",
        profile=None,
        conflicts=[Copies("sub/a.txt", [f"sub/{COPY}"])],
        conflict_count=1,
    )
    place.write(note)
    return docs


def test_a_file_is_where_its_folder_is_kept(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(docs / "sub")
    for text in ("a.txt", "./a.txt", "../sub/a.txt", str(docs / "sub/a.txt")):
        found = spot(text)
        assert found is not None
        assert (found.path, found.is_copy) == ("/team/sub/a.txt", False)
        assert (found.note.url, found.note.profile) == ("http://h:1", None)


def test_the_folder_itself_is_the_path_it_is_kept_equal_to(docs: Path) -> None:
    found = spot(str(docs))
    assert found is not None
    assert found.path == "/team"


def test_a_copy_stands_for_the_file_it_belongs_to(docs: Path) -> None:
    found = spot(str(docs / "sub" / COPY))
    assert found is not None
    assert (found.path, found.is_copy) == ("/team/sub/a.txt", True)


def test_a_copy_that_was_not_noted_yet_is_known_by_its_name(docs: Path) -> None:
    (docs / "b.txt").touch()
    (docs / "b (conflict ab12 2026-11-21 10-00-00).txt").touch()
    found = spot(str(docs / "b (conflict ab12 2026-11-21 10-00-00).txt"))
    assert found is not None
    assert (found.path, found.is_copy) == ("/team/b.txt", True)


def test_a_file_shows_the_version_whose_content_it_has(docs: Path) -> None:
    versions = [DELETED, version("v-1", b"shown"), version("v-2", b"beside")]
    shown, copy = docs / "sub/a.txt", docs / "sub" / COPY
    assert version_shown(shown, versions) == versions[1]
    assert version_shown(copy, versions) == versions[2]
    copy.write_bytes(b"edited since")
    assert version_shown(copy, versions) is None
    copy.unlink()
    assert version_shown(copy, versions) is None


def test_what_is_in_no_kept_folder_is_not_found(docs: Path) -> None:
    assert spot(str(docs.parent / "elsewhere/a.txt")) is None
    assert spot("/team/sub/a.txt") is None


def test_a_path_is_one_of_a_kept_folder_or_else_of_the_server(docs: Path) -> None:
    here = place(str(docs / "sub/a.txt"), None, "aeor_k_1")
    assert (here.node.url, here.path, here.local) == (
        "http://h:1",
        "/team/sub/a.txt",
        docs / "sub/a.txt",
    )
    there = place("/team/sub/a.txt", None, None)
    assert (there.path, there.local) == ("/team/sub/a.txt", None)
    asked = place(str(docs / "sub/a.txt"), "http://other:2", None)
    assert (asked.node.url, asked.local) == ("http://other:2", None)

from pathlib import Path

import blake3
import pytest

from aeorsync.cli.local_paths import spot
from aeorsync.folder.places import Copies, Note, Places

COPY = "a (conflict ab12 2026-11-21 10-00-00).txt"
DELETED = {"id": "d-1", "kind": "file", "deleted": True, "content_hash": None, "target": None}


def version(name: str, body: bytes) -> dict[str, object]:
    return DELETED | {
        "id": name,
        "deleted": False,
        "content_hash": blake3.blake3(body).hexdigest(),
    }


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
        profile="work",
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
        assert (found.note.url, found.note.profile) == ("http://h:1", "work")


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
    shown, copy = spot(str(docs / "sub/a.txt")), spot(str(docs / "sub" / COPY))
    assert shown is not None
    assert copy is not None
    assert (shown.version(versions), copy.version(versions)) == ("v-1", "v-2")
    copy.local.write_bytes(b"edited since")
    assert copy.version(versions) is None
    copy.local.unlink()
    assert copy.version(versions) is None


def test_what_is_in_no_kept_folder_is_not_found(docs: Path) -> None:
    assert spot(str(docs.parent / "elsewhere/a.txt")) is None
    assert spot("/team/sub/a.txt") is None

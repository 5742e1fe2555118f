"""`/versions/export`, `diff`, `import` and `promote`."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from aeorsync.storage.archive import MAGIC
from tests.api.conftest import Browser, running


@pytest.fixture
def other(loop: asyncio.Runner, tmp_path: Path) -> Iterator[Browser]:
    """A second node, of no common past."""
    context = running(tmp_path / "other")
    here = loop.run(context.__aenter__())
    yield Browser(loop, here)
    loop.run(context.__aexit__(None, None, None))


def put(call: Browser, path: str, data: bytes) -> None:
    assert call("PUT", f"/files{path}", content=data).status_code == 201


def snapshot(call: Browser, name: str) -> dict[str, str]:
    made: dict[str, str] = call("POST", "/versions/snapshots", json={"name": name}).json()
    return made


def test_what_one_node_exports_another_imports(call: Browser, other: Browser) -> None:
    put(call, "/d/a", b"a" * 300_000)
    put(call, "/gone", b"1")
    call("DELETE", "/files/gone")
    sent = call("POST", "/versions/export")
    assert sent.status_code == 200
    assert sent.headers["content-type"] == "application/octet-stream"
    assert "attachment" in sent.headers["content-disposition"]
    assert sent.content.startswith(MAGIC)
    put(other, "/mine", b"mine")
    reply = other("POST", "/versions/import?force=true&promote=true", content=sent.content)
    told = reply.json()
    assert (reply.status_code, told["status"], told["backup_type"]) == (200, "success", "export")
    assert (told["head_promoted"], told["conflicts"]) == (True, 0)
    assert told["version_hash"] == call.here.node.repository.head.root.hex()
    assert other("GET", "/files/d/a").content == b"a" * 300_000
    assert other("GET", "/files/mine").content == b"mine"
    again = other("POST", "/versions/import", content=sent.content).json()
    assert (again["changed"], again["head_promoted"]) == (0, False)
    assert not list((other.here.node.folder or Path()).glob("incoming/*"))


def test_a_snapshot_is_exported_by_name_id_or_root(call: Browser, other: Browser) -> None:
    put(call, "/a", b"old")
    made = snapshot(call, "s")
    put(call, "/a", b"new")
    for query in ("snapshot=s", f"snapshot={made['id']}", f"hash={made['root_hash']}"):
        sent = call("POST", f"/versions/export?{query}")
        assert sent.status_code == 200
        other("POST", "/versions/import", content=sent.content)
    assert other("GET", "/files/a").content == b"old"
    assert call("POST", "/versions/export?snapshot=no").status_code == 404
    assert call("POST", f"/versions/export?hash={'00' * 32}").status_code == 404


def test_a_patch_brings_what_differs_and_needs_what_it_is_based_on(
    call: Browser, other: Browser
) -> None:
    put(call, "/same", random.Random(1).randbytes(200_000))
    put(call, "/a", b"old")
    snapshot(call, "before")
    whole = call("POST", "/versions/export?snapshot=before").content
    put(call, "/a", b"new")
    patch = call("POST", "/versions/diff?from=before").content
    assert len(patch) < len(whole)
    assert call("POST", "/versions/diff").status_code == 400
    assert call("POST", "/versions/diff?from=no").status_code == 404
    other("POST", "/versions/import", content=whole)
    told = other("POST", "/versions/import", content=patch).json()
    assert told["backup_type"] == "patch"
    assert other("GET", "/files/a").content == b"new"


def test_a_file_that_is_torn_altered_or_no_export_changes_nothing(call: Browser) -> None:
    put(call, "/a", b"1")
    sent = call("POST", "/versions/export").content
    call("DELETE", "/files/a")
    root = call.here.node.repository.head.root
    middle = len(sent) // 2
    altered = sent[:middle] + bytes([sent[middle] ^ 1]) + sent[middle + 1 :]
    for bad in (b"", b"no", sent[:-1], altered):
        reply = call("POST", "/versions/import", content=bad)
        assert reply.status_code == 400
        assert "incoming" not in reply.text
    assert call.here.node.repository.head.root == root
    assert call("POST", "/versions/import?mode=restore", content=sent).status_code == 400
    assert call("POST", "/versions/import?mode=other", content=sent).status_code == 400


def test_keys_of_another_node_come_only_when_wanted(call: Browser, other: Browser) -> None:
    key, _ = call.here.make_key()
    put(call, "/a", b"1")
    sent = call("POST", "/versions/export").content
    told = other("POST", "/versions/import", content=sent).json()
    assert told["entries_skipped"] >= 1
    assert other("GET", "/files/a", token=key).status_code == 401
    other("POST", "/versions/import?system=true", content=sent)
    assert other("GET", "/files/a", token=key).content == b"1"


def test_a_root_that_is_kept_can_be_promoted_and_what_was_there_stays(call: Browser) -> None:
    put(call, "/a", b"old")
    made = snapshot(call, "s")
    put(call, "/a", b"new")
    reply = call("POST", f"/versions/promote?hash={made['root_hash']}").json()
    assert (reply["status"], reply["head"], reply["changed"]) == ("promoted", made["root_hash"], 1)
    assert call("GET", "/files/a").content == b"old"
    kept = call("GET", f"/files/a?snapshot={reply['auto_snapshot']}")
    assert kept.content == b"new"
    now = call.here.node.repository.head.root.hex()
    assert call("POST", f"/versions/promote?hash={now}").json()["changed"] == 0
    assert call("POST", f"/versions/promote?hash={'ab' * 32}").status_code == 404
    for bad in ("", "?hash=xyz"):
        assert call("POST", f"/versions/promote{bad}").status_code == 400


def test_only_root_exchanges_trees(call: Browser) -> None:
    user = call.here.mint(subject="b9d0ffb4-0000-4000-8000-000000000001")
    for url in ("export", "diff?from=x", "import", "promote?hash=00"):
        assert call("POST", f"/versions/{url}", token=user).status_code == 403

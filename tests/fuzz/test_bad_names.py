"""A path is kept or refused, whichever way it comes: one list of names, every way in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest

from aeorsync.cluster import foreign_part
from aeorsync.core.globs import Globs
from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Entry, encode_entry
from aeorsync.errors import AeorError, BadRequestError, NotFoundError
from aeorsync.folder import names as local_names
from aeorsync.storage.archive import ArchiveEncoder, Header
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.importing import import_archive
from aeorsync.wire.protocol import Item
from tests.api.conftest import Browser
from tests.support.bad_names import KEPT, NAMES, Name, Verdict
from tests.support.cycles import cycle
from tests.support.parser_table import version
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository

CODES: Final = {Verdict.REFUSED: {400}, Verdict.HIDDEN: {404}}
BODY: Final = b"data"
HEX: Final = chunk_id(BODY).hex()


def verdict_of(status: int) -> str:
    """What a status says, of a path that is not there, or may be."""
    return {400: "refused", 413: "refused", 404: "hidden"}.get(
        status, "kept" if status < 300 else f"{status}"
    )


def expected(name: Name, *, is_person: bool = True) -> str:
    if name.verdict is Verdict.TIDIED:
        return "kept" if is_person else "refused"
    return str(name.verdict.value)


def wrong(told: list[tuple[str, Name, str, str]]) -> list[str]:
    """The differences, in words."""
    return [
        f"{way}: {name.text[:60]!r} is {found}, not {wanted}"
        for way, name, found, wanted in told
        if found != wanted
    ]


URLS: Final = (
    ("PUT", b"/files/", BODY),
    ("GET", b"/files/", b""),
    ("HEAD", b"/files/", b""),
    ("PATCH", b"/files/", b'{"to": "/target"}'),
    ("PUT", b"/links/", b'{"target": "/no"}'),
    ("GET", b"/links/", b""),
    ("DELETE", b"/links/", b""),
)
# The last says whether a folder may be meant, which is what a slash at the end says.
BODIES: Final[tuple[tuple[str, str, Callable[[str], Any], bool], ...]] = (
    ("POST", "/files/mkdir", lambda path: {"path": path}, True),
    ("POST", "/blobs/commit", lambda path: {"files": [{"path": path, "chunks": [HEX]}]}, False),
    ("POST", "/blobs/commit", lambda path: {"links": [{"path": path, "target": "/no"}]}, False),
    ("POST", "/blobs/commit", lambda path: {"folders": [{"path": path}]}, True),
    ("POST", "/blobs/commit", lambda path: {"deletes": [{"path": path}]}, True),
    ("PATCH", "/files/source", lambda path: {"to": path}, False),
)


@pytest.mark.parametrize(("method", "prefix", "body"), URLS, ids=lambda part: str(part)[:20])
def test_a_url_keeps_or_refuses_a_name(
    call: Browser, method: str, prefix: bytes, body: bytes
) -> None:
    told = []
    for name in NAMES:
        if name.verdict is Verdict.TIDIED:
            continue  # a slash at the end says that a folder is meant
        if method in {"GET", "HEAD", "PATCH"}:
            kind = b"/links/" if prefix == b"/links/" else b"/files/"
            content = b'{"target": "/no"}' if prefix == b"/links/" else BODY
            call.raw("PUT", kind + name.escaped, content)
        if method == "DELETE":
            call.raw("PUT", prefix + name.escaped, b'{"target": "/no"}')
        reply = call.raw(method, prefix + name.escaped, body)
        told.append((f"{method} {prefix!r}", name, verdict_of(reply.status_code), expected(name)))
        if name.verdict in {Verdict.KEPT, Verdict.TIDIED}:
            for gone in (b"/files/target", b"/files/" + name.escaped):
                call.raw("DELETE", gone)
            call.raw("DELETE", b"/files/" + name.escaped.split(b"/")[0])
    assert wrong(told) == []


def test_what_was_kept_comes_back_byte_for_byte(call: Browser) -> None:
    for name in KEPT:
        call.raw("PUT", b"/files/" + name.escaped, name.raw)
    for name in KEPT:
        assert call.raw("GET", b"/files/" + name.escaped).content == name.raw, name.text
    shown = {item["name"] for item in call("GET", "/files?limit=1000").json()["items"]}
    # What begins so is never listed: it is an AeorDB node's own.
    listed = [name.text for name in KEPT if not name.text.startswith(".aeordb-")]
    assert shown == {text.partition("/")[0] for text in listed}
    everything = {
        item["path"] for item in call("GET", "/files?depth=-1&limit=1000").json()["items"]
    }
    assert everything == {"/" + text for text in listed}


@pytest.mark.parametrize("way", BODIES, ids=range(len(BODIES)))
def test_a_body_keeps_or_refuses_a_name(
    call: Browser, way: tuple[str, str, Callable[[str], Any], bool]
) -> None:
    method, url, shape, takes_slash = way
    call.raw("PUT", f"/blobs/chunks/{HEX}".encode(), BODY)
    told = []
    for name in NAMES:
        if not name.is_text or (name.verdict is Verdict.TIDIED and not takes_slash):
            continue
        call.raw("PUT", b"/files/source", BODY)
        status = call(method, url, json=shape("/" + name.text)).status_code
        told.append((f"{method} {url}", name, verdict_of(status), expected(name)))
        if status < 300:
            call.raw("DELETE", b"/files/" + name.escaped.strip(b"/").split(b"/")[0])
    assert wrong(told) == []


def test_a_question_about_a_name_is_answered_or_refused(call: Browser) -> None:
    told = []
    for name in NAMES:
        if not name.is_text or len(name.escaped) > 20_000:
            continue
        url = "/files/deleted?path=" + quote("/" + name.text, safe="")
        told.append((url, name, verdict_of(call("GET", url).status_code), expected(name)))
    assert wrong(told) == []


def item_of(name: Name) -> Item:
    content = msgspec.structs.replace(
        version().content,
        hash=content_hash(BODY),
        size=len(BODY),
        refs=chunk_id(BODY) + len(BODY).to_bytes(8),
    )
    return name.as_key, encode_entry(Entry((version(content=content, stamp=1 << 40),)))


def peer_names() -> list[Name]:
    """Those that could be in a tree: in one, NUL is what parts names."""
    return [
        name
        for name in NAMES
        if name.text.partition("/")[0] != ".aeordb-system" and "\0" not in name.text
    ]


def test_a_peer_that_tells_of_a_name_is_believed_or_not() -> None:
    ours, theirs = memory_repository(1), memory_repository(2)
    theirs.store_small(BODY)
    wanted = {"/" + name.text for name in peer_names() if name.verdict is Verdict.KEPT}
    peer = FakePeer(theirs, items=lambda _: [item_of(name) for name in peer_names()])
    report = cycle(ours, peer)
    assert files(ours).keys() == wanted
    assert set(files(ours).values()) == {BODY}
    assert report.problem_count == len(peer_names()) - len(wanted)


def test_an_archive_that_holds_a_name_is_imported_or_refused(tmp_path: Path) -> None:
    told = []
    for number, name in enumerate(peer_names()):
        made = ArchiveEncoder()
        parts = [made.header(Header(1, 1, 7, bytes(32), "current"))]
        parts.append(made.chunk(StoredChunk(chunk_id(BODY), 0, len(BODY), BODY)))
        parts += [made.entries([item_of(name)]), made.end()]
        file = tmp_path / f"{number}"
        file.write_bytes(b"".join(parts))
        repository = memory_repository()
        try:
            import_archive(repository, file)
            found = "kept" if files(repository) == {"/" + name.text: BODY} else "lost"
        except BadRequestError:
            found = "refused"
        repository.close()
        wanted = expected(name, is_person=False).replace("hidden", "refused")
        told.append(("import", name, found, wanted))
        file.unlink()
    assert wrong(told) == []


def test_an_aeordb_node_that_tells_of_a_name_is_believed_or_not() -> None:
    told = []
    for name in NAMES:
        if not name.is_text:
            continue
        try:
            foreign_part._parse_path("/" + name.text)
            found = "kept"
        except NotFoundError:
            found = "hidden"
        except AeorError:
            found = "refused"
        told.append(("AeorDB", name, found, expected(name, is_person=False)))
    assert wrong(told) == []


def test_a_folder_client_sends_and_takes_the_same_names() -> None:
    told = []
    for name in NAMES:
        if name.text.endswith("/"):
            continue  # no disk has such names, and no server tells of them
        flaw = local_names.flaw(name.text)
        found = "kept" if flaw is None else "refused"
        told.append(("folder", name, found, expected(name).replace("hidden", "refused")))
    assert wrong(told) == []


def test_a_glob_that_is_made_of_a_name_matches_it_and_no_other() -> None:
    for name in KEPT:
        escaped = "".join(f"\\{char}" if char in "*?[]{}!\\,^-" else char for char in name.text)
        if len(escaped.encode()) > 1000:
            continue
        found = Globs.parse(["/" + escaped])
        assert [one.text for one in KEPT if found.matches("/" + one.text)] == [name.text]


def test_what_is_kept_is_a_key_and_a_path_and_nothing_gets_lost_between() -> None:
    for name in KEPT:
        assert to_key(parse("/" + name.text)) == name.as_key

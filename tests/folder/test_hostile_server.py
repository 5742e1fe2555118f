"""A server that means harm, class by class of what has hurt others: nothing leaves its folder,
nothing is believed unchecked, nothing takes more than its share, and the honest rest goes on.
"""

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from aeorsync.core.hashing import chunk_id
from aeorsync.errors import AeorError, BadRequestError
from aeorsync.folder import temps
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Problem, Why
from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.root import RootGoneError
from aeorsync.wire.framing import Chunk, Codec
from tests.support.bad_names import NAMES, Verdict
from tests.support.hostile import HostileServer, Victim, a_file, a_link, a_page

BODY = b"theirs"


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    made = Victim(tmp_path, HostileServer())
    yield made
    made.check_outside()


def tell(victim: Victim, **changes: Any) -> None:  # noqa: ANN401  # JSON
    """What the server tells next; an honest file among it."""
    files = [*changes.pop("files_added", []), a_file("/honest")]
    # All it has at first, what is new after that.
    is_first = not victim.server.asked
    victim.server.told += 1
    root = f"c{victim.server.told}"
    victim.server.pages = [a_page(full=is_first, root=root, files_added=files, **changes)]


def troubles(victim: Victim) -> dict[str, Why]:
    return {event.path: event.why for event in victim.events if isinstance(event, Problem)}


# A: links on the way


def test_a_file_below_a_link_that_came_with_it_is_not_written(victim: Victim) -> None:
    """Class A: git CVE-2024-32002, gitoxide CVE-2026-44471, Syncthing CVE-2017-1000420."""
    for target in ("../outside", str(victim.outside)):
        tell(
            victim,
            symlinks_added=[a_link("/d", target)],
            files_added=[a_file("/d/secret"), a_file("/d/new"), a_file("/d/inner/x")],
            directories_added=[{"path": "/d/made"}],
        )
        victim.sync()
        victim.sync()
        victim.check_outside()
        assert (victim.folder / "honest").read_bytes() == BODY


def test_a_link_and_a_folder_of_one_name_lead_nowhere(victim: Victim) -> None:
    """Class A: gitoxide CVE-2026-44471: a name twice, as a folder and as a link."""
    tell(
        victim,
        directories_added=[{"path": "/d"}],
        symlinks_added=[a_link("/d", "../outside")],
        files_added=[a_file("/d/secret")],
    )
    victim.sync()
    tell(victim, symlinks_added=[a_link("/d", "../outside")])
    victim.sync()
    tell(victim, directories_added=[{"path": "/d"}], files_added=[a_file("/d/secret", b"other")])
    victim.sync()


def test_a_link_of_a_local_user_in_place_of_a_folder_leads_nowhere(victim: Victim) -> None:
    """Class A: rsync CVE-2024-12087, CVE-2026-29518: a folder that became a link meanwhile."""
    tell(victim, files_added=[a_file("/d/x"), a_file("/d/inner/y")])
    victim.sync()
    for inner in ("x", "inner/y"):
        (victim.folder / "d" / inner).unlink()
    (victim.folder / "d/inner").rmdir()
    (victim.folder / "d").rmdir()
    (victim.folder / "d").symlink_to(victim.outside)
    tell(victim, files_added=[a_file("/d/secret"), a_file("/d/inner/x", b"new")])
    victim.sync()
    victim.sync()


def test_a_folder_that_is_swapped_for_a_link_all_the_time_leads_nowhere(victim: Victim) -> None:
    """Class A: rsync CVE-2026-53784 to -53803: between the look and the act."""
    (victim.folder / "d/inner").mkdir(parents=True)
    done = threading.Event()

    def swap() -> None:
        place, away = victim.folder / "d", victim.base / "folder-away"
        while not done.is_set():
            try:
                place.rename(away)
                place.symlink_to(victim.outside)
                place.unlink()
                away.rename(place)
            except OSError:
                # The client made the folder anew meanwhile: that is its right.
                if away.exists() and not place.is_symlink():
                    for path in sorted(away.rglob("*"), reverse=True):
                        path.rmdir() if path.is_dir() else path.unlink()
                    away.rmdir()
            time.sleep(0.0005)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        end = time.monotonic() + 3
        number = 0
        while time.monotonic() < end:
            number += 1
            body = b"theirs %d" % number
            victim.server.bodies = [body, BODY]
            some = ["/d/secret", "/d/inner/x", f"/d/new{number % 3}"]
            tell(
                victim,
                files_added=[a_file(path, body) for path in some],
                symlinks_added=[a_link("/d/link", "/etc/passwd")],
                directories_added=[{"path": "/d/inner/made"}],
            )
            try:
                victim.sync()
            except MassDeletionError:
                tell(victim)
    finally:
        done.set()
        thread.join()


def test_a_root_that_became_a_link_ends_the_client(victim: Victim) -> None:
    """Class A: File Browser CVE-2026-54094: the root itself."""
    tell(victim, files_added=[a_file("/a")])
    victim.sync()
    victim.folder.rename(victim.base / "folder-away")
    victim.folder.symlink_to(victim.outside)
    with pytest.raises(RootGoneError):
        victim.sync()


def test_a_file_with_another_name_outside_is_replaced_and_not_written_to(victim: Victim) -> None:
    """Class A: a hard link to something outside: its bytes stay."""
    tell(victim, files_added=[a_file("/a")])
    victim.sync()
    (victim.folder / "a").unlink()
    os.link(victim.outside / "secret", victim.folder / "a")
    tell(victim, files_added=[a_file("/a", b"new!!!", version="7-9")])
    victim.server.bodies = [BODY, b"new!!!"]
    victim.server.sent.clear()
    victim.sync()
    victim.server.sent.clear()  # what is in the folder is the user's, and may be sent
    assert (victim.outside / "secret").read_text() == "sentinel"


# B: names that lead elsewhere; C: names that are ours, or look alike


BAD = [
    name.text
    for name in NAMES
    if name.is_text and name.verdict in {Verdict.REFUSED, Verdict.HIDDEN}
]


@pytest.mark.parametrize("kind", ["file", "link", "folder", "deleted", "loser"])
def test_no_name_leads_out_of_the_folder_or_stops_the_rest(victim: Victim, kind: str) -> None:
    """Class B: Actual Sync CVE-2026-3089, jj CVE-2024-51990, tarfile CVE-2007-4559."""
    paths = [f"/{text}" for text in BAD] + [
        "../x",
        "..",
        "outside/secret",
        "//x",
        "/a/",
        "/a//",
        "/x" * 2049,
    ]
    match kind:
        case "file":
            tell(victim, files_added=[a_file(path) for path in paths])
        case "link":
            tell(victim, symlinks_added=[a_link(path, "x") for path in paths])
        case "folder":
            tell(victim, directories_added=[{"path": path} for path in paths])
        case "deleted":
            tell(victim, files_deleted=[{"path": path} for path in paths])
        case _:
            loser = {"version": "8-1", "etag": '"x"', "kind": "file", "content_hash": "00" * 32}
            tell(victim, files_added=[a_file(path, losers=[loser]) for path in paths])
    victim.sync()
    victim.sync()
    assert victim.names() == ["honest"]


def test_names_of_our_own_are_taken_from_nobody(victim: Victim) -> None:
    """Class C: git CVE-2014-9390, CVE-2019-1352: aliases of names with a meaning."""
    ours = [
        "/.aeorsync-tmp-01234567-s-0123456789abcdef",
        "/.AEORSYNC-TMP-01234567-d-0123456789abcdef",
        "/.AeorSync-Tmp-x",
        "/d/.aeorsync-tmp-",
    ]
    tell(victim, files_added=[a_file(path) for path in ours])
    victim.sync()
    assert [name for name in victim.names() if name not in {"honest", "d"}] == []


def test_names_that_only_look_alike_are_all_kept(victim: Victim) -> None:
    """Class C: what differs by case or by Unicode's normal form is told or kept, never merged."""
    alike = {"A": b"1", "a": b"2", "\u00e9": b"3", "e\u0301": b"4", "a.": b"5", "a ": b"6"}
    victim.server.bodies = [BODY, *alike.values()]
    tell(victim, files_added=[a_file(f"/{name}", body) for name, body in alike.items()])
    victim.sync()
    for name, body in alike.items():
        assert (victim.folder / name).read_bytes() == body


# E, F: numbers, lengths, amounts


NUMBERS = (-1, -(1 << 62), 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 70, 10**400)


@pytest.mark.parametrize("field", ["size", "mtime_ns", "mtime", "updated_at"])
def test_impossible_numbers_are_refused_or_harmless(victim: Victim, field: str) -> None:
    """Class E: rsync CVE-2024-12084, -53792, -70461; Syncthing CVE-2021-21404."""
    for number in NUMBERS:
        changed = {"mtime_ns": None, field: number} if field == "mtime" else {field: number}
        tell(victim, files_added=[a_file("/bad", **changed)])
        try:
            victim.sync()
        except BadRequestError:
            continue
    tell(victim)
    victim.sync()
    assert (victim.folder / "honest").read_bytes() == BODY


@pytest.mark.parametrize("field", ["size", "mtime_ns", "node_id", "updated_at"])
def test_impossible_numbers_of_a_loser_are_refused_or_harmless(victim: Victim, field: str) -> None:
    """Class E: the same for the versions that nobody sees."""
    for number in NUMBERS:
        loser = {
            "version": "8-1",
            "etag": '"x"',
            "kind": "file",
            "content_hash": a_file("/x")["content_hash"],
            "chunk_hashes": a_file("/x")["chunk_hashes"],
            "size": len(BODY),
            field: number,
        }
        tell(victim, files_added=[a_file("/bad", losers=[loser])])
        try:
            victim.sync()
        except BadRequestError:
            continue
    tell(victim)
    victim.sync()
    assert (victim.folder / "honest").read_bytes() == BODY


def test_a_file_of_more_chunks_than_its_size_takes_no_memory(victim: Victim) -> None:
    """Class E, F: a few bytes by their size, and a tebibyte by their list."""
    big = bytes(262_144)
    victim.server.bodies = [BODY, big]
    for size in (1, len(big), 40 << 20):
        bomb = a_file("/bomb", big, size=size, chunk_hashes=[chunk_id(big).hex()] * 400_000)
        tell(victim, files_added=[bomb])
        began = time.monotonic()
        victim.sync()
        assert time.monotonic() - began < 20
        assert troubles(victim) == {"bomb": Why.MISSING_CONTENT}
        left = [path for path in victim.folder.iterdir() if path.name != "honest"]
        # What came of a large file stays under a name of ours, to be gone on with.
        assert sum(path.stat().st_size for path in left) <= size
        assert all(path.name.startswith(temps.PREFIX) for path in left)


LIES = {
    "other bytes": lambda name: Chunk(name, Codec.RAW, 6, b"THEIRS"),
    "fewer bytes": lambda name: Chunk(name, Codec.RAW, 5, b"their"),
    "no bytes": lambda name: Chunk(name, Codec.RAW, 0, b""),
    "a bomb": lambda name: Chunk(
        name, Codec.ZSTD, 6, zstandard.ZstdCompressor(level=19).compress(bytes(200 << 20))
    ),
    "a bomb that says nothing": lambda name: Chunk(
        name,
        Codec.ZSTD,
        6,
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(200 << 20)),
    ),
    "no zstd": lambda name: Chunk(name, Codec.ZSTD, 6, b"theirs"),
}


@pytest.mark.parametrize("lie", LIES)
def test_bytes_that_are_not_what_they_are_called_are_not_taken(victim: Victim, lie: str) -> None:
    """Class E: a chunk that does not match its hash."""
    bad = b"bad!!!"
    victim.server.lies = {chunk_id(bad): LIES[lie](chunk_id(bad))}
    tell(victim, files_added=[a_file("/bad", bad)])
    victim.sync()
    assert victim.names() == ["honest"]
    assert troubles(victim) == {"bad": Why.MISSING_CONTENT}


def test_a_whole_that_does_not_match_its_hash_is_not_taken(victim: Victim) -> None:
    """Class E: every chunk is right, and the file is not."""
    tell(victim, files_added=[a_file("/bad", content_hash="00" * 32), a_file("/short", size=5)])
    victim.sync()
    assert victim.names() == ["honest"]


def test_a_listing_that_goes_on_where_it_was_is_refused(victim: Victim) -> None:
    """Class F: pages without end."""
    victim.server.pages = [a_page(more=True, files_added=[a_file("/a")])]
    victim.server.repeats = True
    with pytest.raises(BadRequestError):
        victim.sync()
    assert victim.server.asked < 10


def test_what_is_no_shape_of_ours_ends_a_pass_with_an_error_of_ours(victim: Victim) -> None:
    """Class E, F: answers that are something else."""
    pages: tuple[Any, ...] = (
        [],
        None,
        {"root_hash": 1},
        a_page(files_added=[{"path": "/a"}]),
        a_page(files_added=[a_file("/a", chunk_hashes=["x"])]),
        a_page(files_added=[a_file("/a", content_hash="x" * 64)]),
        a_page(files_added=[a_file("/a", content_hash="00")]),
        a_page(files_added=[a_file("/a", content_hash=None)]),
        a_page(files_added=[a_file("/a", losers=[{"version": "1", "etag": "", "kind": "pipe"}])]),
    )
    for page in pages:
        victim.server.pages = [page]
        try:
            victim.sync()
        except AeorError:
            continue
    tell(victim)
    victim.sync()
    assert victim.names() == ["honest"]


# G: what acts on whoever reads it


def test_the_target_of_a_link_is_text_that_a_disk_can_hold(victim: Victim) -> None:
    """Class G: a target with a NUL, with escapes, too long, or none."""
    bad = ["a\0b", "", "x" * 5000, "\0"]
    tell(victim, symlinks_added=[a_link(f"/l{at}", text) for at, text in enumerate(bad)])
    victim.sync()
    assert victim.names() == ["honest"]
    assert set(troubles(victim)) == {"l0", "l1", "l2", "l3"}


def test_what_is_told_to_people_never_acts_on_a_terminal(victim: Victim) -> None:
    """Class G: croc, Mutagen: escapes and marks that turn text around, in names."""
    names = ["\u202egnp.exe", "a\u200bb", "\u2066x", "a\u2028b"]
    tell(victim, files_added=[a_file(f"/{name}", b"bad") for name in names])
    victim.sync()
    found = [event for event in victim.events if isinstance(event, Problem)]
    assert len(found) == len(names)
    assert all(event.message.isprintable() for event in found)


# H: more is deleted than anybody wants


@pytest.mark.parametrize("way", ["a listing of nothing", "every path told as gone"])
def test_a_server_that_deletes_everything_is_not_followed(victim: Victim, way: str) -> None:
    """Class H: rsync CVE-2026-53789: a wider deletion than was asked for."""
    victim.options = Options(max_delete=DeleteLimit.parse("50%"))
    paths = [f"/d/{number}" for number in range(60)]
    tell(victim, files_added=[a_file(path) for path in paths])
    victim.sync()
    before = victim.names()
    gone = [{"path": path} for path in [*paths, "/honest", "/d"]]
    page = (
        a_page(root="c2")
        if way == "a listing of nothing"
        else a_page(root="c2", full=False, files_deleted=gone)
    )
    victim.server.pages = [page]
    with pytest.raises(MassDeletionError):
        victim.sync()
    assert victim.names() == before


def test_what_a_server_says_of_files_it_never_had_deletes_none_of_ours(victim: Victim) -> None:
    """Class H: a deletion of what was never agreed on."""
    (victim.folder / "mine").write_text("mine")
    tell(victim, files_deleted=[{"path": "/mine"}])
    victim.sync()
    assert (victim.folder / "mine").read_text() == "mine"


# A hostile local user: what lies in the folder


def test_what_is_no_file_is_left_alone_and_stops_nothing(victim: Victim) -> None:
    """Class A, F: FIFOs, sockets, devices: nothing is opened that would block, or answer."""
    os.mkfifo(victim.folder / "fifo")
    place = socket.socket(socket.AF_UNIX)
    old = Path.cwd()
    os.chdir(victim.folder)
    try:
        place.bind("socket")
    finally:
        os.chdir(old)
        place.close()
    (victim.folder / "zero").symlink_to("/dev/zero")
    (victim.folder / "self").symlink_to("/proc/self/mem")
    (victim.folder / "loop").symlink_to("loop")
    tell(victim, files_added=[a_file("/fifo"), a_file("/socket")])
    victim.sync()
    assert stat.S_ISFIFO((victim.folder / "fifo").lstat().st_mode)
    assert stat.S_ISSOCK((victim.folder / "socket").lstat().st_mode)
    links = [link for request in victim.server.taken for link in request.links]
    assert {link.path for link in links} <= {"/zero", "/self", "/loop"}
    assert victim.server.sent == []


def test_bits_that_lend_rights_never_travel(victim: Victim) -> None:
    """Class H: rsync CVE-2026-53798: setuid, setgid, sticky."""
    tell(victim, files_added=[a_file("/run", executable=True)])
    victim.sync()
    run = victim.folder / "run"
    assert stat.S_IMODE(run.stat().st_mode) & 0o7000 == 0
    run.chmod(0o6755)
    tell(victim, files_added=[a_file("/run", b"other!", executable=True, version="7-5")])
    victim.server.bodies = [BODY, b"other!"]
    victim.sync()
    assert run.read_bytes() == b"other!"
    assert stat.S_IMODE(run.stat().st_mode) & 0o7000 == 0


def test_names_that_no_server_takes_stay_and_are_told(victim: Victim) -> None:
    """Class G: a disk holds any bytes; what cannot travel is told, and the rest goes."""
    made = [name for name in NAMES if name.on_disk and "/" not in name.text]
    for name in made:
        Path(os.fsdecode(os.fsencode(victim.folder) + b"/" + name.raw)).write_bytes(name.raw)
    tell(victim)
    victim.sync()
    sent = {file.path for request in victim.server.taken for file in request.files}
    assert sent == {f"/{name.text}" for name in made if name.verdict is Verdict.KEPT}
    found = [event for event in victim.events if isinstance(event, Problem)]
    assert len(found) >= sum(name.verdict is not Verdict.KEPT for name in made)
    assert all(event.path.isprintable() and event.message.isprintable() for event in found)

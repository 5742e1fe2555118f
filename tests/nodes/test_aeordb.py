"""A real node and an AeorDB node stay equal, whoever writes, and nothing is lost on ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.aeordb import AeorDB, serving
from tests.support.cycles import noise
from tests.support.nodes import NodeProcess, is_active, wait_until

SOON = ("--sync-interval", "1")


class Two:
    """One of ours and one of theirs."""

    def __init__(self, ours: NodeProcess, theirs: AeorDB) -> None:
        self.ours = ours
        self.theirs = theirs
        self.client = ours.client()

    def put(self, path: str, data: bytes) -> None:
        self.client.put(f"/files{path}", content=data).raise_for_status()

    def read(self, path: str) -> bytes | None:
        answer = self.client.get(f"/files{path}")
        return answer.content if answer.status_code == 200 else None

    def files(self) -> dict[str, bytes | str]:
        items = self.client.get("/files/?depth=-1&limit=1000").json()["items"]
        found: dict[str, bytes | str] = {}
        for item in items:
            if item["entry_type"] == 8:
                found[item["path"]] = item["target"]
            elif item["entry_type"] == 2:
                found[item["path"]] = self.read(item["path"]) or b""
        return found

    def conflicts(self) -> list[str]:
        items = self.client.get("/sync/conflicts").json()["items"]
        return [item["path"] for item in items]

    def seq(self) -> int:
        seq: int = self.client.get("/sync/status").json()["seq"]
        return seq

    def look(self) -> None:
        """Let ours pull from theirs."""
        answer = self.client.post("/sync/trigger").raise_for_status().json()
        assert answer["peers_failed"] == 0, answer

    def settle(self) -> None:
        """Let both pull until they are equal."""

        def is_equal() -> bool:
            self.look()
            self.theirs.tick()
            return self.files() == self.theirs.files()

        wait_until(is_equal)
        self.look()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with joined(tmp_path_factory.mktemp("aeordb")) as made:
        yield made


@contextmanager
def joined(folder: Path) -> Iterator[Two]:
    """An AeorDB node that joined one of ours, and was activated."""
    with NodeProcess(folder / "a", *SOON) as ours, serving(AeorDB()) as theirs:
        theirs.join(ours.url, ours.key or "", theirs.url)
        theirs.peers[0].state = "active"
        wait_until(lambda: is_active(ours))
        two = Two(ours, theirs)
        with two.client:
            yield two


def test_files_of_either_are_on_the_other(two: Two) -> None:
    two.put("/from/us.txt", b"us")
    two.theirs.put("/from/them.txt", b"them")
    two.settle()
    assert two.read("/from/them.txt") == b"them"
    assert two.theirs.read("/from/us.txt") == b"us"


def test_what_happens_on_either_happens_on_the_other(two: Two) -> None:
    two.put("/do/edited.txt", b"1")
    two.put("/do/deleted.txt", b"1")
    two.put("/do/moved.txt", b"moved by us")
    two.theirs.put("/did/edited.txt", b"1")
    two.theirs.put("/did/deleted.txt", b"1")
    two.theirs.put("/did/moved.txt", b"moved by them")
    two.settle()
    two.put("/did/edited.txt", b"by us")
    two.client.delete("/files/did/deleted.txt").raise_for_status()
    two.client.patch("/files/did/moved.txt", json={"to": "/did/new.txt"}).raise_for_status()
    two.theirs.put("/do/edited.txt", b"by them")
    two.theirs.delete("/do/deleted.txt")
    two.theirs.rename("/do/moved.txt", "/do/new.txt")
    two.settle()
    assert two.theirs.read("/did/edited.txt") == b"by us"
    assert two.theirs.read("/did/deleted.txt") is None
    assert two.theirs.read("/did/new.txt") == b"moved by them"
    assert two.read("/do/edited.txt") == b"by them"
    assert two.read("/do/deleted.txt") is None
    assert two.read("/do/new.txt") == b"moved by us"
    assert two.conflicts() == []


def test_links_arrive_and_ours_stay_as_they_are(two: Two) -> None:
    two.client.put("/links/l/ours", json={"target": "file.txt"}).raise_for_status()
    two.client.put("/links/l/becomes", json={"target": "file.txt"}).raise_for_status()
    two.theirs.link("/l/theirs", "/l/file.txt")
    two.put("/l/file.txt", b"f")
    wait_until(lambda: _both(two) and two.theirs.target("/l/ours") == "/l/file.txt")
    assert two.client.get("/links/l/ours").json()["target"] == "file.txt"
    assert two.client.get("/links/l/theirs").json()["target"] == "/l/file.txt"
    two.theirs.put("/l/becomes", b"a file now")
    two.client.delete("/links/l/ours").raise_for_status()
    two.client.delete("/links/l/theirs").raise_for_status()
    two.settle()
    assert two.read("/l/becomes") == b"a file now"
    assert two.theirs.target("/l/ours") is two.theirs.target("/l/theirs") is None


def _both(two: Two) -> bool:
    two.look()
    two.theirs.tick()
    return True


def test_large_files_cross_once_and_are_known_again(two: Two) -> None:
    ours, theirs = noise(3_000_000, 1), noise(3_000_000, 2)
    two.put("/large/ours", ours)
    two.theirs.put("/large/theirs", theirs)
    two.settle()
    assert two.read("/large/theirs") == theirs
    assert two.theirs.read("/large/ours") == ours
    two.theirs.requests.clear()
    seq = two.seq()
    for _ in range(2):
        _both(two)
    # It was told of our file as of one cut elsewhere, and no byte of it came back.
    assert [kind for kind, _ in two.theirs.requests if kind == "chunks"] == []
    edited = theirs[:2_900_000] + b"edited"
    two.theirs.put("/large/theirs", edited)
    two.settle()
    asked = [hashes for kind, hashes in two.theirs.requests if kind == "chunks"]
    assert sum(map(len, asked)) == 1
    assert two.seq() > seq
    assert two.read("/large/theirs") == edited


def test_once_quiet_it_stays_quiet(two: Two) -> None:
    two.put("/quiet/a", b"1")
    two.theirs.put("/quiet/b", b"2")
    two.settle()
    _both(two)
    seq, head = two.seq(), two.theirs.head
    for _ in range(3):
        _both(two)
    assert (two.seq(), two.theirs.head) == (seq, head)


def test_edits_on_both_sides_are_kept_and_what_is_decided_arrives(two: Two) -> None:
    two.put("/c/both.txt", b"base")
    two.settle()
    two.theirs.put("/c/both.txt", b"theirs")
    two.put("/c/both.txt", b"ours")
    two.theirs.tick()
    assert two.conflicts() == ["/c/both.txt"]
    meta = two.client.get("/sync/conflicts/c/both.txt").json()
    assert meta["conflict_type"] == "ConcurrentModify"
    contents = {two.client.get(version["href"]).content for version in meta["versions"]}
    assert contents == {b"ours", b"theirs"}
    two.settle()
    assert two.theirs.read("/c/both.txt") == two.read("/c/both.txt")
    pick = next(v["id"] for v in meta["versions"] if two.client.get(v["href"]).content == b"ours")
    answer = two.client.post("/sync/conflicts/c/both.txt", json={"pick": pick})
    assert answer.is_success, answer.text
    two.settle()
    assert two.theirs.read("/c/both.txt") == b"ours"
    assert two.conflicts() == []


def test_what_is_done_there_right_after_it_arrived_is_no_conflict(two: Two) -> None:
    for name in ("edited", "deleted"):
        two.put(f"/window/{name}", b"1")
    while two.theirs.read("/window/deleted") is None:
        two.theirs.tick()
    two.theirs.put("/window/edited", b"2")
    two.theirs.delete("/window/deleted")
    two.theirs.tick()
    assert (two.read("/window/edited"), two.read("/window/deleted")) == (b"2", None)
    two.settle()
    assert two.conflicts() == []


def test_an_edit_there_is_taken_before_it_is_overwritten(two: Two) -> None:
    two.put("/race/a.txt", b"base")
    two.settle()
    two.put("/race/a.txt", b"ours")
    two.theirs.put("/race/a.txt", b"theirs, and nobody has looked")
    two.theirs.tick()
    assert "/race/a.txt" in two.conflicts()
    meta = two.client.get("/sync/conflicts/race/a.txt").json()
    contents = {two.client.get(version["href"]).content for version in meta["versions"]}
    assert contents == {b"ours", b"theirs, and nobody has looked"}
    two.client.post("/sync/resolve/race/a.txt", json={"pick": "winner"}).raise_for_status()
    two.settle()


def test_a_deletion_there_of_what_was_edited_here_is_a_conflict(two: Two) -> None:
    two.put("/md/a.txt", b"base")
    two.put("/md/b.txt", b"base")
    two.settle()
    two.theirs.delete("/md/a.txt")
    two.put("/md/a.txt", b"edited here")
    two.theirs.put("/md/b.txt", b"edited there")
    two.client.delete("/files/md/b.txt").raise_for_status()
    two.theirs.tick()
    assert two.conflicts() == ["/md/a.txt", "/md/b.txt"]
    two.settle()
    assert two.theirs.read("/md/a.txt") == b"edited here"
    assert two.read("/md/b.txt") == b"edited there"
    for name in ("a", "b"):
        two.client.post(f"/sync/resolve/md/{name}.txt", json={"pick": "winner"}).raise_for_status()
    two.settle()


def test_what_is_its_own_never_comes_here_and_ours_never_goes_there(two: Two) -> None:
    two.theirs.put("/docs/.aeordb-indexes/name.idx", b"index")
    two.theirs.put("/docs/.aeordb-logs/log", b"log")
    two.theirs.put("/.aeordb-conflicts/docs/a/.meta", b"{}")
    two.theirs.put("/docs/text", b"text")
    two.settle()
    answer = two.client.post("/sync/diff", json={"include_system": True}).json()
    paths = {item["path"] for item in answer["changes"]["files_added"]}
    assert "/docs/text" in paths
    mine = {path for path in paths if ".aeordb" in path}
    assert not any(word in path for path in mine for word in ("jwt", "users", "config", "index"))
    assert not any(word in path for path in mine for word in ("logs", "conflicts"))
    folder = two.ours.data
    assert all(two.theirs.seed not in file.read_bytes() for file in folder.glob("packs/*"))
    theirs = {path for path in two.theirs.tree if path.startswith("/.aeordb-system")}
    assert theirs == set()


def test_wrong_bytes_are_refused_and_the_rest_goes_on(two: Two) -> None:
    two.theirs.put("/bad/spoiled", b"the right bytes")
    (name,) = two.theirs.tree["/bad/spoiled"][1][0]
    two.theirs.spoiled[name] = b"the wrong bytes"
    two.theirs.put("/bad/sound", b"sound")
    answer = two.client.post("/sync/trigger").json()
    assert (answer["peers_failed"], two.read("/bad/spoiled")) == (1, None)
    assert "does not match its name" in answer["results"][0]["error"]
    assert two.read("/bad/sound") == b"sound"
    two.theirs.spoiled.clear()
    two.settle()
    assert two.read("/bad/spoiled") == b"the right bytes"


def test_bad_paths_are_told_and_the_rest_goes_on(two: Two) -> None:
    for path in ("/bad/../escape", "/bad//double", "/bad/nul\0", "/" + "x" * 300):
        two.theirs.put(path, b"bad")
    two.theirs.put("/bad/good", b"good")
    answer = two.client.post("/sync/trigger").json()
    assert answer["results"][0]["error"].startswith("4 not taken, first ")
    assert two.read("/bad/good") == b"good"
    for path in [path for path in two.theirs.tree if two.theirs.read(path) == b"bad"]:
        two.theirs.delete(path)
    two.settle()


def test_a_cursor_it_does_not_know_any_more_loses_no_deletion(two: Two) -> None:
    for name in ("kept", "deleted", "edited"):
        two.theirs.put(f"/gc/{name}", b"1")
    two.settle()
    two.theirs.delete("/gc/deleted")
    two.theirs.put("/gc/edited", b"2")
    two.theirs.put("/gc/new", b"3")
    two.theirs.collect_garbage()
    two.put("/gc/ours", b"not there yet, and not deleted there")
    two.look()
    assert two.read("/gc/deleted") is None
    assert two.read("/gc/edited") == b"2"
    assert two.read("/gc/new") == b"3"
    assert two.read("/gc/ours") is not None
    two.settle()
    assert two.conflicts() == []


def test_one_that_lost_its_data_gets_it_again(tmp_path: Path) -> None:
    with joined(tmp_path) as two:
        two.theirs.put("/a", b"theirs")
        two.put("/b", b"ours")
        two.settle()
        two.theirs.lose_everything()
        two.look()
        assert two.files() == {"/a": b"theirs", "/b": b"ours"}
        two.settle()
        assert two.theirs.files() == {"/a": b"theirs", "/b": b"ours"}


def test_killed_in_the_middle_of_a_pull_it_goes_on(tmp_path: Path) -> None:
    with joined(tmp_path) as two:
        two.put("/shared", b"shared")
        two.settle()
        for number in range(40):
            two.theirs.put(f"/many/{number}", noise(200_000, number))
        two.theirs.slow_s = 0.2
        for _ in range(3):
            wait_until(lambda: any(kind == "chunks" for kind, _ in two.theirs.requests))
            two.theirs.requests.clear()
            two.ours.kill()
            two.ours.start()
        two.theirs.slow_s = 0.0
        wait_until(lambda: is_active(two.ours))
        two.settle()
        assert two.conflicts() == []
        assert len(two.files()) == 41
        seq = two.seq()
        _both(two)
        assert two.seq() == seq


def test_ours_joins_theirs(tmp_path: Path) -> None:
    with serving(AeorDB(node_id=(1 << 64) - 1)) as theirs:
        theirs.put("/hello", b"from AeorDB")
        flags = ("--join", theirs.url, "--join-token", theirs.key)
        with NodeProcess(tmp_path / "a", *SOON, *flags) as ours:
            assert ours.key is not None
            (peer,) = theirs.peers
            assert peer.address.endswith(f":{ours.port}")
            peer.address, peer.state = ours.url, "active"
            wait_until(lambda: is_active(ours))
            with ours.client() as client:
                two = Two(ours, theirs)
                with two.client:
                    two.put("/answer", b"from us")
                    two.settle()
                assert client.get("/files/hello").content == b"from AeorDB"
            assert theirs.read("/answer") == b"from us"
            ours.stop()
            ours.start()
            wait_until(lambda: is_active(ours))


def test_a_clock_that_is_far_off_keeps_it_waiting(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a", *SOON) as ours, serving(AeorDB(skew_ms=90_000)) as theirs:
        theirs.join(ours.url, ours.key or "", theirs.url)
        with ours.client() as client:

            def peer() -> dict[str, str]:
                found: dict[str, str] = client.get("/sync/peers").json()["items"][0]
                return found

            wait_until(lambda: peer()["state"] == "honeymoon")
            wait_until(lambda: "ahead of ours" in (peer()["reason"] or ""))
            answer = client.post("/sync/trigger?force_activate=true").json()
            assert answer["peers_synced"] == 1

"""Offers as they come in over HTTP: what is sound is taken, and of a liar's nothing stays."""

from uuid import uuid4

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aeorsync.cluster.offers import Stance
from aeorsync.core.clock import MAX_AHEAD_MS, make_stamp
from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.core.tokens import SYNC
from aeorsync.core.versions import Content, Entry, Kind, Version, encode_entry, pack_references
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits
from aeorsync.wire.framing import Codec, encode, encode_chunk
from aeorsync.wire.framing import Kind as Frame
from aeorsync.wire.offers import OfferHeader
from aeorsync.wire.protocol import Item, pack
from tests.api.conftest import Browser
from tests.support.repositories import files

SENDER = 77
NOW = 1_700_000_000_000
END = encode(Frame.END, pack({}))


class Member:
    """A node whose links a test chooses."""

    node_id = 7
    told = Stance()

    def __init__(self) -> None:
        self.taken_from: list[int] = []

    def stance(self, _: int) -> Stance:
        return self.told

    def note_offer(self, node_id: int) -> None:
        self.taken_from.append(node_id)


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.fixture
def node(call: Browser, member: Member) -> Browser:
    object.__setattr__(call.here.node, "member", member)
    return call


def repository(node: Browser) -> Repository:
    return node.here.node.repository


def header(**fields: object) -> bytes:
    told = OfferHeader(**{"node_id": SENDER, "database": 5, **fields})  # type: ignore[arg-type]
    return encode(Frame.HEADER, pack(told))


def item(path: bytes, text: bytes, **changes: object) -> Item:
    refs = pack_references([(chunk_id(text), len(text))])
    sound = Version(
        kind=int(Kind.FILE),
        deleted=False,
        content=Content(content_hash(text), len(text), 0, refs),
        target="",
        content_type="",
        executable=False,
        mtime=0,
        created=0,
        stamp=make_stamp(NOW),
        node=SENDER,
        incarnation=77,
        n=int.from_bytes(path[:4]),
    )
    return path, encode_entry(Entry((msgspec.structs.replace(sound, **changes),)))


def entries(*items: Item) -> bytes:
    return encode(Frame.ENTRIES, pack(list(items)))


def chunk(text: bytes, name: bytes | None = None) -> bytes:
    return encode_chunk(name or chunk_id(text), Codec.RAW, len(text), text)


def offer(node: Browser, *frames: bytes, **fields: object) -> httpx.Response:
    return node("POST", "/sync/offer", content=header(**fields) + b"".join(frames) + END)


def bring(node: Browser, *frames: bytes, **fields: object) -> httpx.Response:
    return node("POST", "/sync/offer/chunks", content=header(**fields) + b"".join(frames) + END)


def holds(node: Browser, text: bytes) -> bool:
    return not repository(node).missing([chunk_id(text)])


def test_a_page_is_applied_once_its_chunks_are_here(node: Browser) -> None:
    page = entries(item(b"a", b"one"), item(b"b", b"two"))
    reply = offer(node, page).json()
    names = {chunk_id(text).hex() for text in (b"one", b"two")}
    assert (set(reply["lacking"]), reply["applied"]) == (names, 0)
    assert files(repository(node)) == {}
    assert bring(node, chunk(b"one"), chunk(b"two")).json() == {"stored": 2, "refused": []}
    reply = offer(node, page).json()
    assert (reply["lacking"], reply["applied"], reply["problems"]) == ([], 2, [])
    assert files(repository(node)) == {"/a": b"one", "/b": b"two"}
    [*_, last] = repository(node).changes(0, 10)
    assert last.via == SENDER
    seq = repository(node).head.seq
    assert offer(node, page).json()["applied"] == 0
    assert repository(node).head.seq == seq


BAD: dict[str, Item] = {
    "a path that leads up": item(b"..\0etc", b"bad"),
    "a path that is no text": item(b"\xff", b"bad"),
    "the root": item(b"", b"bad"),
    "a far future": item(b"x", b"bad", stamp=make_stamp(NOW + MAX_AHEAD_MS + 60_000)),
    "a file larger than any": item(
        b"x", b"bad", content=Content(bytes(32), limits.MAX_FILE + 1, 0, b"")
    ),
    "an unknown kind": item(b"x", b"bad", kind=9),
    "no entry": (b"x", b"nonsense"),
    "a wrong content hash": item(
        b"x", b"bad", content=Content(bytes(32), 3, 0, pack_references([(chunk_id(b"one"), 3)]))
    ),
}


@pytest.mark.parametrize("lie", BAD)
def test_what_breaks_a_rule_is_refused_alone(node: Browser, lie: str) -> None:
    page = entries(item(b"a", b"one"), BAD[lie], item(b"b", b"one"))
    offer(node, page)
    bring(node, chunk(b"one"))
    reply = offer(node, page).json()
    assert (reply["applied"], reply["problem_count"]) == (2, 1)
    assert reply["problems"][0]["text"]
    assert list(files(repository(node))) == ["/a", "/b"]


def test_a_file_whose_chunk_cannot_be_brought_is_refused_alone(node: Browser) -> None:
    page = entries(item(b"a", b"one"), item(b"b", b"two"))
    offer(node, page)
    bring(node, chunk(b"one"))
    reply = offer(node, page, encode(Frame.MISSING, chunk_id(b"two"))).json()
    assert (reply["applied"], reply["problem_count"]) == (1, 1)
    assert files(repository(node)) == {"/a": b"one"}


def test_wrong_bytes_are_refused_and_the_others_stay(node: Browser) -> None:
    offer(node, entries(item(b"a", b"one"), item(b"b", b"two")))
    reply = bring(node, chunk(b"lie", chunk_id(b"one")), chunk(b"two")).json()
    assert reply == {"stored": 1, "refused": [chunk_id(b"one").hex()]}
    assert (holds(node, b"one"), holds(node, b"lie"), holds(node, b"two")) == (False, False, True)


@pytest.mark.parametrize("sender", [SENDER, 78])
def test_chunks_nobody_asked_for_are_not_stored(node: Browser, sender: int) -> None:
    offer(node, entries(item(b"a", b"one")))
    stranger = b"three" if sender == SENDER else b"one"
    reply = bring(node, chunk(stranger), node_id=sender)
    assert (reply.status_code, reply.json()["code"]) == (409, "STALE")
    assert not holds(node, stranger)


def test_a_chunk_comes_once(node: Browser) -> None:
    offer(node, entries(item(b"a", b"one")))
    assert bring(node, chunk(b"one"), chunk(b"one")).status_code == 400


def test_what_is_lacking_is_told_in_bounded_parts(
    node: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_LACKING", 3)
    page = entries(*(item(b"f%d" % i, b"%d" % i) for i in range(8)))
    counts = []
    while names := offer(node, page).json()["lacking"]:
        counts.append(len(names))
        bring(node, *(chunk(b"%d" % i) for i in range(8) if chunk_id(b"%d" % i).hex() in names))
    assert counts == [3, 3, 2]
    assert len(files(repository(node))) == 8


def test_only_so_many_senders_are_waited_for(
    node: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_OFFERERS", 2)
    for sender in (1, 2, 3):
        offer(node, entries(item(b"a", b"one")), node_id=sender)
    assert bring(node, chunk(b"one"), node_id=1).status_code == 409
    assert bring(node, chunk(b"one"), node_id=2).status_code == 200


@pytest.mark.parametrize(
    "stance", [Stance(takes=False), Stance(sync_paths=("/only/**",)), Stance(excludes=("/a",))]
)
def test_what_this_node_does_not_take_is_passed_over(
    node: Browser, member: Member, stance: Stance
) -> None:
    member.told = stance
    reply = offer(node, entries(item(b"a", b"one"))).json()
    assert (reply["takes"], reply["lacking"], reply["applied"]) == (stance.takes, [], 0)
    assert files(repository(node)) == {}
    assert bool(member.taken_from) == stance.takes


def test_a_receipt_of_another_past_means_everything_again(node: Browser) -> None:
    first = offer(node, entries()).json()["receipt"]
    assert offer(node, entries(), receipt=first).json()["known"] is True
    reply = offer(node, entries(item(b"a", b"")), receipt="xM8AAAAAAAAAAAAA").json()
    assert (reply["known"], reply["applied"]) == (False, 0)


def test_a_node_offers_nothing_to_itself(node: Browser) -> None:
    own = repository(node).head.node
    assert offer(node, entries(item(b"a", b"one")), node_id=own).status_code == 409


def test_a_page_is_bounded(node: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PAGE_BYTES", 1000)
    assert offer(node, *[entries()] * 8).status_code == 413


WITHOUT = [b"", END, header()[:-1], header(), entries() + END, header() + chunk(b"x") + END]


@pytest.mark.parametrize("body", [*WITHOUT, header() + encode(Frame.MISSING, b"x") + END])
def test_an_offer_that_is_none_is_refused(node: Browser, body: bytes) -> None:
    assert node("POST", "/sync/offer", content=body).status_code == 400


@pytest.mark.parametrize("body", [b"", END, header(), chunk(b"x"), header() + entries() + END])
def test_chunks_that_are_none_are_refused(node: Browser, body: bytes) -> None:
    assert node("POST", "/sync/offer/chunks", content=body).status_code == 400


@pytest.mark.parametrize("path", ["/sync/offer", "/sync/offer/chunks"])
def test_only_peers_and_root_may_offer(node: Browser, path: str) -> None:
    body = header() + END
    scoped, _ = node.here.make_key(rules=({"glob": "/docs/**", "permitted": "r"},))
    for token, status in (
        (node.here.mint(scope=SYNC), 200),
        (node.here.mint(subject=uuid4()), 403),
        (scoped, 403),
        ("", 401),
    ):
        assert node("POST", path, content=body, token=token).status_code == status


mutations = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(mutations, st.integers(0, 400))
def test_a_mutated_offer_changes_nothing_it_should_not(
    node: Browser, changes: list[tuple[int, int]], cut: int
) -> None:
    body = bytearray(header() + entries(item(b"a", b"one"), item(b"b", b"two")) + END)
    for at, byte in changes:
        body[at % len(body)] = byte
    reply = node("POST", "/sync/offer", content=bytes(body[: len(body) - cut]))
    assert reply.status_code in {200, 400, 409, 413}
    assert files(repository(node)) == {}

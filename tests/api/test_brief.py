"""Answers without what the asker knows already."""

import msgspec

from aeorsync.core.knowledge import to_vector
from aeorsync.core.tokens import SYNC
from aeorsync.wire import framing
from aeorsync.wire.brief import BriefClock, Same, mark
from aeorsync.wire.framing import Frame, Kind
from aeorsync.wire.protocol import FRAMES_TYPE, DiffEnd
from tests.api.conftest import Browser
from tests.support.repositories import put

ASKER = 3


def page(call: Browser, cursor: str | None, same: str = "", **fields: object) -> list[Frame]:
    asked = {"cursor": cursor, "node_id": ASKER, "knowledge": True, **fields}
    url = f"/sync/diff?same={same}" if same else "/sync/diff"
    token = call.here.mint(scope=SYNC)
    headers = {"Accept": FRAMES_TYPE}
    reply = call("POST", url, json=asked, headers=headers, token=token)
    assert reply.status_code == 200, reply.text
    decoder = framing.Decoder()
    frames = decoder.feed(reply.content)
    decoder.finish()
    return frames


def end_of(frames: list[Frame]) -> DiffEnd:
    return msgspec.msgpack.decode(frames[-1].payload, type=DiffEnd)


def told(call: Browser) -> tuple[str, str]:
    """Where a reader stands that was told everything, and the mark of that."""
    end = end_of(page(call, None))
    while end.more:
        end = end_of(page(call, end.cursor))
    assert end.knowledge is not None
    return end.cursor, mark(end.root_hash, end.knowledge).text


def test_a_brief_probe_has_the_times_and_who_answers(call: Browser) -> None:
    token = call.here.mint(scope=SYNC)
    whole = call("POST", "/sync/clock", json={"t0": 5}, token=token).json()
    reply = call("POST", "/sync/clock?brief=true", json={"t0": 0}, token=token)
    brief = msgspec.msgpack.decode(reply.content, type=BriefClock)
    assert (brief.node_id, brief.database) == (whole["node_id"], whole["database"])
    assert whole["t1"] <= brief.t1 <= brief.t2
    assert len(reply.content) < 50


def test_to_whom_nothing_new_is_to_be_told_a_word_is_enough(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"a")
    cursor, text = told(call)
    frames = page(call, cursor, text)
    assert [frame.kind for frame in frames] == [Kind.END]
    same = msgspec.msgpack.decode(frames[0].payload, type=Same)
    assert (same.node_id, same.same) == (call.here.node.repository.head.node, True)


def test_a_page_is_whole_when_anything_is_new_or_the_mark_is_another(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"a")
    cursor, text = told(call)
    assert len(page(call, cursor)) > 1
    assert len(page(call, cursor, "0" * 16)) > 1
    assert len(page(call, None, text)) > 1
    assert len(page(call, cursor, text, knowledge=False)) > 1
    repository.learn({77 << 32: 5})
    assert to_vector(repository.known()) != ()
    assert len(page(call, cursor, text)) > 1
    cursor, text = told(call)
    put(repository, "/b", b"b")
    assert len(page(call, cursor, text)) > 2


def test_only_peers_that_ask_for_all_of_it_get_a_word(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"a")
    cursor, text = told(call)
    assert len(page(call, cursor, text, paths=["/b/**"])) > 1
    headers = {"Accept": FRAMES_TYPE}
    asked = {"cursor": cursor, "knowledge": True}
    reply = call("POST", f"/sync/diff?same={text}", json=asked, headers=headers)
    assert len(framing.Decoder().feed(reply.content)) > 1

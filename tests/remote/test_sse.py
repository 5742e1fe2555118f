import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.errors import BadRequestError
from aeorsync.remote.sse import EventDecoder, ServerEvent

STREAM = (
    b": welcome\n"
    b"event: hello\r\ndata: {}\r\n\r\n"
    b"data:one\rdata: two\r\r"
    b"id: 7\nretry: 5\nevent: nothing\n\n"
    b"event: root\ndata: 1\n\n"
)
EVENTS = [
    ServerEvent("hello", b"{}"),
    ServerEvent("message", b"one\ntwo"),
    ServerEvent("root", b"1"),
]


@given(st.lists(st.integers(1, len(STREAM)), max_size=20))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    decoder = EventDecoder()
    marks = sorted({0, len(STREAM), *cuts})
    pieces = [STREAM[a:b] for a, b in pairwise(marks)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS


@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage_makes_events_or_a_refusal_and_nothing_else(data: bytes, limit: int) -> None:
    decoder = EventDecoder(limit)
    try:
        events = decoder.feed(data)
    except BadRequestError:
        return
    assert all(len(event.data) <= limit for event in events)


@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * 100, b"data: 12345\n" * 20, b"x" * 100 + b"\n"],
    ids=["endless line", "endless event", "long unknown line"],
)
def test_memory_does_not_depend_on_the_sender(stream: bytes) -> None:
    decoder = EventDecoder(limit=50)

    def feed() -> None:
        for at in range(0, len(stream), 7):
            decoder.feed(stream[at : at + 7])

    with pytest.raises(BadRequestError, match="too long"):
        feed()


def test_a_long_line_that_comes_byte_by_byte_costs_no_more_than_its_length() -> None:
    decoder = EventDecoder()
    began = time.thread_time()
    for _ in range(200_000):
        decoder.feed(b"x")
    assert time.thread_time() - began < 2
    assert decoder.feed(b"\rdata: 1\r\r\n") == [ServerEvent("message", b"1")]

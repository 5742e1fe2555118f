"""Query strings, read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.api import media
from aeorsync.api.auth import query_token
from aeorsync.api.parameters import Query
from aeorsync.errors import BadRequestError


def test_a_parameter_is_decoded_once() -> None:
    query = Query(b"a=%2541&b=x+y&c=&a=%41")
    assert (query.text("a"), query.text("b"), query.text("c")) == ("A", "x y", "")
    assert Query(b"a=%2541").text("a") == "%41"
    assert query.text("d") is None


@pytest.mark.parametrize("text", ["true", "1"])
def test_a_flag_is_true_only_when_said_so(text: str) -> None:
    assert Query(f"f={text}".encode()).flag("f")
    assert not Query(b"f=false&g=1").flag("f")
    assert not Query(b"").flag("f")


@pytest.mark.parametrize("text", ["", "yes", "TRUE", "2"])
def test_a_flag_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        Query(f"f={text}".encode()).flag("f")


def test_a_number_has_a_least_value_and_a_default() -> None:
    query = Query(b"n=5&m=-1&e=")
    assert query.whole("n", 0) == 5
    assert query.whole("m", -1) == -1
    assert query.whole("e", 0, 9) == 9
    assert query.whole("x", 0) is None
    with pytest.raises(BadRequestError):
        query.whole("m", 0)


@given(st.binary(max_size=200))
def test_no_query_breaks_the_reader(raw: bytes) -> None:
    query_token(raw)
    try:
        query = Query(raw)
    except BadRequestError:
        return
    for read in (query.flag, lambda name: query.whole(name, 0), query.text):
        try:
            read("a")
        except BadRequestError:
            continue


@given(st.none() | st.binary(max_size=300), st.text(max_size=20), st.binary(max_size=5000))
def test_every_type_that_is_kept_can_be_sent(stated: bytes | None, name: str, head: bytes) -> None:
    try:
        kept = media.content_type(stated, name, head)
    except BadRequestError:
        return
    assert media.printable(kept) == kept.encode("ascii")


@given(st.text(max_size=300))
def test_a_type_from_elsewhere_never_splits_a_header(kept: str) -> None:
    field = media.printable(kept)
    assert b"\r" not in field
    assert b"\n" not in field


@given(st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", codec="utf-8")))
def test_text_is_known_however_long_it_is(text: str) -> None:
    data = text.encode() * (media.HEAD_SIZE // len(text.encode()) + 2)
    assert media.content_type(None, "noending", data) == "text/plain"

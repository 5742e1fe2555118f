"""What may be said of a link, read from a request."""

import pytest

from aeorsync.cluster.peers import Direction, LinkRecord
from aeorsync.cluster.terms import MAX_BANDWIDTH, news, parse_terms
from aeorsync.errors import BadRequestError
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.terms import PeerPatch, PeerTerms


def test_what_is_left_out_is_not_touched_and_what_is_null_is_taken_back() -> None:
    assert parse_terms(PeerTerms()) == {}
    assert parse_terms(PeerPatch(label=None, sync_paths=None, excludes=[])) == {
        "label": None,
        "sync_paths": None,
        "excludes": None,
    }


def test_words_become_what_they_mean() -> None:
    terms = PeerPatch(
        address="HTTP://B:1/", direction="push", compression="none", bandwidth_limit=MAX_BANDWIDTH
    )
    assert parse_terms(terms) == {
        "address": "http://b:1",
        "direction": Direction.PUSH,
        "compression": Encoding.NONE,
        "bandwidth_limit": MAX_BANDWIDTH,
    }


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (PeerTerms(direction="Both"), "both, pull, push"),
        (PeerTerms(compression=""), "zstd, gzip, none"),
        (PeerTerms(bandwidth_limit=MAX_BANDWIDTH + 1), str(MAX_BANDWIDTH)),
        (PeerPatch(address="b:1"), "address"),
    ],
)
def test_a_refusal_names_what_is_allowed(terms: PeerTerms, told: str) -> None:
    with pytest.raises(BadRequestError, match=told):
        parse_terms(terms)


def test_only_what_differs_is_news() -> None:
    record = LinkRecord(id=1, address="http://b:1", label="b")
    assert news(record, {"label": "b", "enabled": True, "excludes": ("/a",)}) == {
        "excludes": ("/a",)
    }


@pytest.mark.parametrize(
    ("direction", "pulls", "pushes"),
    [("both", True, True), ("pull", True, False), ("push", False, True)],
)
def test_a_direction_says_who_may_do_what(direction: str, *, pulls: bool, pushes: bool) -> None:
    record = LinkRecord(id=1, address="http://b", direction=Direction(direction))
    assert (record.pulls, record.pushes) == (pulls, pushes)

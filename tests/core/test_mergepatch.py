"""Merge patches do what RFC 7396 says, and touch nothing else."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.mergepatch import MAX_LEVELS, merge_patch
from aeorsync.errors import BadRequestError

RFC_CASES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "é", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


def reference(target: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """The pseudo code of the RFC."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = reference(result.get(name), value)
    return result


@pytest.mark.parametrize(("document", "patch", "result"), RFC_CASES)
def test_the_examples_of_the_rfc_come_out(document: str, patch: str, result: str) -> None:
    assert merge_patch(document.encode(), patch.encode()).decode() == result


@given(JSON, JSON, st.sampled_from([None, 1]))
def test_it_does_what_the_rfc_does(document: object, patch: object, indent: int | None) -> None:
    old, change = (json.dumps(value, indent=indent).encode() for value in (document, patch))
    assert json.loads(merge_patch(old, change)) == reference(document, patch)


def test_what_a_patch_does_not_name_stays_as_it_was_written() -> None:
    old = b'{"pi": 3.140, "big": 123456789012345678901234567890, "d": {"x" : [1.0,  2]}}'
    new = merge_patch(old, b'{"new": 1e2}')
    for text in (b"3.140", b"123456789012345678901234567890", b'{"x" : [1.0,  2]}', b"1e2"):
        assert text in new


def test_a_depth_says_how_far_objects_are_merged() -> None:
    old, patch = b'{"a":{"b":{"c":1,"d":2}},"x":1}', b'{"a":{"b":{"c":3}}}'
    assert merge_patch(old, patch, 0) == patch
    assert merge_patch(old, patch, 1) == b'{"a":{"b":{"c":3}},"x":1}'
    assert merge_patch(old, patch, 3) == b'{"a":{"b":{"c":3,"d":2}},"x":1}'
    assert merge_patch(old, patch, -5) == b'{"a":{"b":{"c":3,"d":2}},"x":1}'


def test_without_a_document_the_patch_makes_one_without_its_nulls() -> None:
    assert merge_patch(None, b' {"a": {"b": null, "c": 1}} ') == b'{"a":{"c":1}}'


@pytest.mark.parametrize("bad", [b"", b"{", b'{"a":}', b"\xff", b"[" * 100_000, b'{"a":1} x'])
def test_what_is_no_json_is_refused(bad: bytes) -> None:
    with pytest.raises(BadRequestError):
        merge_patch(b"{}", bad)
    with pytest.raises(BadRequestError):
        merge_patch(bad, b"{}")


def nested(levels: int, inner: bytes) -> bytes:
    return b'{"a":' * levels + inner + b"}" * levels


def test_the_levels_of_a_patch_are_counted_and_those_of_a_document_are_not() -> None:
    deep = nested(500, b"1")
    assert merge_patch(deep, nested(MAX_LEVELS, b"2")) == nested(MAX_LEVELS, b"2")
    assert merge_patch(deep, b'{"b":1}') == deep[:-1] + b',"b":1}'
    assert merge_patch(deep, nested(500, b"2"), MAX_LEVELS) == nested(500, b"2")
    with pytest.raises(BadRequestError):
        merge_patch(deep, nested(MAX_LEVELS + 1, b"2"))


def test_a_long_document_is_patched_in_time_at_any_depth() -> None:
    long = nested(MAX_LEVELS, b'"' + b"x" * (2 << 20) + b'"')
    began = time.thread_time()
    merge_patch(long, nested(MAX_LEVELS, b"1"))
    assert time.thread_time() - began < 1

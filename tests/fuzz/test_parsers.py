"""Whatever bytes a parser is given: an error of ours, in time, or a value that comes back."""

import zlib
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.mutations import WORDS, Mutator, nested
from tests.support.parser_table import PARSERS
from tests.support.parsers import MAX_INPUT, Parser, judge

ROUNDS: Final = 120
NAMES: Final = [parser.name for parser in PARSERS]


def seed_of(parser: Parser) -> int:
    """The same in every run, another for every parser."""
    return zlib.crc32(parser.name.encode())


@pytest.mark.parametrize("parser", PARSERS, ids=NAMES)
def test_a_parser_keeps_its_promises(parser: Parser) -> None:
    accepted = [seed for seed in parser.seeds if judge(parser, seed)]
    assert accepted, "no seed is accepted"
    mutator = Mutator(parser.seeds, seed_of(parser))
    for _ in range(ROUNDS):
        judge(parser, mutator.next()[:MAX_INPUT])


@pytest.mark.parametrize("parser", PARSERS, ids=NAMES)
def test_a_parser_takes_what_hurts_others(parser: Parser) -> None:
    for word in WORDS:
        judge(parser, word)
    for seed in parser.seeds[:2]:
        for deep in (
            nested(20_000),
            nested(1000, b'{"a":', b"}", b"1"),
            b"\x91" * 20_000,
            b"\x81\xa1z" + b"\x91" * 5000 + b"\xc0",
        ):
            judge(parser, deep)
            judge(parser, seed + deep)
            judge(parser, deep + seed)


@pytest.mark.parametrize("parser", PARSERS, ids=NAMES)
def test_a_parser_takes_long_inputs_in_time(parser: Parser) -> None:
    for piece in (
        b"a",
        b"/",
        b"*",
        b"{a,",
        b"[",
        b"\0",
        b"\xff",
        b" ",
        b"1",
        b",",
        b"\n",
        b"!a\n",
    ):
        judge(parser, (piece * MAX_INPUT)[:MAX_INPUT])
    for seed in parser.seeds[:3]:
        if seed:
            judge(parser, (seed * (MAX_INPUT // len(seed) + 1))[:MAX_INPUT])


@pytest.mark.parametrize("parser", PARSERS, ids=NAMES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=200))
def test_a_parser_takes_any_bytes(parser: Parser, data: bytes) -> None:
    judge(parser, data)

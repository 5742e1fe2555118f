"""`POST /blobs/parts` and `/blobs/recipes`: new chunks made of old ones."""

from random import Random

import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.hashing import chunk_id
from aeorsync.core.parts import describe, write_steps
from aeorsync.wire import framing
from aeorsync.wire.deltas import Delta
from aeorsync.wire.framing import Kind
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from aeorsync.wire.recipes import MAX_DESCRIBED, encode_recipe, parse_parts
from tests.api.blobs import committed, file
from tests.api.conftest import Browser
from tests.support.repositories import put

OLD = Random(1).randbytes(40_000)
NEW = OLD[:9000] + b"edited" + OLD[9000:]
SECRET = Random(2).randbytes(40_000)
WRITER = (KeyRule("/open/**", "crudl---"),)
HEADER = framing.encode(Kind.HEADER, b"\x80")
END = framing.encode(Kind.END, b"\x80")


@pytest.fixture
def held(call: Browser) -> Browser:
    put(call.here.node.repository, "/open/old", OLD)
    put(call.here.node.repository, "/closed/secret", SECRET)
    return call


def parts(call: Browser, *plain: bytes, **fields: object) -> dict[bytes, bytes]:
    headers = {"Content-Type": IDS_TYPE}
    body = b"".join(map(chunk_id, plain))
    reply = call("POST", "/blobs/parts", content=body, headers=headers, **fields)
    assert reply.status_code == 200, reply.text
    decoder = framing.Decoder()
    frames = decoder.feed(reply.content)
    decoder.finish()
    return dict(parse_parts(one.payload) for one in frames if one.kind is Kind.PARTS)


def make(call: Browser, *recipes: Delta, **fields: object) -> dict[str, object]:
    headers = {"Content-Type": FRAMES_TYPE}
    body = b"".join((HEADER, *map(encode_recipe, recipes), END))
    reply = call("POST", "/blobs/recipes", content=body, headers=headers, **fields)
    assert reply.status_code == 200, reply.text
    found: dict[str, object] = reply.json()
    return found


def recipe(new: bytes, *old: bytes) -> Delta:
    steps = write_steps(new, [describe(one) for one in old])
    return Delta(chunk_id(new), len(new), tuple(map(chunk_id, old)), steps)


def limited(call: Browser) -> str:
    return call.here.make_key(rules=WRITER)[0]


def test_an_edited_chunk_is_made_of_the_old_one(held: Browser) -> None:
    assert parts(held, OLD, b"unknown") == {chunk_id(OLD): describe(OLD)}
    assert make(held, recipe(NEW, OLD)) == {"made": 1, "refused": []}
    committed(held, file("/open/new", NEW))
    assert held("GET", "/files/open/new").content == NEW


def test_what_is_made_is_its_makers_own(held: Browser) -> None:
    token = limited(held)
    assert make(held, recipe(NEW, OLD), token=token) == {"made": 1, "refused": []}
    committed(held, file("/open/new", NEW), token=token)
    assert held("GET", "/files/open/new", token=token).content == NEW


def test_who_may_not_read_a_chunk_learns_nothing_of_it(held: Browser) -> None:
    token = limited(held)
    assert parts(held, OLD, SECRET, token=token) == {chunk_id(OLD): describe(OLD)}
    copied = recipe(SECRET + b"!", SECRET)
    mixed = recipe(OLD + SECRET, OLD, SECRET)
    unknown = recipe(NEW, OLD)._replace(bases=(b"?" * 32,))
    reply = make(held, copied, mixed, unknown, token=token)
    assert reply == {"made": 0, "refused": [r.id.hex() for r in (copied, mixed, unknown)]}


def test_who_may_write_nothing_makes_nothing(held: Browser) -> None:
    reader = held.here.make_key(rules=(KeyRule("**", "-r--l---"),))[0]
    headers = {"Content-Type": FRAMES_TYPE}
    body = HEADER + encode_recipe(recipe(NEW, OLD)) + END
    reply = held("POST", "/blobs/recipes", content=body, headers=headers, token=reader)
    assert reply.status_code == 403


def test_what_makes_something_else_is_refused_and_nothing_of_it_is_stored(held: Browser) -> None:
    good = recipe(NEW, OLD)
    other = chunk_id(SECRET)
    hostile = [
        good._replace(bases=(other,)),
        good._replace(bases=(b"?" * 32,)),
        good._replace(id=chunk_id(b"something else")),
        good._replace(size=good.size - 1),
        good._replace(size=262_144),
        good._replace(stored=good.stored[:-1]),
        good._replace(stored=b""),
        good._replace(stored=good.stored[:-1] + b"\0"),
    ]
    reply = make(held, *hostile)
    assert reply == {"made": 0, "refused": [one.id.hex() for one in hostile]}
    assert held.here.node.repository.missing([good.id])
    assert make(held, good) == {"made": 1, "refused": []}


def test_a_broken_body_is_refused(held: Browser) -> None:
    chunk = framing.encode_chunk(chunk_id(b"x"), framing.Codec.RAW, 1, b"x")
    good = encode_recipe(recipe(NEW, OLD))
    headers = {"Content-Type": FRAMES_TYPE}
    for body in (b"", END, HEADER, good + END, HEADER + chunk + END, HEADER + good, b"x" * 99):
        reply = held("POST", "/blobs/recipes", content=body, headers=headers)
        assert reply.status_code == 400, body
    ids = {"Content-Type": IDS_TYPE}
    assert held("POST", "/blobs/parts", content=b"x", headers=ids).status_code == 400
    many = bytes(32 * (MAX_DESCRIBED + 1))
    assert held("POST", "/blobs/parts", content=many, headers=ids).status_code == 413


def test_clients_are_told_that_this_is_known(call: Browser) -> None:
    assert call("GET", "/blobs/config").json()["deltas"] is True

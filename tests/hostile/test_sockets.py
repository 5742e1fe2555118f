"""What comes over the socket in shapes that no client of ours sends: refused, or harmless."""

import contextlib
import gzip
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zstandard

from aeorsync.core.hashing import chunk_id
from aeorsync.wire.framing import Codec, Kind, encode, encode_chunk
from aeorsync.wire.limits import MAX_CHUNK, MIB
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.support.nodes import NodeProcess, root_of, wait_until
from tests.support.raw import head, memory_of, say

STREAMS = 300
FRAMED = {"Content-Type": FRAMES_TYPE}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("sockets") / "a") as made:
        with made.client() as client:
            client.put("/files/f", content=b"0123456789")
            client.put("/files/large", content=os.urandom(8 * MIB))
        yield made
        assert made.process.poll() is None
        assert "request failed" not in made.log


@pytest.fixture
def client(node: NodeProcess) -> Iterator[httpx.Client]:
    with node.client() as made:
        yield made


@pytest.fixture
def unchanged(node: NodeProcess) -> Iterator[None]:
    before = root_of(node)
    yield
    assert root_of(node) == before


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


# Shapes of requests

GET = "GET /files/f"
SHAPES = {
    "http 1.0": (b"GET /system/health HTTP/1.0\r\n\r\n", {200}),
    "absolute form": (b"GET http://other.example/files/f HTTP/1.1\r\nHost: x\r\n\r\n", {401}),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {400, 401, 404, 405}),
    "asterisk for a file": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
    "only slashes": (b"GET //// HTTP/1.1\r\nHost: x\r\n\r\n", {401, 404}),
    "fragment": (b"GET /files/f#x HTTP/1.1\r\nHost: x\r\n\r\n", {400, 401, 404}),
    "no host": (b"GET /system/health HTTP/1.1\r\n\r\n", {200, 400}),
    "two hosts": (b"GET /system/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {200, 400}),
    "trace": (b"TRACE /files/f HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n", {401, 405}),
    "tab after the colon": (b"GET /system/health HTTP/1.1\r\nHost:\tx\r\n\r\n", {200}),
    "nul in a name": (b"GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n", {400}),
    "return in a value": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rX-Y: b\r\n\r\n", {400}),
    "folded with a tab": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n", {400}),
    "h2c without a body": (
        (
            b"GET /system/health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ),
        {200},
    ),
    "websocket": (
        (
            b"GET /system/events HTTP/1.1\r\nHost: x\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ),
        {401},
    ),
    "negative length": (b"GET /system/health HTTP/1.1\r\nContent-Length: -1\r\n\r\n", {400}),
    "length in other digits": (
        "GET /system/health HTTP/1.1\r\nContent-Length: \u0661\r\n\r\n".encode(),
        {400},
    ),
}


def test_a_request_without_a_version_is_never_answered_without_a_head(node: NodeProcess) -> None:
    answer = say(node, b"GET /files/f\r\n\r\n")
    assert statuses(answer) in ([400], [401])
    assert b"0123456789" not in answer


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", SHAPES)
def test_an_odd_request_is_answered_once_and_plainly(node: NodeProcess, name: str) -> None:
    data, expected = SHAPES[name]
    answer = say(node, data)
    assert len(statuses(answer)) == 1, answer
    assert statuses(answer)[0] in expected
    assert b"secret" not in answer


CHUNKED = "Transfer-Encoding: chunked"
BODIES = {
    "extension": (CHUNKED, b"3;a=b\r\nabc\r\n0\r\n\r\n", 201),
    "extension with quotes and a return": (CHUNKED, b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n', 400),
    "zeros before": (CHUNKED, b"0000000003\r\nabc\r\n0\r\n\r\n", 201),
    "size with 0x": (CHUNKED, b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "size with a space": (CHUNKED, b" 3\r\nabc\r\n0\r\n\r\n", 400),
    "size with an underscore": (CHUNKED, b"0_3\r\nabc\r\n0\r\n\r\n", 400),
    "no size": (CHUNKED, b"\r\nabc\r\n0\r\n\r\n", 400),
    "trailers that frame": (CHUNKED, b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n", 201),
    "trailer of an address": (CHUNKED, b"3\r\nabc\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n", 201),
    "capitals": ("TRANSFER-ENCODING: CHUNKED", b"3\r\nabc\r\n0\r\n\r\n", 201),
    "gzip, then chunked": ("Transfer-Encoding: gzip, chunked", b"3\r\nabc\r\n0\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_chunked_body_is_taken_as_all_take_it_or_refused(
    node: NodeProcess, client: httpx.Client, name: str
) -> None:
    field, body, expected = BODIES[name]
    client.delete("/files/odd")
    hidden = head(node, "PUT /files/hidden", "Content-Length: 1") + b"1"
    answer = say(node, head(node, "PUT /files/odd", field) + body)
    seen = statuses(answer)[0]
    assert seen in {expected, 400}, answer
    stored = client.get("/files/odd")
    assert (stored.status_code == 200) == (seen == 201)
    assert seen != 201 or stored.content == b"abc"
    if seen == 400:
        say(node, head(node, "PUT /files/odd", field) + body + hidden)
        assert client.get("/files/hidden").status_code == 404


def test_who_waits_for_a_go_ahead_gets_one_or_a_refusal(node: NodeProcess) -> None:
    expect = "Expect: 100-continue"
    with socket.create_connection(("127.0.0.1", node.port), 10) as talk:
        talk.sendall(head(node, "PUT /files/go", "Content-Length: 3", expect))
        assert talk.recv(64).startswith(b"HTTP/1.1 100")
        talk.sendall(b"abc")
        assert talk.recv(64).startswith(b"HTTP/1.1 201")
    nobody = b"PUT /files/go HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n%b\r\n\r\n"
    assert statuses(say(node, nobody % expect.encode())) == [401]


@pytest.mark.usefixtures("unchanged")
def test_a_body_that_ends_before_its_length_stores_nothing(node: NodeProcess) -> None:
    for length in (10, MIB):
        data = head(node, "PUT /files/cut", f"Content-Length: {length}") + b"x" * (length // 2)
        assert 201 not in statuses(say(node, data, ends=True))
    data = head(node, "PUT /files/cut", CHUNKED) + b"5\r\nab"
    assert 201 not in statuses(say(node, data, ends=True))


def test_what_follows_a_body_is_the_next_request(node: NodeProcess, client: httpx.Client) -> None:
    answer = say(node, head(node, "PUT /files/two", "Content-Length: 2") + b"abcdef")
    assert statuses(answer)[0] in {201, 400}
    if client.get("/files/two").status_code == 200:
        assert client.get("/files/two").content == b"ab"


def test_a_socket_that_is_half_closed_is_answered(node: NodeProcess) -> None:
    assert statuses(say(node, head(node, GET), ends=True)) in ([200], [])


def test_ten_thousand_requests_at_once_are_answered_in_order_or_refused(node: NodeProcess) -> None:
    before = memory_of(node)
    answer = say(node, head(node, "GET /system/health") * 10_000)
    assert set(statuses(answer)) <= {200, 429}
    assert 429 not in statuses(answer)[:-1]
    assert memory_of(node) - before < 40 * MIB


# What is unpacked


def bombs() -> Iterator[tuple[str, bytes]]:
    name, zeros = chunk_id(b""), bytes(64 * MIB)
    packed = zstandard.ZstdCompressor(level=19).compress(zeros)
    header = encode(Kind.HEADER, b"\x80")
    for size in (0, 1, MAX_CHUNK):
        yield "/blobs/chunks", header + encode_chunk(name, Codec.ZSTD, size, packed)
    yield "/blobs/commit", header + encode_chunk(name, Codec.ZSTD, 9, packed)
    yield "/blobs/commit", encode(Kind.HEADER, b"\xdd\xff\xff\xff\xff")
    yield "/blobs/commit", encode(Kind.HEADER, b"\x91" * 200_000)
    yield "/blobs/commit", encode(Kind.HEADER, b"\xdf\xff\xff\xff\xff" * 9)
    # A window of 2 GiB, which whoever unpacks would have to hold.
    yield (
        "/blobs/chunks",
        header + encode_chunk(name, Codec.ZSTD, 9, b"\x28\xb5\x2f\xfd\0\xa8\1\0\0"),
    )
    for path in ("/sync/offer", "/sync/offer/chunks"):
        yield path, header + encode_chunk(name, Codec.ZSTD, 9, packed)


@pytest.mark.usefixtures("unchanged")
def test_nothing_unpacks_to_more_than_it_may(node: NodeProcess, client: httpx.Client) -> None:
    before = memory_of(node)
    for path, body in bombs():
        reply = client.post(path, content=body, headers=FRAMED)
        assert 400 <= reply.status_code < 500, path
    for path in ("/blobs/check", "/files/mkdir", "/sync/diff", "/files/fetch"):
        body = gzip.compress(b" " * (64 * MIB))
        reply = client.post(path, content=body, headers={"Content-Encoding": "gzip"})
        assert 400 <= reply.status_code < 500, path
    assert memory_of(node) - before < 60 * MIB


# Lists, numbers, names


@pytest.mark.usefixtures("unchanged")
def test_a_list_of_ten_million_is_refused(node: NodeProcess, client: httpx.Client) -> None:
    before = memory_of(node)
    for path, field, item, count in (
        ("/blobs/check", "hashes", b'""', 10_000_000),
        ("/sync/chunks", "hashes", b'""', 3_000_000),
        ("/files/fetch", "paths", b'"/"', 3_000_000),
        ("/files/download", "paths", b'"/"', 300_000),
        ("/blobs/commit", "deletes", b"{}", 10_000_000),
        ("/sync/conflicts", "paths", b'"/"', 300_000),
    ):
        body = b'{"%b":[' % field.encode() + b",".join([item] * count) + b"]}"
        reply = client.post(path, content=body)
        assert reply.status_code in {400, 413, 422, 429}, path
    assert memory_of(node) - before < 300 * MIB


@pytest.mark.usefixtures("unchanged")
def test_a_vector_with_a_hundred_thousand_members_is_refused(client: httpx.Client) -> None:
    vector = [[at, 1] for at in range(1, 100_001)]
    for body in ({"knowledge": vector}, {"entries": [{"path": "/v", "versions": vector}]}):
        for path in ("/sync/diff", "/sync/nodes", "/sync/offer", "/sync/repair", "/sync/leave"):
            reply = client.post(path, json=body)
            assert reply.status_code < 500, path


@pytest.mark.usefixtures("unchanged")
def test_of_a_name_that_is_said_twice_one_counts(client: httpx.Client) -> None:
    body = b'{"path":"/.aeordb-system/x","path":"/../x"}'
    assert client.post("/files/mkdir", content=body).status_code in {400, 404}
    for body in (
        b'{"path":1e999}',
        b'{"path":-0}',
        b'{"path":Infinity}',
        b'{"path":1' + b"0" * 9999,
    ):
        assert client.post("/files/mkdir", content=body).status_code in {400, 422}


RANGES = {
    "bytes=0-0": 206,
    "bytes=9-": 206,
    "bytes=-3": 206,
    "bytes=5-2": {200, 416},
    "bytes=10-": 416,
    f"bytes={1 << 63}-": 416,
    f"bytes=0-{1 << 63}": {206, 416, 400},
    f"bytes=-{1 << 64}": {206, 416, 400},
    f"bytes={'9' * 9000}-": {400, 416},
    "bytes=" + ",".join(["0-"] * 3000): {200, 400, 416},
    "bytes=0-1,1-2,0-1": {200, 400, 416},
    "bytes=--1": {200, 400, 416},
    "bytes=0x1-2": {200, 400, 416},
    "bytes=\u0661-2": {200, 400, 416},
    "chars=0-1": {200, 400, 416},
    "bytes": {200, 400, 416},
}


@pytest.mark.parametrize("text", RANGES, ids=range(len(RANGES)))
def test_a_range_is_served_exactly_or_refused(node: NodeProcess, text: str) -> None:
    expected = RANGES[text]
    field = b"Range: " + text.encode()
    answer = say(node, head(node, GET)[:-2] + field + b"\r\n\r\n")
    assert statuses(answer)[0] in (expected if isinstance(expected, set) else {expected})
    assert len(answer) < 3000


@pytest.mark.usefixtures("unchanged")
def test_a_cursor_of_another_node_starts_again(client: httpx.Client, tmp_path: Path) -> None:
    accept = {"Accept": FRAMES_TYPE}
    whole = client.post("/sync/diff", json={}, headers=accept).content
    with NodeProcess(tmp_path / "b") as other, other.client() as theirs:
        for at in range(5):
            theirs.put(f"/files/{at}", content=b"x")
        page = theirs.post("/sync/diff", json={}).json()
        tag = theirs.head("/files/1").headers["etag"]
    cursor = page.get("cursor") or page.get("next_cursor") or ""
    reply = client.post("/sync/diff", json={"cursor": cursor}, headers=accept)
    assert (reply.status_code, reply.content) == (200, whole)
    assert client.put("/files/f", content=b"n", headers={"If-Match": tag}).status_code == 412


# Browsers


def test_a_page_of_another_site_may_neither_read_nor_write(
    node: NodeProcess, client: httpx.Client
) -> None:
    origin = {"Origin": "https://evil.example"}
    with httpx.Client(base_url=node.url) as nobody:
        for method, path in (("POST", "/files/mkdir"), ("PUT", "/files/x"), ("GET", "/files/f")):
            reply = nobody.request(method, path, headers={**origin, "Content-Type": "text/plain"})
            assert reply.status_code == 401
            assert "access-control-allow-origin" not in reply.headers
        asked = {**origin, "Access-Control-Request-Method": "PUT"}
        reply = nobody.options("/files/x", headers=asked)
        assert "access-control-allow-origin" not in reply.headers
    assert "access-control-allow-origin" not in client.get("/files/f", headers=origin).headers


def test_an_open_node_answers_to_no_name_but_its_own(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a", "--auth", "disabled") as node:
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::1].x", "0"):
            reply = httpx.get(f"{node.url}/files", headers={"Host": host})
            assert reply.status_code == 403, host
        spoofed = {
            "Host": "evil.example",
            "X-Forwarded-Host": "127.0.0.1",
            "Forwarded": "host=::1",
        }
        assert httpx.get(f"{node.url}/files", headers=spoofed).status_code == 403
        assert httpx.get(f"{node.url}/files").status_code == 200


# Those who cling


def test_who_reads_nothing_costs_little_and_the_others_are_served(
    node: NodeProcess, client: httpx.Client
) -> None:
    wanted = [head(node, "GET /files/large")] * 40
    body = json.dumps({"paths": ["/large", "/f"]}).encode()
    length = f"Content-Length: {len(body)}"
    wanted += [head(node, "POST /files/download", length) + body] * 10
    wanted += [head(node, "POST /files/fetch", length) + body] * 10
    before = memory_of(node)
    with contextlib.ExitStack() as stack:
        for data in wanted:
            talk = stack.enter_context(socket.socket())
            talk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            talk.connect(("127.0.0.1", node.port))
            talk.sendall(data)
        began = time.monotonic()
        for _ in range(20):
            assert client.get("/files/f").content == b"0123456789"
        assert time.monotonic() - began < 40
        assert memory_of(node) - before < 400 * MIB
    assert client.get("/files/large").status_code == 200


def test_idle_streams_cost_little_and_are_let_go(node: NodeProcess, client: httpx.Client) -> None:
    def sockets() -> int:
        found = 0
        for one in Path(f"/proc/{node.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += str(one.readlink()).startswith("socket:")
        return found

    client.get("/files/f")
    used, before = sockets(), memory_of(node)
    with contextlib.ExitStack() as stack:
        talks = []
        for _ in range(STREAMS):
            talk = stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 30))
            talk.sendall(head(node, "GET /system/events"))
            talks.append(talk)
        for talk in talks:
            assert talk.recv(12) == b"HTTP/1.1 200"
        assert client.put("/files/told", content=b"x").status_code == 201
        assert memory_of(node) - before < STREAMS * MIB / 8
    wait_until(lambda: sockets() <= used + 2)

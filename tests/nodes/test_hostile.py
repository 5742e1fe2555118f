"""What a real node does with clients that mean harm: it refuses, changes nothing, and goes on."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from aeorsync.core.cursors import Cursor, print_cursor
from aeorsync.core.tokens import ROOT, SYNC, SigningKey
from aeorsync.wire.limits import MAX_CHUNK_HASHES, MAX_CHUNKS_BODY, MIB
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from tests.support.nodes import NodeProcess, root_of, wait_until
from tests.support.raw import head, memory_of, say

CRLF = b"\r\n"
FRAMES = {"Accept": FRAMES_TYPE}
FOREIGN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("hostile") / "a") as made:
        with made.client() as client:
            client.put("/files/f", content=b"0123456789")
            client.put("/files/d/x", content=b"x")
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


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer[9:12])


BAD_LINES = {
    "line feeds only": b"PUT /files/n HTTP/1.1\nHost: x\n\n",
    "no version we know": b"GET / HTTP/3.7\r\n\r\n",
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "connect": b"CONNECT evil:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no slash": b"GET files/f HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the path": b"GET /files/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw byte in the path": b"GET /files/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw nul in the path": b"GET /files/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method": b"G@T / HTTP/1.1\r\n\r\n",
    "nul in a field": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "bare return in a field": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "folded field": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "field without a name": b"GET / HTTP/1.1\r\nHost: x\r\n: v\r\n\r\n",
    "port out of range": b"GET http://a:9999999/files/f HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(256)) * 8,
    "tls": bytes.fromhex("160301010001"),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", BAD_LINES)
def test_a_malformed_request_is_refused_at_once(node: NodeProcess, name: str) -> None:
    assert status_of(say(node, BAD_LINES[name])) == 400


CHUNKED = "Transfer-Encoding: chunked"
BAD_FRAMING = {
    "length, then chunked": (["Content-Length: 5", CHUNKED], b"0\r\n\r\n"),
    "chunked, then length": ([CHUNKED, "Content-Length: 5"], b"0\r\n\r\n"),
    "two lengths": (["Content-Length: 3", "Content-Length: 4"], b"abcd"),
    "list of lengths": (["Content-Length: 3, 3"], b"abc"),
    "length with a sign": (["Content-Length: +3"], b"abc"),
    "length in hex": (["Content-Length: 0x3"], b"abc"),
    "empty length": (["Content-Length: "], b"abc"),
    "length of 77 bits": ([f"Content-Length: {1 << 77}"], b"abc"),
    "space before the colon": (["Content-Length : 3"], b"abc"),
    "not quite chunked": (["Transfer-Encoding: xchunked"], b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked, then not": (["Transfer-Encoding: chunked, identity"], b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked twice": ([CHUNKED, "Transfer-Encoding: identity"], b"3\r\nabc\r\n0\r\n\r\n"),
    "negative chunk": ([CHUNKED], b"-1\r\nabc\r\n0\r\n\r\n"),
    "chunk of 68 bits": ([CHUNKED], b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than it says": ([CHUNKED], b"3\r\nabcd\r\n0\r\n\r\n"),
    "chunk ended by line feeds": ([CHUNKED], b"3\nabc\n0\n\n"),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", BAD_FRAMING)
def test_no_second_request_hides_in_a_body(node: NodeProcess, name: str) -> None:
    fields, body = BAD_FRAMING[name]
    hidden = head(node, "PUT /files/hidden", "Content-Length: 1") + b"1"
    assert status_of(say(node, head(node, "PUT /files/n", *fields) + body + hidden)) == 400
    with node.client() as client:
        for path in ("/files/n", "/files/hidden"):
            assert client.get(path).status_code == 404


@pytest.mark.usefixtures("unchanged")
def test_a_refused_body_is_not_read_as_requests(node: NodeProcess, client: httpx.Client) -> None:
    hidden = head(node, "PUT /files/hidden", "Content-Length: 1") + b"1"
    length = f"Content-Length: {len(hidden)}"
    for request, expected in (("PUT /nothing", 404), ("PUT /files/a/../b", 400)):
        assert status_of(say(node, head(node, request, length) + hidden)) == expected
    nobody = b"PUT /files/n HTTP/1.1\r\nHost: x\r\n" + length.encode() + CRLF + CRLF
    assert status_of(say(node, nobody + hidden)) == 401
    assert client.get("/files/hidden").status_code == 404


@pytest.mark.parametrize(
    "framing", [("Content-Length: 3", b"abc"), (CHUNKED, b"3\r\nabc\r\n0\r\n\r\n")]
)
def test_a_body_with_an_upgrade_is_stored_whole_or_refused(
    node: NodeProcess, client: httpx.Client, framing: tuple[str, bytes]
) -> None:
    client.put("/files/upgraded", content=b"before")
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    answer = say(node, head(node, "PUT /files/upgraded", *fields, framing[0]) + framing[1])
    content = client.get("/files/upgraded").content
    assert content == (b"abc" if status_of(answer) == 201 else b"before")


def test_what_was_done_is_not_answered_as_refused(node: NodeProcess, client: httpx.Client) -> None:
    answer = say(node, head(node, "PUT /files/done", "Content-Length: 2") + b"ab" + b"GARBAGE\r\n")
    time.sleep(0.2)  # it may be done after it was answered
    is_there = client.get("/files/done").status_code == 200
    assert is_there == (status_of(answer) == 201)


BAD_PATHS = ["a/../b", "..", "./a", "a//b", "a\0b", "a\nb", "a\r", "\x1b[0m", "a\x7f", "a\x85b"]
BAD_PATHS += ["x" * 256, "é" * 128, "/".join(["x" * 200] * 21), "%2e%2e/a", "a%00", "%252e%252e"]
SYSTEM_PATHS = [".aeordb-system", ".AeorDB-System/x", "%2eaeordb-system", ".aeordb-system::$DATA"]
SYSTEM_PATHS += [
    "\uff0eaeordb-system",
    ".aeordb\u200c-system",
    ".aeordb-system. ",
    "\ufeff.aeordb-system",
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "expected"), [(p, 400) for p in BAD_PATHS] + [(p, 404) for p in SYSTEM_PATHS]
)
def test_a_bad_path_is_refused_wherever_one_is_taken(
    client: httpx.Client, path: str, expected: int
) -> None:
    end = quote(path).replace(".", "%2E")  # or our own client would tidy it up
    asked: list[tuple[str, str, object]] = [
        ("GET", f"/files/{end}", None),
        ("PUT", f"/files/{end}", None),
        ("DELETE", f"/files/{end}", None),
        ("PATCH", f"/files/{end}", {"to": "/n"}),
        ("PATCH", "/files/f", {"to": path}),
        ("PUT", f"/links/{end}", {"target": "n"}),
        ("POST", "/files/mkdir", {"path": path}),
        ("POST", "/files/restore", {"path": path}),
        ("POST", "/files/copy", {"paths": ["/f"], "destination": path}),
        ("GET", f"/sync/conflicts/{end}", None),
        ("POST", f"/sync/conflicts/{end}", {}),
        ("POST", f"/sync/resolve/{end}", {"pick": "winner"}),
        ("POST", f"/sync/dismiss/{end}", None),
        ("GET", f"/files/deleted?path={quote(path, safe='')}", None),
        ("GET", f"/system/events?path_prefix={quote(path, safe='')}", None),
    ]
    for method, url, body in asked:
        with client.stream(method, url, json=body) as answer:
            assert answer.status_code == expected, (method, url)
    answer = client.post("/files/copy", json={"paths": [path], "destination": "/n"})
    assert answer.json()["copied"] == []


DEEP = "[" * 100_000 + "]" * 100_000
BAD_JSON = [
    DEEP,
    '{"a":' * 100_000,
    f'{{"path":"/n","z":{DEEP}}}',
    "",
    "{",
    "null",
    "[]",
    "\ufeff{}",
]
BAD_JSON += ['{"path":"/n"} x', '{"path":"\\ud800"}', '{"path":1}', '{"path":NaN}', "{'path':1}"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
def test_json_made_to_break_parsers_is_refused(client: httpx.Client, body: str) -> None:
    for method, url, field in (
        ("POST", "/files/mkdir", "path"),
        ("POST", "/files/restore", "path"),
        ("POST", "/files/copy", "destination"),
        ("PATCH", "/files/f", "to"),
        ("PUT", "/links/n", "target"),
        ("POST", "/auth/token", "api_key"),
        ("POST", "/sync/resolve/f", "pick"),
        ("POST", "/sync/chunks", "hashes"),
    ):
        data = body.replace('"path"', f'"{field}"').encode()
        refusals = {400, 413, 422}
        if url == "/sync/resolve/f" and not data:
            refusals = {404}  # no body means the winner, and /f has no conflict
        assert client.request(method, url, content=data).status_code in refusals, url


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("number", ["0", "-1", str(1 << 63), str(1 << 70), "1.5", "true", '"1"'])
def test_what_is_no_node_id_is_refused(client: httpx.Client, number: str) -> None:
    assert client.post("/sync/wake", content=f'{{"node_id": {number}}}').status_code == 422
    body = f'{{"address": "http://127.0.0.1:9", "node_id": {number}}}'
    assert client.post("/sync/peers", content=body).status_code == 422


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("number", ["1.5", "true", '"1"', "NaN", "9" * 5000])
def test_what_is_no_whole_number_is_refused(client: httpx.Client, number: str) -> None:
    assert client.post("/sync/clock", content=f'{{"t0": {number}}}').status_code in {400, 422}
    assert client.post("/sync/diff", content=f'{{"node_id": {number}}}').status_code in {400, 422}


def signed(claims: dict[str, object], sign: Callable[[bytes], bytes], algorithm: str) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    header = {"typ": "JWT", "alg": algorithm}
    text = ".".join(part(json.dumps(value).encode()) for value in (header, claims))
    return f"{text}.{part(sign(text.encode()))}"


def forged(node: NodeProcess) -> dict[str, str]:
    key = SigningKey.from_file((node.data / "signing.key").read_text())
    public = key._public.public_bytes_raw()
    now = int(time.time())
    claims: dict[str, object] = {"sub": str(ROOT), "iss": "aeordb", "iat": now, "exp": now + 300}

    def ours(**changed: object) -> str:
        return signed({**claims, **changed}, key._private.sign, "EdDSA")

    assert ask(node, ours()) == 200
    return {
        "unsigned": signed(claims, lambda _: b"", "none"),
        "none with a signature": signed(claims, lambda _: b"x", "none"),
        "public key as a secret": signed(
            claims, lambda text: hmac.new(public, text, hashlib.sha256).digest(), "HS256"
        ),
        "other cluster": signed(claims, SigningKey(os.urandom(32))._private.sign, "EdDSA"),
        "expired": ours(exp=now - 61),
        "expires never": ours(exp=None),
        "expires in text": ours(exp=str(now + 300)),
        "other issuer": ours(iss="x"),
        "list of issuers": ours(iss=["aeordb"]),
        "for somebody else": ours(aud="x"),
        "unknown key": ours(key_id=FOREIGN),
        "no uuid": ours(sub="share:x"),
        "scopes in a list": ours(scope=[SYNC]),
        "padded": ours() + "=",
        "too long": "a." * 3000,
        "key cut short": str(node.key)[:-1],
        "key in capitals": str(node.key).upper(),
        "key and more": f"{node.key}0",
    }


def ask(node: NodeProcess, token: str, request: str = "GET /files/f") -> int:
    method, url = request.split()
    with node.client(token) as client:
        return client.request(method, url, content=b"{}").status_code


@pytest.mark.usefixtures("unchanged")
def test_a_forged_token_opens_nothing(node: NodeProcess) -> None:
    for name, token in forged(node).items():
        for request in ("GET /files/f", "PUT /files/n", "GET /sync/status", "POST /sync/diff"):
            assert ask(node, token, request) == 401, (name, request)
        assert httpx.get(f"{node.url}/files/f?token={token}").status_code == 401, name


@pytest.mark.usefixtures("unchanged")
def test_a_sync_token_opens_sync_and_nothing_else(node: NodeProcess) -> None:
    key = SigningKey.from_file((node.data / "signing.key").read_text())
    now = int(time.time())
    claims: dict[str, str | int] = {"iss": "aeordb", "iat": now, "exp": now + 300, "scope": SYNC}
    peer = key.sign({**claims, "sub": str(ROOT)})
    assert ask(node, peer, "POST /sync/diff") == 200
    for request in ("GET /files/f", "PUT /files/n", "GET /system/events", "POST /sync/join"):
        assert ask(node, peer, request) == 403, request
    user = key.sign({**claims, "sub": FOREIGN})
    for request in ("GET /files/f", "POST /sync/diff", "GET /sync/status", "POST /sync/chunks"):
        assert ask(node, user, request) == 403, request


@pytest.mark.usefixtures("unchanged")
def test_a_made_up_etag_writes_nothing(client: httpx.Client) -> None:
    real = client.head("/files/f").headers["etag"]
    other = client.head("/files/d/x").headers["etag"]
    for tag in ('""', '"x"', f'{real[:-2]}!"', other, f'"{"A" * 9000}"'):
        answer = client.put("/files/f", content=b"n", headers={"If-Match": tag})
        assert answer.status_code == 412, tag
        if tag != '""':
            answer = client.put("/files/f", content=b"n", headers={"X-AeorSync-Base": tag})
            assert answer.status_code == 400, tag
    for junk in ("x", '"a" "b"', "W/*", '* , "x"', "", ",".join(['"a"'] * 65)):
        for name in ("If-Match", "If-None-Match", "X-AeorSync-Base"):
            answer = client.put("/files/f", content=b"n", headers={name: junk})
            assert answer.status_code == 400, (name, junk)


@pytest.mark.usefixtures("unchanged")
def test_a_part_of_a_file_is_not_taken_for_the_file(client: httpx.Client) -> None:
    answer = client.put("/files/part", content=b"n", headers={"Content-Range": "bytes 0-0/10"})
    assert answer.status_code == 400


def test_a_garbage_cursor_starts_again(client: httpx.Client) -> None:
    whole = client.post("/sync/diff", json={}, headers=FRAMES).content
    cursors = [
        "",
        "x",
        "!!!",
        "A" * 9000,
        "é",
        print_cursor(Cursor(1, 2)),
        print_cursor(Cursor(1, 0, key=b"\xff")),
    ]
    for cursor in cursors:
        answer = client.post("/sync/diff", json={"cursor": cursor}, headers=FRAMES)
        assert (answer.status_code, answer.content) == (200, whole), cursor


@pytest.mark.usefixtures("unchanged")
def test_sync_refuses_lists_without_measure(client: httpx.Client) -> None:
    for paths in (["*"] * 101, ["a"] * 100_000, ["["], ["***"], ["{a,b}" * 20], ["*" * 2000]):
        assert client.post("/sync/diff", json={"paths": paths}).status_code == 400, paths[0]
    for since in ("0", "zz", "0" * 63):
        assert client.post("/sync/diff", json={"since_root_hash": since}).status_code == 400
    assert client.post("/sync/diff", content=b" " * (MIB + 1)).status_code == 413


@pytest.mark.usefixtures("unchanged")
def test_chunks_are_asked_for_in_long_lists_but_not_in_endless_ones(client: httpx.Client) -> None:
    # AeorDB takes 10 000 hashes, but asks others for all that it lacks in one request.
    ids = [f"{at:064x}" for at in range(2 * MAX_CHUNK_HASHES)]
    assert client.post("/sync/chunks", json={"hashes": ids[:10_001]}).json() == {"chunks": []}
    assert client.post("/sync/chunks", json={"hashes": ids}).status_code in {400, 413}
    raw = {**FRAMES, "Content-Type": IDS_TYPE}
    for headers, content in (({}, b" "), (raw, b"i" * 32)):
        many = content * (MAX_CHUNK_HASHES + 1)
        assert client.post("/sync/chunks", content=many, headers=headers).status_code == 400
        whole = content * (MAX_CHUNKS_BODY // len(content) + 1)
        assert client.post("/sync/chunks", content=whole, headers=headers).status_code == 413


def test_joins_are_counted_by_the_address_of_the_socket(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node, node.client() as client:
        statuses = []
        for at in range(6):
            claimed = {"X-Forwarded-For": f"10.0.0.{at}", "X-Real-IP": f"10.0.0.{at}"}
            statuses.append(client.post("/sync/join", json={}, headers=claimed).status_code)
        assert statuses == [400] * 5 + [429]


def test_a_path_too_long_is_not_made_by_moving_or_copying(client: httpx.Client) -> None:
    tail = "/".join(["x" * 200] * 15)
    folder = "/" + "/".join(["y" * 200] * 15)
    assert client.put(f"/files/long/{tail}", content=b"1").status_code == 201
    assert client.patch("/files/long", json={"to": folder}).status_code == 400
    assert client.post("/files/mkdir", json={"path": folder}).status_code == 201
    answer = client.post("/files/copy", json={"paths": ["/long"], "destination": folder})
    assert answer.json()["copied"] == []
    listed = client.get("/files?depth=-1").json()["items"]
    assert max(len(item["path"]) for item in listed) <= 4096
    assert client.get(f"/files/long/{tail}").content == b"1"


def test_links_lead_neither_round_nor_on_for_ever(client: httpx.Client) -> None:
    def link(path: str, target: str) -> int:
        return client.put(f"/links{path}", json={"target": target}).status_code

    assert [link("/l/self", target) for target in ("self", "./self", "/l/self")] == [400] * 3
    assert (link("/l/a", "b"), link("/l/b", "a")) == (201, 201)
    assert client.get("/files/l/a").status_code == 400
    assert link("/l/1", "/f") == 201
    for at in range(2, 34):
        assert link(f"/l/{at}", str(at - 1)) == 201
    assert client.get("/files/l/32").content == b"0123456789"
    assert client.get("/files/l/33").status_code == 400
    for target in (
        "/.aeordb-system/x",
        "../.aeordb-system",
        "/.AEORDB-system",
        "x/../../.aeordb-system",
    ):
        assert link("/l/system", target) == 404
    for target in ("/etc/passwd", "/proc/self/fd/3", "../../../etc/passwd", "/%2eaeordb-system"):
        assert link("/l/out", target) == 201
        assert client.get("/files/l/out").status_code == 404


def test_of_many_who_create_or_change_one_file_one_wins(node: NodeProcess) -> None:
    async def together(kind: str, **headers: str) -> Counter[int]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=node.url, timeout=30, limits=limits) as client:
            client.headers["Authorization"] = f"Bearer {node.key}"
            answers = await asyncio.gather(
                *(
                    client.put("/files/one", content=f"{kind}{at}".encode(), headers=headers)
                    for at in range(100)
                )
            )
        return Counter(answer.status_code for answer in answers)

    assert asyncio.run(together("create", **{"If-None-Match": "*"})) == {201: 1, 412: 99}
    with node.client() as client:
        tag = client.head("/files/one").headers["etag"]
        assert asyncio.run(together("change", **{"If-Match": tag})) == {201: 1, 412: 99}
        assert asyncio.run(together("write")) == {201: 100}
        assert client.get("/sync/conflicts/one").status_code == 404


def test_a_storm_of_moves_and_deletes_leaves_a_sound_tree(node: NodeProcess) -> None:
    chance = random.Random(1)
    paths = ["/s", "/s/a", "/s/b", "/s/a/x", "/s/b/x", "/s/q", "/s/q/z"]

    async def one(client: httpx.AsyncClient) -> int:
        path, other = chance.sample(paths, 2)
        method, url, body = chance.choice(
            [
                ("PUT", f"/files{path}", None),
                ("DELETE", f"/files{path}?recursive=true", None),
                ("PATCH", f"/files{path}", {"to": other}),
                ("POST", "/files/mkdir", {"path": path}),
                ("POST", "/files/copy", {"paths": [path], "destination": other}),
                ("POST", "/files/restore", {"path": path}),
            ]
        )
        return (await client.request(method, url, json=body)).status_code

    async def storm() -> set[int]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=node.url, timeout=30, limits=limits) as client:
            client.headers["Authorization"] = f"Bearer {node.key}"
            return set(await asyncio.gather(*(one(client) for _ in range(300))))

    assert asyncio.run(storm()) <= {200, 201, 400, 404, 409}
    with node.client() as client:
        items = client.get("/files?depth=-1").json()["items"]
        files = [item["path"] for item in items if item["path"].startswith("/s")]
        for path in files:
            assert client.get(f"/files{path}").status_code == 200
            assert not any(other.startswith(f"{path}/") for other in files)


def test_clients_that_cling_cost_the_others_nothing(
    node: NodeProcess, client: httpx.Client
) -> None:
    clinging = [head(node, "GET /system/events"), head(node, "GET /sync/events")] * 200
    clinging += [head(node, "PUT /files/n", "Content-Length: 9") + b"abc"] * 50
    clinging += [b"GET /files/f HTTP/1.1\r\nHost: x\r\n"] * 50
    descriptors = Path(f"/proc/{node.process.pid}/fd")
    used, before = len(list(descriptors.iterdir())), memory_of(node)
    with contextlib.ExitStack() as stack:
        talks = []
        for data in clinging:
            talk = socket.create_connection(("127.0.0.1", node.port), 10)
            talks.append(stack.enter_context(talk))
            talk.sendall(data)
        for talk in talks[:400]:
            assert talk.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        assert client.put("/files/clung", content=b"after").status_code == 201
        assert client.get("/files/clung").content == b"after"
        assert time.monotonic() - began < 2
        assert client.get("/files/n").status_code == 404
        assert memory_of(node) - before < 60 * MIB
    wait_until(lambda: len(list(descriptors.iterdir())) <= used + 5)


FLOODS = {
    "field": (b"GET /system/health HTTP/1.1\r\nX: ", b"a" * 65536),
    "fields": (b"GET /system/health HTTP/1.1\r\n", b"X: a\r\n" * 10_000),
    "path": (b"GET /", b"a" * 65536),
    "query": (b"GET /system/health?", b"a=b&" * 16_384),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_head_without_end_is_cut_off(node: NodeProcess, name: str) -> None:
    start, more = FLOODS[name]
    before = memory_of(node)
    assert flood(node, start, more, 16 * MIB) < 16 * MIB
    assert memory_of(node) - before < 60 * MIB


def test_requests_without_end_wait_until_the_answers_are_read(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        before = memory_of(node)
        sent = flood(node, b"", b"GET /files/f HTTP/1.1\r\nHost: x\r\n\r\n" * 2000, 32 * MIB)
        assert sent < 32 * MIB
        assert memory_of(node) - before < 60 * MIB


def flood(node: NodeProcess, start: bytes, more: bytes, most: int) -> int:
    """Bytes the node took, of ``most``, before it closed or let us wait for a second."""
    with socket.create_connection(("127.0.0.1", node.port), 1) as talk:
        sent = talk.send(start) if start else 0
        with contextlib.suppress(OSError):
            while sent < most:
                sent += talk.send(more)
    return sent


def test_a_list_of_copies_without_end_is_refused(client: httpx.Client) -> None:
    body = {"paths": ["/f"] * 100_000, "destination": "/copies"}
    assert client.post("/files/copy", json=body).status_code in {400, 413}
    assert client.get("/files/copies").status_code == 404

"""Uploads by chunks to a real node, by root and by a key with rules, that is killed half-way."""

import os
import threading
from pathlib import Path
from typing import Any

import httpx
import msgspec

from aeorsync.core.chunking import Chunker
from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.wire.blobs import CommitRequest
from aeorsync.wire.framing import Codec, Kind, encode, encode_chunk
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.support.nodes import NodeProcess

FRAMES = {"Content-Type": FRAMES_TYPE}
END = encode(Kind.END, b"\x80")


def cut(data: bytes) -> list[bytes]:
    chunker = Chunker()
    return [*map(bytes, chunker.feed(data)), chunker.finish()]


def framed(chunks: list[bytes], header: object = None) -> bytes:
    first = encode(Kind.HEADER, msgspec.msgpack.encode({} if header is None else header))
    frames = (encode_chunk(chunk_id(c), Codec.RAW, len(c), c) for c in chunks)
    return b"".join((first, *frames, END))


def needed(client: httpx.Client, chunks: list[bytes]) -> list[bytes]:
    by_name = {chunk_id(chunk).hex(): chunk for chunk in chunks}
    reply = client.post("/blobs/check", json={"hashes": list(by_name)})
    assert reply.status_code == 200, reply.text
    return [by_name[name] for name in reply.json()["needed"]]


def file(path: str, chunks: list[bytes], **fields: object) -> dict[str, Any]:
    whole = b"".join(chunks)
    names = [chunk_id(chunk).hex() for chunk in chunks]
    stated = {"content_hash": content_hash(whole).hex(), "size": len(whole)}
    return {"path": path, "chunks": names, **stated, **fields}


def scoped(client: httpx.Client) -> str:
    rules = [{"/team/**": "crudl---"}]
    reply = client.post("/auth/keys", json={"rules": rules})
    assert reply.status_code == 201, reply.text
    key: str = reply.json()["key"]
    return key


def test_an_upload_goes_on_after_the_node_was_killed(tmp_path: Path) -> None:
    chunks = cut(os.urandom(6_000_000))
    with NodeProcess(tmp_path / "node") as node:
        with node.client() as root:
            key = scoped(root)
        for bearer, path in ((None, "/free/big"), (key, "/team/big")):
            own = [*chunks, os.urandom(1000)]
            with node.client(bearer) as client:
                assert set(own) >= set(needed(client, own)) >= {own[-1]}
                reply = client.post("/blobs/chunks", content=framed(own[:20]), headers=FRAMES)
                assert reply.status_code == 200, reply.text
            kill_while_sending(node, bearer, framed(own[20:40]))
            node.start()
            with node.client(bearer) as client:
                left = needed(client, own)
                assert not set(left) & set(own[:20])
                reply = client.post("/blobs/chunks", content=framed(left), headers=FRAMES)
                assert sum(reply.json().values()) == len(left)
                reply = client.post("/blobs/commit", json={"files": [file(path, own, base="")]})
                assert reply.status_code == 200, reply.text
                first = reply.json()
            node.kill()
            node.start()
            with node.client(bearer) as client:
                assert client.get(f"/files{path}").content == b"".join(own)
                again = client.post("/blobs/commit", json={"files": [file(path, own, base="")]})
                assert again.json() == first


def test_a_crash_takes_at_most_what_was_not_to_be_kept_yet(tmp_path: Path) -> None:
    kept, gone = [b"kept one", b"kept two"], [b"gone one", b"gone two"]
    with NodeProcess(tmp_path / "node") as node:
        with node.client() as client:
            for query, chunks in (("", kept), ("?volatile=true", gone)):
                reply = client.post(
                    f"/blobs/chunks{query}", content=framed(chunks), headers=FRAMES
                )
                assert reply.json() == {"created": 2, "exists": 0}
            assert needed(client, kept) == []
        node.kill()
        node.start()
        with node.client() as client:
            assert needed(client, [*kept, *gone]) == gone
            refused = client.post("/blobs/commit", json={"files": [file("/f", [*kept, *gone])]})
            assert refused.status_code == 400
            assert refused.json()["missing"] == [chunk_id(chunk).hex() for chunk in gone]
            client.post("/blobs/chunks?volatile=true", content=framed(gone), headers=FRAMES)
            assert needed(client, gone) == [], "whoever is told that they are here may count on it"
        node.kill()
        node.start()
        with node.client() as client:
            done = client.post("/blobs/commit", json={"files": [file("/f", [*kept, *gone])]})
            assert done.status_code == 200, done.text
        node.kill()
        node.start()
        with node.client() as client:
            assert client.get("/files/f").content == b"".join([*kept, *gone])
            wrong = client.post("/blobs/chunks?volatile=2", content=framed(gone), headers=FRAMES)
            assert wrong.status_code == 400


def kill_while_sending(node: NodeProcess, bearer: str | None, body: bytes) -> None:
    """Kill the node when it has half of a batch."""
    half = threading.Event()

    def pieces() -> Any:  # noqa: ANN401 - a generator of bytes
        for at in range(0, len(body), 65_536):
            if at > len(body) // 2:
                half.set()
            yield body[at : at + 65_536]

    def send() -> None:
        try:
            with node.client(bearer) as client:
                client.post("/blobs/chunks", content=pieces(), headers=FRAMES)
        except httpx.HTTPError:
            return

    sender = threading.Thread(target=send)
    sender.start()
    assert half.wait(30)
    node.kill()
    sender.join(30)


def test_thousands_of_files_are_committed_in_one_step(tmp_path: Path) -> None:
    texts = [b"text of file %d\n" % number * (number % 50 + 1) for number in range(3000)]
    files = [
        file(f"/team/d{number % 30}/f{number}.txt", [text], base="", mtime_ns=number)
        for number, text in enumerate(texts)
    ]
    with NodeProcess(tmp_path / "node") as node:
        with node.client() as root:
            key = scoped(root)
        with node.client(key) as client:
            header = msgspec.convert({"files": files}, CommitRequest)
            body = framed(texts, header)
            reply = client.post("/blobs/commit", content=body, headers=FRAMES)
            assert reply.status_code == 200, reply.text
            assert reply.json()["committed"] == 3000
            before = client.post("/sync/diff", json={}).json()["root_hash"]
            moved = [{**one, "path": f"/team/moved{one['path'][5:]}"} for one in files]
            gone = [{"path": one["path"]} for one in files]
            reply = client.post("/blobs/commit", json={"files": moved, "deletes": gone})
            assert reply.status_code == 200, reply.text
            told = client.post("/sync/diff", json={"since_root_hash": before}).json()
            assert len(told["changes"]["files_deleted"]) == 3000
            assert len(told["changes"]["files_added"]) == 3000
            asked = {"hashes": told["chunk_hashes_needed"]}
            chunks = client.post("/sync/chunks", json=asked).json()["chunks"]
            assert [chunk["hash"] for chunk in chunks] == asked["hashes"]
        node.kill()
        node.start()
        with node.client(key) as client:
            assert client.get("/files/team/moved/d7/f7.txt").content == texts[7]


def test_what_one_key_uploads_another_cannot_take(tmp_path: Path) -> None:
    secret = os.urandom(5000)
    with NodeProcess(tmp_path / "node") as node, node.client() as root:
        assert root.put("/files/hidden/secret", content=secret).status_code == 201
        with node.client(scoped(root)) as client:
            assert needed(client, [secret]) == [secret]
            reply = client.post("/blobs/commit", json={"files": [file("/team/x", [secret])]})
            assert reply.status_code == 400
            hashes = {"hashes": [chunk_id(secret).hex()]}
            assert client.post("/sync/chunks", json=hashes).json() == {"chunks": []}
            assert client.get(f"/blobs/{chunk_id(secret).hex()}").status_code == 404

"""Short words for uploads by chunks."""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.storage.compression import pack
from aeorsync.wire.blobs import CommitRequest
from aeorsync.wire.framing import Codec, Kind, encode, encode_chunk
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.api.conftest import Browser

FRAMES = {"Content-Type": FRAMES_TYPE}


def framed(*chunks: bytes, header: object = None, squeezed: bool = False) -> bytes:
    """A body of frames that carries some chunks."""
    frames = [encode(Kind.HEADER, msgspec.msgpack.encode({} if header is None else header))]
    for data in chunks:
        if squeezed:
            stored = pack(chunk_id(data), data)
            frames.append(
                encode_chunk(stored.id, Codec(stored.codec), stored.size, bytes(stored.data))
            )
        else:
            frames.append(encode_chunk(chunk_id(data), Codec.RAW, len(data), data))
    return b"".join((*frames, encode(Kind.END, msgspec.msgpack.encode({}))))


def upload(call: Browser, *chunks: bytes, **fields: Any) -> dict[str, int]:  # noqa: ANN401
    """Send chunks in one batch."""
    reply = call("POST", "/blobs/chunks", content=framed(*chunks), headers=FRAMES, **fields)
    assert reply.status_code == 200, reply.text
    counts: dict[str, int] = reply.json()
    return counts


def check(call: Browser, *chunks: bytes, **fields: Any) -> tuple[list[str], list[str]]:  # noqa: ANN401
    """Ask which chunks are here."""
    hashes = {"hashes": [chunk_id(data).hex() for data in chunks]}
    reply = call("POST", "/blobs/check", json=hashes, **fields)
    assert reply.status_code == 200, reply.text
    return reply.json()["have"], reply.json()["needed"]


def file(path: str, *chunks: bytes, **fields: object) -> dict[str, object]:
    """One file of a commit, made of these chunks."""
    whole = b"".join(chunks)
    stated = {"size": len(whole), "content_hash": content_hash(whole).hex()}
    return {"path": path, "chunks": [chunk_id(c).hex() for c in chunks], **stated, **fields}


def commit(call: Browser, *files: dict[str, object], **fields: Any) -> httpx.Response:  # noqa: ANN401
    """Commit, in JSON; ``fields`` are further ones of the request, or ``token``."""
    token = {"token": fields.pop("token")} if "token" in fields else {}
    return call("POST", "/blobs/commit", json={"files": list(files), **fields}, **token)


def committed(call: Browser, *files: dict[str, object], **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Commit; returns what is told of each file."""
    reply = commit(call, *files, **fields)
    assert reply.status_code == 200, reply.text
    told: list[dict[str, Any]] = reply.json()["files"]
    return told


def commit_framed(
    call: Browser, files: Sequence[dict[str, object]], chunks: Sequence[bytes], **fields: object
) -> httpx.Response:
    """Commit with the chunks in the same body."""
    header = msgspec.convert({"files": list(files), **fields}, CommitRequest)
    body = framed(*chunks, header=header)
    return call("POST", "/blobs/commit", content=body, headers=FRAMES)

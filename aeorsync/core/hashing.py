"""Names made of content: BLAKE3-256 with one prefix per kind of thing.

The prefix keeps kinds apart: a chunk can never go by the name of a tree node. All formulas but
the node's are those of the wire (`docs/protocol.md`).

    chunk              H("chunk:" + bytes)
    content            H(bytes of the whole file)
    file identity      H("fileid:" + path + NUL + content type + NUL + chunk ids)
    symlink identity   H("symlinkid:" + path + NUL + target)
    tree node          H("node:" + body)

A hash is 32 bytes in memory and on disk, 64 lower-case hex digits in JSON.
"""

from blake3 import blake3

from aeorsync.errors import BadRequestError

Hash = bytes
Buffer = bytes | bytearray | memoryview

HASH_SIZE = 32

_HEX_SIZE = 2 * HASH_SIZE
_SHORT = 32 * 1024


def chunk_id(data: Buffer) -> Hash:
    """Return the name of a chunk."""
    if len(data) <= _SHORT:
        # One call less, which is worth more than the copy.
        return blake3(b"chunk:" + data).digest()
    return blake3(b"chunk:").update(data).digest()


def content_hash(data: Buffer) -> Hash:
    """Return the hash of a whole file that is at hand; for a longer one see `hasher`."""
    return blake3(data).digest()


def hasher() -> blake3:
    """Return an empty hasher: ``update`` it with a file's bytes, then ``digest`` is as above."""
    return blake3()


def file_identity(path: str, content_type: str, ids: bytes) -> Hash:
    """Return the identity of a file.

    Args:
        path: Normal form.
        content_type: Media type, or empty.
        ids: The chunk ids in file order, 32 bytes each, joined.
    """
    head = f"fileid:{path}\0{content_type}\0"
    return blake3(head.encode()).update(ids).digest()


def symlink_identity(path: str, target: str) -> Hash:
    """Return the identity of a symbolic link at ``path`` (normal form)."""
    return blake3(f"symlinkid:{path}\0{target}".encode()).digest()


def node_id(body: Buffer) -> Hash:
    """Return the name of a tree node."""
    return blake3(b"node:").update(body).digest()


def parse_hash(text: str) -> Hash:
    """Return the hash that ``text`` spells in 64 hex digits.

    Raises:
        BadRequestError: It is anything else.
    """
    try:
        name = bytes.fromhex(text)
    except ValueError:
        name = b""
    # With both lengths as they must be there is no space between the digits.
    if len(name) != HASH_SIZE or len(text) != _HEX_SIZE:
        raise BadRequestError("A hash must be 64 hexadecimal digits.")
    return name


def parse_ids(data: bytes) -> list[Hash]:
    """Return the hashes that stand in ``data`` one after another, as raw bytes.

    Raises:
        BadRequestError: The last one is cut off.
    """
    if len(data) % HASH_SIZE:
        raise BadRequestError(f"this is not a whole number of {HASH_SIZE}-byte ids")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]

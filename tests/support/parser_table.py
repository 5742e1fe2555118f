"""The table of parsers: see `tests.support.parsers`."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httptools
import jwt
import msgspec

from aeorsync import config
from aeorsync.api import diff, events, members, parameters, peers, places
from aeorsync.api.bundling import Heard
from aeorsync.api.commits import _parse_header as parse_commit
from aeorsync.api.endpoint import parse_body
from aeorsync.cluster import offers, plan, terms
from aeorsync.cluster.foreign_part import _parse_path as parse_foreign_path
from aeorsync.cluster.peers import parse_address, parse_filters, parse_label
from aeorsync.config import folders, profiles, values
from aeorsync.config.values import Given
from aeorsync.core import (
    access,
    apikeys,
    cursors,
    filters,
    foreign,
    globs,
    hashing,
    keyrules,
    manifest,
    mergepatch,
    minting,
    nodes,
    parts,
    paths,
    pointers,
    refresh,
    repair,
    schedule,
    seals,
    tokens,
    users,
    versions,
)
from aeorsync.errors import AeorError, BadRequestError
from aeorsync.folder import ignore, temps, told
from aeorsync.remote import asking as remote_asking
from aeorsync.remote import calls, sse
from aeorsync.remote import direct as remote_direct
from aeorsync.remote import foreign as remote_foreign
from aeorsync.remote.arriving import read_same
from aeorsync.remote.nodes import read_nodes
from aeorsync.runtime import likeness, redact, squeeze
from aeorsync.storage import archive, importing, version_records
from aeorsync.storage import versions as version_names
from aeorsync.storage.base import StoredChunk
from aeorsync.wire import (
    blobs,
    brief,
    conflicts,
    deltas,
    encoding,
    framing,
    headers,
    links,
    protocol,
    recipes,
)
from aeorsync.wire import nodes as wire_nodes
from aeorsync.wire import offers as wire_offers
from aeorsync.wire import terms as wire_terms
from tests.support.parsers import Parser

SECRET: Final = bytes(range(32))
KEY: Final = tokens.SigningKey(SECRET)
NAME: Final = UUID(int=1 << 100)
HASH: Final = hashing.chunk_id(b"x")
HEX: Final = HASH.hex()
PACK: Final = msgspec.msgpack.encode
JSON: Final = msgspec.json.encode


def text(data: bytes) -> str:
    """Bytes as Python shows those of the command line and of the disk."""
    return data.decode("utf-8", "surrogateescape")


def raw(value: str) -> bytes:
    """The inverse of `text`."""
    return value.encode("utf-8", "surrogateescape")


def lines(*some: str) -> tuple[bytes, ...]:
    """Seeds that are text."""
    return tuple(raw(one) for one in some)


# Entries and what holds them


def version(**changed: object) -> versions.Version:
    """A sound version."""
    plain: dict[str, Any] = {
        "kind": 2,
        "deleted": False,
        "content": versions.Content(HASH, 1, 0, HASH + (1).to_bytes(8)),
        "target": "",
        "content_type": "text/plain",
        "executable": False,
        "mtime": 10**18,
        "created": 10**12,
        "stamp": 10**12 << 16,
        "node": 7,
        "incarnation": 7 << 32,
        "n": 1,
        "vector": ((3, 4), (5, 6)),
    }
    return versions.Version(**{**plain, **changed})


ENTRIES: Final = tuple(
    versions.encode_entry(versions.Entry(some))
    for some in (
        (version(),),
        (version(deleted=True, base=HASH),),
        (version(kind=3, content=versions.NO_CONTENT),),
        (version(kind=8, target="../a", content=versions.Content(HASH, 4)),),
        (version(n=1), version(n=2, vector=())),
        (version(content=versions.Content(HASH, 1 << 40, 2, HASH + (1 << 40).to_bytes(8))),),
    )
)
LEAF: Final = nodes.encode_node(nodes.Node(0, [b"a", b"b"], [ENTRIES[0], ENTRIES[1]]))
INNER: Final = nodes.encode_node(
    nodes.Node(1, [b"a", b"b"], [HASH + (2).to_bytes(8), SECRET + (3).to_bytes(8)])
)
ITEMS: Final = PACK([(b"a", ENTRIES[0]), (b"a\0b", ENTRIES[1])])


def check_node(data: bytes) -> nodes.Node:
    return repair.check_node(data, repair.Place(hashing.node_id(data), is_edge=True))


def check_piece(data: bytes) -> bytes:
    size = sum(size for _, size in versions.references(data)) if len(data) % 40 == 0 else 1
    manifest.check_references(manifest.check_piece(data, size))
    return data


# Frames

HEADER: Final = framing.encode(framing.Kind.HEADER, PACK(protocol.DiffHeader(7, 1, HEX)))
CHUNK: Final = framing.encode_chunk(HASH, framing.Codec.RAW, 1, b"x")
END: Final = framing.encode(
    framing.Kind.END, PACK(protocol.DiffEnd("feed", more=False, root_hash=HEX))
)
DELTA: Final = deltas.encode_delta(
    deltas.Delta(HASH, 64, (SECRET,), likeness.liken(SECRET * 2, SECRET))
)
STREAM: Final = (
    HEADER
    + framing.encode(framing.Kind.ENTRIES, ITEMS)
    + CHUNK
    + framing.encode(framing.Kind.MISSING, HASH)
    + END
)


STEPS: Final = parts.write_steps(SECRET, [parts.describe(SECRET)])


def made_of_delta(data: bytes) -> bytes:
    """What some bytes make, read as a delta of whatever size they state."""
    sizes = (332, 64, 0, 262_144)
    for size in sizes[:-1]:
        with contextlib.suppress(AeorError):
            return likeness.unlike(data, SECRET, size)
    return likeness.unlike(data, SECRET, sizes[-1])


def whole_or_cut(feed: Callable[[], Callable[[bytes], Iterable[Any]]], data: bytes) -> list[Any]:
    """What a decoder makes of a stream; the same, in whatever pieces it comes.

    The first byte of the input says how it is cut.
    """
    cut, stream = (data[0], data[1:]) if data else (0, b"")
    sizes = (len(stream) or 1, 1 + cut % 7, 1 + cut)
    found: list[tuple[list[Any], bool]] = []
    for size in sizes if len(stream) < 4096 else sizes[::2]:
        made: list[Any] = []
        take = feed()
        is_whole = True
        try:
            for at in range(0, len(stream), size):
                made += take(stream[at : at + size])
        except AeorError:
            is_whole = False
        found.append((made, is_whole))
    is_whole = found[0][1]
    longest = max((made for made, _ in found), key=len)
    for made, was_whole in found:
        # A refusal may come with frames before it, or without: but never with others.
        if was_whole != is_whole or (
            made != longest if is_whole else made != longest[: len(made)]
        ):
            raise AssertionError("the stream is read differently when it is cut differently")
    if not is_whole:
        raise BadRequestError("refused")
    return found[0][0]


def frames(data: bytes) -> list[framing.Frame]:
    return whole_or_cut(lambda: framing.Decoder(1 << 16).feed, data)


def answer_at_once(data: bytes) -> list[Any]:
    """The answer to what was asked with no event loop."""

    def feed() -> Callable[[bytes], list[Any]]:
        made = remote_direct._Reply()

        def take(piece: bytes) -> list[Any]:
            was_whole = made.is_whole
            try:
                made.feed(piece)
            except (ValueError, httptools.HttpParserError) as error:
                raise BadRequestError(str(error)) from error
            is_new = made.is_whole and not was_whole
            return [(made.status, made.fields, bytes(made.body))] if is_new else []

        return take

    return whole_or_cut(feed, data)


def uncut(stream: bytes) -> bytes:
    """A seed for `whole_or_cut`."""
    return b"\x02" + stream


def encode_frames(some: list[framing.Frame]) -> bytes:
    return b"\0" + b"".join(framing.encode(*frame) for frame in some)


def sse_events(data: bytes) -> list[sse.ServerEvent]:
    return whole_or_cut(lambda: sse.EventDecoder(1 << 12).feed, data)


def inflate(data: bytes) -> list[bytes]:
    made = encoding.Inflater()
    size = 0
    pieces: list[bytes] = []
    for piece in made.feed(data):
        size += len(piece)
        if size > 1 << 22:
            raise BadRequestError("enough")
        pieces.append(piece)
    made.finish()
    return pieces


def squeezed(plain: bytes) -> bytes:
    made = encoding.Squeezer()
    return made.feed(plain) + made.finish()


def expand(data: bytes) -> bytes:
    return squeeze.expand(data[2:], int.from_bytes(data[:2]))


def squeeze_seed(plain: bytes) -> bytes:
    return len(plain).to_bytes(2) + (squeeze.squeeze(plain) or b"")


# Bodies

PAGE: Final = [framing.Frame(*one) for one in framing.Decoder().feed(STREAM)]
REMOTE: Final = calls.Remote.__new__(calls.Remote)
REMOTE.address = "http://peer"
FOREIGN: Final = remote_foreign.ForeignRemote.__new__(remote_foreign.ForeignRemote)
FOREIGN.address = "http://peer"


def page(data: bytes) -> object:
    found = framing.Decoder(1 << 16)
    some = found.feed(data)
    found.finish()
    told_ = REMOTE._page(some)
    for part in told_.parts:
        for key, entry in plan._parse_items(part):
            paths.parse_key(key, allow_system=True)
            versions.parse_entry(entry)
    return told_


def node_answer(data: bytes) -> object:
    some = framing.Decoder(1 << 16).feed(data)
    return read_nodes("http://peer", some, {HASH, hashing.node_id(LEAF)}, len(data))


NODES: Final = (
    framing.encode(framing.Kind.HEADER, PACK(wire_nodes.NodesHeader(7, 1, HEX, HEX, 3)))
    + framing.encode(framing.Kind.ENTRIES, PACK([LEAF]))
    + framing.encode(framing.Kind.MISSING, HASH)
    + framing.encode(framing.Kind.END, PACK(wire_nodes.NodesEnd()))
)
OFFER: Final = PACK(wire_offers.OfferHeader(node_id=7, database=1, knowledge=((1, 2), (3, 4))))
COMMIT: Final = blobs.CommitRequest(
    deletes=[blobs.CommitDelete(path="/a", base='"x"')],
    folders=[blobs.CommitFolder(path="/b", mtime_ns=-1)],
    files=[blobs.CommitFile(path="/c", chunks=[HEX], size=1, content_hash=HEX)],
    links=[blobs.CommitLink(path="/d", target="c")],
)
FILE: Final = protocol.FileAdded(
    path="/d/f",
    hash=HEX,
    size=1,
    content_type=None,
    chunk_hashes=[HEX],
    content_hash=HEX,
    version="7-1",
    mtime_ns=-5,
    losers=[protocol.Loser(version="8-1", etag='"x"', kind="symlink", target="x")],
)
DIFF: Final = protocol.DiffReply(
    root_hash=HEX,
    changes=protocol.Changes(
        files_added=[FILE],
        symlinks_added=[protocol.LinkAdded(path="/d/l", hash=HEX, target="../x")],
        files_deleted=[protocol.PathOnly("/d/g")],
        directories_added=[protocol.FolderAdded("/d")],
    ),
    chunk_hashes_needed=[HEX],
)
BODIES: Final[tuple[msgspec.Struct, ...]] = (
    COMMIT,
    protocol.DiffRequest(since_root_hash=HEX, paths=("/a/**",), node_id=3),
    links.JoinRequest("http://a", "b", 7),
    links.WakeRequest(7),
    links.ClockRequest(5),
    protocol.ChunksRequest([HEX]),
    wire_nodes.NodesRequest(ids=[HEX]),
    wire_terms.PeerRequest(address="http://a", node_id=7, sync_paths=["/a/**"]),
    wire_terms.PeerPatch(label="x", bandwidth_limit=1),
    wire_terms.LeaveRequest(7),
    blobs.CheckRequest([HEX]),
    conflicts.PickRequest("winner"),
    conflicts.SettleRequest(pick="winner", paths=["/a"]),
)


def bodies(data: bytes) -> object:
    """A body, as every shape that a request may have."""
    found: list[object] = []
    for shape in BODIES:
        try:
            found.append(parse_body(data, type(shape)))
        except AeorError:
            found.append(None)
    if not any(found):
        raise BadRequestError("none of them")
    return None


ANSWERS: Final[tuple[type, ...]] = (
    links.ClockReply,
    links.JoinReply,
    links.WakeReply,
    wire_offers.OfferReply,
    wire_offers.OfferedChunksReply,
    wire_terms.LeaveReply,
    *calls._EVENTS.values(),
)


def answers(data: bytes) -> object:
    """An answer of a peer, as every shape that it may have."""
    remote_asking._told(data)
    REMOTE._told_error(data)
    found = 0
    for shape in ANSWERS:
        try:
            REMOTE._parse(data, shape)
            found += 1
        except AeorError:
            pass
    if not found:
        raise BadRequestError("none of them")
    return None


def client_page(data: bytes) -> object:
    try:
        reply = msgspec.json.decode(data, type=protocol.DiffReply)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError("no page") from error
    return {
        path: None if one is None else told.decode(told.encode(one))
        for path, one in told.read_page(reply, told.Scope("/d")).items()
    }


def foreign_answers(data: bytes) -> object:
    found = 0
    for shape in (
        remote_foreign.ForeignDiff,
        remote_foreign.ForeignHealth,
        remote_foreign.ForeignStatus,
        remote_foreign._ChunksReply,
    ):
        try:
            value = FOREIGN._parse(data, shape)
        except AeorError:
            continue
        found += 1
        if isinstance(value, remote_foreign.ForeignDiff):
            for link in value.changes.symlinks_added:
                try:
                    path = parse_foreign_path(link.path)
                except AeorError:
                    continue
                foreign.absolute_target(path, link.target)
                foreign.is_private(path)
    if not found:
        raise BadRequestError("none of them")
    return None


# Archives


def export(header: archive.Header | None = None, items: bytes = ITEMS) -> bytes:
    made = archive.ArchiveEncoder()
    parts = [made.header(header or archive.Header(1, 5, 7, HASH, "current"))]
    parts.append(made._frame(CHUNK))
    made._chunks, made._entries = 1, 2
    parts.append(made._frame(framing.encode(framing.Kind.ENTRIES, items)))
    parts.append(made.end())
    return b"".join(parts)


def read_export(data: bytes) -> object:
    """All of an archive; whatever its checks say, so that what they protect is reached as well."""
    with tempfile.NamedTemporaryFile(prefix="aeorsync-fuzz-") as file:
        file.write(data)
        file.flush()
        with archive.ArchiveReader(Path(file.name)) as reader:
            for _, (kind, payload) in reader.frames():
                if kind is framing.Kind.HEADER:
                    reader.parse_header(payload)
                elif kind is framing.Kind.CHUNK:
                    importing._check(StoredChunk(*framing.parse_chunk(payload)))
                elif kind is framing.Kind.ENTRIES:
                    importing._parse(payload)
    return None


def export_header(data: bytes) -> object:
    reader = archive.ArchiveReader.__new__(archive.ArchiveReader)
    reader._path = Path("x")
    return reader.parse_header(data)


# Settings


def toml(data: bytes, use: Callable[[Path], object]) -> object:
    with tempfile.NamedTemporaryFile(prefix="aeorsync-fuzz-", suffix=".toml") as file:
        file.write(data)
        file.flush()
        return use(Path(file.name))


def settings(data: bytes) -> object:
    return toml(data, lambda file: config.load({"config": str(file)}, {}))


def environment(data: bytes) -> object:
    """Settings from variables: the first line names one, the rest is its text."""
    number, _, value = data.partition(b"\n")
    setting = config.SETTINGS[(number[0] if number else 0) % len(config.SETTINGS)]
    if setting.name != "config":
        config.load({}, {setting.env: text(value)})
    return None


def given(parse: Callable[[Given], Any]) -> Callable[[bytes], Any]:
    return lambda data: parse(Given(text(data), "--here"))


def words(data: bytes) -> list[str]:
    """Several texts: the lines of the input."""
    return text(data).split("\n")


def ignored(data: bytes) -> object:
    """A file of patterns, and names asked about; no pattern is an error of the program."""
    told_: list[object] = []
    rules = ignore.Ignore.parse(tell=told_.append)
    spec = rules._parse_file("d", data)
    level = ignore._Level(spec, "d/")
    for name in ("a", "b/", "build", "\u00e9", "x" * 255, "-rf"):
        level.verdict(name)
    return None


def excluded(data: bytes) -> object:
    rules = ignore.Ignore.parse(exclude=words(data), include=("*",))
    return rules.ignores("a", is_folder=False), rules.ignores("b", is_folder=True)


def matched(data: bytes) -> globs.Globs:
    found = globs.Globs.parse(words(data))
    for path in ("/", "/a", "/a/b.txt", "/é/" + "a" * 200, "/" + "a/" * 400):
        found.matches(path)
    return found


def rules(data: bytes) -> object:
    pairs = msgspec.json.decode(data, type=list[dict[str, str]], strict=False)
    read = keyrules.read_rules(pairs)
    found = access.Access.of([[(rule.glob, rule.permitted) for rule in read]])
    for path in ("/", "/a", "/a/b", "/a/" + "b" * 100):
        found.may(path, access.Op.READ)
        found.may_enter(path)
    return [{"glob": rule.glob, "permitted": rule.permitted} for rule in read]


def patched(data: bytes) -> bytes:
    document, _, patch = data.partition(b"\0")
    return mergepatch.merge_patch(document or None, patch)


def pointed(data: bytes) -> bytes:
    pointer, _, document = data.partition(b"\n")
    mergepatch.check_json(document, "the document")
    return pointers.resolve_pointer(document, text(pointer))


def ranged(data: bytes) -> object:
    return headers.parse_range(data.decode("latin-1"), 1000)


def etags(value: headers.ETags) -> bytes:
    return (
        b"*"
        if value.is_any
        else b", ".join(
            raw(("W/" if tag.is_weak else "") + headers.print_etag(tag.opaque))
            for tag in value.tags
        )
    )


def latin(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """What parses a header: its text is one character a byte."""
    return lambda data: parse(data.decode("latin-1"))


def spelled(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: parse(text(data))


def token(**changed: object) -> bytes:
    claims = {"sub": str(NAME), "iss": "aeordb", "iat": 1, "exp": 1 << 33, **changed}
    return jwt.encode(claims, KEY._private, algorithm="EdDSA").encode()


def claims(data: bytes) -> object:
    """Claims that we signed ourselves, whatever they are."""
    payload = jwt.api_jws.PyJWS().encode(data, KEY._private, algorithm="EdDSA")
    return tokens.verify(KEY, payload, 100)


VECTOR: Final = ((1, 2), (1 << 40, 7))
PLACES: Final = places.Places(SECRET, access.Access.of([[("/a/**", "-r--l---")]]))


def cursor_or_refusal(found: object) -> Any:  # noqa: ANN401
    if found is None:
        raise BadRequestError("none")
    return found


def query(data: bytes) -> object:
    found = parameters.Query(data)
    for name in ("a", "path", "depth"):
        for read in (found.text, found.flag, partial(found.whole, least=0)):
            try:
                read(name)
            except AeorError:
                continue
        try:
            found.word(name, ("x",), "x")
        except AeorError:
            continue
    return None


def user_words(data: bytes) -> object:
    for check in (
        users.check_username,
        users.check_email,
        minting.check_label,
        version_names.check_name,
        parse_label,
        redact.redact,
    ):
        try:
            check(text(data).encode("utf-8", "replace").decode())
        except AeorError:
            continue
    users.fold(text(data))
    return users.check_tags(words(data))


def opened_profiles(data: bytes) -> object:
    return profiles._parsed(json.loads(data))


def key_record() -> bytes:
    return (
        b'{"key_id":"%b","user_id":"%b","key_hash":"%b","created_at":1,"expires_at":2,"is_revoked":false,"label":null,"rules":[{"glob":"/a","permitted":"-r--l---"}]}'
        % (
            str(NAME).encode(),
            str(NAME).encode(),
            HEX.encode(),
        )
    )


def user_record() -> bytes:
    return users.UserRecord(user_id=NAME, username="ada", created_at=1, updated_at=2).to_json()


def chain_record() -> bytes:
    return refresh.Chain(key_id=NAME, current=HEX, rotated_at=1, expires_at=2).to_json()


def to_json(value: Any) -> bytes:  # noqa: ANN401
    return bytes(value.to_json())


PATHS: Final = lines(
    "/",
    "/a/b",
    "a",
    "//a//",
    "/a/../b",
    "/.aeordb-system/x",
    "/é",
    "/e\u0301",
    "/%2e%2e/a",
    "/" + "x" * 255,
)
GLOBS: Final = lines("/a/**", "**", "/a/*.{jpg,png}", "!/b", "[!a-z]?\\*", "/a\n/b/**\n!**/x")
URLS: Final = lines("http://host:6830", "https://[::1]:80/a/b", "http://a.b/%C3%A9")

PARSERS: Final[tuple[Parser, ...]] = (
    # frames and bodies
    Parser(
        "frames",
        frames,
        [uncut(STREAM), uncut(HEADER + END), uncut(NODES)],
        ("wire.framing:Decoder.feed",),
        encode_frames,
    ),
    Parser(
        "chunk",
        framing.parse_chunk,
        [CHUNK[5:]],
        ("wire.framing:parse_chunk",),
        lambda chunk: framing.encode_chunk(*chunk)[5:],
        is_canonical=True,
    ),
    Parser(
        "missing",
        framing.parse_missing,
        [HASH * 3],
        ("wire.framing:parse_missing",),
        b"".join,
        is_canonical=True,
    ),
    Parser(
        "delta",
        deltas.parse_delta,
        [DELTA[5:]],
        ("wire.deltas:parse_delta",),
        lambda delta: deltas.encode_delta(delta)[5:],
        is_canonical=True,
    ),
    Parser(
        "what a delta makes",
        made_of_delta,
        [likeness.liken(b"x" * 300 + SECRET, SECRET)],
        ("runtime.likeness:unlike",),
    ),
    Parser(
        "parts of a chunk",
        recipes.parse_parts,
        [HASH + parts.describe(SECRET * 99)],
        ("wire.recipes:parse_parts", "core.parts:check_parts"),
        b"".join,
        is_canonical=True,
    ),
    Parser(
        "recipe",
        recipes.parse_recipe,
        [recipes.encode_recipe(deltas.Delta(HASH, 32, (SECRET,), STEPS))[5:]],
        ("wire.recipes:parse_recipe",),
        lambda recipe: recipes.encode_recipe(recipe)[5:],
        is_canonical=True,
    ),
    Parser(
        "steps of a recipe",
        lambda data: parts.follow_steps(data, SECRET, 32),
        [STEPS, parts.write_steps(SECRET, [])],
        ("core.parts:follow_steps",),
    ),
    Parser(
        "wanted chunks",
        deltas.parse_wants,
        [deltas.encode_wants([HASH, SECRET], {HASH: [SECRET]})],
        ("wire.deltas:parse_wants",),
        lambda wants: deltas.encode_wants(list(wants), wants),
    ),
    Parser(
        "page",
        page,
        [STREAM, HEADER + END],
        ("remote.calls:Remote._page", "cluster.plan:_parse_items"),
    ),
    Parser(
        "page that says little",
        lambda data: read_same([framing.Frame(framing.Kind.END, data)]),
        [PACK(brief.Same(7, 1, same=True))],
        ("remote.arriving:read_same", "remote.arriving:read_chunk"),
        PACK,
    ),
    Parser("nodes answer", node_answer, [NODES], ("remote.nodes:read_nodes",)),
    Parser(
        "offer header",
        lambda data: offers.parse_header([framing.Frame(framing.Kind.HEADER, data)]),
        [OFFER],
        ("cluster.offers:parse_header",),
        PACK,
    ),
    Parser(
        "commit header",
        lambda data: parse_commit(framing.Frame(framing.Kind.HEADER, data), Heard()),
        [PACK(COMMIT)],
        ("api.commits:_parse_header",),
        PACK,
    ),
    Parser(
        "bodies",
        bodies,
        [JSON(body) for body in BODIES],
        ("api.endpoint:parse_body", "api.endpoint:_check_json", "api.commits:_parse_json"),
    ),
    Parser(
        "answers",
        answers,
        [
            JSON(links.ClockReply(1, 2, 3, 4, 5)),
            JSON(wire_offers.OfferReply(node_id=1, database=2)),
            b'{"error":"x","code":"Y"}',
            PACK({"error": "x"}),
        ],
        ("remote.calls:Remote._parse", "remote.asking:_told"),
    ),
    Parser(
        "client page", client_page, [JSON(DIFF)], ("folder.told:decode", "folder.told:read_page")
    ),
    Parser(
        "AeorDB answers",
        foreign_answers,
        [
            JSON(DIFF),
            b'{"status":"healthy"}',
            b'{"chunks":[{"hash":"%b","data":"eA=="}]}' % HEX.encode(),
        ],
        ("remote.foreign:ForeignRemote._parse", "cluster.foreign_part:_parse_path"),
    ),
    Parser(
        "dates",
        latin(remote_foreign._millis),
        lines(
            "Sat, 21 Nov 2026 18:00:00 GMT", "Sat, 21 Nov 0001 18:00:00 -2359", "1 Jan 99999 0:0:0"
        ),
        ("remote.foreign:_millis",),
    ),
    Parser(
        "events",
        sse_events,
        [uncut(b"event: root\ndata: {}\nid: 1\n\n:x\r\ndata: a\r\rdata:b\n\n")],
        ("remote.sse:EventDecoder.feed",),
    ),
    Parser(
        "answer at once",
        answer_at_once,
        [
            uncut(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\n{}"),
            uncut(b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n"),
        ],
        ("remote.direct:_Reply.feed",),
    ),
    Parser(
        "terms",
        lambda data: terms.parse_terms(parse_body(data, wire_terms.PeerPatch)),
        [
            JSON(
                wire_terms.PeerPatch(
                    label="x",
                    bandwidth_limit=1,
                    direction="both",
                    sync_paths=["/a"],
                    address="http://a:1",
                )
            )
        ],
        ("cluster.terms:parse_terms",),
    ),
    # compression
    Parser(
        "gzip",
        inflate,
        [squeezed(b"abc" * 100), squeezed(bytes(1 << 20))],
        ("wire.encoding:Inflater.feed",),
    ),
    Parser(
        "zstd",
        expand,
        [squeeze_seed(b"abc" * 2000), squeeze_seed(bytes(60000))],
        ("runtime.squeeze:expand",),
    ),
    # entries and trees
    Parser(
        "entry",
        versions.parse_entry,
        ENTRIES,
        ("core.versions:parse_entry", "core.versions:check_version"),
        versions.encode_entry,
        is_canonical=True,
    ),
    Parser(
        "tree node",
        nodes.decode_node,
        [LEAF, INNER],
        ("core.nodes:decode_node",),
        nodes.encode_node,
    ),
    Parser(
        "peer's tree node",
        check_node,
        [LEAF, INNER],
        ("core.repair:check_node", "core.repair:Descent.check"),
        nodes.encode_node,
        is_canonical=True,
    ),
    Parser(
        "manifest piece",
        check_piece,
        [HASH + (1).to_bytes(8), (HASH + (1 << 61).to_bytes(8)) * 3],
        ("core.manifest:check_piece", "core.manifest:check_references"),
        bytes,
        is_canonical=True,
    ),
    Parser(
        "key",
        lambda data: paths.parse_key(data, allow_system=True),
        [b"a\0b", b"", b".aeordb-system\0x", "é".encode()],
        ("core.paths:parse_key",),
        paths.to_key,
        is_canonical=True,
    ),
    # marks
    Parser(
        "cursor",
        lambda data: cursor_or_refusal(cursors.parse_cursor(text(data))),
        [raw(cursors.print_cursor(cursors.Cursor(1, 2, cursors.Phase.LIVE, b"a")))],
        ("core.cursors:parse_cursor",),
        lambda value: raw(cursors.print_cursor(value)),
        is_canonical=True,
    ),
    Parser(
        "hex token",
        lambda data: cursor_or_refusal(cursors.parse_hex(text(data))),
        [raw(cursors.print_hex(cursors.Cursor(1, 2, cursors.Phase.LIVE, b"a")))],
        ("core.cursors:parse_hex",),
        lambda value: raw(cursors.print_hex(value)),
        is_canonical=True,
    ),
    Parser(
        "AeorDB token",
        lambda data: cursor_or_refusal(foreign.parse_token(text(data))),
        [raw(foreign.print_token(5, 6, cursors.Cursor(1, 2)))],
        ("core.foreign:parse_token",),
    ),
    Parser(
        "seal",
        lambda data: cursor_or_refusal(seals.unseal(SECRET, "/a", text(data))),
        [raw(seals.seal(SECRET, "/a", VECTOR))],
        ("core.seals:unseal",),
        lambda value: raw(seals.seal(SECRET, "/a", value)),
        is_canonical=True,
    ),
    Parser(
        "sealed vector",
        lambda data: cursor_or_refusal(
            seals.unseal(SECRET, "/a", seals._to_text(data + seals._tag(SECRET, "/a", data)))
        ),
        [PACK(VECTOR)],
        ("core.seals:unseal",),
    ),
    Parser(
        "sealed place",
        lambda data: cursor_or_refusal(PLACES.open_place(text(data))),
        [raw(PLACES.seal_place(places.Place(cursors.Cursor(1, 2), exact=True)))],
        ("api.places:Places.open_place", "api.places:Places._open", "api.places:_decode"),
    ),
    Parser(
        "sealed row",
        lambda data: cursor_or_refusal(PLACES.open_row(text(data))),
        [raw(PLACES.seal_row(5, 6))],
        ("api.places:Places.open_row",),
    ),
    Parser(
        "event mark",
        lambda data: cursor_or_refusal(events._parse(text(data))),
        [b"12-ab"],
        ("api.events:_parse",),
    ),
    Parser(
        "hash",
        spelled(hashing.parse_hash),
        [HEX.encode(), HEX.upper().encode()],
        ("core.hashing:parse_hash",),
        lambda value: bytes(value).hex().encode(),
    ),
    Parser(
        "joined ids",
        hashing.parse_ids,
        [b"", HASH, HASH + SECRET],
        ("core.hashing:parse_ids",),
        b"".join,
        is_canonical=True,
    ),
    Parser("hex of a root", spelled(diff._check_hex), [HEX.encode()], ("api.diff:_check_hex",)),
    # who asks
    Parser(
        "signing key",
        spelled(tokens.SigningKey.from_text),
        [KEY.to_text().encode()],
        ("core.tokens:SigningKey.from_text",),
        lambda key: key.to_text().encode(),
    ),
    Parser(
        "token",
        lambda data: tokens.verify(KEY, text(data), 100),
        [token(), token(scope="sync", key_id=str(NAME)), token(exp="x")],
        ("core.tokens:verify", "core.tokens:SigningKey.open"),
    ),
    Parser(
        "claims",
        claims,
        [
            JSON(
                {
                    "sub": str(NAME),
                    "iss": "aeordb",
                    "iat": 1,
                    "exp": 1 << 33,
                    "scope": "sync",
                    "key_id": str(NAME),
                }
            ),
            b'{"exp":NaN,"iss":["aeordb"]}',
        ],
        ("core.tokens:verify",),
    ),
    Parser(
        "API key",
        spelled(apikeys.ApiKey.parse),
        [apikeys.make(NAME, SECRET).encode()],
        ("core.apikeys:ApiKey.parse",),
        lambda key: raw(key.text),
        is_canonical=True,
    ),
    Parser(
        "refresh token",
        spelled(refresh.RefreshToken.parse),
        [b"aeor_r_" + HEX.encode()],
        ("core.refresh:RefreshToken.parse",),
        lambda key: raw(key.text),
        is_canonical=True,
    ),
    Parser(
        "key record",
        apikeys.KeyRecord.from_json,
        [key_record()],
        ("core.apikeys:KeyRecord.from_json",),
        to_json,
    ),
    Parser(
        "user record",
        users.UserRecord.from_json,
        [user_record()],
        ("core.users:UserRecord.from_json",),
        to_json,
    ),
    Parser(
        "chain record",
        refresh.Chain.from_json,
        [chain_record()],
        ("core.refresh:Chain.from_json",),
        to_json,
    ),
    Parser(
        "snapshot record",
        lambda data: (
            version_records.parse(data, version_records.Snapshot),
            version_records.parse(data, version_records.Fork),
        ),
        [
            b'{"id":"x","name":"n","root":"%b","graves":"%b","created_at":1}'
            % (HEX.encode(), HEX.encode())
        ],
        ("storage.version_records:parse",),
    ),
    Parser(
        "flags",
        spelled(access.parse_flags),
        [b"crudlify", b"-r--l---"],
        ("core.access:parse_flags",),
    ),
    Parser(
        "rules",
        rules,
        [b'[{"/a/**":"-r--l---"},{"glob":"**","permitted":"--------"}]'],
        ("core.keyrules:read_rules", "core.access:Rules.parse"),
        JSON,
        errors=(AeorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    ),
    Parser(
        "names of people",
        user_words,
        lines("ada", "ada@example.org", "a\u0308", "ﬁ"),
        (
            "core.users:check_username",
            "core.users:check_email",
            "core.users:check_tags",
            "core.minting:check_label",
            "storage.versions:check_name",
            "cluster.peers:parse_label",
        ),
    ),
    # paths and patterns
    Parser("path", spelled(paths.parse), PATHS, ("core.paths:parse",), raw),
    Parser(
        "URL path",
        lambda data: paths.parse(paths.decode(data)),
        (*PATHS, b"/%C3%A9%2F", b"/%ff"),
        ("core.paths:decode",),
    ),
    Parser(
        "path in a header",
        latin(headers.parse_path),
        (*PATHS, b"/%C3%A9"),
        ("wire.headers:parse_path",),
        lambda path: headers.print_path(path).encode(),
    ),
    Parser(
        "link target",
        lambda data: paths.resolve_link(paths.parse("/a/b"), text(data)),
        lines("../x", "/a", "../../..", "./a//b"),
        ("core.paths:resolve_link",),
    ),
    Parser("globs", matched, GLOBS, ("core.globs:Globs.parse", "core.globs:Glob.parse")),
    Parser(
        "filter",
        lambda data: filters.Filter.parse(words(data), words(data)),
        GLOBS,
        ("core.filters:Filter.parse",),
    ),
    Parser(
        "link filters",
        lambda data: parse_filters(words(data)),
        GLOBS,
        ("cluster.peers:parse_filters",),
    ),
    Parser(
        "ignore file",
        ignored,
        lines("*.o\n!keep.o\n/build/\n**/x\n[a-z]\\ ", "a/**/b\n#c\n\\!d", "[[:alpha:]]"),
        ("folder.ignore:Ignore._parse_file",),
    ),
    Parser(
        "patterns of the command line",
        excluded,
        lines("*.o\n/x", "!a"),
        ("folder.ignore:Ignore.parse",),
    ),
    Parser(
        "temporary name",
        lambda data: temps.parse(text(data)),
        lines(temps.staged("0" * 8), temps.armed("0" * 8, 255)),
        ("folder.temps:parse",),
    ),
    # documents
    Parser(
        "merge patch",
        patched,
        [b'{"a":{"b":1}}\0{"a":{"b":null,"c":[1]}}', b"\0{}"],
        ("core.mergepatch:merge_patch", "core.mergepatch:check_json"),
    ),
    Parser(
        "pointer", pointed, [b'/a/0/b~1c\n{"a":[{"b/c":1}]}'], ("core.pointers:resolve_pointer",)
    ),
    Parser(
        "timetable",
        spelled(schedule.check_schedule),
        lines("0 3 * * *", "*/15 1-5 1,2 JAN-DEC MON#1", "0 0 L * 7L", "0 0 29 2 *", "0 0 30 2 *"),
        ("core.schedule:check_schedule",),
        raw,
    ),
    # headers and queries
    Parser(
        "etags",
        latin(headers.parse_etags),
        lines("*", '"a", W/"b"', '"",,"x"'),
        ("wire.headers:parse_etags",),
        etags,
    ),
    Parser(
        "range",
        ranged,
        lines("bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-0,2-3"),
        ("wire.headers:parse_range",),
    ),
    Parser(
        "mtime",
        latin(headers.parse_mtime),
        lines("1700000000000.000001", "-1"),
        ("wire.headers:parse_mtime",),
        lambda ns: headers.print_mtime(ns).encode(),
    ),
    Parser(
        "mode",
        latin(headers.parse_mode),
        lines("755", "0644"),
        ("wire.headers:parse_mode",),
        lambda bit: headers.print_mode(is_executable=bit).encode(),
    ),
    Parser(
        "query",
        query,
        lines("a=1&path=%2Fx&depth=5", "a=%ff", "path=a+b;c"),
        ("api.parameters:Query.__init__",),
    ),
    Parser(
        "node ids",
        lambda data: (members.parse_id(text(data)), peers._parse_node_id(text(data))),
        lines("7", "9223372036854775807"),
        ("api.members:parse_id", "api.peers:_parse_node_id"),
    ),
    Parser("peer address", spelled(parse_address), URLS, ("cluster.peers:parse_address",), raw),
    # exports
    Parser(
        "export",
        read_export,
        [export(), export()[:60]],
        ("storage.importing:_parse", "storage.archive:ArchiveReader.frames"),
    ),
    Parser(
        "export header",
        export_header,
        [PACK(archive.Header(1, 5, 7, HASH, "current", HASH, "x"))],
        ("storage.archive:ArchiveReader.parse_header",),
        PACK,
    ),
    Parser(
        "export entries",
        importing._parse,
        [ITEMS],
        ("storage.importing:_parse", "storage.importing:_parse_entry"),
    ),
    # settings
    Parser(
        "settings file",
        settings,
        [b"[server]\nport = 1\n", b'[[sync]]\nlocal = "/a"\nremote = "http://a"\n'],
        ("config.files:read", "config.__init__:load"),
    ),
    Parser(
        "environment",
        environment,
        [
            b"%b\n%b" % (bytes((n,)), word)
            for n in range(40)
            for word in (b"1", b"/a", b"http://a", b"30s")
        ],
        ("config.__init__:load",),
    ),
    Parser(
        "folders file",
        lambda data: toml(data, folders.load),
        [b'[[sync]]\nlocal = "/a"\nremote = "http://a/b"\nmax_delete = "5%"\nexclude = ["x"]\n'],
        ("config.folders:load",),
    ),
    Parser(
        "stored logins",
        opened_profiles,
        [b'{"profiles":{"default":{"url":"http://a","key":"k"}}}'],
        ("config.profiles:Profiles._load",),
        errors=(AeorError, ValueError, TypeError, LookupError, RecursionError, AttributeError),
    ),
    Parser(
        "whole number",
        given(lambda one: values.parse_whole(one, 1, 100)),
        lines("5", "-1"),
        ("config.values:parse_whole",),
    ),
    Parser(
        "duration",
        given(lambda one: values.parse_duration(one, 1, 100)),
        lines("5s", "1m"),
        ("config.values:parse_duration",),
    ),
    Parser(
        "local path",
        given(values.parse_optional_path),
        lines("~", "/a", "~nobody/x"),
        (
            "config.values:parse_path",
            "config.values:parse_optional_path",
            "config.folders:parse_local",
        ),
    ),
    Parser(
        "URL",
        given(values.parse_optional_url),
        URLS,
        ("config.values:parse_url", "config.values:parse_optional_url"),
        lambda url: raw(url or ""),
    ),
    Parser("URLs", given(values.parse_urls), [b", ".join(URLS)], ("config.values:parse_urls",)),
    Parser(
        "origins",
        given(values.parse_origins),
        [b"*, https://a.b"],
        ("config.values:parse_origins",),
    ),
    Parser(
        "host",
        given(values.parse_host),
        lines("a.b", "[::1]", "::1%eth0", "127.0.0.1"),
        ("config.values:parse_host",),
    ),
    Parser(
        "auth mode",
        given(values.parse_auth),
        lines("self", "file:///a", "no"),
        ("config.values:parse_auth",),
    ),
    Parser(
        "log format",
        given(values.parse_log_format),
        lines("json"),
        ("config.values:parse_log_format",),
    ),
    Parser(
        "remote folder",
        given(folders.parse_remote),
        lines("http://host:6830/a/b", "https://h/%C3%A9"),
        ("config.folders:parse_remote",),
    ),
    Parser(
        "direction",
        given(folders.parse_direction),
        lines("pull"),
        ("config.folders:parse_direction",),
    ),
    Parser(
        "limit of deletions",
        given(folders.parse_max_delete),
        lines("50%", "7"),
        ("config.folders:parse_max_delete", "folder.options:DeleteLimit.parse"),
    ),
    Parser(
        "patterns of a file",
        lambda data: folders.parse_globs(words(data), "here"),
        GLOBS,
        ("config.folders:parse_globs",),
    ),
)

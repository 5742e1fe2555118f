"""A stand-in for a real AeorDB node, made from the description of its protocol alone.

It serves what such a node serves to peers, and pulls as such a node pulls: `AeorDB.pull` is one
cycle, `AeorDB.tick` one round of its 30 s loop. It overwrites, knows no conflicts, keeps no
tombstones, sends its system files with every diff, and takes an unknown cursor for an empty tree.
"""

import asyncio
import base64
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import uvicorn
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

CUT = 262_144
MAX_HASHES = 10_000
MAX_BODY = 1 << 20
MAX_PROJECTED = 512 << 20
ROOT_USER = "00000000-0000-0000-0000-000000000000"
_SECRET_TREES = ("/.aeordb-system", "/.aeordb-config")

State = tuple[str, Any]
Tree = dict[str, State]
"""By path: ("file", (chunk hashes, content type)) or ("link", target)."""


def chunk_hash(data: bytes) -> str:
    return blake3(b"chunk:" + data).hexdigest()


def absolute(target: str) -> str:
    names: list[str] = []
    for name in target.strip().split("/"):
        if name == "..":
            del names[-1:]
        elif name not in {"", "."}:
            names.append(name)
    return "/" + "/".join(names)


@dataclass
class Peer:
    """A peer as it is remembered; `state` starts disconnected, always."""

    node_id: int
    address: str
    label: str | None
    state: str = "disconnected"
    cursor: str | None = None


@dataclass
class AeorDB:
    """One node. Attributes below `peers` are ways to misbehave."""

    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    node_id: int = field(default_factory=lambda: secrets.randbelow((1 << 64) - 1) + 1)
    peers: list[Peer] = field(default_factory=list)
    spoiled: dict[str, bytes] = field(default_factory=dict)
    slow_s: float = 0.0
    skew_ms: int = 0
    tree: Tree = field(default_factory=dict)
    system: dict[str, bytes] = field(default_factory=dict)
    chunks: dict[str, bytes] = field(default_factory=dict)
    roots: dict[str, Tree] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.key = f"aeor_k_{secrets.token_hex(8)}_{secrets.token_hex(32)}"
        self.head = ""
        self.system["/.aeordb-system/config/jwt_signing_key"] = self.seed
        self.system["/.aeordb-system/users/root"] = b'{"name":"root"}'
        self.system["/.aeordb-config/cors.json"] = b"[]"
        for data in self.system.values():
            self._cut(data)
        self._commit()

    # What its users do

    def put(self, path: str, data: bytes, content_type: str = "text/plain") -> None:
        with self.lock:
            self.tree[path] = ("file", (tuple(self._cut(data)), content_type))
            self._commit()

    def link(self, path: str, target: str) -> None:
        with self.lock:
            self.tree[path] = ("link", absolute(target))
            self._commit()

    def delete(self, path: str) -> None:
        with self.lock:
            del self.tree[path]
            self._commit()

    def rename(self, path: str, to: str) -> None:
        with self.lock:
            self.tree[to] = self.tree.pop(path)
            self._commit()

    def read(self, path: str) -> bytes | None:
        with self.lock:
            state = self.tree.get(path)
            if state is None or state[0] != "file":
                return None
            return b"".join(self.chunks[name] for name in state[1][0])

    def target(self, path: str) -> str | None:
        with self.lock:
            state = self.tree.get(path)
            return state[1] if state is not None and state[0] == "link" else None

    def files(self) -> dict[str, bytes | str]:
        """All there is, but for indexes and logs: bytes of files, targets of links."""
        with self.lock:
            return {
                path: self.read(path) or b"" if kind == "file" else value
                for path, (kind, value) in self.tree.items()
                if ".aeordb-" not in path
            }

    def collect_garbage(self) -> None:
        """Only the head survives, and its chunks."""
        with self.lock:
            self.roots = {self.head: self.roots[self.head]}
            live = {n for kind, value in self.tree.values() if kind == "file" for n in value[0]}
            live.update(name for data in self.system.values() for name in self._cut(data))
            self.chunks = {name: data for name, data in self.chunks.items() if name in live}

    def lose_everything(self) -> None:
        """As if its disk had been replaced; it keeps its name."""
        with self.lock:
            self.tree, self.roots = {}, {}
            for peer in self.peers:
                peer.cursor = None
            self._commit()

    def _cut(self, data: bytes) -> list[str]:
        names = []
        for at in range(0, len(data), CUT):
            piece = data[at : at + CUT]
            names.append(chunk_hash(piece))
            self.chunks.setdefault(names[-1], piece)
        return names

    def _commit(self) -> None:
        # Wall-clock times are hashed in, so no root ever comes again.
        self.head = blake3(secrets.token_bytes(32)).hexdigest()
        self.roots[self.head] = dict(self.tree)

    # What it asks of others

    def mint(self) -> str:
        now = int(time.time())
        claims = {"sub": ROOT_USER, "iss": "aeordb", "iat": now, "exp": now + 300, "scope": "sync"}
        return jwt.encode(claims, Ed25519PrivateKey.from_private_bytes(self.seed), "EdDSA")

    def join(self, url: str, token: str, advertise: str) -> None:
        """``--join URL --join-token TOKEN``, as its command line does at start."""
        with httpx.Client(timeout=30, trust_env=False) as client:
            if token.startswith("aeor_k_"):
                answer = client.post(f"{url}/auth/token", json={"api_key": token})
                token = answer.raise_for_status().json()["token"]
            answer = client.post(
                f"{url}/sync/join",
                json={"node_url": advertise},
                headers={"Authorization": f"Bearer {token}"},
            )
            reply = answer.raise_for_status().json()
        self.seed = base64.b64decode(reply["signing_key"])
        self.system["/.aeordb-system/config/jwt_signing_key"] = self.seed
        self._cut(self.seed)
        self.peers.append(Peer(reply["responding_node_id"], url, "Join target"))

    def add_peer(self, url: str) -> Peer:
        self.peers.append(Peer(secrets.randbelow(1 << 64), url, None, "active"))
        return self.peers[-1]

    def tick(self) -> None:
        """One round of the loop: peers one after another, only active ones."""
        for peer in self.peers:
            if peer.state == "active":
                self.pull(peer)

    def pull(self, peer: Peer) -> int:
        """One cycle; returns how many changes were told.

        Raises:
            httpx.HTTPStatusError: The peer refused.
        """
        headers = {"Authorization": f"Bearer {self.mint()}"}
        body: dict[str, str] = {"current_root_hash": self.head}
        if peer.cursor is not None:
            body["since_root_hash"] = peer.cursor
        with httpx.Client(timeout=None, trust_env=False, headers=headers) as client:  # noqa: S113
            answer = client.post(f"{peer.address}/sync/diff", json=body).raise_for_status().json()
            changes = answer.get("changes", {})
            names = (f"{kind}_{how}" for kind in ("files", "symlinks") for how in _HOW)
            told = {name: changes.get(name) or [] for name in names}
            count = sum(map(len, told.values()))
            if count and answer.get("chunk_hashes_needed"):
                asked = {"hashes": answer["chunk_hashes_needed"]}
                reply = client.post(f"{peer.address}/sync/chunks", json=asked).raise_for_status()
                self._take_chunks(reply.json()["chunks"])
        if count:
            self._apply(told)
        peer.cursor = answer["root_hash"]
        return count

    def _take_chunks(self, chunks: list[dict[str, Any]]) -> None:
        with self.lock:
            for chunk in chunks:
                # Unverified, and what is there already stays.
                self.chunks.setdefault(chunk["hash"], base64.b64decode(chunk["data"]))

    def _apply(self, told: dict[str, list[dict[str, Any]]]) -> None:
        for item in (*told["files_added"], *told["files_modified"]):
            try:
                data = b"".join(self.chunks[name] for name in item["chunk_hashes"])
            except KeyError:
                self.skipped.append(item["path"])
                continue
            self.put(item["path"], data, item.get("content_type") or "application/octet-stream")
        self._apply_gone("file", told["files_deleted"])
        for item in (*told["symlinks_added"], *told["symlinks_modified"]):
            self.link(item["path"], item["target"])
        self._apply_gone("link", told["symlinks_deleted"])

    def _apply_gone(self, kind: str, gone: list[dict[str, Any]]) -> None:
        for item in gone:
            if self.tree.get(item["path"], ("", None))[0] == kind:
                self.delete(item["path"])

    # What others ask of it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def diff(self, since: str | None, *, is_peer: bool) -> dict[str, Any]:
        with self.lock:
            # An unknown cursor is an empty tree; nothing says so.
            old: Tree = self.roots.get(since or "", {})
            new = self.tree
            changes: dict[str, list[dict[str, Any]]] = {
                f"{kind}_{how}": [] for kind in ("files", "symlinks") for how in _HOW
            }
            for path in sorted(old.keys() | new.keys()):
                self._compare(changes, path, old.get(path), new.get(path))
            if is_peer:
                for path, data in self.system.items():
                    state = ("file", (tuple(self._cut(data)), "application/octet-stream"))
                    changes["files_added"].append(self._told(path, state))
            files = (*changes["files_added"], *changes["files_modified"])
            needed = {name for item in files for name in item["chunk_hashes"]}
            return {
                "root_hash": self.head,
                "changes": changes,
                "chunk_hashes_needed": sorted(needed),
            }

    def _compare(
        self, changes: dict[str, Any], path: str, old: State | None, new: State | None
    ) -> None:
        names = {"file": "files", "link": "symlinks"}
        if old is not None and (new is None or new[0] != old[0]):
            changes[f"{names[old[0]]}_deleted"].append({"path": path})
        if new is None:
            return
        if old is None or old[0] != new[0]:
            changes[f"{names[new[0]]}_added"].append(self._told(path, new))
        elif (old[1][0] if old[0] == "file" else old[1]) != (
            new[1][0] if new[0] == "file" else new[1]
        ):
            # Of files only the chunks count: another content type is no change.
            changes[f"{names[new[0]]}_modified"].append(self._told(path, new))

    def _told(self, path: str, state: State) -> dict[str, Any]:
        if state[0] == "link":
            identity = blake3(f"symlinkid:{path}\0{state[1]}".encode()).hexdigest()
            return {"path": path, "hash": identity, "target": state[1]}
        names, content_type = state[1]
        ids = b"".join(map(bytes.fromhex, names))
        return {
            "path": path,
            "hash": blake3(f"fileid:{path}\0{content_type}\0".encode() + ids).hexdigest(),
            "size": sum(len(self.chunks[name]) for name in names),
            "content_type": content_type,
            "chunk_hashes": list(names),
        }

    def _claims(self, request: Request) -> dict[str, Any] | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                ["EdDSA"],
                issuer="aeordb",
                leeway=60,
                options={"require": ["exp", "iat", "iss", "sub"]},
            )
        except jwt.InvalidTokenError:
            return None
        return claims

    async def _serve_diff(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > MAX_BODY:
            return PlainTextResponse("length limit exceeded", 413)
        claims = self._claims(request)
        if claims is None:
            return JSONResponse({"error": "Invalid or expired token"}, 401)
        asked = json.loads(body)
        self.requests.append(("diff", asked))
        is_peer = claims["sub"] == ROOT_USER and claims.get("scope") == "sync"
        answer = self.diff(asked.get("since_root_hash"), is_peer=is_peer)
        return JSONResponse(_only(answer, asked.get("paths")))

    async def _serve_chunks(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > MAX_BODY:
            return PlainTextResponse("length limit exceeded", 413)
        if self._claims(request) is None:
            return JSONResponse({"error": "Invalid or expired token"}, 401)
        hashes = json.loads(body)["hashes"]
        self.requests.append(("chunks", hashes))
        if len(hashes) > MAX_HASHES:
            return JSONResponse({"error": "too many hashes"}, 400)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        chunks: list[dict[str, Any]] = []
        projected = 0
        for name in hashes:
            data = self.spoiled.get(name, self.chunks.get(name))
            if data is None:
                continue
            projected += len(data) * 4 // 3 + len(name) + 64
            if projected > MAX_PROJECTED:
                return JSONResponse({"error": "too large", "chunks_so_far": len(chunks)}, 413)
            text = base64.b64encode(data).decode()
            chunks.append({"hash": name, "data": text, "size": len(data)})
        return JSONResponse({"chunks": chunks})

    async def _serve_token(self, request: Request) -> Response:
        if json.loads(await request.body()).get("api_key") != self.key:
            return JSONResponse({"error": "Invalid API key"}, 401)
        now = int(time.time())
        claims = {"sub": ROOT_USER, "iss": "aeordb", "iat": now, "exp": now + 604_800}
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return JSONResponse({"token": jwt.encode(claims, key, "EdDSA"), "expires_in": 604_800})

    async def _serve_join(self, request: Request) -> Response:
        claims = self._claims(request)
        if claims is None or claims["sub"] != ROOT_USER:
            return JSONResponse({"error": "root only"}, 401 if claims is None else 403)
        asked = json.loads(await request.body())
        if "node_url" not in asked:
            return JSONResponse({"error": "node_url is required"}, 400)
        peer = Peer(secrets.randbelow(1 << 53) + 1, asked["node_url"], asked.get("label"))
        self.peers.append(peer)
        return JSONResponse(
            {
                "signing_key": base64.b64encode(self.seed).decode(),
                "responding_node_id": self.node_id,
                "new_peer_node_id": peer.node_id,
            }
        )

    async def _serve_status(self, request: Request) -> Response:
        claims = self._claims(request)
        if claims is None or claims["sub"] != ROOT_USER:
            return JSONResponse({"error": "root only"}, 401 if claims is None else 403)
        return JSONResponse({"node_id": self.node_id, "peer_count": 0, "peers": []})

    async def _serve_health(self, _: Request) -> Response:
        date = time.time() + self.skew_ms / 1000
        text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(date))
        return JSONResponse({"status": "healthy", "version": "0.9.5"}, headers={"Date": text})

    async def _serve_file(self, request: Request) -> Response:
        claims = self._claims(request)
        if claims is None:
            return JSONResponse({"error": "Invalid or expired token"}, 401)
        if claims.get("scope") == "sync":
            return JSONResponse({"error": "Token scope 'sync' cannot access this endpoint"}, 403)
        path = "/" + request.path_params["path"]
        data = None if path.startswith(_SECRET_TREES[0]) else self.read(path)
        if data is None:
            return JSONResponse({"error": f"Not found: {path}"}, 404)
        return Response(data, headers={"X-AeorDB-Type": "file", "X-AeorDB-Path": path})

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/auth/token", self._serve_token, methods=["POST"]),
                Route("/sync/join", self._serve_join, methods=["POST"]),
                Route("/sync/diff", self._serve_diff, methods=["POST"]),
                Route("/sync/chunks", self._serve_chunks, methods=["POST"]),
                Route("/sync/status", self._serve_status, methods=["GET"]),
                Route("/system/health", self._serve_health, methods=["GET"]),
                Route("/files/{path:path}", self._serve_file, methods=["GET", "HEAD"]),
            ],
            exception_handlers={404: lambda *_: Response(status_code=404)},
        )


_HOW = ("added", "modified", "deleted")


def _only(answer: dict[str, Any], paths: list[str] | None) -> dict[str, Any]:
    """What an answer holds of some paths; globs without wildcards are all this needs."""
    if paths is None:
        return answer
    plain = {path.replace("\\", "") for path in paths}
    changes = {
        name: [item for item in items if item["path"] in plain]
        for name, items in answer["changes"].items()
    }
    return {**answer, "changes": changes}


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """None: it runs in a thread."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def serving(node: AeorDB) -> Iterator[AeorDB]:
    """Let a node answer on a socket of its own."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", node.port))
        listener.listen(50)
        node.port = listener.getsockname()[1]
        config = uvicorn.Config(
            node.app(), log_config=None, lifespan="off", date_header=False, ws="none"
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield node
        finally:
            server.should_exit = True
            thread.join(timeout=10)

"""How a node asks to be let into a cluster."""

import httpx
import msgspec
import pytest

from aeorsync.cluster.join import REFUSED, UNREACHABLE, Joining, join
from aeorsync.core.tokens import SigningKey
from aeorsync.errors import StartupError
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection, Mint
from aeorsync.wire.links import JoinReply
from tests.support.loops import run
from tests.support.peer import answer

KEY = SigningKey(bytes(range(32)))
API_KEY = "aeor_k_" + "a" * 16 + "_" + "b" * 64
US = Joining(7, "http://me:6830", "me")
NO_CLOCK = httpx.ConnectError("gone")


class Cluster:
    """A member that lets others in, and remembers how it was asked."""

    def __init__(self, **replies: httpx.Response | Exception) -> None:
        self.replies = replies
        self.requests: list[httpx.Request] = []

    def dial(self, address: str, mint: Mint | None) -> Remote:
        return Remote(Connection(address, mint, httpx.MockTransport(self._answer)))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        name = request.url.path.rpartition("/")[2]
        reply = self.replies.get(name, NO_CLOCK) if name == "clock" else self.replies[name]
        if isinstance(reply, Exception):
            raise reply
        return reply


def welcome(key: str = KEY.to_text(), node_id: int = 5) -> httpx.Response:
    return answer(200, msgspec.json.encode(JoinReply(key, node_id, 7)))


def test_a_key_is_traded_for_a_token_and_the_token_for_the_clusters_key() -> None:
    cluster = Cluster(token=answer(200, b'{"token":"t"}'), join=welcome())
    result = run(join("http://A:6830/", API_KEY, US, cluster.dial))
    assert (result.signing_key, result.responding_node_id) == (KEY, 5)
    token, asked, _ = cluster.requests
    assert str(token.url) == "http://a:6830/auth/token"
    assert "Authorization" not in token.headers
    assert msgspec.json.decode(token.content) == {"api_key": API_KEY}
    assert asked.headers["Authorization"] == "Bearer t"
    body = {"node_url": "http://me:6830", "label": "me", "node_id": 7}
    assert msgspec.json.decode(asked.content) == body


def test_one_that_knows_no_clock_probe_is_an_aeordb_node() -> None:
    theirs = Cluster(join=welcome(), clock=answer(404))
    assert run(join("http://a", "e.y.J", US, theirs.dial)).is_foreign
    assert not run(join("http://a", "e.y.J", US, Cluster(join=welcome()).dial)).is_foreign


def test_a_token_is_used_as_it_is() -> None:
    cluster = Cluster(join=welcome())
    run(join("http://a", "e.y.J", US, cluster.dial))
    assert cluster.requests[0].headers["Authorization"] == "Bearer e.y.J"


@pytest.mark.parametrize(
    ("cluster", "code", "text"),
    [
        (Cluster(token=answer(401, b'{"error":"Invalid API key"}')), REFUSED, "Invalid API key"),
        (Cluster(token=answer(429)), REFUSED, "429"),
        (Cluster(token=httpx.ConnectError("refused")), UNREACHABLE, "refused"),
        (Cluster(token=httpx.ReadTimeout("slow")), UNREACHABLE, "in time"),
        (Cluster(token=answer(503, b'{"status":"starting"}')), UNREACHABLE, "503"),
        (Cluster(token=answer(200, b"<html>")), REFUSED, "broken answer"),
        (
            Cluster(token=answer(200, b'{"token":"t"}'), join=answer(403, b'{"error":"no root"}')),
            REFUSED,
            "no root",
        ),
        (Cluster(token=answer(200, b'{"token":"t"}'), join=welcome("???")), REFUSED, "key"),
        (Cluster(token=answer(200, b'{"token":"t"}'), join=welcome("c2hvcnQ=")), REFUSED, "key"),
        (
            Cluster(token=answer(200, b'{"token":"t"}'), join=welcome(node_id=7)),
            REFUSED,
            "this node itself",
        ),
    ],
)
def test_a_join_that_fails_says_why_in_one_line(cluster: Cluster, code: int, text: str) -> None:
    with pytest.raises(StartupError) as caught:
        run(join("http://a:6830", API_KEY, US, cluster.dial))
    assert caught.value.exit_code == code
    assert text in caught.value.message
    assert "http://a:6830" in caught.value.message
    assert caught.value.message.isprintable()
    assert API_KEY not in caught.value.message


def test_an_address_that_is_none_cannot_be_joined() -> None:
    with pytest.raises(StartupError) as caught:
        run(join("nodeA:6830", API_KEY, US, Cluster().dial))
    assert caught.value.exit_code == REFUSED

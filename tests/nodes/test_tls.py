"""Nodes by HTTPS: they sync when certificates are right, and say plainly why not otherwise."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from aeorsync.config import Exit
from aeorsync.remote.trust import load_trust
from tests.support.certificates import Authority
from tests.support.nodes import NodeFailedError, NodeProcess, is_active, root_of, wait_until

HERE = "127.0.0.1"
Make = Callable[..., NodeProcess]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authorities(folder: Path) -> dict[str, Authority]:
    return {name: Authority(folder, name) for name in ("ours", "others")}


@pytest.fixture(scope="module")
def ours(authorities: dict[str, Authority]) -> Authority:
    return authorities["ours"]


@pytest.fixture(scope="module")
def others(authorities: dict[str, Authority]) -> Authority:
    return authorities["others"]


def node(data: Path, believed: Authority, *flags: str) -> NodeProcess:
    made = NodeProcess(data, *flags, "--cluster-ca", str(believed.file))
    made.trust = load_trust(believed.file)
    return made


@pytest.fixture(scope="module")
def first(ours: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node(tmp_path_factory.mktemp("tls") / "a", ours, *ours.issue(HERE)) as made:
        yield made


def reason_of(asker: NodeProcess, address: str) -> str:
    """Why a link to an address does not work."""
    with asker.client() as client:
        client.post("/sync/peers", json={"address": address}).raise_for_status()

        def reason() -> str:
            peers = client.get("/sync/peers").json()["items"]
            (told,) = [peer["reason"] for peer in peers if peer["address"] == address]
            return told if told != "not tried yet" else ""

        wait_until(reason)
        return reason()


def test_two_nodes_by_https_become_one_cluster_and_stay_equal(
    first: NodeProcess, ours: Authority, tmp_path: Path
) -> None:
    joining = ("--join", first.url, "--join-token", first.key or "")
    # Its own address has to be in its certificate, since the first node will call it back.
    with node(tmp_path / "b", ours, *ours.issue("localhost"), *joining) as second:
        second.key = first.key
        second.trust = load_trust(ours.file)
        second.trust.check_hostname = False
        wait_until(lambda: is_active(first) and is_active(second))
        with first.client() as a, second.client() as b:
            a.put("/files/from-a", content=b"a" * 300_000).raise_for_status()
            b.put("/files/from-b", content=b"b").raise_for_status()
            wait_until(lambda: root_of(first) == root_of(second))
            assert b.get("/files/from-a").content == b"a" * 300_000
            assert a.get("/files/from-b").content == b"b"
            assert [p["address"][:5] for p in a.get("/sync/peers").json()["items"]] == ["https"]
            a.delete(f"/sync/peers/{second.node_id}").raise_for_status()


@pytest.mark.parametrize(
    ("authority", "host", "days", "words"),
    [
        ("ours", HERE, -1, "has expired"),
        ("ours", "elsewhere.example", 1, "for another host"),
        ("others", HERE, 1, "authority that is not trusted here"),
    ],
)
def test_a_wrong_certificate_is_the_links_reason_and_nothing_is_taken(
    authorities: dict[str, Authority],
    tmp_path: Path,
    authority: str,
    host: str,
    days: int,
    words: str,
) -> None:
    signer, believed = authorities[authority], str(authorities["ours"].file)
    with (
        node(tmp_path / "wrong", signer, *signer.issue(host, timedelta(days))) as wrong,
        NodeProcess(tmp_path / "asker", "--cluster-ca", believed) as asker,
    ):
        reason = reason_of(asker, wrong.url)
        assert reason.startswith(f"{wrong.url} shows a certificate")
        assert words in reason
        with asker.client() as client:
            (peer,) = client.get("/sync/peers").json()["items"]
        assert (peer["state"], peer["last_sync_at"]) == ("disconnected", None)


def test_without_a_file_of_authorities_only_the_systems_are_believed(
    first: NodeProcess, tmp_path: Path
) -> None:
    with NodeProcess(tmp_path / "asker") as asker:
        assert "not trusted here; give that authority by --cluster-ca" in reason_of(
            asker, first.url
        )


def test_http_and_https_taken_for_each_other_are_named(first: NodeProcess, tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "plain") as plain:
        swapped = first.url.replace("https", "http")
        assert "its address begins with https://" in reason_of(plain, swapped)
        swapped = plain.url.replace("http", "https")
        assert "its address begins with http://" in reason_of(plain, swapped)


def test_who_joins_believes_no_wrong_certificate_and_leaves_nothing_behind(
    first: NodeProcess, others: Authority, tmp_path: Path
) -> None:
    joining = ("--join", first.url, "--join-token", first.key or "")
    with pytest.raises(NodeFailedError, match="not trusted here") as caught:
        NodeProcess(tmp_path / "b", "--cluster-ca", str(others.file), *joining)
    assert caught.value.code == Exit.TLS
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_authorities_is_refused_at_start(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NodeFailedError, match="--cluster-ca") as caught:
        NodeProcess(tmp_path / "a", "--cluster-ca", str(file))
    assert caught.value.code == Exit.TLS
    assert not (tmp_path / "a").exists()

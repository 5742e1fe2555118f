"""Large files are hashed while they come in, so that next to nothing is left to do at the end."""

from pathlib import Path
from random import Random

import pytest

from aeorsync.cluster import proofs
from aeorsync.cluster.proofs import Proofs
from aeorsync.core.versions import Content
from aeorsync.storage.content import Reader
from aeorsync.storage.repository import Repository
from tests.cluster.test_cycle import source_ids
from tests.support.cycles import cycle, noise, put_large
from tests.support.peer import FakePeer
from tests.support.repositories import entry_at, get, open_repository

MIB = 1 << 20


def content_at(repository: Repository, path: str) -> Content:
    entry = entry_at(repository, path)
    assert entry is not None
    return entry.versions[0].content


def feed(
    ours: Repository, content: Content, order: list[int], claimed: Content | None = None
) -> tuple[list[Content], Proofs]:
    """What is proven when the chunks of a file that is here are told in some order."""
    found = list(ours.references(content))
    wanted = {name: size for _, name, size in found}
    told = Proofs(ours, [claimed or content], wanted)
    for at in order:
        told.take(found[at][1], ours.plain_chunk(found[at][1]))
        told.advance()
    return told.proven(), told


@pytest.mark.parametrize("most", [0, 3 * MIB, 99 * MIB], ids=["no room", "little room", "room"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_file_is_proven_in_whatever_order_it_comes(
    ours: Repository, monkeypatch: pytest.MonkeyPatch, most: int, seed: int | None
) -> None:
    monkeypatch.setattr(proofs, "MOST_WAITING", most)
    data = noise(6 * MIB)
    put_large(ours, "/big", data + data[: 2 * MIB] + data)  # some chunks come in it twice
    content = content_at(ours, "/big")
    order = list(range(len(list(ours.references(content)))))
    if seed is not None:
        Random(seed).shuffle(order)
    proven, told = feed(ours, content, order)
    assert proven == [content]
    assert 0 <= told._held <= most + 256 * 1024


def test_a_file_of_another_hash_or_size_is_not_proven(ours: Repository) -> None:
    put_large(ours, "/big", noise(3 * MIB))
    content = content_at(ours, "/big")
    order = list(range(len(list(ours.references(content)))))
    other = Content(bytes(32), content.size, content.depth, content.refs)
    assert feed(ours, content, order, other)[0] == []
    assert feed(ours, content, order[1:])[0] == []  # nothing to go on from


def test_what_is_fetched_whole_is_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = open_repository(tmp_path / "a", 1), open_repository(tmp_path / "b", 2)
    data = noise(24 * MIB)
    put_large(source, "/big", data)
    hashed: list[int] = []
    check = Reader.check_content

    def watched(reader: Reader, content: Content) -> None:
        hashed.append(content.size)
        check(reader, content)

    monkeypatch.setattr(Reader, "check_content", watched)
    peer = FakePeer(source)
    assert not cycle(target, peer).is_partial
    assert hashed == []
    put_large(source, "/big", b"!" + data)  # most of that is here already: read once, in one go
    assert not cycle(target, peer).is_partial
    assert hashed == [len(data) + 1]
    assert get(target, "/big") == b"!" + data
    source.close()
    target.close()


def test_chunks_are_asked_for_and_stored_in_the_order_of_the_file(tmp_path: Path) -> None:
    source, target = open_repository(tmp_path / "a", 1), open_repository(tmp_path / "b", 2)
    put_large(source, "/big", noise(24 * MIB))
    names = source_ids(source, "/big")
    peer = FakePeer(source)
    assert target.lacking([content_at(source, "/big")])[1]
    cycle(target, peer)
    asked = [
        r.body[at : at + 32]
        for r in peer.asked("/sync/chunks")
        for at in range(0, len(r.body), 32)
    ]
    assert asked[-len(names) :] == names
    source.close()
    target.close()

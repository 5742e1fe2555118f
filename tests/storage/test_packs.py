"""Packs: what a long upload asks of the system on its way."""

import errno
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from aeorsync.core.hashing import chunk_id
from aeorsync.storage import packs
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.packs import Packs


def chunk(number: int, size: int) -> StoredChunk:
    data = b"%06d" % number + bytes(size - 6)
    return StoredChunk(chunk_id(data), 0, size, data)


def test_a_long_upload_is_on_its_way_to_the_disk_before_its_end(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []
    with (
        patch.object(packs, "WRITE_BEHIND", 10_000),
        patch.object(packs, "SEAL_SIZE", 60_000),
        patch.object(packs, "start_writing", lambda _, at, size: asked.append((at, size))),
    ):
        made = Packs(tmp_path / "packs", 0, 0)
        places = [made.append([chunk(number, 3000)])[0] for number in range(40)]
        made.sync()
    first = [asked[0]]
    for at, size in asked[1:]:
        if at == 0:
            break
        first.append((at, size))
    assert len(asked) > len(first) > 1
    assert all(size >= 10_000 for _, size in asked)
    ends = [at + size for at, size in first]
    assert [at for at, _ in first] == [0, *ends[:-1]]
    for number, place in enumerate(places):
        name = chunk(number, 3000).id
        assert made.read(name, place) == chunk(number, 3000)
    made.close()


def test_little_files_ask_for_nothing(tmp_path: Path) -> None:
    with patch.object(packs, "start_writing", side_effect=AssertionError):
        made = Packs(tmp_path / "packs", 0, 0)
        for number in range(100):
            made.append([chunk(number, 100)])
        made.sync()
    made.close()


def test_a_pack_that_could_be_neither_begun_nor_removed_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Packs(tmp_path / "packs", 0, 0)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "the disk refuses")

    small = chunk(1, 10)
    with monkeypatch.context() as patched:
        patched.setattr(packs, "_write_all", refuse)
        patched.setattr(os, "unlink", refuse)
        with pytest.raises(OSError, match="refuses"):
            mine.append([small])
    [place] = mine.append([small])
    assert bytes(mine.read(small.id, place).data) == small.data
    mine.close()


def test_what_lies_side_by_side_is_read_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Packs(tmp_path / "packs", 0, 0)
    chunks = [chunk(number, 3000 + number) for number in range(100)]
    places = dict(zip([c.id for c in chunks], made.append(chunks), strict=True))
    reads: list[int] = []
    pread = os.pread

    def counted(handle: int, size: int, at: int) -> bytes:
        reads.append(size)
        return pread(handle, size, at)

    monkeypatch.setattr(os, "pread", counted)
    read, failed = made.read_all(places)
    assert read == {c.id: c for c in chunks}
    assert not failed
    assert len(reads) == 1
    reads.clear()
    some = {c.id: places[c.id] for c in (chunks[90], chunks[3], chunks[4])}
    assert made.read_all(some)[0] == {c.id: c for c in (chunks[90], chunks[3], chunks[4])}
    assert len(reads) == 2
    made.close()


def test_of_many_chunks_only_those_that_cannot_be_read_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Packs(tmp_path / "packs", 0, 0)
    chunks = [chunk(number, 3000) for number in range(10)]
    places = dict(zip([c.id for c in chunks], made.append(chunks), strict=True))
    bad = places[chunks[4].id]
    pread = os.pread

    def damaged(handle: int, size: int, at: int) -> bytes:
        if at < bad.at + bad.stored and bad.at < at + size:
            raise OSError(errno.EIO, "a bad sector")
        return pread(handle, size, at)

    monkeypatch.setattr(os, "pread", damaged)
    read, failed = made.read_all(places)
    assert failed == {chunks[4].id}
    assert read == {c.id: c for c in chunks if c is not chunks[4]}
    os.truncate(tmp_path / "packs" / "00000001.pack", places[chunks[8].id].at + 5)
    monkeypatch.undo()
    read, failed = made.read_all(places)
    assert failed == {chunks[8].id, chunks[9].id}
    assert len(read) == 8
    made.close()


def test_much_is_written_a_little_at_a_time_and_comes_back_whole(tmp_path: Path) -> None:
    calls: list[int] = []
    pwritev = os.pwritev

    def counting(handle: int, buffers: list[bytes], at: int) -> int:
        calls.append(sum(map(len, buffers)))
        # A system may take less than it was given.
        return pwritev(handle, buffers, at) if len(calls) % 3 else pwritev(handle, buffers[:1], at)

    chunks = [chunk(number, 200_000) for number in range(20)]
    made = Packs(tmp_path / "packs", 0, 0)
    with patch.object(os, "pwritev", counting):
        places = made.append(chunks)
    assert max(calls) < 1 << 20
    assert len(calls) <= 1 + 20 // 2
    found, failed = made.read_all({c.id: at for c, at in zip(chunks, places, strict=True)})
    assert not failed
    assert all(bytes(found[one.id].data) == one.data for one in chunks)

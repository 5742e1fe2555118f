"""Many ids in one query."""

import sqlite3
from contextlib import closing

import pytest

from aeorsync.storage.marks import batches


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 1000])
def test_each_id_is_asked_for_and_no_other(count: int) -> None:
    ids = [number.to_bytes(32) for number in range(count)]
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("CREATE TABLE held (id BLOB PRIMARY KEY)")
        base.executemany("INSERT INTO held VALUES (?)", [(name,) for name in [*ids, b"other"]])
        found = [
            row[0]
            for marks, values in batches(ids)
            for row in base.execute(f"SELECT id FROM held WHERE id IN ({marks})", values)  # noqa: S608 - marks
        ]
    assert sorted(found) == ids


def test_there_are_few_texts_to_be_kept() -> None:
    texts = {marks for count in range(1000) for marks, _ in batches([b"x"] * count)}
    assert len(texts) == 7

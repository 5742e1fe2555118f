"""Requests made from the document of the API, as every kind of caller: none breaks anything."""

from pathlib import Path

import pytest

from tests.support.walks import Walk


@pytest.mark.parametrize("masters", [True, False], ids=["masters", "limited"])
def test_whatever_the_document_allows_is_answered_as_it_says(
    tmp_path: Path, *, masters: bool
) -> None:
    walk = Walk(tmp_path, 20, masters=masters)
    try:
        outcome = walk.go(6)
    finally:
        walk.close()
    assert outcome.wrong == []
    assert outcome.count > 500

"""The brake on mass deletion."""

import pytest

from aeorsync.errors import BadRequestError
from aeorsync.folder.options import DeleteLimit


@pytest.mark.parametrize(
    ("text", "deleted", "known", "allowed"),
    [
        ("50%", 50, 100, True),
        ("50%", 51, 100, False),
        ("50%", 10, 10, True),
        ("0%", 1, 100, False),
        ("100%", 1000, 1000, True),
        ("20", 20, 20, True),
        ("20", 21, 1000, False),
        ("0", 1, 1000, False),
        ("0", 0, 1000, True),
    ],
)
def test_a_limit_says_how_much_may_go(text: str, deleted: int, known: int, allowed: bool) -> None:  # noqa: FBT001
    limit = DeleteLimit.parse(text)
    assert limit.allows(deleted, known) is allowed
    assert str(limit) == text


@pytest.mark.parametrize("text", ["", "x", "-1", "101%", "50 %", "1e3", "\u0663"])
def test_anything_else_is_no_limit(text: str) -> None:
    with pytest.raises(BadRequestError):
        DeleteLimit.parse(text)

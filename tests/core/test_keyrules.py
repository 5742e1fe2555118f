"""Rules as they are stated: kept in order, or refused by number."""

import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.keyrules import read_rules
from aeorsync.errors import BadRequestError


def test_rules_are_kept_in_order() -> None:
    stated = [{"/b/**": "-r--l---"}, {"/a/**": "crudl---"}, {"**": "--------"}]
    assert read_rules(stated) == (
        KeyRule("/b/**", "-r--l---"),
        KeyRule("/a/**", "crudl---"),
        KeyRule("**", "--------"),
    )


def test_rules_may_be_given_as_they_are_listed() -> None:
    listed = [{"glob": "/a/**", "permitted": "-r--l---"}]
    assert read_rules(listed) == (KeyRule("/a/**", "-r--l---"),)


def test_the_root_itself_is_a_path() -> None:
    assert read_rules([{"/": "-------y"}]) == (KeyRule("/", "-------y"),)


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({}, "one|glob"),
        ({"/a": "--------", "/b": "--------"}, "object"),
        ({"/a": "r"}, "eight"),
        ({"/a": "rc------"}, "eight"),
        ({"/a[": "--------"}, "/a\\["),
        ({"x" * 1025: "--------"}, "1024"),
        ({"": "--------"}, "matches nothing"),
        ({"a/**": "-r--l---"}, "matches nothing"),
        ({"/a/": "-r--l---"}, "matches nothing"),
    ],
)
def test_a_faulty_rule_is_named(rule: dict[str, str], word: str) -> None:
    with pytest.raises(BadRequestError, match=rf"rule 2\b.*({word})"):
        read_rules([{"**": "--------"}, rule])


def test_there_are_not_too_many() -> None:
    assert len(read_rules([{"/a": "--------"}] * 100)) == 100
    with pytest.raises(BadRequestError, match="100"):
        read_rules([{"/a": "--------"}] * 101)

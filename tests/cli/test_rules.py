"""Words that a person types, and the rules they come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.cli.client import CommandError
from aeorsync.cli.rules import rules_of, shown
from aeorsync.core.access import Access, Op
from aeorsync.core.keyrules import read_rules


def test_a_folder_and_what_is_in_it_are_shown_on_one_line() -> None:
    stated = read_rules(rules_of(["/x=crudl---"], ["docs", "/"], None, ["docs/private"]) or [])
    listed = [{"glob": one.glob, "permitted": one.permitted} for one in stated]
    assert shown(listed).splitlines() == [
        "crudl--- /x",
        "-------- /docs/private and inside",
        "-r--l--- /docs and inside",
        "-r--l--- **",
    ]
    apart = [{"glob": "/a", "permitted": "-r--l---"}, {"glob": "/a/**", "permitted": "--------"}]
    assert shown(apart).splitlines() == ["-r--l--- /a", "-------- /a/**"]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=8)


def access(
    rule: list[str] | None = None,
    read: list[str] | None = None,
    write: list[str] | None = None,
    deny: list[str] | None = None,
) -> Access:
    stated = read_rules(rules_of(rule, read, write, deny) or [])
    return Access.of([[(one.glob, one.permitted) for one in stated]])


def test_nothing_said_is_nothing_stated() -> None:
    assert rules_of(None, None, None, None) is None
    assert rules_of([], None, None, None) == []


def test_a_folder_is_itself_and_all_that_is_in_it() -> None:
    may = access(read=["docs"])
    assert [may.flags(path) for path in ("/docs", "/docs/a", "/docs/a/b")] == ["-r--l---"] * 3
    assert [may.flags(path) for path in ("/", "/docsx", "/x")] == ["--------"] * 3
    assert may.may_enter("/")
    assert access(write=["/docs/"]).flags("/docs/a") == "crudl---"


def test_the_root_is_everything() -> None:
    assert access(read=["/"]).flags("/a/b") == "-r--l---"


def test_the_more_exact_path_counts() -> None:
    may = access(write=["docs"], read=["docs/fixed"], deny=["docs/fixed/private"])
    assert may.flags("/docs/a") == "crudl---"
    assert may.flags("/docs/fixed/a") == "-r--l---"
    assert may.flags("/docs/fixed/private/a") == "--------"
    assert access(deny=["docs"], read=["docs/public"]).flags("/docs/public/a") == "-r--l---"


def test_of_one_path_the_stricter_word_counts() -> None:
    assert access(write=["a"], read=["a"], deny=["a"]).flags("/a") == "--------"
    assert access(write=["a"], read=["a"]).flags("/a") == "-r--l---"


def test_rules_as_they_are_come_first_and_in_order() -> None:
    stated = rules_of(["/b/*=x=crudl---", "/a/**=-r--l---"], None, ["/a"], None)
    assert stated is not None
    assert stated[:2] == [{"/b/*=x": "crudl---"}, {"/a/**": "-r--l---"}]
    with pytest.raises(CommandError):
        rules_of(["/a/**"], None, None, None)


@given(NAMES)
def test_a_name_means_itself_whatever_is_in_it(name: str) -> None:
    may = access(read=[name])
    assert may.may(f"/{name}", Op.READ)
    assert may.may(f"/{name}/x", Op.READ)
    assert not may.may(f"/{name}x", Op.READ)
    assert not may.may("/other/x", Op.READ)

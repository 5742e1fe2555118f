"""Rules of keys: the first match decides, no match denies, the way to what is allowed is open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.access import EVERYTHING, NOTHING, Access, Op
from aeorsync.core.globs import Glob
from aeorsync.errors import BadRequestError

ASSETS = [("/assets/**", "-r--l---"), ("**", "--------")]


def access(*rules: tuple[str, str]) -> Access:
    return Access.of([rules])


def test_the_first_rule_that_matches_decides() -> None:
    mine = access(("/a/secret", "--------"), ("/a/**", "crud----"), ("/a/x", "--------"))

    assert not mine.may("/a/secret", Op.READ)
    assert mine.may("/a/x", Op.READ)
    assert mine.flags("/a/x") == "crud----"


def test_what_no_rule_matches_is_denied() -> None:
    assert not access(("/a/**", "crudl---")).may("/b", Op.READ)


def test_an_empty_list_does_not_bind_and_nobody_may_do_nothing() -> None:
    assert Access.of([[]]).is_everything
    assert EVERYTHING.may("/x", Op.DELETE)
    assert not NOTHING.may("/x", Op.READ)
    assert not NOTHING.may_enter("/")


@pytest.mark.parametrize(
    ("path", "open_"), [("/", True), ("/assets", True), ("/assets/x", True), ("/other", False)]
)
def test_the_way_to_what_is_allowed_can_be_listed(path: str, *, open_: bool) -> None:
    assert access(*ASSETS).may_enter(path) is open_


def test_a_rule_that_denies_a_folder_first_hides_the_way_through_it() -> None:
    hidden = access(("/a", "--------"), ("/a/b/**", "-r--l---"))
    shown = access(("/a/b/**", "-r--l---"), ("/a", "--------"))

    assert not hidden.may_enter("/a")
    assert shown.may_enter("/a")
    assert not shown.may("/a", Op.READ)


def test_all_layers_have_to_allow() -> None:
    both = Access.of([[("/a/**", "crudl---")], [("/a/b/**", "-r--l---")]])

    assert both.flags("/a/b/c") == "-r--l---"
    assert not both.may("/a/c", Op.READ)
    assert both.may_enter("/a")
    assert not both.may_enter("/a/c")


def test_rules_have_a_name_that_changes_with_them() -> None:
    rules = [ASSETS, ASSETS[:1], ASSETS[::-1], [("/assets/**", "-r------")], []]
    known = [access(*some).digest for some in rules] + [NOTHING.digest]
    known.append(Access.of([ASSETS, ASSETS]).digest)

    assert len(set(known)) == len(known)
    assert access(*ASSETS).digest == access(*ASSETS).digest


NAMES = st.sampled_from(["a", "b", "ab", "a.txt", "*", "**", "?", "[ab]", "{a,b}", "a*", "\\*"])


@given(
    st.lists(NAMES, max_size=3).map("/".join),
    st.sampled_from(["/", "", "!", "!/", "!!/"]),
    st.lists(st.sampled_from(["a", "b", "ab", "a.txt", "*", "c"]), max_size=4),
)
def test_the_short_way_to_a_match_is_a_match(glob: str, start: str, names: list[str]) -> None:
    path = "/" + "/".join(names)
    mine = access((start + glob, "-r--l---"))
    assert mine.may(path, Op.READ) is Glob.parse(start + glob).matches(path)


@pytest.mark.parametrize("flags", ["", "r", "rrrrrrrr", "-r--l--", "-r--l----", "CRUDLIFY"])
def test_flags_that_are_not_flags_are_refused(flags: str) -> None:
    with pytest.raises(BadRequestError):
        access(("/a", flags))

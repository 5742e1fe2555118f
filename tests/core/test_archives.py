"""Names in archives are safe to unpack, and each its own."""

from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.archives import Names, safe
from aeorsync.core.paths import TreePath, parse
from aeorsync.errors import BadRequestError, NotFoundError

NAMES = st.text(alphabet="ab.\\:C/ é", min_size=1, max_size=8)


def test_names_at_the_top_do_not_clash() -> None:
    names = Names()
    given = ["/a/x.txt", "/b/x.txt", "/c/X.TXT", "/.hidden", "/d/.hidden", "/", "/e/x"]
    tops = [names.top(TreePath(path)) for path in given]
    assert tops == [
        "x.txt",
        "x (2).txt",
        "X (3).TXT",
        ".hidden",
        ".hidden (2)",
        "",
        "x",
    ]


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_no_name_leaves_the_folder_it_is_unpacked_into(parts: list[str]) -> None:
    try:
        path = parse("/".join(parts))
    except (BadRequestError, NotFoundError):
        return
    name = safe(path.lstrip("/"))
    for kind in (PurePosixPath, PureWindowsPath):
        assert not kind(name).is_absolute()
        assert ".." not in kind(name).parts
    assert not PureWindowsPath(name).drive


def test_what_other_systems_read_as_more_than_a_letter_is_replaced() -> None:
    assert safe("..\\..\\evil") == ".._.._evil"
    assert safe("C:evil") == "C_evil"
    assert safe("a:b/c:d") == "a_b/c:d"

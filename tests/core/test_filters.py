"""What a link takes."""

import pytest

from aeorsync.core.filters import Filter
from aeorsync.errors import BadRequestError


@pytest.mark.parametrize(
    ("included", "excluded", "path", "passes"),
    [
        (None, None, "/a", True),
        ([], [], "/a", True),
        (["/p/**"], None, "/p/a", True),
        (["/p/**"], None, "/q", False),
        (None, ["**/*.tmp"], "/p/a.tmp", False),
        (None, ["**/*.tmp"], "/p/a", True),
        (["/p/**"], ["/p/x/**"], "/p/x/a", False),
        (["/p/**"], ["/p/x/**"], "/p/y", True),
        (["/p/**"], ["/q/**"], "/q/a", False),
        (["/p/**", "/q/**"], ["/p/a", "/q/a"], "/q/b", True),
        (None, ["!/p/**"], "/q", False),
    ],
)
def test_a_path_passes_that_is_included_and_not_excluded(
    included: list[str] | None, excluded: list[str] | None, path: str, *, passes: bool
) -> None:
    assert Filter.parse(included, excluded).passes(path) is passes


@pytest.mark.parametrize("lists", [(["["], None), (None, ["["]), (None, ["/a"] * 101)])
def test_what_is_no_list_of_globs_is_refused(lists: tuple[list[str], list[str]]) -> None:
    with pytest.raises(BadRequestError):
        Filter.parse(*lists)

"""The table of the wire, a slow and obvious matcher beside ours, and hostile patterns."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aeorsync.core.globs import Glob, Globs
from aeorsync.errors import BadRequestError


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("*", "a", True),
        ("*", "", True),
        ("*", "/a", False),
        ("/*", "/.hidden", True),
        ("/*", "/a/b", False),
        ("/a*c", "/abbc", True),
        ("/a/**", "/a/x", True),
        ("/a/**", "/a/x/y", True),
        ("/a/**", "/a/", True),
        ("/a/**", "/a", False),
        ("/a/**", "/ab/x", False),
        ("**/*.txt", "/x/y/z.txt", True),
        ("**/*.txt", "/z.txt", True),
        ("**/*.txt", "z.txt", True),
        ("**/*.txt", "/z.txt/a", False),
        ("/a/**/b", "/a/b", True),
        ("/a/**/b", "/a/x/y/b", True),
        ("/a/**/b", "/a/bb", False),
        ("/a/**/b", "/ab", False),
        ("/a/**/**/b", "/a/b", True),
        ("**", "/anything/at/all", True),
        ("**", "", True),
        ("/a**", "/abc/d", True),
        ("/a**b", "/axb", True),
        ("/a**b", "/ax/b", False),
        ("/a**/b", "/ax/b", True),
        ("/a**/b", "/ax/y/b", False),
        ("assets/**", "/assets/a", False),
        ("/?", "/a", True),
        ("/?", "//", False),
        ("/?", "/é", False),
        ("/??", "/é", True),
        ("/*é", "/aé", True),
        ("/[ab]", "/b", True),
        ("/[ab]", "/c", False),
        ("/[a-c]x", "/bx", True),
        ("/[a-c]x", "/dx", False),
        ("/[!a]", "/b", True),
        ("/[^a]", "/a", False),
        ("/a[!b]c", "/a/c", False),
        ("/a[/]c", "/a/c", False),
        ("/[]a]", "/]", True),
        ("/[a-]", "/-", True),
        (r"/[\]]", "/]", True),
        (r"/[a\-z]", "/b", False),
        ("/[*?]", "/*", True),
        ("/[é][é]", "/é", True),
        ("/{a,b}", "/b", True),
        ("/{a,b}", "/c", False),
        ("/{a,b/{c,d}}/e", "/b/d/e", True),
        ("/x{,y}", "/x", True),
        ("/{a}", "/a", True),
        ("/{a,**}/b", "/x/y/b", True),
        ("/x{a,**}y", "/x/y", False),
        ("/{[,],a}", "/,", True),
        (r"/{\,,a}", "/,", True),
        ("/*.{jpg,png}", "/a.png", True),
        ("/a,b}", "/a,b}", True),
        ("!/a", "/b", True),
        ("!/a", "/a", False),
        ("!!/a", "/a", True),
        (r"/\*", "/*", True),
        (r"/\*", "/a", False),
        (r"/\{a,b\}", "/{a,b}", True),
        (r"/a\/**", "/a/b/c", True),
        ("/A", "/a", False),
        ("/a.b", "/axb", False),
        ("/a+|b$", "/a+|b$", True),
        ("/a\nb*", "/a\nbc", True),
        ("/**", "/a\nb", True),
        ("", "", True),
        ("", "/", False),
    ],
)
def test_the_table(glob: str, path: str, *, expected: bool) -> None:
    assert Glob.parse(glob).matches(path) is expected
    assert Globs.parse([glob]).matches(path) is expected


@pytest.mark.parametrize(
    "text",
    [
        "/[a",
        "/[",
        "/[!",
        "/[]",
        "/[a-",
        "/{a",
        "/{a,{b}",
        "\\",
        "/[\\",
        "/[z-a]",
        "/***",
        "/****/a",
        "a" * 1025,
        "é" * 513,
        "{" * 11 + "}" * 11,
        "{a,b}" * 9,
        "{" + ",".join("a" * 257) + "}",
        "{" + ",".join("ab") + "}" + "{c,d,e,f,g,h,i,j}" + "x" * 500,
        "\ud800",
    ],
)
def test_a_glob_without_meaning_or_beyond_a_limit_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        Glob.parse(text)


def test_the_limits_themselves_are_allowed() -> None:
    assert Glob.parse("{" * 10 + "a" + "}" * 10).matches("a")
    assert Glob.parse("a" * 1024).matches("a" * 1024)
    assert Glob.parse("{a,b}" * 8).matches("abababab")
    assert Globs.parse(["/a"] * 100).matches("/a")


def test_a_hundred_and_first_glob_is_refused() -> None:
    with pytest.raises(BadRequestError):
        Globs.parse(["/a"] * 101)


def test_a_set_whose_braces_grow_too_large_is_refused() -> None:
    assert Globs.parse(["{a,b}" * 8] * 8).matches("abababab")
    with pytest.raises(BadRequestError):
        Globs.parse(["{a,b}" * 8] * 9)


def _reference(glob: str, path: str, before: str = "/") -> bool:
    """Match by trying everything: no braces, no classes, `before` is what came before."""
    if glob in {"", "**"}:
        return bool(glob) or not path
    if glob.startswith("**"):
        if glob[2] == "/" and before == "/":
            cuts = [0, *(at + 1 for at, char in enumerate(path) if char == "/")]
            return any(_reference(glob[3:], path[at:]) for at in cuts)
        return _reference("*" + glob[2:], path, "*")
    if glob[0] == "*":
        return _reference(glob[1:], path, "*") or (
            path[:1] not in {"", "/"} and _reference(glob, path[1:], before)
        )
    if not path or (path[0] != glob[0] and (glob[0] != "?" or path[0] == "/")):
        return False
    return _reference(glob[1:], path[1:], glob[0])


simple_globs = st.lists(st.sampled_from(["a", "b", "/", "/", "*", "**", "?"]), max_size=7).map(
    "".join
)
simple_paths = st.text("ab/", max_size=7)


@given(simple_globs.filter(lambda glob: "***" not in glob), simple_paths)
@example("/a/**/b", "/a/b")
def test_matching_agrees_with_trying_everything(glob: str, path: str) -> None:
    assert Glob.parse(glob).matches(path) is _reference(glob, path)


parts = st.sampled_from(["", "a", "b", "/", "*", "**", "/**", "**/", "?", "a/b"])


@given(st.tuples(parts, parts, parts, parts), simple_paths)
def test_braces_are_their_alternatives(some: tuple[str, str, str, str], path: str) -> None:
    head, one, other, tail = some
    texts = [head + one + tail, head + other + tail]
    if any("***" in text for text in texts) or head.endswith("*") or tail.startswith("*"):
        return  # stars that only meet once the braces are gone stay apart
    either = Glob.parse(f"{head}{{{one},{other}}}{tail}").matches(path)
    assert either is any(Glob.parse(text).matches(path) for text in texts)


@given(st.lists(simple_globs.filter(lambda glob: "***" not in glob), max_size=4), simple_paths)
def test_a_set_matches_when_any_of_it_does(globs: list[str], path: str) -> None:
    some = [*globs, *(f"!{glob}" for glob in globs[:1])]
    expected = any(Glob.parse(glob).matches(path) for glob in some)
    assert Globs.parse(some).matches(path) is expected


@given(st.text(st.sampled_from("ab/*?[]{},!^-\\é\0\ud800"), max_size=20), simple_paths)
def test_any_text_is_a_glob_or_refused(text: str, path: str) -> None:
    try:
        glob = Glob.parse(text)
    except BadRequestError:
        return
    assert Glob.parse(f"!{text}").matches(path) is not glob.matches(path)


def test_a_hostile_glob_takes_no_exponential_time() -> None:
    glob = Glob.parse("/" + "*a" * 400 + "b")
    began = time.monotonic()
    assert not glob.matches("/" + "a" * 4000)
    assert time.monotonic() - began < 5

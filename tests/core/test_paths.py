"""Which names are allowed, and that nothing reaches the system namespace by another spelling."""

import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aeorsync.core import paths
from aeorsync.core.paths import TreePath
from aeorsync.errors import BadRequestError, NotFoundError

names = st.one_of(
    st.sampled_from(["a", "b", "c.txt", ".a", "...", "%", "100%25", "a%2Fb", "é", "a b", "-rf"]),
    st.text(
        st.characters(exclude_characters="/", exclude_categories=["Cc", "Cs"]),
        min_size=1,
        max_size=20,
    ),
)


def _allowed(text: str) -> bool:
    try:
        paths.parse(text)
    except (BadRequestError, NotFoundError):
        return False
    return True


tree_paths = (
    st.lists(names, max_size=4)
    .map(lambda parts: "/" + "/".join(parts))
    .filter(_allowed)
    .map(TreePath)
)

SYSTEM_SPELLINGS = [
    ".aeordb-system",
    ".AeorDB-System",
    ".AEORDB-SYSTEM",
    ".aeordb-system.",
    ".aeordb-system. . ",
    ".aeordb-system\u00a0",
    ".aeordb-system::$DATA",
    ".aeordb-system:x",
    ".aeordb-system.::$INDEX_ALLOCATION",
    ".aeordb-system\\x",
    ".aeor\u200ddb-system",
    ".aeor\u200cdb-system",
    "\ufeff.aeordb-system",
    ".aeordb\u00ad-system",
    ".aeordb-system\ufe0f",
    ".aeordb-system\u202e",
    ".aeordb-\u034fsystem",
    ".aeordb-system\U000e0100",
    ".aeordb-\u017fystem",
    "\uff0e\uff41eordb-system",
    "\u2024aeordb-system",
    ".aeordb\uff0dsystem",
    ".aeordb-system\uff0fx",
    ".\U0001d41aeordb-system",
    "%2eaeordb-system",
    "%252Eaeordb-system",
    "%25252Eaeordb-system",
    ".aeordb%2Dsystem",
    ".aeordb-system%2Fkeys",
    "%2F.aeordb-system",
    ".aeordb-system%20",
    ".aeordb-%E2%80%8Dsystem",
]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "/"),
        ("/", "/"),
        ("///", "/"),
        ("a", "/a"),
        ("/a/b", "/a/b"),
        ("a/b/", "/a/b"),
        ("//a/b//", "/a/b"),
        ("/...", "/..."),
        ("/.a/..b/c..", "/.a/..b/c.."),
        ("/.aeordb", "/.aeordb"),
        ("/.aeordb-systems", "/.aeordb-systems"),
        ("/x/.aeordb-system", "/x/.aeordb-system"),
        ("/a%2Fb", "/a%2Fb"),
        ("/100%25", "/100%25"),
        ("/100%", "/100%"),
        ("/%zz%", "/%zz%"),
        ("/a b/ c ", "/a b/ c "),
        ("/a\\b", "/a\\b"),
        ("/C:\\x", "/C:\\x"),
        ("/nul.txt", "/nul.txt"),
        ("/\uff0e\uff0e", "/\uff0e\uff0e"),
        ("/e\u0301", "/e\u0301"),
        ("/\u00e9", "/\u00e9"),
        ("/\u202e", "/\u202e"),
        ("/" + "a" * 255, "/" + "a" * 255),
        ("/" + "é" * 127, "/" + "é" * 127),
        ("/a" * 2048, "/a" * 2048),
    ],
)
def test_an_allowed_path_is_kept_verbatim_but_for_outer_slashes(text: str, path: str) -> None:
    assert paths.parse(text) == path


@pytest.mark.parametrize(
    "text",
    [
        "a//b",
        "/a/./b",
        "/a/../b",
        "..",
        "/.",
        "./a",
        "/a/..",
        "/" + "a" * 256,
        "/" + "é" * 128,
        "/" + "a" * 4096,
        "/a" * 2049,
        "/é" * 1366,
        "/" * 8192 + "a" * 65536,
        "/%2e%2e",
        "/%2E./x",
        "/.%2e",
        "/a/%2e",
        "/%252e%252e",
        "/%25252e%25252e",
        "/..%2f..%2fetc",
        "/a%2f..",
        "/a%00",
        "/a%2500b",
        "/a%0d%0a",
        "/a%7f",
        "/a%C2%85",
    ],
)
def test_a_forbidden_path_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        paths.parse(text)


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDFFF])
@pytest.mark.parametrize("form", ["/{}", "/a{}", "/a{}b", "a/b{}/c"])
def test_control_characters_and_surrogates_are_refused_anywhere(code: int, form: str) -> None:
    with pytest.raises(BadRequestError):
        paths.parse(form.format(chr(code)))


@pytest.mark.parametrize("spelling", SYSTEM_SPELLINGS)
@pytest.mark.parametrize("form", ["{}", "/{}", "/{}/", "//{}/keys/1"])
def test_no_spelling_of_the_system_namespace_exists(spelling: str, form: str) -> None:
    with pytest.raises(NotFoundError):
        paths.parse(form.format(spelling))


@pytest.mark.parametrize("spelling", SYSTEM_SPELLINGS[1:])
def test_a_peer_may_only_use_the_exact_spelling_of_the_system_namespace(spelling: str) -> None:
    assert paths.parse("/.aeordb-system/k", allow_system=True) == "/.aeordb-system/k"
    with pytest.raises(BadRequestError):
        paths.parse(f"/{spelling}/k", allow_system=True)


@pytest.mark.parametrize(
    "spelling", [spelling for spelling in SYSTEM_SPELLINGS if "%" not in spelling]
)
def test_is_system_knows_every_spelling(spelling: str) -> None:
    assert paths.is_system(f"/{spelling}")
    assert paths.is_system(f"/{spelling}/x/y")
    assert not paths.is_system(f"/x/{spelling}")
    assert not paths.is_system(f"/x{spelling}")


@given(st.text(max_size=40))
@example("/a/")
def test_parsing_gives_a_normal_form_or_an_error(text: str) -> None:
    try:
        path = paths.parse(text)
    except (BadRequestError, NotFoundError):
        return
    assert paths.parse(path) == path
    assert path.startswith("/")
    assert path == "/" or path.strip("/") == text.strip("/")
    assert all(part not in {"", ".", ".."} for part in paths.to_names(path))
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} for char in path)
    assert not paths.is_system(path)


ascii_text = st.text(st.sampled_from("/./.aA%2eé b~\x7f"), max_size=12)


@given(ascii_text)
def test_the_short_way_and_the_long_way_agree(text: str) -> None:
    # A leading slash too many forbids the short way without changing the meaning.
    assert _outcome("/" + text) == _outcome("//" + text)


def _outcome(text: str) -> str:
    try:
        return paths.parse(text)
    except (BadRequestError, NotFoundError) as error:
        return error.code


@given(tree_paths)
def test_a_path_survives_its_key_and_its_url(path: TreePath) -> None:
    assert paths.from_key(paths.to_key(path)) == path
    assert paths.parse_key(paths.to_key(path), allow_system=False) == path
    assert paths.parse(paths.decode(quote(path).encode())) == path


@given(st.lists(tree_paths, max_size=8))
def test_keys_sort_as_lists_of_names_do(some: list[TreePath]) -> None:
    by_names = sorted(some, key=lambda path: [part.encode() for part in paths.to_names(path)])
    assert sorted(some, key=paths.to_key) == by_names


@pytest.mark.parametrize(
    "key",
    [b"\0", b"\0a", b"a\0", b"a\0\0b", b"a/b", b"/", b"/a", b"..", b"a\0..", b"\xff", b"a\x1f"],
)
def test_a_key_that_is_no_path_is_refused(key: bytes) -> None:
    with pytest.raises(BadRequestError):
        paths.parse_key(key, allow_system=True)


def test_a_key_in_the_system_namespace_is_for_peers_only() -> None:
    key = b".aeordb-system\0keys"
    assert paths.parse_key(key, allow_system=True) == "/.aeordb-system/keys"
    with pytest.raises(NotFoundError):
        paths.parse_key(key, allow_system=False)


@given(st.binary(max_size=30))
def test_any_bytes_are_a_key_or_refused(key: bytes) -> None:
    try:
        path = paths.parse_key(key, allow_system=False)
    except (BadRequestError, NotFoundError):
        return
    assert paths.to_key(path) == key


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/a%20b", "/a b"),
        (b"/a+b", "/a+b"),
        (b"/a%2Fb", "/a/b"),
        (b"/a%252Fb", "/a%2Fb"),
        (b"/%C3%A9", "/é"),
        ("/é".encode(), "/é"),
        (b"/100%25", "/100%"),
    ],
)
def test_a_url_is_decoded_exactly_once(raw: bytes, text: str) -> None:
    assert paths.decode(raw) == text


@pytest.mark.parametrize(
    "raw",
    [b"%", b"%2", b"%zz", b"%%41", b"%ff", b"\xff", b"%c0%ae", b"%ed%a0%80", b"/" + b"%41" * 9999],
)
def test_a_url_with_bad_escapes_or_bad_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError):
        paths.decode(raw)


@given(tree_paths)
def test_the_parts_of_a_path_make_it_again(path: TreePath) -> None:
    above = paths.ancestors(path)
    if path == "/":
        assert (paths.name(path), paths.parent(path), above) == ("", "/", [])
        return
    assert paths.join(paths.parent(path), paths.name(path)) == path
    assert [*above, "/"][0] == paths.parent(path)
    assert len(above) == len(paths.to_names(path)) - 1
    assert all(paths.is_inside(path, folder) for folder in above)
    assert not any(paths.is_inside(folder, path) for folder in above)


def test_inside_means_by_whole_names() -> None:
    assert paths.is_inside(TreePath("/a"), TreePath("/a"))
    assert paths.is_inside(TreePath("/a/b"), TreePath("/"))
    assert not paths.is_inside(TreePath("/ab"), TreePath("/a"))


@pytest.mark.parametrize(
    ("link", "target", "found"),
    [
        ("/d/l", "x", "/d/x"),
        ("/d/l", "./x/", "/d/x"),
        ("/d/l", "../x", "/x"),
        ("/d/l", "..", "/"),
        ("/d/l", "/x/y", "/x/y"),
        ("/d/l", "/", "/"),
        ("/d/l", "a//b/../c", "/d/a/c"),
        ("/l", "x", "/x"),
        ("/d/l", "../../x", None),
        ("/l", "..", None),
        ("/d/l", "/../x", None),
        ("/d/l", "", None),
        ("/d/l", "a\0b", None),
        ("/d/l", "/.aeordb-system/keys", None),
        ("/d/l", "../.AEORDB-system", None),
        ("/d/l", "x" * 5000, None),
    ],
)
def test_a_link_leads_inside_the_root_or_nowhere(
    link: str, target: str, found: str | None
) -> None:
    assert paths.resolve_link(TreePath(link), target) == found

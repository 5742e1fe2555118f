"""The model that judges long runs finds what it is there to find."""

from tests.support.folder_model import Model
from tests.support.folder_trees import Leaf, Seen, digest

A, B, C = (digest(body) for body in (b"a", b"b", b"c"))


def seen(*files: tuple[str, str], copies: dict[str, set[str]] | None = None) -> Seen:
    return Seen({path: Leaf("file", content) for path, content in files}, copies or {}, [])


def test_what_was_written_must_be_somewhere() -> None:
    model = Model()
    model.born(A, "x")
    model.born(B, "x")
    assert model.wrong(seen(("x", A))) == [f"lost: {B} of x"]
    assert model.wrong(seen(("x", A), copies={"x": {B}})) == []


def test_what_somebody_saw_and_overwrote_need_not_be_anywhere_and_must_not_come_back() -> None:
    model = Model()
    model.born(A, "x")
    model.ended(A, "x")
    model.born(B, "x")
    assert model.wrong(seen(("x", B))) == []
    assert f"resurrected: {A} at x" in model.wrong(seen(("x", A)))


def test_a_version_of_a_conflict_may_have_been_ended_by_somebody_who_saw_no_other() -> None:
    model = Model()
    model.born(A, "x")
    model.born(B, "x")
    model.ended(A, "x")
    assert model.wrong(seen(("x", B), copies={"x": {A}})) == []


def test_a_content_that_is_brought_back_shares_the_fate_of_its_version() -> None:
    model = Model()
    model.born(A, "x")
    model.ended(A, "x")
    model.born(B, "x")
    model.born(A, "x")
    assert model.wrong(seen(("x", B))) == []
    assert model.wrong(seen(("x", A), copies={"x": {B}})) == []


def test_bytes_that_nobody_wrote_are_foreign() -> None:
    model = Model()
    model.born(A, "x")
    assert model.wrong(seen(("x", A), ("y", C))) == [f"foreign bytes: {C} at y"]


def test_a_content_at_a_path_that_nobody_brought_it_to_is_foreign() -> None:
    model = Model()
    model.born(A, "x")
    assert model.wrong(seen(("x", A), ("y", A))) == [f"foreign path: {A} at y"]


def test_what_arrives_in_a_renamed_folder_arrives_under_its_new_name() -> None:
    model = Model()
    model.born(A, "d/x")
    model.moved("d", "e")
    model.moved("e", "f/g")
    assert model.wrong(seen(("f/g/x", A))) == []
    assert model.wrong(seen(("f/x", A))) == [f"foreign path: {A} at f/x"]


def test_the_story_of_what_is_wrong_is_what_was_done_to_it() -> None:
    model = Model()
    model.note("f0", f"write x {A}")
    model.note("f1", f"write y {B}")
    (line,) = model.story_of(f"lost: {A} of x")
    assert line.endswith(f"f0 write x {A}")

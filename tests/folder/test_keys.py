"""Folders of people whose key may not do everything."""

from collections.abc import Callable

import httpx
import pytest

from aeorsync.core.reconcile import Direction
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Why
from aeorsync.folder.options import Options
from tests.support.cycles import noise
from tests.support.people import Synced, tree

Make = Callable[..., Synced]


class Guest(Synced):
    """Somebody with a key of their own."""

    rules: tuple[tuple[str, str], ...] = ()
    own_key: str = ""

    def key(self) -> str:
        if not self.own_key:
            rules = [{glob: flags} for glob, flags in self.rules]
            with self.node.client() as client:
                answer: httpx.Response = client.post("/auth/keys", json={"rules": rules})
            assert answer.status_code == 201, answer.text
            self.own_key = answer.json()["key"]
        return self.own_key


@pytest.fixture
def guest(person: Make) -> Callable[..., Guest]:
    """Makes somebody whose key has rules; ``@`` stands for the path of the folder."""

    def make(who: str, *rules: tuple[str, str], options: Options | None = None) -> Guest:
        made = person(who, options)
        found = Guest(made.path.parent, made.node, made.remote, made.options)
        found.rules = tuple((glob.replace("@", made.remote), flags) for glob, flags in rules)
        return found

    return make


ALL = "crudlify"


def test_a_key_for_just_this_folder_is_enough(person: Make, guest: Callable[..., Guest]) -> None:
    a, b = person("a"), guest("b", ("@/**", ALL), ("@", ALL))
    a.write("d/x", "x")
    (a.path / "large").write_bytes(noise(12_000_000))
    a.sync()
    assert b.sync().failures == ()
    b.write("d/y", "y")
    (b.path / "large").write_bytes(b"!" + noise(12_000_000))
    (b.path / "d/x").rename(b.path / "moved")
    assert b.sync().failures == ()
    a.sync()
    assert tree(a.path) == tree(b.path)
    a.write("d/y", "by a")
    b.write("d/y", "by b")
    for who in (a, b, a, b):
        assert who.sync().failures == ()
    assert tree(a.path) == tree(b.path)
    assert len(b.copies) == 1
    (b.path / b.copies[0]).unlink()
    for who in (b, a):
        assert who.sync().failures == ()
    assert a.copies == b.copies == []


def test_what_a_key_may_not_write_is_listed_and_the_rest_goes(
    person: Make, guest: Callable[..., Guest]
) -> None:
    a, b = person("a"), guest("b", ("@/public/**", "-r--l---"), ("@/**", ALL), ("@", ALL))
    a.write("public/x", "x")
    a.sync()
    b.sync()
    assert b.read("public/x") == "x"
    b.write("public/x", "not allowed")
    b.write("own", "allowed")
    outcome = b.sync()
    assert [(problem.path, problem.why) for problem in outcome.failures] == [
        ("public/x", Why.REFUSED)
    ]
    a.sync()
    assert (a.read("public/x"), a.read("own")) == ("x", "allowed")


def test_what_a_key_may_not_see_is_not_there_and_not_deleted(
    person: Make, guest: Callable[..., Guest]
) -> None:
    a, b = person("a"), guest("b", ("@/secret/**", "--------"), ("@/**", ALL), ("@", ALL))
    a.write("secret/x", "x")
    a.write("open/y", "y")
    a.sync()
    b.sync()
    assert "open/y" in b.names
    assert "secret/x" not in b.names
    b.sync()
    assert a.sync().changes == 0
    assert a.read("secret/x") == "x"


def test_what_a_key_may_not_see_any_more_is_not_deleted_here(
    person: Make, guest: Callable[..., Guest]
) -> None:
    a, b = person("a"), guest("b", ("@/**", ALL), ("@", ALL), options=Options())
    a.write("secret/x", "x")
    a.write("open/y", "y")
    a.sync()
    b.sync()
    narrow = guest("b", ("@/secret/**", "--------"), ("@/**", ALL), ("@", ALL), options=Options())
    for _ in range(2):
        with pytest.raises(MassDeletionError, match="may see less"):
            narrow.sync()
        assert b.read("secret/x") == "x"


def test_a_key_that_only_reads_pulls(person: Make, guest: Callable[..., Guest]) -> None:
    pulling = Options(direction=Direction.PULL)
    a, b = person("a"), guest("b", ("@/**", "-r--l---"), ("@", "-r--l---"), options=pulling)
    a.write("d/x", "x")
    a.sync()
    assert b.sync().failures == ()
    assert tree(a.path) == tree(b.path)

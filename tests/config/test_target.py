"""Which node a command talks to."""

from pathlib import Path

import pytest

from aeorsync.config import DEFAULT_URL, Exit, Profile, Profiles, Target, target
from aeorsync.errors import StartupError


def test_nothing_told_means_the_default_port_of_this_machine_and_no_key() -> None:
    assert target(None, None, {}) == Target(DEFAULT_URL, None)


def test_flags_win_over_the_environment() -> None:
    told = {"AEORSYNC_URL": "http://env:1/", "AEORSYNC_KEY": " k\n"}
    assert target(None, None, told) == Target("http://env:1", "k")
    assert target("https://Flag:2", "f", told) == Target("https://flag:2", "f")
    assert target(None, "", told).key is None


@pytest.mark.parametrize(
    ("url", "key", "origin"),
    [("node:6830", None, "--url"), (None, "a\nb", "--key"), (None, "schlüssel", "--key")],
)
def test_what_cannot_be_used_is_refused_by_its_origin(
    url: str | None, key: str | None, origin: str
) -> None:
    with pytest.raises(StartupError, match=origin) as refusal:
        target(url, key, {})
    assert refusal.value.exit_code == Exit.CONFIG


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(target(None, "secret", {}))
    with pytest.raises(StartupError) as refusal:
        target(None, None, {"AEORSYNC_KEY": "the secret"})
    assert "secret" not in str(refusal.value)


def test_the_authorities_that_nodes_believe_are_believed_by_commands_too() -> None:
    assert target(None, None, {"AEORSYNC_CLUSTER_CA": "ca.pem"}).cluster_ca == Path("ca.pem")
    assert target(None, None, {"AEORSYNC_CLUSTER_CA": ""}).cluster_ca is None


def home(tmp_path: Path, **told: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), **told}


def stored(tmp_path: Path, name: str, url: str, key: str | None) -> None:
    Profiles.find(home(tmp_path)).save(Profile(name, url, key))


def test_what_was_stored_at_login_is_used_when_nothing_else_is_told(tmp_path: Path) -> None:
    stored(tmp_path, "default", "http://a:1", "k1")
    stored(tmp_path, "work", "http://b:2", "k2")
    assert target(None, None, home(tmp_path)) == Target("http://a:1", "k1")
    assert target(None, None, home(tmp_path, AEORSYNC_PROFILE="work")) == Target(
        "http://b:2", "k2"
    )
    assert target(None, None, home(tmp_path), profile="work") == Target("http://b:2", "k2")
    told = home(tmp_path, AEORSYNC_URL="http://c:3", AEORSYNC_KEY="k3")
    assert target(None, None, told) == Target("http://c:3", "k3")
    assert target(None, None, told, profile="work") == Target("http://b:2", "k2")
    assert target(None, "f", told, profile="work") == Target("http://b:2", "f")
    assert target("http://b:2", None, home(tmp_path)) == Target("http://b:2", "k2")


def test_a_stored_key_goes_to_no_other_server(tmp_path: Path) -> None:
    stored(tmp_path, "default", "http://a:1", "k1")
    assert target("http://evil:1", None, home(tmp_path)).key is None
    assert target(None, None, home(tmp_path, AEORSYNC_URL="http://evil:1")).key is None
    with pytest.raises(StartupError, match="is for http://a:1"):
        target("http://evil:1", None, home(tmp_path), profile="default")


def test_a_profile_that_is_not_there_is_refused_and_the_known_ones_are_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(StartupError, match="aeorsync login"):
        target(None, None, home(tmp_path), profile="work")
    stored(tmp_path, "home", "http://a:1", "k1")
    with pytest.raises(StartupError, match=r"AEORSYNC_PROFILE: .* known are home"):
        target(None, None, home(tmp_path, AEORSYNC_PROFILE="work"))


def test_only_their_owner_can_read_stored_keys(tmp_path: Path) -> None:
    profiles = Profiles.find(home(tmp_path / "new"))
    file = profiles.save(Profile("default", "http://a:1", "secret", Path("ca.pem")))
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o077 == 0
    found = profiles.get("default")
    assert found is not None
    assert "secret" not in repr(found)
    assert found.cluster_ca == Path("ca.pem").absolute()
    file.chmod(0o640)
    with pytest.raises(StartupError, match="chmod 600"):
        profiles.all()


def test_a_file_of_profiles_that_is_none_is_refused_without_repeating_it(tmp_path: Path) -> None:
    stored(tmp_path, "default", "http://a:1", "k")
    file = tmp_path / "aeorsync" / "profiles.json"
    file.write_text('{"profiles": {"default": {"url": 7, "key": "secret"')
    with pytest.raises(StartupError, match="log in again") as refusal:
        target(None, None, home(tmp_path))
    assert "secret" not in str(refusal.value)


def test_profiles_are_forgotten_one_by_one_and_their_names_are_plain(tmp_path: Path) -> None:
    stored(tmp_path, "a", "http://a:1", "k")
    stored(tmp_path, "b", "http://b:1", None)
    profiles = Profiles.find(home(tmp_path))
    assert profiles.remove("a")
    assert not profiles.remove("a")
    assert [one.name for one in profiles.all()] == ["b"]
    for name in ("", "a/b", "a b", "x" * 65):
        with pytest.raises(StartupError, match="not a name"):
            profiles.save(Profile(name, "http://a:1", "k"))


def test_who_has_no_home_has_no_profiles() -> None:
    assert Profiles.find({}).all() == []
    assert Profiles.find({"HOME": "/h", "XDG_CONFIG_HOME": "rel"}).file == Path(
        "/h/.config/aeorsync/profiles.json"
    )
    with pytest.raises(StartupError, match="XDG_CONFIG_HOME"):
        Profiles.find({}).save(Profile("a", "http://a:1", "k"))

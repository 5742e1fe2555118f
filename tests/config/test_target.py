"""Which node a command talks to."""

from pathlib import Path

import pytest

from aeorsync.config import DEFAULT_URL, Exit, Target, target
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

"""What holds for all tests."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from tests.support import processes

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("aeorsync", deadline=None)
settings.load_profile("aeorsync")

_LONGEST: Final = ("test_ring.py", "test_folders.py", "test_kill.py", "test_watching.py")
"""Modules of more than twenty seconds, longest first."""

_LONG: Final = (
    "simulation",
    "faults",
    "crash",
    "hostile",
    "fuzz",
    "nodes",
    "folder",
    "client",
)
"""Folders whose tests start processes or go through many cases, in the order they begin in."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it in the end."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> tuple[bool, int, int]:
    folder, name = path.parts[-2:]
    is_longest = folder == "nodes" and name in _LONGEST
    return (
        not is_longest,
        _LONGEST.index(name) if is_longest else 0,
        _LONG.index(folder) if folder in _LONG else len(_LONG),
    )


@pytest.fixture(scope="session", autouse=True)
def _no_logins_of_whoever_runs_this(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for name in ("AEORSYNC_URL", "AEORSYNC_KEY", "AEORSYNC_PROFILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> None:
    """Where the tests run in the background Ctrl-C is ignored, and processes inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _our_processes_start_at_once(
    _no_logins_of_whoever_runs_this: None, _ctrl_c_is_heard: None
) -> Iterator[None]:
    with processes.hastened():
        yield

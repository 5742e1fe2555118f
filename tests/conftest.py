"""What holds for all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("aeorsync", deadline=None)
settings.load_profile("aeorsync")


@pytest.fixture(scope="session", autouse=True)
def _no_logins_of_whoever_runs_this(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for name in ("AEORSYNC_URL", "AEORSYNC_KEY", "AEORSYNC_PROFILE"):
            patch.delenv(name, raising=False)
        yield

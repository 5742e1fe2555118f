"""What a node does by itself now and then."""

import asyncio
from pathlib import Path

import pytest

from aeorsync.core.refresh import LIFE_MS
from aeorsync.server import housekeeping
from tests.api.conftest import running
from tests.support.nodes import wait_until

DAY_MS = 86_400_000


def test_refresh_tokens_that_are_over_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_HOUR_S", 0.01)

    async def main() -> None:
        async with running(tmp_path) as here:
            _, record = here.make_key()
            chains = here.node.accounts.chains
            chains.begin(record.key_id, record.expires_at).result(30)
            work = asyncio.ensure_future(housekeeping.sweeping(here.node)())
            await asyncio.sleep(0.1)
            assert len(list(chains._chains.all())) == 1
            here.node.wall.now += LIFE_MS + 2 * DAY_MS  # type: ignore[attr-defined]
            await asyncio.to_thread(wait_until, lambda: not list(chains._chains.all()))
            work.cancel()
            assert here.node.accounts.by_id(record.key_id) is not None

    asyncio.run(main())

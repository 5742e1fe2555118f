"""What a node does by itself now and then."""

import asyncio
from pathlib import Path

from aeorsync.api.jobs import clean_up
from aeorsync.core.refresh import LIFE_MS
from tests.api.conftest import running

DAY_MS = 86_400_000


def test_refresh_tokens_that_are_over_are_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as here:
            _, record = here.make_key()
            chains = here.node.accounts.chains
            chains.begin(record.key_id, record.expires_at).result(30)
            assert (await clean_up(here.node)).tokens_cleaned == 0
            assert len(list(chains._chains.all())) == 1
            here.node.wall.now += LIFE_MS + 2 * DAY_MS  # type: ignore[attr-defined]
            assert (await clean_up(here.node)).tokens_cleaned == 1
            assert list(chains._chains.all()) == []
            assert here.node.accounts.by_id(record.key_id) is not None

    asyncio.run(main())

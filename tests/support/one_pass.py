"""A process that syncs one folder once: URL, key, folder, path there, ledger."""

import asyncio
import sys
from pathlib import Path

from aeorsync import AsyncClient
from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.session import FolderSync


async def main(url: str, key: str, root: str, remote: str, ledger: str) -> None:
    """Say that the folder is open, then sync it."""
    async with AsyncClient(url, key) as client:
        options = Options(max_delete=DeleteLimit.parse("100%"))
        async with FolderSync(Path(root), client, remote, options, Path(ledger)) as sync:
            sys.stdout.write("open\n")
            sys.stdout.flush()
            await sync.run_once()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

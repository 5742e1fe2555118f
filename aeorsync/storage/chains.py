"""Chains of refresh tokens, as the tree has them now; `core.refresh` says what they are."""

from collections.abc import Iterable
from concurrent.futures import Future
from uuid import UUID

import msgspec

from aeorsync.core import refresh
from aeorsync.core.refresh import Chain, RefreshToken, Standing
from aeorsync.runtime import chance
from aeorsync.storage.draft import Draft
from aeorsync.storage.registers import Edit, Register, Shape
from aeorsync.storage.repository import Repository

SHAPE = Shape("refresh", Chain.from_json, refresh.join_records, refresh.MAX_RECORD)
KEPT_MS = 86_400_000
"""How long a chain that nobody refreshed in time is kept: clocks differ, and so do nodes."""


class Chains:
    """The chains of the cluster. Blocking; safe from any thread."""

    def __init__(self, repository: Repository) -> None:
        """Look into a repository."""
        self._chains = Register(repository, SHAPE)

    def get(self, token: RefreshToken) -> Chain | None:
        """The chain that a token names; whether the token is good is another question."""
        return self._chains.get(token.name)

    def begin(self, key_id: UUID, until_ms: int) -> "Future[RefreshToken]":
        """Begin a chain; the one of this key that was refreshed longest ago may have to go.

        Args:
            key_id: The key it speaks for.
            until_ms: When that key expires; milliseconds since the Unix epoch.
        """
        token = refresh.first(key_id, chance.token_bytes(refresh.SECRET_SIZE))

        def operation(chains: Edit[Chain]) -> RefreshToken:
            now = chains.draft.now_ms
            ChainsEdit(chains).make_room(key_id)
            chains.put(token.name, refresh.begin(token, key_id, now, until_ms))
            return token

        return self._chains.commit(operation)

    def rotate(self, token: RefreshToken, until_ms: int) -> "Future[RefreshToken | None]":
        """Use a token.

        Args:
            token: As its holder sent it.
            until_ms: When its key expires; milliseconds since the Unix epoch.

        Returns:
            By the future, the next token; None when this one is not good. Was it used before, the
            chain is revoked by now.
        """
        secret = chance.token_bytes(refresh.SECRET_SIZE - len(token.chain) // 2)
        following = refresh.following(token, secret)

        def operation(chains: Edit[Chain]) -> RefreshToken | None:
            now = chains.draft.now_ms
            chain = chains.get(token.name)
            if chain is None:
                return None
            what = refresh.standing(chain, token, now)
            if what is Standing.GOOD:
                rotated = refresh.rotate(chain, token, following, now, until_ms)
                chains.put(token.name, rotated)
                return following
            if what is Standing.REUSED:
                chains.put(token.name, msgspec.structs.replace(chain, is_revoked=True))
            return None

        return self._chains.commit(operation)

    def is_revoked(self, key_id: UUID, mark: str) -> bool:
        """Whether the chain of a key that has this mark was revoked.

        One that is not known here may just not have come yet.
        """
        found = self._chains.all(key_id.hex[:16])
        return any(chain.is_revoked for name, chain in found if refresh.mark(name) == mark)

    def over(self, now_ms: int) -> list[str]:
        """Names of the chains that expired a while ago."""
        return [name for name, chain in self._chains.all() if _is_over(chain, now_ms)]

    def edit(self, draft: Draft) -> "ChainsEdit":
        """The chains as a draft has them; in the writer's thread only."""
        return ChainsEdit(self._chains.edit(draft))


class ChainsEdit:
    """The chains as one draft has them."""

    def __init__(self, chains: Edit[Chain]) -> None:
        self._chains = chains

    def make_room(self, key_id: UUID) -> None:
        """Delete the chains of a key that were refreshed longest ago, down to one too few.

        Those that were revoked are counted for themselves: their tokens must not come back to life
        by logging in often.
        """
        live: list[tuple[int, str]] = []
        revoked: list[tuple[int, str]] = []
        for name in self._chains.names(key_id.hex[:16]):
            chain = self._chains.get(name)
            group = revoked if chain is not None and chain.is_revoked else live
            group.append((0 if chain is None else chain.rotated_at, name))
        for group in (live, revoked):
            for _, name in sorted(group)[: max(0, len(group) + 1 - refresh.MAX_CHAINS)]:
                self._chains.remove(name)

    def remove_all(self, key_id: UUID) -> None:
        """Delete all chains of a key."""
        for name in self._chains.names(key_id.hex[:16]):
            chain = self._chains.get(name)
            # Two keys may begin alike.
            if chain is None or chain.key_id == key_id:
                self._chains.remove(name)

    def sweep(self, names: Iterable[str], now_ms: int) -> int:
        """Delete those of some chains that are over; returns how many."""
        gone = 0
        for name in names:
            chain = self._chains.get(name)
            if chain is not None and _is_over(chain, now_ms):
                self._chains.remove(name)
                gone += 1
        return gone


def _is_over(chain: Chain, now_ms: int) -> bool:
    return now_ms - chain.expires_at > KEPT_MS

"""API keys: make them for others, limited to what these need."""

from collections.abc import Mapping, Sequence

import msgspec

from aeorsync.client.calling import Call, Caller
from aeorsync.client.model import Key
from aeorsync.errors import DeniedError


class KeyCalls(Caller):
    """Make, list and revoke keys: with a root key everybody's, else one's own."""

    async def keys(self) -> Sequence[Key]:
        """Return the keys, oldest first, revoked ones included; without their texts."""
        try:
            return _items(await self._told("/auth/keys/admin"))
        except DeniedError:
            return _items(await self._told("/auth/keys"))

    async def make_key(
        self,
        label: str | None = None,
        *,
        days: int | None = None,
        rules: Sequence[Mapping[str, str]] = (),
        user_id: str | None = None,
    ) -> Key:
        """Make a key; its text is in ``key``, this once.

        It may never do more than the key it is made with.

        Args:
            label: What to call it.
            days: How long it works, 1 to 3650; 730 if not given.
            rules: ``{glob: flags}`` each, the first that matches decides, and none denies; flags
                are eight letters of ``crudlify`` or dashes. No rules: no limit.
            user_id: Whom it is for; None for oneself.

        Example:
            >>> guest = client.make_key("guest", days=30, rules=[{"/public/**": "-r--l---"}])
            >>> guest.key
            'aeor_k_...'
        """
        told = {"label": label, "expires_in_days": days, "user_id": user_id}
        body: dict[str, object] = {name: fact for name, fact in told.items() if fact is not None}
        body["rules"] = [dict(rule) for rule in rules]
        # Twice would make two.
        return await self._ask(Call(method="POST", path="/auth/keys", body=body), Key)

    async def revoke_key(self, key_id: str, *, with_made: bool = False) -> None:
        """Revoke a key for ever; refused at once here, elsewhere when it is heard of.

        Args:
            key_id: Its id, not its text.
            with_made: Also all keys that were made with it.
        """
        query = {"with_made": with_made}
        await self._asked(Call(method="DELETE", path=f"/auth/keys/{key_id}", query=query))

    async def _told(self, path: str) -> "list[Key] | _Keys":
        # One answers with a list, the other with an object that has one.
        return await self._ask(Call(method="GET", path=path), list[Key] | _Keys)  # type: ignore[arg-type]


class _Keys(msgspec.Struct, frozen=True):
    """A list."""

    items: list[Key]


def _items(told: list[Key] | _Keys) -> list[Key]:
    return told if isinstance(told, list) else told.items

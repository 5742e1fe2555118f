"""Keys that are made with other keys: never wider than those, never longer.

    made with                          inherits                                ends
    ---------                          --------                                ----
    a root key without rules           nothing                                 when it is told to
    a key with rules, or with bounds   both, as bounds: all of them have to    with that key, or
                                       allow, whatever its own rules say       before
    a key that only its user's rules   nothing, but it leans on the user: it   when it is told to
    bind                               may do nothing when these are gone

So whatever chain of keys is made, nobody comes to more than what they began with. What is
inherited is a copy: changing the rules of a key later changes nothing about those made with it.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from aeorsync.core.apikeys import KeyRecord
from aeorsync.core.tokens import ROOT
from aeorsync.errors import BadRequestError, DeniedError

LEAST_DAYS = 1
MOST_DAYS = 3650
USUAL_DAYS = 730
MAX_BOUNDS = 16
MAX_LABEL = 128  # characters
_DAY_MS = 86_400_000


def inherit(record: KeyRecord, maker: KeyRecord | None) -> KeyRecord:
    """Return a key that is about to be made, within the limits of the one it is made with.

    Args:
        record: As it was asked for.
        maker: The key that asks; None for root without one.

    Raises:
        DeniedError: That key passed through too many hands.
    """
    if maker is None:
        return record
    changes: dict[str, object] = {"made_by": maker.key_id}
    if maker.is_limited:
        lists = (*maker.bounds, maker.rules)
        bounds = tuple(dict.fromkeys(rules for rules in lists if rules))
        if len(bounds) > MAX_BOUNDS:
            raise DeniedError(f"a key cannot be limited by more than {MAX_BOUNDS} others")
        changes["bounds"] = bounds
        changes["expires_at"] = min(record.expires_at, maker.expires_at)
    if maker.user_id != ROOT:
        changes["leans_on_user"] = maker.leans_on_user or not maker.is_limited
    return msgspec.structs.replace(record, **changes)


def descendants(records: Sequence[KeyRecord], key_id: UUID) -> set[UUID]:
    """Ids of the keys that were made with a key, or with one of these."""
    made: dict[UUID | None, list[UUID]] = {}
    for record in records:
        made.setdefault(record.made_by, []).append(record.key_id)
    found: set[UUID] = set()
    waiting = [key_id]
    while waiting:
        fresh = [one for one in made.get(waiting.pop(), []) if one not in found]
        found.update(fresh)
        waiting += fresh
    return found - {key_id}


def end_ms(now_ms: int, days: int | None) -> int:
    """Return when a key ends that is to live for so many days, which are brought into range."""
    asked = USUAL_DAYS if days is None else days
    return now_ms + min(max(asked, LEAST_DAYS), MOST_DAYS) * _DAY_MS


def check_label(label: str | None) -> str | None:
    """Return a label that a person can read, on one line.

    Raises:
        BadRequestError: It is too long, or has a character that cannot be seen.
    """
    if label is not None and (len(label) > MAX_LABEL or not label.isprintable()):
        raise BadRequestError(f"a label has at most {MAX_LABEL} characters that can be seen")
    return label

"""Chunks made of old ones at the server, for clients that have no old bytes. Sans-I/O.

POST /blobs/parts      ids, joined                       what is here, in parts (`core.parts`)
    HEADER {}, PARTS..., END {}
POST /blobs/recipes    HEADER {}, RECIPE..., END {}      which could not be made

PARTS     id 32 ‖ (size u16 ‖ mark 8)...
RECIPE    id 32 ‖ size u32 ‖ bases u8 ‖ base id 32 ... ‖ steps
"""

import msgspec

from aeorsync.core.hashing import HASH_SIZE
from aeorsync.core.parts import check_parts
from aeorsync.errors import BadRequestError
from aeorsync.wire import framing
from aeorsync.wire.deltas import Delta, join_delta, parse_delta

MAX_DESCRIBED = 1_000
"""Chunks whose parts are told at a time."""


class RecipesReply(msgspec.Struct, frozen=True):
    """What became of recipes.

    Attributes:
        made: Chunks that are here now, durably, and stay for a day.
        refused: Ids, hex, of those that have to be sent whole.
    """

    made: int
    refused: list[str]


def encode_parts(name: bytes, described: bytes) -> bytes:
    """Return one PARTS frame."""
    return framing.encode(framing.Kind.PARTS, name + described)


def parse_parts(payload: bytes) -> tuple[bytes, bytes]:
    """Return the id and the parts in the payload of a PARTS frame.

    Raises:
        BadRequestError: It is cut off.
    """
    if len(payload) < HASH_SIZE:
        raise BadRequestError("A frame of parts is too short.")
    return payload[:HASH_SIZE], check_parts(payload[HASH_SIZE:])


def encode_recipe(recipe: Delta) -> bytes:
    """Return one RECIPE frame; its steps are in ``stored``."""
    return framing.encode(framing.Kind.RECIPE, join_delta(recipe))


def parse_recipe(payload: bytes) -> Delta:
    """Return the recipe in the payload of a RECIPE frame.

    Raises:
        BadRequestError: As `parse_delta`.
    """
    return parse_delta(payload)

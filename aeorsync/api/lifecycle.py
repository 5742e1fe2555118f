"""`/system/lifecycle`: whether snapshots may be made, and how long they are kept."""

from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint, answer
from aeorsync.api.node import Node
from aeorsync.errors import BadRequestError, InvalidFieldError
from aeorsync.runtime import bridge
from aeorsync.storage.lifecycle import (
    Lifecycle,
    Months,
    Retention,
    read_lifecycle,
    write_lifecycle,
)

T = TypeVar("T", bound=msgspec.Struct)


class RetentionChange(msgspec.Struct, frozen=True):
    """How long snapshots are to be kept; what is left out stays."""

    auto_months: Months | UnsetType = UNSET
    manual_months: Months | UnsetType = UNSET


class LifecycleChange(msgspec.Struct, frozen=True):
    """What is to be different; what is left out stays."""

    snapshot_writes_enabled: bool | UnsetType = UNSET
    snapshot_retention: RetentionChange = RetentionChange()
    snapshot_before_delete: bool | UnsetType = UNSET


async def show(call: Call) -> Response:
    """Show the rules."""
    return answer(await bridge.run(_read, call.node))


async def change(call: Call) -> Response:
    """Change the rules."""
    request = await call.body(LifecycleChange)
    return answer(await bridge.run(_write, call.node, request))


def _read(node: Node) -> Lifecycle:
    with node.repository.view() as view:
        return read_lifecycle(view, node.repository.read)


def _write(node: Node, request: LifecycleChange) -> Lifecycle:
    old = _read(node)
    kept: Retention = _changed(old.snapshot_retention, request.snapshot_retention)
    rules: Lifecycle = _changed(old, request, snapshot_retention=kept)
    write_lifecycle(node.repository, rules)
    return rules


def _changed(old: T, request: msgspec.Struct, **fields: object) -> T:
    said = {name: getattr(request, name) for name in request.__struct_fields__} | fields
    return msgspec.structs.replace(old, **{k: v for k, v in said.items() if v is not UNSET})


ENDPOINTS = (
    Endpoint(
        "GET",
        "/system/lifecycle",
        show,
        "How long snapshots are kept.",
        reply=Lifecycle,
    ),
    Endpoint(
        "PUT",
        "/system/lifecycle",
        change,
        "Change how long snapshots are kept.",
        request=LifecycleChange,
        reply=Lifecycle,
        errors=(BadRequestError, InvalidFieldError),
    ),
)

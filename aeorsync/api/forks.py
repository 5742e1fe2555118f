"""`/versions/forks`: second states of the tree, to work in unseen, then to apply or to drop.

`api.lenses` leads requests with ``?fork=`` into one. Rules hold in there as they do outside; only
root begins and ends one.
"""

from starlette.responses import Response

from aeorsync.api import reach
from aeorsync.api.endpoint import Access, Call, Endpoint, answer
from aeorsync.api.node import Node
from aeorsync.api.places import Places
from aeorsync.api.version_replies import (
    AbandonedReply,
    ForkReply,
    ForkRequest,
    ForksReply,
    PromotedReply,
)
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    UnavailableError,
)
from aeorsync.runtime import bridge
from aeorsync.storage import versions
from aeorsync.storage.versions import Fork


async def make_fork(call: Call) -> Response:
    """Begin a fork."""
    request = await call.body(ForkRequest)
    name = versions.check_name(request.name)
    repository = call.node.repository
    making = versions.commit(
        repository,
        lambda draft: versions.make_fork(repository, draft, name, request.base or ""),
    )
    fork = await bridge.settle(making)
    return answer(await bridge.run(_reply, call.node, fork, reach.places(call)), 201)


async def list_forks(call: Call) -> Response:
    """List the forks."""
    reach.demand_somebody(call)
    return answer(await bridge.run(_list, call.node, reach.places(call)))


async def promote(call: Call) -> Response:
    """Apply what a fork changed to the tree, and end it."""
    text, repository = call.request.scope["path_params"]["name"], call.node.repository
    promoting = versions.commit(
        repository, lambda draft: versions.promote_fork(repository, draft, text)
    )
    fork, before, promoted = await bridge.settle(promoting)
    name = None if before is None else before.name
    return answer(
        PromotedReply(
            promoted=True,
            name=fork.name,
            changed=promoted.paths,
            conflicts=promoted.conflicts,
            auto_snapshot=name,
        )
    )


async def abandon(call: Call) -> Response:
    """End a fork, and delete what it changed."""
    text, repository = call.request.scope["path_params"]["name"], call.node.repository
    abandoning = versions.commit(
        repository, lambda draft: versions.abandon_fork(repository, draft, text)
    )
    fork = await bridge.settle(abandoning)
    return answer(AbandonedReply(abandoned=True, name=fork.name))


def _list(node: Node, places: Places) -> ForksReply:
    return ForksReply([_reply(node, fork, places) for fork in versions.forks(node.repository)])


def _reply(node: Node, fork: Fork, places: Places) -> ForkReply:
    return ForkReply(
        name=fork.name,
        root_hash=places.root(fork.root),
        created_at=fork.created_at,
        id=fork.id,
        base=fork.base or None,
        node_id=fork.node,
        available=node.repository.has_trees(fork.trees),
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/versions/forks",
        make_fork,
        "Begin a fork of the present tree, or of a snapshot's.",
        request=ForkRequest,
        reply=ForkReply,
        status=201,
        errors=(BadRequestError, InvalidFieldError, NotFoundError, ConflictError),
    ),
    Endpoint(
        "GET",
        "/versions/forks",
        list_forks,
        "List the forks, oldest first.",
        access=Access.USER,
        reply=ForksReply,
    ),
    Endpoint(
        "POST",
        "/versions/forks/{name}/promote",
        promote,
        "Apply what a fork changed to the tree, and end it.",
        reply=PromotedReply,
        errors=(NotFoundError, ConflictError, UnavailableError),
    ),
    Endpoint(
        "DELETE",
        "/versions/forks/{name}",
        abandon,
        "End a fork, and delete what it changed.",
        reply=AbandonedReply,
        errors=(NotFoundError, ConflictError),
    ),
)

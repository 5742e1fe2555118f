"""Small pools, so that collisions happen: the bugs are in the collisions."""

from hypothesis import strategies as st

from aeorsync.core.clock import make_stamp
from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import join
from aeorsync.core.versions import NO_CONTENT, Content, Entry, Kind, Version

NODES = (11, 22, 33)
BODIES = (b"", b"x", b"y")


def version(  # noqa: PLR0913
    incarnation: int = 11,
    n: int = 1,
    *,
    body: bytes = b"x",
    vector: tuple[tuple[int, int], ...] = (),
    wall_ms: int = 1000,
    deleted: bool = False,
    base: bytes = b"",
    kind: Kind = Kind.FILE,
    node: int = 0,
) -> Version:
    """A version with everything that does not matter filled in."""
    name = content_hash(body)
    refs = name + len(body).to_bytes(8) if body and kind == Kind.FILE else b""
    content = NO_CONTENT if kind == Kind.DIRECTORY else Content(name, len(body), 0, refs)
    return Version(
        kind=int(kind),
        deleted=deleted,
        content=content,
        target="t" if kind == Kind.SYMLINK else "",
        content_type="text/plain",
        executable=False,
        mtime=0,
        created=1,
        stamp=make_stamp(wall_ms),
        node=node or incarnation,
        incarnation=incarnation,
        n=n,
        vector=vector,
        base=content_hash(base) if base else b"",
    )


@st.composite
def histories(draw: st.DrawFn, *, steps: int = 8) -> list[Entry]:
    """Entries as a few nodes come to hold them: each step writes or exchanges.

    Vectors are closed, as all real ones are: a writer's context is that of an entry it holds.
    """
    held: dict[int, Entry | None] = dict.fromkeys(NODES)
    counters = dict.fromkeys(NODES, 0)
    states: list[Entry] = []
    for _ in range(draw(st.integers(1, steps))):
        node = draw(st.sampled_from(NODES))
        ours = held[node]
        other = held[draw(st.sampled_from(NODES))]
        if other is not None and draw(st.booleans()):
            held[node] = join(ours, other)
        else:
            counters[node] += 1
            seen = draw(st.sampled_from([ours, *states])) if states else ours
            written = version(
                node,
                counters[node],
                body=draw(st.sampled_from(BODIES)),
                vector=seen.context if seen else (),
                wall_ms=draw(st.integers(1, 4)),
                deleted=draw(st.booleans()),
                base=draw(st.sampled_from(BODIES)),
            )
            held[node] = join(ours, Entry((written,)))
        entry = held[node]
        assert entry is not None
        states.append(entry)
    return states

"""What a caller may do where: ordered rules, and what they come to.

    [{"/assets/**": "-r--l---"}, {"**": "--------"}]

A rule is a glob and eight flags, each its letter or ``-``:

    c create    r read    u update    d delete    l list    i invoke    f functions    y configure

*The first rule whose glob matches a path decides about it*; a path that none matches is denied.
Who is denied is told the same as if nothing were there.

Folders on the way to something allowed can be listed, though only their allowed children show:
``/`` in the example above. The order counts here as well: a rule that denies such a folder by
matching it hides it when it stands before the rule that leads through it.

Several lists may bind one caller (those of the user, of the key, of the key it was made with);
then all of them have to allow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from blake3 import blake3

from aeorsync.core.globs import Glob
from aeorsync.core.paths import ROOT
from aeorsync.errors import BadRequestError, NotFoundError

LETTERS = "crudlify"
MAX_RULES = 100
_WILD = frozenset("*?[{\\")
_ALL = "**"


class Op(Enum):
    """What is to be done to a path; the value is the letter of its flag."""

    CREATE = "c"
    READ = "r"
    UPDATE = "u"
    DELETE = "d"
    LIST = "l"
    INVOKE = "i"
    FUNCTIONS = "f"
    CONFIGURE = "y"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule; most paths are told from it by comparing text, which takes a tenth of a match."""

    glob: Glob
    flags: frozenset[Op]
    target: str

    @classmethod
    def parse(cls, glob: str, permitted: str) -> "_Rule":
        return cls(Glob.parse(glob), parse_flags(permitted), _target(glob))

    def matches(self, path: str) -> bool:
        """Whether the rule decides about ``path``."""
        text = self.glob.text
        if text == _ALL:
            return True
        if self.target and not self.glob.is_negated:
            if not path.startswith(self.target):
                return False
            if text == f"{self.target}/{_ALL}":
                return path.startswith(f"{self.target}/")
        return self.glob.matches(path)

    def leads_through(self, path: str) -> bool:
        """Whether ``path`` is a folder on the way to what the rule allows."""
        if not self.flags or self.glob.is_negated:
            return False
        return path in {ROOT, self.target} or self.target.startswith(path + "/")


@dataclass(frozen=True, slots=True)
class Rules:
    """An ordered list of rules."""

    rules: tuple[_Rule, ...]

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> "Rules":
        """Return the rules that pairs of a glob and its flags spell.

        Raises:
            BadRequestError: There are too many, or one cannot be read.
        """
        rules = tuple(_Rule.parse(glob, permitted) for glob, permitted in pairs)
        if len(rules) > MAX_RULES:
            raise BadRequestError(f"there are more than {MAX_RULES} rules")
        return cls(rules)

    def flags(self, path: str) -> frozenset[Op]:
        """What is allowed at a path itself."""
        for rule in self.rules:
            if rule.matches(path):
                return rule.flags
        return frozenset()

    def may_enter(self, path: str) -> bool:
        """Whether the folder ``path`` can be listed, for its own sake or on the way."""
        for rule in self.rules:
            if rule.matches(path):
                return Op.LIST in rule.flags or rule.leads_through(path)
            if rule.leads_through(path):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """What one caller may do.

    Attributes:
        layers: Lists of rules, all of which have to allow; none allows everything.
        is_nobody: Allows nothing: a user whom nothing was granted.
    """

    layers: tuple[Rules, ...] = ()
    is_nobody: bool = False

    @classmethod
    def of(cls, layers: Iterable[Sequence[tuple[str, str]]]) -> "Access":
        """Return the access that lists of (glob, flags) leave; an empty list does not bind.

        Raises:
            BadRequestError: A rule cannot be read.
        """
        return cls(tuple(Rules.parse(layer) for layer in layers if layer))

    @property
    def is_everything(self) -> bool:
        """Whether no rule binds the caller."""
        return not self.layers and not self.is_nobody

    def may(self, path: str, op: Op) -> bool:
        """Whether ``op`` is allowed at a decoded, checked path."""
        if self.is_nobody:
            return False
        return all(op in rules.flags(path) for rules in self.layers)

    def may_write_somewhere(self) -> bool:
        """Whether there may be a path where something can be made or changed."""
        ops = {Op.CREATE, Op.UPDATE}
        return not self.is_nobody and all(
            any(ops & rule.flags for rule in rules.rules) for rules in self.layers
        )

    def may_enter(self, path: str) -> bool:
        """Whether the folder ``path`` can be listed; only its allowed children are shown."""
        return not self.is_nobody and all(rules.may_enter(path) for rules in self.layers)

    def may_know(self, path: str) -> bool:
        """Whether the caller may learn that something is at ``path``."""
        return self.may(path, Op.READ) or self.may(path, Op.LIST)

    def bounds(self, op: Op) -> list[str]:
        """Paths such that whatever allows ``op`` is one of them or below one; ``/`` for any."""
        if self.is_nobody:
            return []
        found: set[str] = {ROOT}
        for rules in self.layers:
            allowing = [rule for rule in rules.rules if op in rule.flags]
            targets = {ROOT if r.glob.is_negated else r.target or ROOT for r in allowing}
            if ROOT not in targets:
                found = targets
        return [path for path in sorted(found) if not any(_is_below(path, o) for o in found)]

    @property
    def digest(self) -> bytes:
        """32 bytes, the same for the same rules: what was told under others is told apart."""
        told = blake3(b"nobody" if self.is_nobody else b"")
        for rules in self.layers:
            told.update(b"\1")
            for rule in rules.rules:
                flags = "".join(sorted(op.value for op in rule.flags))
                told.update(f"{rule.glob.text}\0{flags}\0".encode())
        return told.digest()

    def flags(self, path: str) -> str:
        """The eight flags of a path, as `effective_permissions` shows them."""
        return "".join(op.value if self.may(path, op) else "-" for op in Op)


EVERYTHING = Access()
NOTHING = Access(is_nobody=True)


def missing(path: str) -> NotFoundError:
    """The one error for a path where nothing is, and for one the caller may not know of."""
    return NotFoundError(f"not found: {path}")


def parse_flags(text: str) -> frozenset[Op]:
    """Return what eight flags allow.

    Raises:
        BadRequestError: They are not eight, or one is neither its letter nor a dash.
    """
    ok = len(text) == len(LETTERS) and all(
        flag in {letter, "-"} for flag, letter in zip(text, LETTERS, strict=True)
    )
    if not ok:
        raise BadRequestError(
            f'permissions are eight characters of "{LETTERS}" or "-" each, as "-r--l---"'
        )
    return frozenset(Op(flag) for flag in text if flag != "-")


def _target(glob: str) -> str:
    """The folder that everything the glob matches is in or is; empty for the root."""
    names: list[str] = []
    for name in glob.split("/")[1:] if glob.startswith("/") else []:
        if _WILD.intersection(name):
            return "".join(f"/{name}" for name in names)
        names.append(name)
    return "".join(f"/{name}" for name in names)


def _is_below(path: str, folder: str) -> bool:
    return path != folder and path.startswith("/" if folder == ROOT else folder + "/")

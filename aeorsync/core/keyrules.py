"""Rules of keys and users as they are stated: what is refused, and what is made of the rest.

    [{"/assets/**": "-r--l---"}, {"**": "--------"}]        as AeorDB's clients send them
    [{"glob": "/assets/**", "permitted": "-r--l---"}]                  as they are listed

A glob that can match no path at all is refused: a rule that denies would protect nothing.
"""

from collections.abc import Mapping, Sequence

from aeorsync.core.access import MAX_RULES, Rules
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import ROOT
from aeorsync.errors import BadRequestError

_STARTS = frozenset("/*?[{\\!")
_LISTED = frozenset({"glob", "permitted"})
_MAX_SHOWN = 100


def read_rules(stated: Sequence[Mapping[str, str]]) -> tuple[KeyRule, ...]:
    """Return the rules that a request states, in order.

    Raises:
        BadRequestError: There are too many, or one cannot be read; the text says which.
    """
    if len(stated) > MAX_RULES:
        raise BadRequestError(f"there are more than {MAX_RULES} rules")
    return tuple(_read(number, rule) for number, rule in enumerate(stated, 1))


def _read(number: int, stated: Mapping[str, str]) -> KeyRule:
    if set(stated) == _LISTED:
        rule = KeyRule(stated["glob"], stated["permitted"])
    elif len(stated) == 1:
        rule = KeyRule(*next(iter(stated.items())))
    else:
        raise BadRequestError(
            f'rule {number} must be an object of a glob and its flags, as {{"/a/**": "-r--l---"}}'
        )
    try:
        _check(rule)
    except BadRequestError as error:
        text = f"rule {number}, {rule.glob[:_MAX_SHOWN]!r}: {error.message}"
        raise BadRequestError(text) from error
    return rule


def _check(rule: KeyRule) -> None:
    Rules.parse([(rule.glob, rule.permitted)])
    if not rule.glob or rule.glob[0] not in _STARTS:
        raise BadRequestError(
            'it matches nothing, as paths begin with a slash; say "/docs/**" or "**/*.txt"'
        )
    if rule.glob.endswith("/") and rule.glob != ROOT:
        raise BadRequestError('it matches nothing, as no path ends in a slash; say "/docs/**"')

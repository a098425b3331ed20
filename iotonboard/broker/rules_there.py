"""Rules that somebody wrote into the ACL on a broker's machine: no package deletes them unasked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iotonboard.broker.acl import rule_lines
from iotonboard.broker.region import stream_operator_text
from iotonboard.errors import ConflictError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RULE = re.compile("(?:user .*: )?(?:topic|pattern) ")


def check_own_rules(there: bytes, coming: bytes, before: Iterable[bytes] = ()) -> None:
    """Make sure that a new ACL does not delete rules that somebody wrote on the broker's machine.

    Where the region there is damaged, or gone, what stood anywhere in the ACLs of packages ``before`` is no such rule.

    Raises:
        ConflictError: it would; names the first such line.
    """
    rules, kept = _own_rules(there), set(_own_rules(coming))
    if not _has_region(there) and (known := {rule for acl in before for rule in _rules(acl)}):
        whole = there[: there.rfind(b"\n") + 1]  # what a cut left of a line is none
        kept |= known | set(_rules(coming))
        rules = list(filter(_RULE.match, _rules(whole)))
    lost = next((rule for rule in rules if rule not in kept), None)
    if lost is not None:
        raise ConflictError(
            f"the ACL here holds a rule of its own that the package lacks: {lost!r}",
            hint="write it into the ACL on the workstation and pack again, or drop it with --replace-rules",
        )


def rules_lost(giving_way: Mapping[str, bytes], coming: bytes) -> list[str]:
    """What is told of rules around the regions of several stations that the one ACL in their place lacks."""
    kept, told = set(_own_rules(coming)), []
    for key, acl in giving_way.items() if len(giving_way) > 1 else ():
        lost = [rule for rule in _own_rules(acl) if rule not in kept]
        told += [f"{len(lost)} rules around the region of {key} ({lost[0]})"] if lost else []
    return told


def _own_rules(acl: bytes) -> list[str]:
    """The rules outside of the program's region; all of them where its markers are damaged."""
    try:
        operator = stream_operator_text([acl])
    except PolicyError:
        return _rules(acl)
    return _rules(operator.before + b"\n" + operator.after)


def _has_region(acl: bytes) -> bool:
    try:
        return stream_operator_text([acl]).has_region
    except PolicyError:
        return False


def _rules(acl: bytes) -> list[str]:
    """The rules of an ACL, each with the user it belongs to."""
    rules, user = [], ""
    for _, keyword, rest in rule_lines(acl):
        if keyword == "user":
            user = f"user {rest}: "
        else:
            rules.append(f"{user if keyword == 'topic' else ''}{keyword} {rest}")
    return rules

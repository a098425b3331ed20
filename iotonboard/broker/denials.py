"""Whose access an ACL takes away, and taking it away in an ACL that another copy of the state wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.broker.acl import parse_acl
from iotonboard.broker.region import dollar_roots, stream_operator_text
from iotonboard.broker.region_keep import keep_region
from iotonboard.errors import PolicyError
from iotonboard.model import Access, DeviceId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.broker.acl import Acl


def silence(acl: bytes, names: Iterable[str]) -> bytes:
    """The same ACL, but for the named devices: whoever of them has a right in it has none.

    An ACL that cannot be read stays as it is: whoever judges it says so.
    """
    wanted = sorted({name for name in names if _is_id(name)})
    if not wanted:
        return acl
    try:
        operator, rules = stream_operator_text([acl]), parse_acl(acl)
        due = [name for name in wanted if _has_rights(rules, name)]
        kept = keep_region(acl, operator, due, (), deny_roots=dollar_roots(rules), change=operator.change)
        return b"".join(kept) if due else acl
    except PolicyError:
        return acl


def with_rights(acl: bytes, names: Iterable[str]) -> set[str]:
    """Those of the named devices that have a right in an ACL."""
    wanted = set(names)
    if not wanted:
        return wanted
    try:
        rules = parse_acl(acl)
    except PolicyError:
        return wanted
    return {name for name in wanted if _has_rights(rules, name)}


def silenced(acl: bytes) -> set[str]:
    """The users that an ACL names and gives no right."""
    try:
        rules = parse_acl(acl)
    except PolicyError:
        return set()
    return {name for name in rules.users if not _has_rights(rules, name)}


def denied_there(there: bytes, before: Iterable[bytes], coming: bytes) -> set[str]:
    """The devices that the ACL ``there`` denies and ``coming`` would let in again.

    In the per-device style whoever is denied is left out: these are known by the ACLs that were here ``before``.
    """
    try:
        now, new = parse_acl(there), parse_acl(coming)
    except PolicyError:
        return set()
    found = {name for name in now.users if not _has_rights(now, name)}
    if not now.patterns:
        found |= {name for acl in before for name in _users(acl) - now.users.keys()}
    return {name for name in found if _is_id(name) and _has_rights(new, name)}


def _users(acl: bytes) -> set[str]:
    try:
        rules = parse_acl(acl)
    except PolicyError:
        return set()
    return {name for name in rules.users if _has_rights(rules, name)}


def _has_rights(acl: Acl, name: str) -> bool:
    own = acl.users.get(name, ())
    is_silent = any(rule.access is Access.DENY and rule.topic == "#" for rule in own)
    return not is_silent and any(rule.access is not Access.DENY for rule in (*own, *acl.patterns))


def _is_id(name: str) -> bool:
    try:
        DeviceId.adopted(name)
    except PolicyError:
        return False
    return True

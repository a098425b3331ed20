"""An ACL that somebody wrote by hand: which of its rules are a device's own, and the text without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.acl import AclSyntaxError, access_and_topic, read_acl, rule_lines
from iotonboard.broker.topics import PLACEHOLDER, Others, check_topic_rule
from iotonboard.errors import PolicyError
from iotonboard.model import Access, TopicRule

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class HandWritten:
    """``topics``: by device, what becomes its own beside the templates. ``rest``: every other octet as it was.

    ``left``: lines below the name of a device that stay where they are, for they reach beyond it.
    """

    topics: dict[str, tuple[TopicRule, ...]]
    rest: bytes
    left: tuple[str, ...]


def take_rules(text: bytes, devices: Collection[str], others: Others) -> HandWritten:
    """Take the rules of devices out of an ACL: whole lines, and a ``user`` line that nothing is left below.

    ``others``: what the templates give to every device; a rule that they give already is taken, and not kept.

    Raises:
        PolicyError: the broker would not read the file; names the lines.
    """
    problems, acl = read_acl(text)
    if acl is None:
        raise AclSyntaxError([problem for problem in problems if problem.blocks])
    topics: dict[str, list[TopicRule]] = {}
    taken, left = set[int](), list[str]()
    user, user_line, own, others_there = "", 0, 0, 0
    for number, keyword, rest in [*rule_lines(text), (0, "user", "")]:
        if keyword == "user":
            if own and not others_there:
                taken.add(user_line)
            user, user_line, own, others_there = rest, number, 0, 0
        elif keyword == "topic" and user in devices:
            rule = _own_rule(rest, user, others)
            if rule is None:
                others_there += 1
                left.append(f"line {number}: {keyword} {rest}")
                continue
            own += 1
            taken.add(number)
            known = topics.setdefault(user, [])
            if rule not in others.templates and rule not in known:
                known.append(rule)
    lines = text.split(b"\n")
    kept = b"\n".join(line for number, line in enumerate(lines, start=1) if number not in taken)
    return HandWritten({name: tuple(rules) for name, rules in topics.items()}, kept, tuple(left))


def _own_rule(rest: str, device_id: str, others: Others) -> TopicRule | None:
    """The rule as a device's own, its id as the placeholder; ``None`` where it is none or reaches beyond the device."""
    access, topic = access_and_topic(rest)
    levels = [PLACEHOLDER if level == device_id else level for level in topic.split("/")]
    rule = TopicRule(Access(access), "/".join(levels))
    try:
        if rule not in others.templates:
            check_topic_rule(rule)
    except PolicyError:
        return None
    return None if others.reached_by(rule, device_id) else rule

"""Mosquitto's ACL file as Mosquitto reads it: grammar, problems and the decision for one message.

Follows ``src/security_default.c`` of Mosquitto 2.0 and ``plugins/acl-file`` of 2.1. Where the two
differ, ``version`` says which is meant; anything the same in both is not mentioned again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from iotonboard.broker.topics import filter_problem, topic_matches
from iotonboard.errors import PolicyError, quoted
from iotonboard.model import Access

Version = Literal["2.0", "2.1"]
_ANY_SPACE = b" \t\n\v\f\r"  # C's isspace in the "C" locale, which the broker runs in
_BRIDGE_STATE = "$SYS/broker/connection/+/state"  # the only $SYS topic that clients may write
_SUBSTITUTION = re.compile(r"%[uc]")
_MIXED_SUBSTITUTION = re.compile(r"[^/]%[uc]|%[uc][^/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ACCESSES = frozenset(Access)
_Expand = Callable[["AclRule"], str | None]
_FIX_HINT = "correct the line by hand, then publish again"


class Effect(StrEnum):
    """What a problem in an ACL file does to the broker."""

    REFUSED = "refused"  # it does not start; at a reload 2.0 lets everybody do everything and 2.1 ends
    LOST = "lost"  # it starts, and silently ignores the rest of the file
    ODD = "odd"  # it reads something other than the line seems to say


@dataclass(frozen=True, slots=True)
class AclProblem:
    """One line that Mosquitto refuses or reads otherwise than it looks. Lines are counted from 1."""

    line: int
    reason: str
    text: str
    effect: Effect = Effect.REFUSED

    @property
    def blocks(self) -> bool:
        """Say whether a file with this line must not be published."""
        return self.effect is not Effect.ODD

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {quoted(self.text)}"


class AclSyntaxError(PolicyError):
    """An ACL file that the broker would refuse, or of which it would ignore a part."""

    def __init__(self, problems: list[AclProblem], *, hint: str = _FIX_HINT) -> None:
        first, *others = problems
        more = f" (and lines {', '.join(str(other.line) for other in others[:8])})" if others else ""
        super().__init__(f"{first}{more}", hint=hint)
        self.problems = tuple(problems)
        self.line = first.line


class AclRule(NamedTuple):
    """One ``topic`` or ``pattern`` line. ``user`` is None for patterns and for clients without a name."""

    access: Access
    topic: str
    line: int
    user: str | None
    is_pattern: bool

    def grants(self, access: str) -> bool:
        """Say whether the rule allows ``read`` or ``write``."""
        return self.access in {Access.READWRITE, access}

    def __str__(self) -> str:
        return f"line {self.line}: {'pattern' if self.is_pattern else 'topic'} {self.access} {self.topic}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the broker does with one message, the rule that decided (None: no rule did) and why in words."""

    allowed: bool
    rule: AclRule | None
    reason: str


@dataclass(frozen=True, slots=True)
class Acl:
    """An ACL file that the broker takes. Rules are in the order of their lines."""

    version: Version = "2.0"
    general: tuple[AclRule, ...] = ()
    users: Mapping[str, tuple[AclRule, ...]] = field(default_factory=dict)
    patterns: tuple[AclRule, ...] = ()

    def allows(self, username: str | None, client_id: str, access: str, topic: str) -> bool:
        """Say whether the broker lets a client ``read`` (be sent) or ``write`` (publish) a message."""
        return self.explain(username, client_id, access, topic).allowed

    def explain(self, username: str | None, client_id: str, access: str, topic: str) -> Decision:
        """Decide as the broker does, and name the rule.

        First the client's own ``topic`` lines (those of its user name; those before any ``user`` line for a
        client without a name), then all ``pattern`` lines. In each of the two, every ``deny`` comes before
        every grant. So a ``pattern deny`` does not take back what a ``topic`` line grants.

        Args:
            username: None for a client without one.
            client_id: what ``%c`` stands for.
            access: ``read`` or ``write``.
            topic: a topic name, without wildcards.
        """
        if _is_closed(access, topic):
            return Decision(allowed=False, rule=None, reason="the broker keeps this topic closed whatever the ACL says")
        own = self.general if username is None else self.users.get(username, ())
        if decision := _first_match(own, access, topic, lambda rule: rule.topic):
            return decision
        if self.patterns and re.search(r"[+#]", (username or "") + client_id):
            return Decision(
                allowed=False, rule=None, reason="a name with '+' or '#' gets nothing where patterns are used"
            )

        def expand(rule: AclRule) -> str | None:
            return _expand(rule.topic, username, client_id, self.version)

        if decision := _first_match(self.patterns, access, topic, expand):
            return decision
        return Decision(allowed=False, rule=None, reason="no rule matches")


def parse_acl(text: bytes, *, version: Version = "2.0") -> Acl:
    """Read an ACL file exactly as the broker does.

    Raises:
        AclSyntaxError: the broker would refuse the file, or ignore a part of it; carries every such line.
    """
    problems, acl = read_acl(text, version=version)
    if acl is None:
        raise AclSyntaxError([problem for problem in problems if problem.blocks])
    return acl


def read_acl(text: bytes, *, version: Version = "2.0") -> tuple[list[AclProblem], Acl | None]:
    """Find what ``acl_problems`` finds, and read the file on the way; ``None`` where ``parse_acl`` would raise."""
    problems, rules = _read(text, version)
    if any(problem.blocks for problem in problems):
        return problems, None
    users: dict[str, list[AclRule]] = {}
    for rule in rules:
        if rule.user is not None:
            users.setdefault(rule.user, []).append(rule)
    return problems, Acl(
        version=version,
        general=tuple(rule for rule in rules if rule.user is None and not rule.is_pattern),
        users={name: tuple(own) for name, own in users.items()},
        patterns=tuple(rule for rule in rules if rule.is_pattern),
    )


def acl_problems(text: bytes, *, version: Version = "2.0", first_line: int = 1) -> list[AclProblem]:
    """Every line that the broker refuses, and every one that it reads otherwise than it looks.

    ``first_line`` is the number of the text's first line in its file.
    """
    return _read(text, version, first_line)[0]


def rule_lines(text: bytes) -> Iterator[tuple[int, str, str]]:
    """Yield (line, keyword, rest) of every line that the broker does not skip, as it cuts them."""
    for number, raw in _lines(text):
        line = raw.partition(b"\0")[0].rstrip(_ANY_SPACE)
        if line.startswith(b"#"):
            continue
        keyword, _, rest = line.lstrip(b" ").partition(b" ")
        if keyword:  # only blanks separate the first words; of a user's name any space is cut off
            yield number, _text(keyword), _text(rest.lstrip(_ANY_SPACE if keyword == b"user" else b" "))


def _read(text: bytes, version: Version, first_line: int = 1) -> tuple[list[AclProblem], list[AclRule]]:
    problems: list[AclProblem] = []
    rules: list[AclRule] = []
    user: str | None = None
    for offset, keyword, rest in rule_lines(readable(text, version)):
        number = offset + first_line - 1
        shown = f"{keyword} {rest}".rstrip()
        if keyword == "user":
            user = rest
            reason, effect = _user_problem(rest)
        elif keyword in {"topic", "pattern"}:
            access, topic = access_and_topic(rest)
            is_pattern = keyword == "pattern"
            reason, effect = _rule_problem(access, topic, rest, version if is_pattern else None)
            if not reason or effect is Effect.ODD:
                owner = None if is_pattern else user
                rules.append(AclRule(Access(access), topic, number, owner, is_pattern))
        else:
            reason, effect = _keyword_problem(keyword), Effect.REFUSED
        if reason:
            problems.append(AclProblem(number, reason, shown, effect))
    if (nul := text.find(b"\0")) >= 0:
        line = text.count(b"\n", 0, nul) + first_line
        is_cut = _first_nul(text, version) >= 0
        reason = f"a NUL octet: the broker silently ignores {'the rest of the file' if is_cut else 'the line'}"
        problems.append(AclProblem(line, reason, "", Effect.LOST))
    return problems, rules


def readable(text: bytes, version: Version) -> bytes:
    """What a broker reads of a file: up to a NUL, and without its line, if the file ends with a newline."""
    nul = _first_nul(text, version)
    if nul < 0:
        return text
    return text[: text.rfind(b"\n", 0, nul) + 1 if text.endswith(b"\n") else nul]


def _first_nul(text: bytes, version: Version) -> int:
    """Where a NUL stands that hides the rest; 2.1 takes a line that begins with one for an empty one."""
    if version == "2.0":
        return text.find(b"\0")
    found = re.search(rb"[^\n\0][^\n\0]*\0", re.sub(rb"(?m)^\0[^\n]*", lambda line: b"\n" * len(line[0]), text))
    return found.end() - 1 if found else -1


def access_and_topic(rest: str) -> tuple[str, str]:
    """Cut what follows ``topic`` or ``pattern``: one word is a topic, of more the first is the access."""
    access, blank, topic = rest.partition(" ")
    return (access, topic.strip(" \t\n\v\f\r")) if blank else ("readwrite", access)


def _user_problem(name: str) -> tuple[str, Effect]:
    if not name:
        return "'user' without a name", Effect.REFUSED
    return _text_problem(name), Effect.ODD


def _rule_problem(access: str, topic: str, rest: str, version: Version | None) -> tuple[str, Effect]:
    """Say what is wrong with a rule; ``version`` is None for ``topic`` lines, which expand nothing."""
    if not rest:
        return "a rule without a topic", Effect.REFUSED
    if access not in _ACCESSES:
        return f"{quoted(access, 40)} is none of read, write, readwrite, deny", Effect.REFUSED
    if reason := filter_problem(topic):
        return reason, Effect.REFUSED
    return _odd_rule(topic, rest, version) or _text_problem(topic), Effect.ODD


def _odd_rule(topic: str, rest: str, version: Version | None) -> str:
    """Say what a rule means that it does not look like."""
    if rest in _ACCESSES:
        return f"the topic is missing: the broker reads this as readwrite for the topic {rest!r}"
    if version is None and _SUBSTITUTION.search(topic):
        return "%u and %c are expanded in 'pattern' lines only"
    if version == "2.1" and _MIXED_SUBSTITUTION.search(topic):
        return "%u and %c are expanded only where they are a whole level"
    return ""


def _keyword_problem(keyword: str) -> str:
    if keyword.startswith("\ufeff"):
        return "a byte order mark at the start of the file"
    if keyword.startswith("#"):
        return "a comment must begin in the first column"
    if "\t" in keyword:
        return "a tab where the broker expects a space"
    return "a line must begin with user, topic or pattern"


def _text_problem(text: str) -> str:
    if _CONTROL.search(text):
        return "a control character inside the line, which the broker takes as part of the name"
    try:
        text.encode()
    except UnicodeEncodeError:  # ``_text`` keeps such octets as surrogates
        return "not UTF-8, so that no client can ever match it"
    return ""


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Count the lines from 1 without keeping them all."""
    start, number = 0, 1
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        yield number, text[start:end]
        start, number = end + 1, number + 1


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _is_closed(access: str, topic: str) -> bool:
    """Topics that ``acl__check_dollar`` refuses before any rule is looked at."""
    if topic.startswith("$SYS"):
        return access == Access.WRITE and not topic_matches(_BRIDGE_STATE, topic)
    return topic.startswith("$share")


def _first_match(rules: tuple[AclRule, ...], access: str, topic: str, expand: _Expand) -> Decision | None:
    """Decide by one list of rules: every deny first, then the grants."""
    for rule in rules:
        if rule.access is Access.DENY and topic_matches(expand(rule) or "", topic):
            return Decision(allowed=False, rule=rule, reason=f"denied by {rule}")
    for rule in rules:
        if rule.grants(access) and topic_matches(expand(rule) or "", topic):
            return Decision(allowed=True, rule=rule, reason=f"granted by {rule}")
    return None


def _expand(topic: str, username: str | None, client_id: str, version: Version) -> str | None:
    """Put the client's names into a pattern; None when this client cannot match it."""
    if "%u" in topic and username is None:
        return None
    names = {"%u": username or "", "%c": client_id}
    if version == "2.0":
        return _SUBSTITUTION.sub(lambda found: names[found.group()], topic)
    levels = topic.split("/")
    if any(level in names and (not names[level] or "/" in names[level]) for level in levels):
        return None  # 2.1 compares a name with exactly one level
    return "/".join(names.get(level, level) for level in levels)

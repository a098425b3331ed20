"""The operator's own ACL lines that a broker takes, and that mean something else than they say.

Unlike those of ``acl.py``, which is Mosquitto's grammar, these are guesses at what a person meant: each is a warning.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from iotonboard.broker.acl import AclProblem, Effect, rule_lines
from iotonboard.broker.region import stream_operator_text
from iotonboard.errors import PolicyError, quoted
from iotonboard.model import Access

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS: Final = tuple(access.value for access in Access)
_BEHIND: Final = re.compile(r"([A-Za-z]{3,10})[ \t:=,]")
_COMMENT: Final = re.compile(r"[ \t](?:#|//|;|--)")
_WILDCARDS: Final = frozenset({"*", "#", "+", "%u", "%c", "all", "any", "everybody", "everyone"})


def odd_lines(pieces: Iterable[bytes]) -> list[AclProblem]:
    """Every line outside of the managed region that means something else than it says, in their order.

    Where the region's markers are damaged, which is told by others, there are none.
    """
    try:
        operator = stream_operator_text(pieces)
    except PolicyError:
        return []
    return [*_odd(operator.before, 1), *_odd(operator.after, operator.after_line)]


def _odd(text: bytes, first_line: int) -> Iterator[AclProblem]:
    user: str | None = None
    for offset, keyword, rest in rule_lines(text):
        reason = ""
        if keyword == "user":
            user, reason = rest, _odd_user(rest)
        elif keyword in {"topic", "pattern"}:
            reason = _odd_topic(rest)
            if keyword == "pattern" and user is not None:
                reason = f"a pattern is everybody's, not the user {quoted(user, 64)} alone's"
            elif keyword == "topic" and user is None and first_line == 1:
                reason = "above the first 'user' a topic is for clients without a name: no certificate has it"
        if reason:
            yield AclProblem(offset + first_line - 1, reason, f"{keyword} {rest}".rstrip(), Effect.ODD)


def _odd_user(name: str) -> str:
    """The whole rest of the line is the name."""
    if _COMMENT.search(name):
        return "a comment behind a name is a part of the name"
    if name.lower() in _WILDCARDS:
        return "there is no wildcard for users: this is the one who is called so"
    if name[:1] in {'"', "'", "<"}:
        return "quotes are a part of the name"
    if name.endswith(":") or "," in name:
        return "everything behind 'user' is one name, colons and commas too"
    return ""


def _odd_topic(rest: str) -> str:
    access, blank, topic = rest.partition(" ")
    topic = topic.strip() if blank and access in _WORDS else "" if blank else rest
    found = _BEHIND.match(topic)
    if found and (word := found[1].lower()) and get_close_matches(word, _WORDS, 1, 0.75):
        return f"{found[1]!r} is a part of the topic here, and no access"
    if _COMMENT.search(topic):
        return "a comment behind a topic is a part of the topic"
    if topic[:1] in {'"', "'"}:
        return "quotes are a part of the topic"
    return ""

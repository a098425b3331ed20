"""The strict check of a rendered region: what is about to be published, read back and compared.

A million blocks go through one regular expression; only a region that fails it is read line by line,
to find the line and the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.acl import Version, acl_problems
from iotonboard.broker.region import check_operator_text, stream_operator_text
from iotonboard.broker.topics import PLACEHOLDER, pattern_topic
from iotonboard.errors import PolicyError
from iotonboard.model import Access, TopicRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_REPORT = "this is a defect of the program: keep the file as it is and report it"
_ID = rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}+"
_ACCESS = rb"(?:readwrite|read|write|deny) "
_PLAIN_LEVEL = rb"\+(?![^/\n])|[^\x00-\x1f\x7f%+#/]*+"
_PATTERN_LEVEL = rb"%u(?![^/\n])|" + _PLAIN_LEVEL


def _topic_shape(level: bytes) -> bytes:
    """Shape of one topic: whole-level wildcards, '#' last, no control character, no blank at an end."""
    return rb"(?![ \n])(?:\#|(?:" + level + rb")(?:/(?!\#)(?:" + level + rb"))*+(?:/\#)?)(?<! )\n"


_TOPIC_LINE = rb"topic " + _ACCESS + _topic_shape(_PLAIN_LEVEL)
_PATTERN_LINE = rb"pattern " + _ACCESS + _topic_shape(_PATTERN_LEVEL)
_SILENCE = rb"topic deny \#\n(?:topic deny \$[^\x00-\x1f\x7f%+#/]*+/\#\n)++"


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What a check found in a region: ``user`` blocks, and lines in all."""

    users: int
    lines: int


class RegionCheck:
    """Holds a region against what was meant, piece by piece. Memory is that of one piece.

    A region is ``pattern`` lines, then ``user`` blocks: each a device id and one or more ``topic`` lines with
    an access word and a topic that Mosquitto takes. With ``style`` and ``templates`` the patterns must be
    exactly those, and every block must either silence its device or begin with exactly the lines that the
    templates give its own id (in the pattern style: the ``deny`` templates only).
    """

    def __init__(self, style: str | None = None, templates: Sequence[TopicRule] | None = None) -> None:
        self._users = 0
        self._lines = 0
        self._carry = b""
        self._in_blocks = False
        self._head = re.compile(_head_shape(style, templates))
        self._block = re.compile(_block_shape(style, templates))
        self._blocks = re.compile(rb"(?:" + self._block.pattern + rb")*+")

    def feed(self, piece: bytes) -> None:
        """Check every block that is whole by now; the last one may go on in the next piece.

        Raises:
            PolicyError: with the line of the region and what is wrong with it.
        """
        text = self._carry + piece if self._carry else piece
        cut = text.rfind(b"\nuser ") + 1
        self._carry = text[cut:]
        self._check(text[:cut])

    def finish(self, *, users: int | None = None) -> RegionFacts:
        """Check the last block, and the number of blocks if it is known.

        Raises:
            PolicyError: as ``feed``, or the number is another one.
        """
        self._check(self._carry)
        if not self._in_blocks and not self._head.fullmatch(b""):
            raise PolicyError("the ACL region lacks the patterns that were meant", hint=_REPORT)
        if users is not None and users != self._users:
            raise PolicyError(f"the ACL region holds {self._users} user blocks where {users} were meant", hint=_REPORT)
        return RegionFacts(self._users, self._lines)

    def _check(self, text: bytes) -> None:
        if not text:
            return
        start = 0
        if not self._in_blocks:
            head = self._head.match(text)
            if head is None:
                raise self._refusal(text, 0)
            start, self._in_blocks = head.end(), True
        if not self._blocks.fullmatch(text, start) or not _is_utf8(text):
            raise self._refusal(text, start)
        self._users += text.count(b"\nuser ") + text.startswith(b"user ")
        self._lines += text.count(b"\n")

    def _refusal(self, text: bytes, start: int) -> PolicyError:
        """Name the line and the exact reader's reason; for what is legal, yet not meant, the block's line."""
        while match := self._block.match(text, start):
            start = match.end()
        problems = acl_problems(text)
        line = problems[0].line if problems else text.count(b"\n", 0, start) + 1
        reason = problems[0].reason if problems else "this is not what was meant"
        shown = text.split(b"\n")[line - 1][:80].decode("utf-8", "replace")
        return PolicyError(f"line {self._lines + line} of the ACL region: {reason}: {shown!r}", hint=_REPORT)


def verify_region(
    pieces: Iterable[bytes],
    *,
    style: str | None = None,
    templates: Sequence[TopicRule] | None = None,
    users: int | None = None,
) -> RegionFacts:
    """Check a region as ``RegionCheck`` does. The pieces may be cut anywhere.

    Raises:
        PolicyError: with the line of the region and what is wrong with it.
    """
    check = RegionCheck(style, templates)
    for piece in pieces:
        check.feed(piece)
    return check.finish(users=users)


def check_published_acl(
    pieces: Iterable[bytes],
    *,
    style: str | None = None,
    templates: Sequence[TopicRule] | None = None,
    users: int | None = None,
    version: Version = "2.0",
) -> RegionFacts:
    """Read a whole ACL file back, in pieces: the operator's lines, the markers and the region.

    Args:
        pieces: the file, cut anywhere.
        style: with ``templates``, what the region was meant to be; None checks the grammar alone.
        templates: the rules that every device was meant to get.
        users: how many ``user`` blocks the region must have; None when that is not known.
        version: the broker that will read it.

    Raises:
        PolicyError: what the broker would refuse or silently lose, or a region that is not what was meant.
    """
    check = RegionCheck(style, templates)
    operator = stream_operator_text(pieces, check.feed)
    if not operator.has_region:
        raise PolicyError("the ACL has no managed region", hint="publish it again")
    check_operator_text(operator, version=version)
    return check.finish(users=users)


def _head_shape(style: str | None, templates: Sequence[TopicRule] | None) -> bytes:
    """Shape of the pattern lines that the region begins with."""
    if templates is None:
        return rb"(?:" + _PATTERN_LINE + rb")*+"
    if style != "pattern":
        return b""
    return b"".join(_exactly(f"pattern {rule.access} {pattern_topic(rule.topic)}\n") for rule in templates)


def _block_shape(style: str | None, templates: Sequence[TopicRule] | None) -> bytes:
    """Shape of one ``user`` block; group 1 is the id."""
    user = rb"user (" + _ID + rb")\n"
    if templates is None:
        return user + rb"(?:" + _TOPIC_LINE + rb")++"
    kept = [rule for rule in templates if style != "pattern" or rule.access is Access.DENY]
    common = b"".join(_exactly(f"topic {rule.access} {rule.topic}\n") for rule in kept)
    common = common.replace(_exactly(PLACEHOLDER), rb"(?:\1)")
    own = common + rb"(?:" + _TOPIC_LINE + (rb")*+" if common else rb")++")
    return user + rb"(?>" + _SILENCE + rb"(?=user |\Z)|" + own + rb")"


def _exactly(text: str) -> bytes:
    return re.escape(text.encode())


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

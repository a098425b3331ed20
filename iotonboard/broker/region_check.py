"""The strict check of a region before it is published: read back and compared with what was meant.

It shares no code with what renders. A million blocks go through one regular expression; only a region that fails it
is read line by line, to find the line and the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iotonboard.broker.acl import acl_problems
from iotonboard.broker.topics import PLACEHOLDER
from iotonboard.errors import PolicyError
from iotonboard.model import Access, TopicRule

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPORT = "this is a defect of the program: keep the file as it is and report it"
_ID = rb"(?![ $])[^\x00-\x1f\x7f%+#/]{1,256}+(?<! )"
_ACCESS = rb"(?:readwrite|read|write|deny) "
_PLAIN_LEVEL = rb"\+(?![^/\n])|[^\x00-\x1f\x7f%+#/]*+"
_PATTERN_LEVEL = rb"%u(?![^/\n])|" + _PLAIN_LEVEL


def _topic_shape(level: bytes) -> bytes:
    """Shape of one topic: whole-level wildcards, '#' last, no control character, no blank at an end."""
    return rb"(?![ \n])(?:\#|(?:" + level + rb")(?:/(?!\#)(?:" + level + rb"))*+(?:/\#)?)(?<! )\n"


_TOPIC_LINE = rb"topic " + _ACCESS + _topic_shape(_PLAIN_LEVEL)
_PATTERN_LINE = rb"pattern " + _ACCESS + _topic_shape(_PATTERN_LEVEL)
_SILENCE = rb"topic deny \#\n(?:topic deny \$[^\x00-\x1f\x7f%+#/]*+/\#\n)++"


class RegionCheck:
    """Holds a region against what was meant, piece by piece. Memory is that of one piece.

    A region is ``pattern`` lines, exactly those of the templates in the pattern style and none otherwise; then
    ``user`` blocks. Each is a device id and one or more ``topic`` lines with an access word and a topic that Mosquitto
    takes, and must either silence its device or begin with exactly the lines that the templates give its own id (in
    the pattern style: the ``deny`` templates only).

    Raises:
        PolicyError: a template makes a line that Mosquitto would not take.
    """

    def __init__(self, style: str, templates: Sequence[TopicRule]) -> None:
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

    def finish(self, *, users: int) -> None:
        """Check the last block, and that there are as many blocks as were meant.

        Raises:
            PolicyError: as ``feed``, or the number is another one.
        """
        self._check(self._carry)
        if not self._in_blocks and not self._head.fullmatch(b""):
            raise PolicyError("the ACL region lacks the patterns that were meant", hint=_REPORT)
        if users != self._users:
            raise PolicyError(f"the ACL region holds {self._users} user blocks where {users} were meant", hint=_REPORT)

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


def _head_shape(style: str, templates: Sequence[TopicRule]) -> bytes:
    """Shape of the pattern lines that the region begins with."""
    if style != "pattern":
        return b""
    lines = (f"pattern {rule.access} {rule.topic.replace(PLACEHOLDER, '%u')}\n" for rule in templates)
    return b"".join(_exactly(line, _PATTERN_LINE) for line in lines)


def _block_shape(style: str, templates: Sequence[TopicRule]) -> bytes:
    """Shape of one ``user`` block; group 1 is the id."""
    kept = [rule for rule in templates if style != "pattern" or rule.access is Access.DENY]
    common = b"".join(_exactly(f"topic {rule.access} {rule.topic}\n", _TOPIC_LINE) for rule in kept)
    common = common.replace(re.escape(PLACEHOLDER.encode()), rb"(?:\1)")
    own = common + rb"(?:" + _TOPIC_LINE + (rb")*+" if common else rb")++")
    return rb"user (" + _ID + rb")\n(?>" + _SILENCE + rb"(?=user |\Z)|" + own + rb")"


def _exactly(line: str, shape: bytes) -> bytes:
    """Shape of one line that is known to the octet, and is itself of a ``shape``."""
    if not re.fullmatch(shape, line.encode()):
        raise PolicyError(f"a template makes a line that Mosquitto does not take: {line!r}", hint=_REPORT)
    return re.escape(line.encode())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

"""The managed region of an ACL file: where it is, and what the operator wrote around it.

Only the lines between the two markers are the program's; every octet outside stays as the operator
wrote it. A ``user`` line rules the ``topic`` lines below it up to the next ``user`` line, so

- the region never begins with a ``topic`` line: an operator's last ``user`` block cannot capture it;
- a ``topic`` line of the operator's below the region, without a ``user`` line of its own before it,
  would belong to the region's last device: it is refused with its line number;
- a new region goes to the end of the file.

The BEGIN line says which change of which state the region is, so that an older one is told from a newer one::

    # BEGIN iotonboard: change 17 of 0123456789abcdef, row 812 0123456789abcdef; the program replaces every ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.broker.acl import Acl, AclProblem, AclSyntaxError, Version, acl_problems, parse_acl, rule_lines
from iotonboard.errors import PolicyError
from iotonboard.model import Access

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BEGIN = b"# BEGIN iotonboard"
END = b"# END iotonboard"
_NOTE = "the program replaces every line down to END"
BEGIN_LINE = BEGIN + f": {_NOTE}\n".encode()
END_LINE = END + b"\n"
# No state counts to 16 digits: whatever says so is not believed, and stands in nobody's way.
_CHANGE = re.compile(rb": change ([0-9]{1,15}) of ([0-9a-f]{16})(?:, row ([0-9]{1,15}) ([0-9a-f]{16}))?;")
# A marker in any state of repair: one that is nearly right must be found, not taken for a comment.
_MARKER = re.compile(rb"#[ \t]*(BEGIN|END)[ \t]+iotonboard\b[^\n]*", re.IGNORECASE)
_MARKER_HINT = (
    "put the two marker lines back, each once and in order; or delete both and all between them, "
    "and type: iotonboard sync-acl --here, which writes the region anew at the end of the file"
)
_CAPTURE_HINT = "move the line above the region, or put 'user NAME' above it"


@dataclass(frozen=True, slots=True)
class Change:
    """Which change of a state a region is, as its BEGIN line says.

    ``key`` names the CA that issued then (``pki.key_id``). ``row`` and ``mark`` name a row of the state's audit trail,
    by its number and the first 16 digits of its hash: another copy of the state has another row there.
    """

    number: int
    key: str
    row: int = 0
    mark: str = ""

    def begin_line(self) -> bytes:
        """The BEGIN line of such a region."""
        row = f", row {self.row} {self.mark}" if self.mark else ""
        return BEGIN + f": change {self.number} of {self.key}{row}; {_NOTE}\n".encode()


@dataclass(frozen=True, slots=True)
class OperatorText:
    """What the operator wrote around the region; ``after`` begins on line ``after_line`` of the file.

    ``change`` is what the region says of itself; ``None`` where it does not, or there is none.
    """

    before: bytes
    after: bytes
    after_line: int
    has_region: bool
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class OperatorUser:
    """A user in the operator's own rules, and the line of the file that names it."""

    name: str
    line: int


def stream_operator_text(pieces: Iterable[bytes]) -> OperatorText:
    """Read the operator's text from an ACL file in pieces, cut anywhere.

    A file without markers is all ``before``. Memory grows with the operator's lines only.

    Raises:
        PolicyError: a marker is missing, misspelt, there twice or in the wrong order; names the line.
    """
    scan = _Scan()
    carry = b""
    for piece in pieces:
        text = carry + piece if carry else piece
        whole = text.rfind(b"\n") + 1
        carry = text[whole:]
        scan.feed(text[:whole])
    scan.feed(carry)
    return scan.finish()


def has_marker(pieces: Iterable[bytes]) -> bool:
    """Say whether a file, in pieces cut anywhere, holds a marker of the region in any state of repair."""
    carry = b""
    for piece in pieces:
        text = carry + piece
        if any(_MARKER.match(text, position) for position in _comment_starts(text)):
            return True
        carry = text[text.rfind(b"\n") + 1 :]
    return False


def operator_acl(operator: OperatorText, *, version: Version = "2.0") -> Acl:
    """Read the operator's own rules.

    Raises:
        AclSyntaxError: as ``check_operator_text``.
    """
    check_operator_text(operator, version=version)
    return parse_acl(b"\n".join((operator.before, operator.after)), version=version)


def check_operator_text(operator: OperatorText, *, version: Version = "2.0") -> None:
    """Make sure that the operator's lines neither break the broker nor are captured by the region.

    Raises:
        AclSyntaxError: with every such line, numbered as in the file that was read, and the reason.
    """
    problems = acl_problems(operator.before, version=version)
    problems += acl_problems(operator.after, version=version, first_line=operator.after_line)
    blocking = [problem for problem in problems if problem.blocks]
    captured = _captured_lines(operator)
    if blocking:
        raise AclSyntaxError(blocking + captured)
    if captured:
        raise AclSyntaxError(captured, hint=_CAPTURE_HINT)


def operator_users(pieces: Iterable[bytes]) -> dict[str, OperatorUser]:
    """The users of the operator's own rules in an ACL file in pieces, by their names in small letters.

    The first line of each counts; what a NUL hides from the broker today is there too.

    Raises:
        PolicyError: the markers of the region are damaged, so nobody knows which lines are the operator's.
    """
    operator = stream_operator_text(pieces)
    users: dict[str, OperatorUser] = {}
    for text, before in ((operator.before, 0), (operator.after, operator.after_line - 1)):
        for line, keyword, name in rule_lines(text):
            if keyword == "user":
                users.setdefault(name.lower(), OperatorUser(name, before + line))
    return users


def devices_to_deny(operator: Acl, denied: Iterable[str]) -> Iterator[str]:
    """Yield those of ``denied`` whom the operator's own lines still grant something, per-device style.

    A ``pattern`` line applies to everybody, so with one of them it is all of them.
    """
    if any(rule.access is not Access.DENY for rule in operator.patterns):
        yield from denied
    else:
        yield from (name for name in denied if name in operator.users)


def dollar_roots(acl: Acl) -> tuple[str, ...]:
    """List the first levels, other than ``$SYS``, of the ``$`` topics that the rules of an ACL name."""
    rules = chain(acl.patterns, *acl.users.values())
    roots = {rule.topic.partition("/")[0] for rule in rules if rule.topic.startswith("$")}
    return tuple(sorted(root for root in roots if "%" not in root and root != "$SYS"))


class _Scan:
    """Follows the markers through whole lines."""

    def __init__(self) -> None:
        self.kept: tuple[list[bytes], list[bytes]] = ([], [])
        self.line = 1
        self.marker_lines: list[int] = []
        self.change: Change | None = None

    def feed(self, text: bytes) -> None:
        """Keep the lines outside of the markers."""
        start = 0
        for position in _comment_starts(text):
            if match := _MARKER.match(text, position):
                self._keep(text, start, position)
                at = self.line + text.count(b"\n", start, position)
                self._check_marker(match[0], is_begin=match[1].upper() == b"BEGIN", at=at)
                self.marker_lines.append(at)
                start, self.line = min(match.end() + 1, len(text)), at + 1
        self._keep(text, start, len(text))
        self.line += text.count(b"\n", start)

    def finish(self) -> OperatorText:
        """Say what was found."""
        if len(self.marker_lines) == 1:
            raise _damaged(self.marker_lines[0], "BEGIN has no END after it")
        before, after = (b"".join(kept) for kept in self.kept)
        has_region = bool(self.marker_lines)
        after_line = self.marker_lines[1] + 1 if has_region else self.line
        return OperatorText(before, after, after_line, has_region, self.change)

    def _keep(self, text: bytes, start: int, end: int) -> None:
        markers = len(self.marker_lines)
        if markers != 1:  # between the first and the second is the region, which may be large
            self.kept[markers // 2].append(text[start:end])

    def _check_marker(self, marker: bytes, *, is_begin: bool, at: int) -> None:
        wanted = BEGIN if is_begin else END
        found = len(self.marker_lines)
        if not marker.startswith(wanted) or marker[len(wanted) : len(wanted) + 1].strip(b":\r \t"):
            raise _damaged(at, f"{marker[:60].decode('utf-8', 'replace')!r} is nearly a marker")
        if found > 1:
            raise _damaged(at, "a marker too many")
        if is_begin != (found == 0):
            raise _damaged(at, "END without BEGIN" if found == 0 else "BEGIN a second time")
        if is_begin:
            self.change = _change(marker[len(BEGIN) :])


def _change(text: bytes) -> Change | None:
    """What a BEGIN line says behind its first words."""
    found = _CHANGE.match(text)
    if found is None:
        return None
    number, key, row, mark = found.groups()
    return Change(int(number), key.decode(), int(row or 0), (mark or b"").decode())


def _damaged(line: int, reason: str) -> PolicyError:
    return PolicyError(f"the markers in the ACL are damaged: line {line}: {reason}", hint=_MARKER_HINT)


def _comment_starts(text: bytes) -> Iterator[int]:
    if text.startswith(b"#"):
        yield 0
    position = text.find(b"\n#")
    while position >= 0:
        yield position + 1
        position = text.find(b"\n#", position + 1)


def _captured_lines(operator: OperatorText) -> list[AclProblem]:
    """Find the operator's rules below the region that would become those of its last device."""
    captured = []
    for offset, keyword, rest in rule_lines(operator.after) if operator.has_region else ():
        if keyword == "user":
            break
        if keyword == "topic":
            reason = "this line below the region would belong to the region's last device"
            captured.append(AclProblem(operator.after_line + offset - 1, reason, f"topic {rest}"))
    return captured
